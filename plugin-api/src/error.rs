//! Why a job is not done, and what the handler wants to happen to it.

use std::{error::Error as StdError, fmt, time::Duration};

use asynccall_abi::outcome::{DELAY_BY_POLICY, Outcome, PRIORITY_KEEP, Verdict};

use crate::done::Result;

/// Why a job is not done.
///
/// `?` makes one from every std error, from `&str`, `String` and boxed errors (whatever converts into
/// `Box<dyn std::error::Error + Send + Sync>`): the handler *failed*, and the host's retry policy decides.
/// Where the handler knows better, it says so with [`OrRetry`] or with the constructors here.
///
/// Like the catch-all errors of other crates it is no [`std::error::Error`] itself.
#[derive(Clone, Debug)]
#[must_use]
pub struct Error {
    wish: Wish,
    priority: Option<u32>,
    message: String,
}

/// What the handler wants to happen to the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Policy,
    RetryIn(Duration),
    Bury,
    Exception,
}

impl Error {
    /// The handler failed; the host's retry policy decides. The same as `?`, for a text of one's own.
    pub fn failed(message: impl fmt::Display) -> Self {
        Error::new(Wish::Policy, message)
    }

    /// The job shall be tried again after `delay`, whatever the policy says.
    ///
    /// The queue server counts in seconds; the host rounds up.
    pub fn retry_in(delay: Duration, message: impl fmt::Display) -> Self {
        Error::new(Wish::RetryIn(delay), message)
    }

    /// The job must not be tried again before a person has looked at it.
    pub fn bury(message: impl fmt::Display) -> Self {
        Error::new(Wish::Bury, message)
    }

    /// Code that the handler called gave no answer: it crashed, or raised an exception in its own language.
    ///
    /// The policy decides as for a failure, but a message may ask for no retry after exceptions.
    pub fn exception(message: impl fmt::Display) -> Self {
        Error::new(Wish::Exception, message)
    }

    /// Gives the released or buried job another priority, 0 being the most urgent.
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Why, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    fn new(wish: Wish, message: impl fmt::Display) -> Self {
        // The alternate form is how catch-all errors of other crates print their sources too.
        Error {
            wish,
            priority: None,
            message: one_line(format!("{message:#}")),
        }
    }

    /// `wish`, unless the handler has expressed another one before.
    fn or(mut self, wish: Wish) -> Self {
        if self.wish == Wish::Policy {
            self.wish = wish;
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for Error {
    fn from(error: E) -> Self {
        Error {
            wish: Wish::Policy,
            priority: None,
            message: chain(&*error.into()),
        }
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        let (verdict, delay_ms) = match error.wish {
            Wish::Policy => (Verdict::FAILED, DELAY_BY_POLICY),
            Wish::RetryIn(delay) => (Verdict::RETRY, millis(delay)),
            Wish::Bury => (Verdict::BURY, DELAY_BY_POLICY),
            Wish::Exception => (Verdict::EXCEPTION, DELAY_BY_POLICY),
        };
        Outcome {
            delay_ms,
            priority: error.priority.map_or(PRIORITY_KEEP, i64::from),
            ..Outcome::new(verdict, error.message)
        }
    }
}

/// Whole milliseconds, rounded up, and never the value that stands for the policy's delay.
pub(crate) fn millis(delay: Duration) -> u64 {
    let millis = delay.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).map_or(DELAY_BY_POLICY - 1, |millis| millis.min(DELAY_BY_POLICY - 1))
}

/// Says what shall happen to the job where a step fails. For every error that `?` takes.
///
/// An error that carries a wish already ([`Error::retry_in`], [`Error::bury`], [`Error::exception`])
/// keeps it: what was said closest to the cause wins.
///
/// ```
/// use plugin_api::prelude::*;
///
/// fn port(text: &str) -> Result<u16> {
///     let port = text.parse::<u16>().or_bury()?;
///     (port > 1023).then_some(port).ok_or("a privileged port").or_retry_in(Duration::from_secs(5))
/// }
/// assert_eq!(port("80").unwrap_err().message(), "a privileged port");
/// ```
pub trait OrRetry<T> {
    /// Failing that, the job is tried again after `delay`.
    ///
    /// # Errors
    ///
    /// The error, with that wish.
    fn or_retry_in(self, delay: Duration) -> Result<T>;

    /// Failing that, the job is buried.
    ///
    /// # Errors
    ///
    /// The error, with that wish.
    fn or_bury(self) -> Result<T>;
}

impl<T, E: Into<Error>> OrRetry<T> for std::result::Result<T, E> {
    fn or_retry_in(self, delay: Duration) -> Result<T> {
        self.map_err(|error| error.into().or(Wish::RetryIn(delay)))
    }

    fn or_bury(self) -> Result<T> {
        self.map_err(|error| error.into().or(Wish::Bury))
    }
}

/// The error and its sources in one line, outermost first.
///
/// Many errors print their source themselves; such a source is not said twice.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = error.source();
    }
    one_line(text)
}

