//! Jobs that a handler puts while it runs another.
//!
//! They go over that job's own connection, as all that is said about it does, and only while the handler runs for it: not
//! when the job was given back or lost, or its handler asked to give up. How many there may be for one run is the pool's
//! to say.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use asynccall_abi::job::{self as wire, NewJob, PutFailure, TTR_KEEP};
use asynccall_client::{
    connection::{Connection, PutError},
    protocol::JobId,
    tube::{TubeName, TubeNamingError},
};
use tracing::debug;

use super::{facts::Facts, lane::Lane};
use crate::observe::line::chain;

/// What a lane remembers of the jobs that were put over it.
#[derive(Default)]
pub(super) struct Puts {
    /// For the job in hand.
    count: AtomicU32,
    /// The tube that the connection uses; nothing before the first put.
    used: Mutex<Option<TubeName>>,
}

impl Puts {
    /// Another job is in hand.
    pub(super) fn begin(&self) {
        self.count.store(0, Ordering::Relaxed);
    }

    /// There is another connection, or none.
    pub(super) fn forget_tube(&self) {
        *self.used() = None;
    }

    fn used(&self) -> MutexGuard<'_, Option<TubeName>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a job was not put.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotPut {
    #[error(
        "the pool lets its handlers put no jobs; hint: its setting `put_limit` (--put-limit) says how many for each job"
    )]
    NotAllowed,
    #[error(
        "{limit} were put for this one, and the pool allows no more; hint: its setting `put_limit` (--put-limit)"
    )]
    Limit { limit: u32 },
    #[error(
        "found a {what} of {seconds} s, the queue server takes at most {} s",
        u32::MAX
    )]
    TooLong { what: &'static str, seconds: u64 },
    #[error(transparent)]
    Tube(#[from] TubeNamingError),
    #[error("the handler was asked to give up")]
    Cancelled,
    #[error("the job in hand is not this worker's any more")]
    Lost,
    #[error("{}", chain(.0))]
    Queue(#[from] PutError),
}

impl From<NotPut> for wire::PutError {
    fn from(error: NotPut) -> wire::PutError {
        let failure = match &error {
            NotPut::NotAllowed | NotPut::Limit { .. } => PutFailure::LIMIT,
            NotPut::Queue(PutError::Unknown { .. }) => PutFailure::UNKNOWN,
            _ => PutFailure::REFUSED,
        };
        wire::PutError {
            failure,
            message: error.to_string().into(),
        }
    }
}

/// What of a job is told by itself.
#[derive(Debug, PartialEq, Eq)]
struct Wishes {
    /// `None`: that of the job in hand.
    priority: Option<u32>,
    /// In seconds.
    delay: u32,
    /// In seconds; `None`: that of the job in hand.
    ttr: Option<u32>,
}

impl Wishes {
    fn of(new: &NewJob<'_>) -> Result<Wishes, NotPut> {
        let ttr = match new.ttr_ms {
            TTR_KEEP => None,
            ttr_ms => Some(seconds("time to run", ttr_ms)?),
        };
        Ok(Wishes {
            // PRIORITY_KEEP is none, and whatever else is none reads as that.
            priority: u32::try_from(new.priority).ok(),
            delay: seconds("delay", new.delay_ms)?,
            ttr,
        })
    }
}

fn seconds(what: &'static str, millis: u64) -> Result<u32, NotPut> {
    let seconds = millis.div_ceil(1000);
    u32::try_from(seconds).map_err(|_| NotPut::TooLong { what, seconds })
}

impl Lane {
    /// Puts a job for the handler that runs `job`.
    pub(super) fn put(&self, job: JobId, new: &NewJob<'_>) -> Result<JobId, NotPut> {
        let limit = self.shared.put_limit;
        if limit == 0 {
            return Err(NotPut::NotAllowed);
        }
        let wishes = Wishes::of(new)?;
        let mut guard = self.connection();
        // Whoever settles the job takes the connection after these looks, so nothing is put behind that.
        if self.job() != job || !self.is_claimable() || self.is_unusable() {
            return Err(NotPut::Lost);
        }
        if self.is_cancelled() {
            return Err(NotPut::Cancelled);
        }
        if self.puts().count.load(Ordering::Relaxed) >= limit {
            return Err(NotPut::Limit { limit });
        }
        let mut facts = || self.facts_over(guard.as_mut(), job).ok_or(NotPut::Lost);
        let tube = self.tube_of_put(new.tube.as_str(), &mut facts)?;
        let priority = match wishes.priority {
            Some(priority) => priority,
            None => facts()?.priority,
        };
        let ttr = match wishes.ttr {
            Some(ttr) => ttr,
            None => u32::try_from(facts()?.ttr.as_secs()).unwrap_or(u32::MAX),
        };
        let connection = guard.as_mut().ok_or(NotPut::Lost)?;
        let put = self.put_over(connection, &tube, (priority, wishes.delay, ttr), &new.body);
        if connection.is_broken() {
            self.give_up_connection();
        }
        if matches!(
            put,
            Ok(_) | Err(PutError::Unknown { .. } | PutError::Buried { .. })
        ) {
            self.puts().count.fetch_add(1, Ordering::Relaxed);
        }
        let id = put?;
        // Said once more, as this may be another thread than the job's.
        debug!(
            from = job.0,
            put = id.0,
            on = tube.as_str(),
            "a handler has put a job"
        );
        Ok(id)
    }

    /// The tube of that logical name, or the very one that the job in hand came from.
    fn tube_of_put(
        &self,
        name: &str,
        facts: &mut impl FnMut() -> Result<Facts, NotPut>,
    ) -> Result<TubeName, NotPut> {
        let tubes = &self.shared.tubes;
        if !name.is_empty() {
            return Ok(tubes.to_put(name)?);
        }
        let own = match tubes.only_wire() {
            Some(only) => Some(only),
            None => facts()?.wire.and_then(|index| tubes.wire().nth(index)),
        };
        own.cloned().ok_or(NotPut::Lost)
    }

    /// One write, which chooses the tube first where the connection uses another.
    fn put_over(
        &self,
        connection: &mut Connection,
        tube: &TubeName,
        (priority, delay, ttr): (u32, u32, u32),
        body: &[u8],
    ) -> Result<JobId, PutError> {
        let is_used = self.puts().used().as_ref() == Some(tube);
        let put = match is_used {
            true => connection.put(priority, delay, ttr, body),
            false => connection.use_and_put(tube, priority, delay, ttr, body),
        };
        // What a refusal says of the tube is not asked: the next put chooses it again.
        *self.puts().used() = put.is_ok().then(|| tube.clone());
        match put {
            Err(PutError::JobTooBig { bytes, limit: None }) => Err(PutError::JobTooBig {
                bytes,
                limit: connection.job_limit().ok().flatten(),
            }),
            put => put,
        }
    }
}

#[cfg(test)]
mod tests {
    use asynccall_abi::outcome::PRIORITY_KEEP;
    use asynccall_client::connection::ConnectionError;

    use super::*;

    fn wishes(priority: i64, delay_ms: u64, ttr_ms: u64) -> Result<Wishes, String> {
        let new = NewJob {
            tube: "".into(),
            body: [].as_slice().into(),
            priority,
            delay_ms,
            ttr_ms,
        };
        Wishes::of(&new).map_err(|error| error.to_string())
    }

    #[test]
    fn times_are_rounded_up_to_seconds_and_a_time_to_run_has_one_at_least() {
        let asked = |delay_ms, ttr_ms| wishes(0, delay_ms, ttr_ms).map(|wishes| (wishes.delay, wishes.ttr));
        assert_eq!(asked(0, TTR_KEEP), Ok((0, None)));
        assert_eq!(asked(1, 1), Ok((1, Some(1))));
        assert_eq!(asked(1000, 1001), Ok((1, Some(2))));
        let longest = u64::from(u32::MAX) * 1000;
        assert_eq!(asked(longest, longest), Ok((u32::MAX, Some(u32::MAX))));
        assert_eq!(
            asked(longest + 1, 1).unwrap_err(),
            "found a delay of 4294967296 s, the queue server takes at most 4294967295 s"
        );
        assert!(asked(0, u64::MAX).unwrap_err().contains("a time to run of"));
    }

    #[test]
    fn each_failure_is_told_in_its_own_words_as_one_of_four_kinds() {
        let lost = || std::sync::Arc::new(ConnectionError::Broken);
        let told = |error: NotPut| {
            let error = wire::PutError::from(error);
            (error.failure, error.message.into_string())
        };
        for (error, failure, words) in [
            (NotPut::NotAllowed, PutFailure::LIMIT, "--put-limit"),
            (NotPut::Limit { limit: 3 }, PutFailure::LIMIT, "3 were put"),
            (NotPut::Cancelled, PutFailure::REFUSED, "asked to give up"),
            (NotPut::Lost, PutFailure::REFUSED, "not this worker's"),
            (
                PutError::Buried { id: JobId(9) }.into(),
                PutFailure::REFUSED,
                "buried the new job `9`",
            ),
            (PutError::OutOfMemory.into(), PutFailure::REFUSED, "out of memory"),
            (
                PutError::NotPut { source: lost() }.into(),
                PutFailure::REFUSED,
                "not put: ",
            ),
            (
                PutError::Unknown { source: lost() }.into(),
                PutFailure::UNKNOWN,
                "unknown whether",
            ),
        ] {
            let (kind, text) = told(error);
            assert!(kind == failure && text.contains(words), "{kind:?}: {text}");
        }
    }

    #[test]
    fn a_priority_that_is_none_is_that_of_the_job_in_hand() {
        let asked = |priority| wishes(priority, 0, 0).map(|wishes| wishes.priority);
        assert_eq!(asked(0), Ok(Some(0)));
        assert_eq!(asked(u32::MAX.into()), Ok(Some(u32::MAX)));
        for keep in [PRIORITY_KEEP, i64::MIN, i64::from(u32::MAX) + 1] {
            assert_eq!(asked(keep), Ok(None));
        }
    }
}
