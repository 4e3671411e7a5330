//! Why a method has not done its work, and what that means for the job.

use std::{error::Error as StdError, time::Duration};

use plugin_api::Error;
use sea_orm::{DbErr, RuntimeErr, sqlx};

/// What a method answers instead of a result.
///
/// `?` makes one from every std error, from `&str` and from `String`. A database error inside is looked at: what may
/// pass is tried again, and what the data refuse is a failure with the database's words. Everything else fails the
/// job with its text, and the message's retry fields decide.
#[derive(Debug)]
#[must_use]
pub struct Failure(Cause);

#[derive(Debug)]
enum Cause {
    /// To be looked at.
    Raised(Box<dyn StdError + Send + Sync>),
    /// Already decided.
    Decided(Error),
}

impl Failure {
    /// A failure with a decision of its own: `Error::retry_in`, `Error::bury` and so on of the plugin API.
    pub fn decided(error: Error) -> Self {
        Failure(Cause::Decided(error))
    }

    /// The failure as the host understands it; `delay` is for what may pass.
    pub(crate) fn into_error(self, delay: Duration) -> Error {
        match self.0 {
            Cause::Decided(error) => error,
            Cause::Raised(error) => match nature(&*error) {
                Nature::Answer => Error::from(error),
                Nature::Passing => Error::retry_in(delay, Error::from(error)),
                Nature::Defect => Error::exception(Error::from(error)),
            },
        }
    }
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(Cause::Raised(error.into()))
    }
}

/// What kind of failure an error is.
#[derive(Debug, PartialEq, Eq)]
enum Nature {
    /// The model, or a constraint of the database, says no.
    Answer,
    /// The database is away or busy.
    Passing,
    /// The statement is wrong: a missing table, a type that does not fit. An exception, as in PHP.
    Defect,
}

/// Looks for the database's error among the sources.
fn nature(error: &(dyn StdError + 'static)) -> Nature {
    let mut source = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<DbErr>() {
            return nature_of(error);
        }
        source = error.source();
    }
    Nature::Answer
}

fn nature_of(error: &DbErr) -> Nature {
    match error {
        // Whatever keeps the database from being reached, no job is at fault.
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Nature::Passing,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match &**error {
                sqlx::Error::Database(error) => nature_of_answer(&**error),
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => Nature::Passing,
                _ => Nature::Defect,
            }
        }
        // What the model's own code says.
        DbErr::Custom(_) | DbErr::RecordNotFound(_) | DbErr::RecordNotInserted | DbErr::RecordNotUpdated => {
            Nature::Answer
        }
        _ => Nature::Defect,
    }
}

/// What the database itself has answered, by the codes of its manual.
fn nature_of_answer(error: &dyn sqlx::error::DatabaseError) -> Nature {
    if may_pass(error) {
        return Nature::Passing;
    }
    match error.kind() {
        sqlx::error::ErrorKind::Other => Nature::Defect,
        _ => Nature::Answer,
    }
}

fn may_pass(error: &dyn sqlx::error::DatabaseError) -> bool {
    #[cfg(feature = "mysql")]
    if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        // Too many connections, shutting down, lock wait timeout, deadlock.
        return matches!(error.number(), 1040 | 1053 | 1205 | 1213);
    }
    #[cfg(feature = "sqlite")]
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        // The primary code is the low byte of the extended one: busy, locked, disk full.
        let code = error.code().and_then(|code| code.parse::<u32>().ok());
        return code.is_some_and(|code| matches!(code & 0xff, 5 | 6 | 13));
    }
    // PostgreSQL's SQLSTATE: connection, transaction rollback, lock not available, too many connections, shutdown.
    let code = error.code().unwrap_or_default();
    code.starts_with("08")
        || code.starts_with("40")
        || code.starts_with("57P")
        || matches!(&*code, "55P03" | "53300")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// An author's error around the database's.
    #[derive(Debug, thiserror::Error)]
    #[error("cannot cancel")]
    struct Wrapped(#[source] DbErr);

    #[test]
    fn what_may_pass_is_told_from_what_the_data_refuse_and_from_defects() {
        let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let lost = DbErr::Query(RuntimeErr::SqlxError(Arc::new(sqlx::Error::Io(lost))));
        let pool = DbErr::Conn(RuntimeErr::SqlxError(Arc::new(sqlx::Error::PoolTimedOut)));
        let row = DbErr::Query(RuntimeErr::SqlxError(Arc::new(sqlx::Error::RowNotFound)));
        assert_eq!(nature(&lost), Nature::Passing);
        assert_eq!(nature(&pool), Nature::Passing);
        assert_eq!(nature(&row), Nature::Defect);
        assert_eq!(nature(&DbErr::Custom("no".to_owned())), Nature::Answer);
        assert_eq!(nature(&Wrapped(lost)), Nature::Passing);
        assert_eq!(nature(&std::io::Error::other("disk")), Nature::Answer);
    }
}
