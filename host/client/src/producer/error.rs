//! What can go wrong with a call, by what the caller does next.

use thiserror::Error;

use crate::call::InvalidCall;
use crate::connection::PutError;
use crate::protocol::JobId;

/// A call that was not put, or not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The call breaks a rule. Nothing was sent.
    #[error(transparent)]
    Invalid(#[from] InvalidCall),
    /// Its only job is not known to be in the queue.
    #[error(transparent)]
    Put(#[from] PutError),
    /// Not every job of its time table is known to be in the queue.
    #[error("{}", of_table(results))]
    Table {
        /// One for each entry, in the order of the table.
        results: Vec<Result<JobId, PutError>>,
    },
    /// `forceSync` was asked of a client that can run nothing here.
    #[error(
        "`forceSync` needs a handler in this process, and the client has none; hint: `Client::with_local`"
    )]
    NoLocal,
    /// `forceSync` was tried, and the handler did not do it.
    #[error(transparent)]
    Local(#[from] LocalFailure),
}

fn of_table(results: &[Result<JobId, PutError>]) -> String {
    let failed = results.iter().filter(|result| result.is_err()).count();
    let first = results
        .iter()
        .enumerate()
        .find_map(|(at, result)| Some((at, result.as_ref().err()?)));
    let why = first.map_or(String::new(), |(at, error)| {
        format!(": entry {}: {error}", at + 1)
    });
    format!(
        "{failed} of {} jobs of `retryTimeTable` are not known to be put{why}",
        results.len()
    )
}

/// A handler in this process that did not do its job.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind}{}{message}", if message.is_empty() { "" } else { ": " })]
pub struct LocalFailure {
    /// How it ended.
    pub kind: LocalFailureKind,
    /// The handler's own words; may be empty.
    pub message: String,
}

/// How a handler ended that did not do its job. Nothing is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LocalFailureKind {
    /// It failed.
    #[error("the handler failed")]
    Failed,
    /// It panicked, or threw.
    #[error("the handler threw")]
    Exception,
    /// It asked for another try.
    #[error("the handler asked for another try, which `forceSync` does not give")]
    Retry,
    /// It asked for a person to look at the job.
    #[error("the handler asked for the job to be buried")]
    Bury,
}
