//! A reserved job as it is lent to a handler: the host's side of [`RawJob`].

use asynccall_abi::{
    abi_stable::{
        erased_types::TD_Opaque,
        sabi_types::RRef,
        std_types::{RResult, RSlice, RStr, RString},
    },
    job::{NewJob, PutError, RawJob, RawJob_TO, RawJobRef, UNKNOWN},
};
use asynccall_client::protocol::JobId;

use super::{facts::Facts, lane::Lane, tubes::Tubes};
use crate::{ipc::row::monotonic_ns, observe::log, plugin::view::LazyView};

/// A job in hand.
pub(super) struct LentJob<'a> {
    id: JobId,
    body: &'a [u8],
    lane: &'a Lane,
    tubes: &'a Tubes,
    view: LazyView<'a>,
}

impl<'a> LentJob<'a> {
    /// A job that was just reserved over `lane`.
    pub(super) fn new(id: JobId, body: &'a [u8], lane: &'a Lane, tubes: &'a Tubes) -> Self {
        LentJob {
            id,
            body,
            lane,
            tubes,
            view: LazyView::of(body),
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

    /// What the queue server knows of it; `None` where the job or the connection is lost.
    pub(super) fn facts(&self) -> Option<Facts> {
        let facts = self.lane.facts(self.id);
        if let Some(index) = facts.and_then(|facts| facts.tube) {
            log::set_tube(self.tubes.name(index));
        }
        facts
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
        self.view.json()
    }

    fn tube(&self) -> RStr<'_> {
        let index = self.tubes.only().or_else(|| self.facts()?.tube);
        index.map_or(log::UNKNOWN, |index| self.tubes.name(index)).into()
    }

    fn attempt(&self) -> u32 {
        self.facts().map_or(0, |facts| facts.attempt)
    }

    fn remaining_ms(&self) -> u64 {
        let left = |facts: Facts| facts.deadline_ns.saturating_sub(monotonic_ns()) / 1_000_000;
        self.facts().map_or(UNKNOWN, left)
    }

    fn age_ms(&self) -> u64 {
        self.facts().map_or(UNKNOWN, |facts| facts.age.as_millis() as u64)
    }

    fn priority(&self) -> u64 {
        self.facts().map_or(UNKNOWN, |facts| facts.priority.into())
    }

    fn cancelled(&self) -> bool {
        self.lane.is_cancelled()
    }

    fn touch(&self) -> bool {
        self.lane.touch(self.id)
    }

    fn progress(&self) -> bool {
        // Whoever was asked to give up gets no more time by saying that it gets on.
        let counts = !self.lane.is_cancelled();
        if counts {
            self.lane.row().note_progress();
        }
        counts
    }

    fn put(&self, job: NewJob<'_>) -> RResult<u64, PutError> {
        let put = self.lane.put(self.id, &job);
        put.map(|id| id.0).map_err(PutError::from).into()
    }
}