/// A host writes the text into its log: line breaks would tear it apart.
pub(crate) fn one_line(text: String) -> String {
    if !text.contains(['\n', '\r']) {
        return text;
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::{io, num::ParseIntError};

    use super::*;

    #[derive(Debug)]
    struct Layered(&'static str, Option<Box<Layered>>);

    impl fmt::Display for Layered {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl StdError for Layered {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            self.1.as_deref().map(|source| source as _)
        }
    }

    fn parse(text: &str) -> Result<i32> {
        Ok(text.parse::<i32>()?)
    }

    fn outcome(error: Error) -> Outcome {
        error.into()
    }

    #[test]
    fn a_question_mark_fails_with_the_whole_chain_in_one_line() {
        let inner = Layered("refused\n  by the server", None);
        let middle = Layered("connection lost: refused\n  by the server", Some(Box::new(inner)));
        let outer = Layered("cannot send", Some(Box::new(middle)));
        let outcome = outcome(outer.into());
        assert_eq!(outcome.verdict, Verdict::FAILED);
        assert_eq!(outcome.delay_ms, DELAY_BY_POLICY);
        assert_eq!(
            outcome.message,
            "cannot send: connection lost: refused by the server"
        );
        assert!(parse("x").is_err());
    }

    #[test]
    fn texts_and_boxed_errors_fail_too() {
        let boxed: Box<dyn StdError + Send + Sync> = "boxed".into();
        let texts = [
            Error::from("plain"),
            Error::from(String::from("owned")),
            Error::from(boxed),
        ];
        assert_eq!(texts.map(|error| error.message), ["plain", "owned", "boxed"]);
    }

    #[test]
    fn every_wish_becomes_its_verdict() {
        let delay = Duration::from_millis(1500);
        let table = [
            (Error::failed("a"), Verdict::FAILED, DELAY_BY_POLICY),
            (Error::retry_in(delay, "a"), Verdict::RETRY, 1500),
            (Error::retry_in(Duration::from_micros(1), "a"), Verdict::RETRY, 1),
            (
                Error::retry_in(Duration::MAX, "a"),
                Verdict::RETRY,
                DELAY_BY_POLICY - 1,
            ),
            (Error::bury("a"), Verdict::BURY, DELAY_BY_POLICY),
            (Error::exception("a"), Verdict::EXCEPTION, DELAY_BY_POLICY),
        ];
        for (error, verdict, delay_ms) in table {
            let told = format!("{error:?}");
            let outcome = outcome(error);
            assert_eq!((outcome.verdict, outcome.delay_ms), (verdict, delay_ms), "{told}");
            assert_eq!(outcome.priority, PRIORITY_KEEP);
        }
        assert_eq!(
            outcome(Error::bury("a").priority(u32::MAX)).priority,
            i64::from(u32::MAX)
        );
    }

    #[test]
    fn the_wish_that_was_said_first_wins() {
        let failed: std::result::Result<i32, ParseIntError> = "x".parse();
        let buried = failed.or_bury();
        let still_buried = buried.or_retry_in(Duration::ZERO).expect_err("it is no number");
        assert_eq!(outcome(still_buried).verdict, Verdict::BURY);

        let failed: Result<()> = Err(io::Error::other("down").into());
        let retried = failed.or_retry_in(Duration::ZERO).expect_err("it is down");
        assert_eq!(outcome(retried).verdict, Verdict::RETRY);
    }
}
