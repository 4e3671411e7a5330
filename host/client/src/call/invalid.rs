//! Why a call is refused before anything is sent. The parameters are named as in the PHP library.

use thiserror::Error;

use crate::payload::PayloadError;

/// What is wrong with a call. Nothing was sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InvalidCall {
    /// The model has no name.
    #[error("`model` is empty, wanted the name of a model")]
    NoModel,
    /// The method has no name.
    #[error("`method` is empty, wanted the name of a method")]
    NoMethod,
    /// The arguments are neither a list nor a map.
    #[error("`methodParams` is {found}, wanted a list or a map of arguments")]
    MethodParams {
        /// What they are, such as `a string`.
        found: &'static str,
    },
    /// The delay is no delay that the server takes.
    #[error("`delay` is {found}, wanted 0 to {} seconds", u32::MAX)]
    Delay {
        /// The seconds.
        found: i64,
    },
    /// The time to run is none that the server takes.
    #[error("`ttr` is {found}, wanted 1 to {} seconds", u32::MAX)]
    Ttr {
        /// The seconds.
        found: i64,
    },
    /// The table is there and has no entry.
    #[error("`retryTimeTable` has no entry, so no job would be put; hint: leave it out to put one")]
    EmptyTable,
    /// A moment of the table is over, the delay included.
    #[error("`retryTimeTable` has the moment {entry}, which was {ago} s ago, `delay` included")]
    PastEntry {
        /// In Unix seconds.
        entry: i64,
        /// How long ago, in seconds.
        ago: u64,
    },
    /// A moment of the table is further ahead than a delay can be.
    #[error(
        "`retryTimeTable` has the moment {entry}, which is more than {} s ahead; hint: wanted Unix seconds",
        u32::MAX
    )]
    FarEntry {
        /// In Unix seconds.
        entry: i64,
    },
    /// The table excludes the other two ways to try again.
    #[error("`retryTimeTable` and `{beside}` exclude each other")]
    TableBeside {
        /// `retryIntervalTime` or `retryStopAt`.
        beside: &'static str,
    },
    /// The interval is no delay that the server takes.
    #[error("`retryIntervalTime` is {found}, wanted 0 to {} seconds", u32::MAX)]
    Interval {
        /// The seconds.
        found: i64,
    },
    /// An interval without an end would try for ever.
    #[error("`retryIntervalTime` is set without `retryStopAt`; hint: say when to try no more")]
    IntervalWithoutEnd,
    /// The end of the retries is no date and time that exists.
    #[error("`retryStopAt` is `{}`, wanted a date and time that exist, as `Y-m-d H:i:s`, such as `2030-01-02 03:04:05`", .found.escape_debug())]
    StopAt {
        /// The text.
        found: String,
    },
    /// The parameters hold what JSON cannot say, or nest too deep.
    #[error(
        "the message cannot be written as JSON; hint: `modelParams` and `methodParams` have to be plain data"
    )]
    NoJson(#[source] PayloadError),
}
