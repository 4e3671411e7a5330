//! One job to be put.

use std::borrow::Cow;

use crate::protocol::{Body, BodyTooLong, Command};

/// The priority of a job that names none, as in most clients of beanstalkd. Smaller is more urgent.
///
/// A [`Call`](crate::Call) has the time as its priority, which is far less urgent.
pub const DEFAULT_PRIORITY: u32 = 1024;

/// A job with a body of any kind.
///
/// ```
/// use asynccall_client::producer::Put;
///
/// let job = Put::new(br#"{"to":"ann@example.org"}"#).delay(30).ttr(120);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put<'a> {
    pub(crate) body: Cow<'a, [u8]>,
    pub(crate) priority: u32,
    pub(crate) delay: u32,
    pub(crate) ttr: u32,
}

impl<'a> Put<'a> {
    /// A job that is ready at once, with [`DEFAULT_PRIORITY`] and [`DEFAULT_TTR`](crate::call::DEFAULT_TTR).
    #[must_use]
    pub fn new<B: AsRef<[u8]> + ?Sized>(body: &'a B) -> Put<'a> {
        Put {
            body: Cow::Borrowed(body.as_ref()),
            priority: DEFAULT_PRIORITY,
            delay: 0,
            ttr: crate::call::DEFAULT_TTR,
        }
    }

    /// The same job, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Put<'static> {
        Put {
            body: Cow::Owned(self.body.into_owned()),
            ..self
        }
    }

    /// What a client sends for it.
    ///
    /// # Errors
    /// A body that no beanstalkd takes.
    pub fn command(&self) -> Result<Command<'_>, BodyTooLong> {
        Ok(Command::Put {
            pri: self.priority,
            delay: self.delay,
            ttr: self.ttr,
            body: Body::new(&self.body)?,
        })
    }

    /// Its priority, 0 being the most urgent.
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Put<'a> {
        self.priority = priority;
        self
    }

    /// Seconds until it is ready.
    #[must_use]
    pub fn delay(mut self, seconds: u32) -> Put<'a> {
        self.delay = seconds;
        self
    }

    /// Seconds that a worker has; the server makes 0 a 1.
    #[must_use]
    pub fn ttr(mut self, seconds: u32) -> Put<'a> {
        self.ttr = seconds;
        self
    }
}
