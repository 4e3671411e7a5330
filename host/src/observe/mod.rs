//! What the daemon shows of itself: log lines and the status snapshot.
//!
//! - [`mod@line`]: one event as one line of text or JSON,
//! - [`log`]: which events are kept and where they are written,
//! - [`status`], [`metrics`]: the answer of `status`, made from the master's bookkeeping and from shared memory,
//! - [`mod@exposition`]: the same for Prometheus.

pub mod exposition;
pub mod line;
pub mod log;
pub mod metrics;
pub mod status;
