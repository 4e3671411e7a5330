//! What becomes of a job whose handler did not finish it.
//!
//! Pure: the answer, the job's facts, the wishes of its message and the time
//! go in, a [`Disposition`] comes out. Three voices are heard, in this order:
//!
//! 1. the handler's own wish (retry after a delay, bury),
//! 2. the message's retry fields, as the PHP library defines them, where
//!    [`Settings::source`] lets them speak and the message carries them,
//! 3. the pool's back-off: release with a growing delay, bury after
//!    [`Settings::max_attempts`].
//!
//! A handler that asks for another try is never cut off by the attempts, and
//! neither is a message that names its own end.

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use asynccall_client::payload::{Flag, RetryFields};
use jiff::{Timestamp, Zoned, civil};

use crate::config::{Backoff, Expired, Pool, RetrySource};

/// How the handler answered, if not with success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It asked for another try, after this delay or one of the host's choice.
    Retry(Option<Duration>),
    /// It asked for a person to look at the job.
    Bury,
    /// It failed.
    Failed,
    /// It panicked or raised an exception.
    Exception,
    /// It ran too long and was given up on.
    TimedOut,
}

/// What the queue server knows of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The job's id.
    pub id: u64,
    /// 1 for the first try.
    pub attempt: u32,
    /// The job's priority.
    pub priority: u32,
}

/// The part of a pool's settings that the policy reads.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether the message's retry fields count.
    pub source: RetrySource,
    /// What becomes of a failed job whose message says that the time for retries is over.
    pub expired: Expired,
    /// Delays where nobody asked for one.
    pub backoff: Backoff,
    /// How many tries there are where nobody said when to end.
    pub max_attempts: u32,
}

impl Settings {
    /// The settings of a pool.
    pub fn of(pool: &Pool) -> Settings {
        Settings {
            source: pool.retry,
            expired: pool.retry_expired,
            backoff: pool.backoff,
            max_attempts: pool.max_attempts,
        }
    }
}

/// What to do with the job, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disposition {
    /// What the queue server is told.
    pub action: Action,
    /// Whose wish it was, for the log.
    pub reason: Cow<'static, str>,
    /// The end that the message named for its retries, where that is over.
    pub stop_at: Option<String>,
}

/// What the queue server is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Forget the job.
    Delete,
    /// Hand it out again after that many seconds.
    Release {
        /// Seconds.
        delay: u32,
    },
    /// Set it aside.
    Bury,
}

impl Disposition {
    pub(crate) fn new(action: Action, reason: impl Into<Cow<'static, str>>) -> Self {
        Disposition {
            action,
            reason: reason.into(),
            stop_at: None,
        }
    }
}

/// The delay of the PHP library after an exception of a message with `errorRetry`, in seconds.
const ERROR_RETRY_DELAY: u32 = 10;

/// Whether [`decide`] reads the attempt.
pub fn needs_attempt(failure: Failure) -> bool {
    !matches!(failure, Failure::Bury | Failure::Retry(Some(_)))
}

/// Whether the message's fields are to be read before [`decide`].
pub fn needs_message(failure: Failure, settings: &Settings) -> bool {
    settings.source == RetrySource::Message && matches!(failure, Failure::Failed | Failure::Exception)
}

/// Decides. `message` is empty where it was not to be read.
pub fn decide(
    failure: Failure,
    facts: Facts,
    message: &RetryFields<'_>,
    settings: &Settings,
    now: &Zoned,
) -> Disposition {
    match failure {
        Failure::Bury => Disposition::new(Action::Bury, "the handler asked for it"),
        Failure::Retry(Some(delay)) => Disposition::new(
            Action::Release {
                delay: whole_seconds(delay),
            },
            "the handler asked for it",
        ),
        Failure::Retry(None) => {
            let delay = backoff_delay(facts, &settings.backoff);
            Disposition::new(Action::Release { delay }, "the handler asked for it")
        }
        Failure::TimedOut => of_pool(facts, settings),
        Failure::Failed | Failure::Exception => {
            of_message(failure, message, settings.expired, now).unwrap_or_else(|| of_pool(facts, settings))
        }
    }
}

/// What becomes of a job that took `deaths` workers down; `condemned`: as many as it may.
pub fn after_deaths(deaths: u32, condemned: bool, facts: Facts, settings: &Settings) -> Disposition {
    if condemned {
        let workers = if deaths == 1 { "worker" } else { "workers" };
        return Disposition::new(Action::Bury, format!("it took down {deaths} {workers}"));
    }
    let delay = backoff_delay(
        Facts {
            attempt: deaths,
            ..facts
        },
        &settings.backoff,
    );
    Disposition::new(
        Action::Release { delay },
        "its last worker died, overran or lost its connection",
    )
}

/// What becomes of a job that was ended although another one may have been at fault: the pool's delay, and never a burial.
pub fn without_proof(facts: Facts, settings: &Settings) -> Disposition {
    let delay = backoff_delay(facts, &settings.backoff);
    Disposition::new(Action::Release { delay }, "no attempt is counted")
}

