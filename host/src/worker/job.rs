//! A reserved job as it is lent to a handler: the host's side of [`RawJob`].

use std::{
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use asynccall_abi::{
    abi_stable::{
        erased_types::TD_Opaque,
        sabi_types::RRef,
        std_types::{RErr, ROk, RResult, RSlice, RStr, RString},
    },
    job::{RawJob, RawJob_TO, RawJobRef, UNKNOWN},
};
use asynccall_client::{
    payload::{self, Format, Limits},
    protocol::JobId,
};
use tracing::warn;

use super::{slot::Line, tubes::Tubes};
use crate::observe::{line::chain, log};

/// What the queue server said of a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stats {
    /// Index of the logical tube; none where the job came from a tube that this pool does not name.
    pub(super) tube: Option<usize>,
    /// 1 for the first try.
    pub(super) attempt: u32,
    /// The job's priority.
    pub(super) priority: u32,
    age: Duration,
    ttr: Duration,
}

/// A job in hand, and what was learnt of it.
pub(super) struct LentJob<'a> {
    id: JobId,
    body: &'a [u8],
    line: &'a Line,
    tubes: &'a Tubes,
    json: OnceLock<Result<View, String>>,
    stats: OnceLock<Option<Stats>>,
    /// When the server takes the job back; known once `stats` is.
    deadline: Mutex<Option<Instant>>,
}

enum View {
    /// The body is JSON itself.
    Body,
    Transcoded(Vec<u8>),
}

impl<'a> LentJob<'a> {
    /// A job that was just reserved over `line`.
    pub(super) fn new(id: JobId, body: &'a [u8], line: &'a Line, tubes: &'a Tubes) -> Self {
        LentJob {
            id,
            body,
            line,
            tubes,
            json: OnceLock::new(),
            stats: OnceLock::new(),
            deadline: Mutex::new(None),
        }
    }

    /// The form in which it crosses the border.
    pub(super) fn lend(&self) -> RawJobRef<'_> {
        RawJob_TO::from_ptr(RRef::new(self), TD_Opaque)
    }

    /// Its id.
    pub(super) fn id(&self) -> JobId {
        self.id
    }

    /// Asks the queue server, once; `None` where the job or the connection is lost.
    pub(super) fn stats(&self) -> Option<Stats> {
        *self.stats.get_or_init(|| {
            let stats = self.ask()?;
            if let Some(index) = stats.tube {
                self.line.row().learn_tube(index);
                log::set_tube(&self.tubes.name(index));
            }
            Some(stats)
        })
    }

    fn ask(&self) -> Option<Stats> {
        let answer = self.line.ask(|connection| {
            Ok(connection.stats_job(self.id)?.map(|stats| {
                let held = stats.timeouts + stats.releases + stats.kicks + 1;
                let crashes = stats.reserves.saturating_sub(held);
                let attempt = stats.releases + stats.timeouts + crashes + 1;
                let known = Stats {
                    tube: self.tubes.index(stats.tube),
                    attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
                    priority: stats.pri,
                    age: Duration::from_secs(stats.age),
                    ttr: Duration::from_secs(stats.ttr),
                };
                (known, Duration::from_secs(stats.time_left))
            }))
        });
        match answer {
            Ok(Some((stats, left))) => {
                *self.deadline() = Some(Instant::now() + left);
                Some(stats)
            }
            Ok(None) => None,
            Err(error) => {
                warn!(error = %error, "cannot ask the queue server about the job");
                None
            }
        }
    }

    fn deadline(&self) -> MutexGuard<'_, Option<Instant>> {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_view(&self) -> Result<View, String> {
        let mut scratch = Vec::new();
        match payload::json_view(self.body, &Limits::default(), &mut scratch) {
            Ok(view) if view.format == Format::Json => Ok(View::Body),
            Ok(_) => Ok(View::Transcoded(scratch)),
            Err(error) => Err(chain(&error)),
        }
    }
}

impl RawJob for LentJob<'_> {
    fn id(&self) -> u64 {
        self.id.0
    }

    fn body(&self) -> RSlice<'_, u8> {
        self.body.into()
    }

    fn json(&self) -> RResult<RSlice<'_, u8>, RString> {
        match self.json.get_or_init(|| self.make_view()) {
            Ok(View::Body) => ROk(self.body.into()),
            Ok(View::Transcoded(json)) => ROk(json.as_slice().into()),
            Err(error) => RErr(error.as_str().into()),
        }
    }

    fn tube(&self) -> RStr<'_> {
        let index = self.tubes.only().or_else(|| self.stats()?.tube);
        index.map_or("-", |index| self.tubes.name_str(index)).into()
    }

    fn attempt(&self) -> u32 {
        self.stats().map_or(0, |stats| stats.attempt)
    }

    fn remaining_ms(&self) -> u64 {
        let deadline = self.stats().and_then(|_| *self.deadline());
        deadline.map_or(UNKNOWN, |deadline| {
            deadline.saturating_duration_since(Instant::now()).as_millis() as u64
        })
    }

    fn age_ms(&self) -> u64 {
        self.stats().map_or(UNKNOWN, |stats| stats.age.as_millis() as u64)
    }

    fn priority(&self) -> u64 {
        self.stats().map_or(UNKNOWN, |stats| stats.priority.into())
    }

    fn cancelled(&self) -> bool {
        self.line.is_cancelled()
    }

    fn touch(&self) -> bool {
        let touched = self
            .line
            .ask(|connection| connection.touch(self.id))
            .unwrap_or(false);
        if let Some(stats) = self.stats.get().copied().flatten().filter(|_| touched) {
            *self.deadline() = Some(Instant::now() + stats.ttr);
        }
        touched
    }
}
