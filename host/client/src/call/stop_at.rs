//! `retryStopAt`: a local date and time, whose zone the message does not carry.

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::InvalidCall;

/// When a failed job is tried no more.
///
/// The message carries a date and a time and no zone: **it is read in the time zone of the worker** (`TZ` of the daemon), as
/// the PHP library's worker reads it in its own. A producer in another zone that writes its own local time is off by
/// the difference. From a moment in time, [`StopAt::in_zone`] makes the right text.
///
/// ```
/// use asynccall_client::call::StopAt;
/// use jiff::tz::{self, TimeZone};
///
/// let workers = TimeZone::fixed(tz::offset(8));
/// let end = "2030-01-02T03:04:05Z".parse::<jiff::Timestamp>()?;
/// assert_eq!(StopAt::in_zone(end, &workers), StopAt::from("2030-01-02 11:04:05"));
/// # Ok::<(), jiff::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopAt(String);

impl StopAt {
    /// A moment, such as a [`Zoned`] of any zone, as the clock of a worker in the zone `workers` shows it.
    #[must_use]
    pub fn in_zone(moment: impl Into<Timestamp>, workers: &TimeZone) -> StopAt {
        StopAt::from(Zoned::new(moment.into(), workers.clone()).datetime())
    }

    /// The text in the message.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn check(&self) -> Result<(), InvalidCall> {
        match is_date_and_time(self.0.as_bytes()) {
            Some(true) => Ok(()),
            _ => Err(InvalidCall::StopAt {
                found: self.0.clone(),
            }),
        }
    }
}

/// `Y-m-d H:i:s`, checked when the call is prepared.
impl From<&str> for StopAt {
    fn from(text: &str) -> StopAt {
        StopAt(text.to_owned())
    }
}

/// `Y-m-d H:i:s`, checked when the call is prepared.
impl From<String> for StopAt {
    fn from(text: String) -> StopAt {
        StopAt(text)
    }
}

/// A clock time of the worker's zone; fractions of a second are cut off.
impl From<civil::DateTime> for StopAt {
    fn from(time: civil::DateTime) -> StopAt {
        StopAt(time.strftime("%Y-%m-%d %H:%M:%S").to_string())
    }
}

/// Whether a text of the form `Y-m-d H:i:s` names a day and a time that exist; `None` where it has another form.
fn is_date_and_time(text: &[u8]) -> Option<bool> {
    const FORM: &[u8; 19] = b"0000-00-00 00:00:00";
    let fits = |(found, form): (&u8, &u8)| match form {
        b'0' => found.is_ascii_digit(),
        form => found == form,
    };
    if text.len() != FORM.len() || !text.iter().zip(FORM).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = std::str::from_utf8(text.get(from..to)?).ok()?;
        digits.parse::<i16>().ok()
    };
    let small = |from: usize| i8::try_from(number(from, from + 2)?).ok();
    let date = civil::Date::new(number(0, 4)?, small(5)?, small(8)?);
    let time = civil::Time::new(small(11)?, small(14)?, small(17)?, 0);
    Some(date.is_ok() && time.is_ok())
}