/// The wish of the message, where it carries the field that this failure asks for.
fn of_message(
    failure: Failure,
    message: &RetryFields<'_>,
    expired: Expired,
    now: &Zoned,
) -> Option<Disposition> {
    if failure == Failure::Exception {
        return Some(match message.error_retry.as_ref()? {
            Flag::False => Disposition::new(Action::Bury, "errorRetry is false"),
            _ => Disposition::new(
                Action::Release {
                    delay: ERROR_RETRY_DELAY,
                },
                "errorRetry is set",
            ),
        });
    }
    let interval = message.retry_interval?;
    if interval <= 0 {
        return Some(Disposition::new(Action::Bury, "retryIntervalTime is not set"));
    }
    let release = Action::Release {
        delay: u32::try_from(interval).unwrap_or(u32::MAX),
    };
    let Some(text) = &message.retry_stop_at else {
        return Some(Disposition::new(release, "retryIntervalTime"));
    };
    let end = match expired {
        Expired::Delete => Action::Delete,
        Expired::Bury => Action::Bury,
    };
    let over = |how| Disposition {
        stop_at: Some(text.trim().to_owned()),
        ..Disposition::new(end, format!("retryStopAt `{}` {how}", text.trim()))
    };
    Some(match stop_at(text, now) {
        StopAt::Time(time) if now.timestamp() <= time => Disposition::new(release, "retryIntervalTime"),
        StopAt::Time(_) => over("is over"),
        StopAt::Never => over("is no date"),
        StopAt::Unreadable => Disposition::new(
            Action::Bury,
            format!(
                "retryStopAt `{}` cannot be read, wanted `Y-m-d H:i:s`",
                text.trim()
            ),
        ),
    })
}

fn of_pool(facts: Facts, settings: &Settings) -> Disposition {
    if facts.attempt >= settings.max_attempts {
        return Disposition::new(
            Action::Bury,
            format!("max_attempts ({}) is reached", settings.max_attempts),
        );
    }
    let delay = backoff_delay(facts, &settings.backoff);
    Disposition::new(
        Action::Release { delay },
        format!("attempt {} failed", facts.attempt),
    )
}

/// First, first × factor, first × factor² …, moved by up to `jitter` of itself, at most `max`.
///
/// The movement depends on the job and the attempt alone, so that jobs which failed together come back apart.
fn backoff_delay(facts: Facts, backoff: &Backoff) -> u32 {
    if backoff.first.is_zero() {
        return 0;
    }
    let exponent = facts.attempt.saturating_sub(1).min(1000) as i32;
    let longest = backoff.max.as_secs_f64();
    let grown = (backoff.first.as_secs_f64() * backoff.factor.powi(exponent)).min(longest);
    let mut hasher = DefaultHasher::new();
    (facts.id, facts.attempt).hash(&mut hasher);
    let unit = hasher.finish() as f64 / u64::MAX as f64;
    let moved = grown * (1.0 + backoff.jitter * (2.0 * unit - 1.0));
    // A float to integer cast saturates; the delay is far below the limit anyway.
    moved.min(longest).round() as u32
}

/// Seconds, rounded up: never earlier than asked for.
fn whole_seconds(delay: Duration) -> u32 {
    let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

enum StopAt {
    Time(Timestamp),
    /// Empty, or a date that does not exist: PHP's `strtotime` answers false, and the PHP library takes that as over.
    Never,
    /// A text that `strtotime` may understand and this host does not.
    Unreadable,
}

/// Reads `Y-m-d H:i:s` in the time zone of `now`; seconds or the whole time may be missing.
///
/// Days beyond a month's end run over into the next month, as in PHP.
fn stop_at(text: &str, now: &Zoned) -> StopAt {
    let text = text.trim();
    if text.is_empty() {
        return StopAt::Never;
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return StopAt::Time(timestamp);
    }
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let (Some(date), Some(time)) = (numbers(date, '-'), numbers(time.trim(), ':')) else {
        return StopAt::Unreadable;
    };
    let ([year, month, day], [hour, minute, rest @ ..]) = (date.as_slice(), time.as_slice()) else {
        return StopAt::Unreadable;
    };
    let second = rest.first().copied().unwrap_or(0);
    civil_time([*year, *month, *day], [*hour, *minute, second])
        .and_then(|civil| civil.to_zoned(now.time_zone().clone()).ok())
        .map_or(StopAt::Never, |zoned| StopAt::Time(zoned.timestamp()))
}

fn numbers(text: &str, separator: char) -> Option<Vec<i16>> {
    text.split(separator)
        .map(|number| number.parse().ok().filter(|number| *number >= 0))
        .collect()
}

fn civil_time([year, month, day]: [i16; 3], [hour, minute, second]: [i16; 3]) -> Option<civil::DateTime> {
    if !(0..=31).contains(&day) || hour > 24 || minute > 59 || second > 59 {
        return None;
    }
    let first = civil::Date::new(year, month.try_into().ok()?, 1).ok()?;
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    let since_first = jiff::SignedDuration::from_secs((i64::from(day) - 1) * 86_400 + seconds);
    first.at(0, 0, 0, 0).checked_add(since_first).ok()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
