//! Bodies of the `stats` and `list` commands.
//!
//! The server calls them YAML. They are a line `---` and then either `key: value` or `- item`, one a line,
//! flat, a value at most in double quotes; this module reads just that, and borrows from the body.

use super::error::{Excerpt, StatsError};
use super::line::decimal;
use super::reply::JobId;
use crate::tube::{TubeName, TubeNameError};

/// The longest body of a `stats` command that is read, in bytes; the server's longest is about 1 KiB.
const MAX_STATS_BYTES: usize = 64 * 1024;
/// The longest list of tubes that is read, in bytes: 80,000 tubes with the longest names.
const MAX_LIST_BYTES: usize = 16 * 1024 * 1024;

/// Statistics of the server or of a tube, in the server's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats<'a> {
    entries: Vec<(&'a str, &'a str)>,
}

impl<'a> Stats<'a> {
    /// Reads the body of an `OK` reply to `stats`, `stats-tube` or `stats-job`.
    ///
    /// # Errors
    /// A line without a key and a value, or a body over 64 KiB.
    pub fn parse(body: &'a [u8]) -> Result<Self, StatsError> {
        Ok(Self {
            entries: entries(body)?.collect::<Result<_, _>>()?,
        })
    }

    /// The value of `key`, without quotes.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// The value of `key` where it is a whole number that is not negative.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        decimal(self.get(key)?.as_bytes())
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + '_ {
        self.entries.iter().copied()
    }
}

/// The state of a job (protocol.txt, "Job Lifecycle").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Waits for a worker.
    Ready,
    /// A worker has it.
    Reserved,
    /// Becomes ready later.
    Delayed,
    /// Laid aside until kicked.
    Buried,
}

/// Statistics of a job (protocol.txt, "stats-job"). Times are whole seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStats<'a> {
    /// The job.
    pub id: JobId,
    /// Its tube's name on the wire; always a valid [`TubeName`].
    pub tube: &'a str,
    /// Its state.
    pub state: JobState,
    /// Its priority.
    pub pri: u32,
    /// Since it was put.
    pub age: u64,
    /// The delay it was put or last released with.
    pub delay: u64,
    /// How long a worker may take.
    pub ttr: u64,
    /// Until the server makes it ready; meaningful for reserved and delayed jobs, and 0 for one that is
    /// overdue.
    pub time_left: u64,
    /// The earliest binlog file with this job, 0 without a binlog.
    pub file: u64,
    /// How often it was reserved.
    pub reserves: u64,
    /// How often its TTR ended.
    pub timeouts: u64,
    /// How often it was released.
    pub releases: u64,
    /// How often it was buried; replaying a binlog adds to it.
    pub buries: u64,
    /// How often it was kicked.
    pub kicks: u64,
}

/// The numbers of a stats-job body by their keys, in the order of protocol.txt.
const NUMBERS: [&str; 12] = [
    "id",
    "pri",
    "age",
    "delay",
    "ttr",
    "time-left",
    "file",
    "reserves",
    "timeouts",
    "releases",
    "buries",
    "kicks",
];

impl<'a> JobStats<'a> {
    /// Reads the body of an `OK` reply to `stats-job`, without allocating. Unknown keys are passed over.
    ///
    /// # Errors
    /// A documented key that is missing or whose value does not fit it.
    pub fn parse(body: &'a [u8]) -> Result<Self, StatsError> {
        let mut numbers = [None; NUMBERS.len()];
        let (mut tube, mut state) = (None, None);
        for entry in entries(body)? {
            let (key, value) = entry?;
            match key {
                "tube" => tube = Some(tube_value(value)?),
                "state" => state = Some(state_value(value)?),
                _ => {
                    if let Some(at) = NUMBERS.iter().position(|name| *name == key) {
                        numbers[at] = Some(number_value(NUMBERS[at], value)?);
                    }
                }
            }
        }
        let number = |key: &'static str| {
            let at = NUMBERS.iter().position(|name| *name == key);
            at.and_then(|at| numbers[at]).ok_or(StatsError::Missing { key })
        };
        let pri = number("pri")?;
        Ok(Self {
            id: JobId(number("id")?),
            tube: tube.ok_or(StatsError::Missing { key: "tube" })?,
            state: state.ok_or(StatsError::Missing { key: "state" })?,
            pri: u32::try_from(pri)
                .map_err(|_| value_error("pri", &pri.to_string(), "a number below 2^32"))?,
            age: number("age")?,
            delay: number("delay")?,
            ttr: number("ttr")?,
            time_left: number("time-left")?,
            file: number("file")?,
            reserves: number("reserves")?,
            timeouts: number("timeouts")?,
            releases: number("releases")?,
            buries: number("buries")?,
            kicks: number("kicks")?,
        })
    }
}

/// Reads the body of an `OK` reply to `list-tubes` or `list-tubes-watched`.
///
/// # Errors
/// A line that is no item, an item that is no tube name, or a body over 16 MiB.
pub fn tube_list(body: &[u8]) -> Result<Vec<TubeName>, StatsError> {
    let malformed = |line: &[u8]| StatsError::Line {
        found: Excerpt::new(line),
        wanted: "- <tube>",
    };
    let name = |line: &[u8]| -> Option<TubeName> {
        let item = std::str::from_utf8(line.strip_prefix(b"- ")?).ok()?;
        TubeName::new(unquoted(item)).ok()
    };
    lines(body, MAX_LIST_BYTES)?
        .map(|line| name(line).ok_or_else(|| malformed(line)))
        .collect()
}

type Entry<'a> = Result<(&'a str, &'a str), StatsError>;

fn entries(body: &[u8]) -> Result<impl Iterator<Item = Entry<'_>>, StatsError> {
    Ok(lines(body, MAX_STATS_BYTES)?.map(|line| {
        let text = std::str::from_utf8(line).ok();
        match text.and_then(|text| text.split_once(": ")) {
            Some((key, value)) if !key.is_empty() => Ok((key, unquoted(value))),
            _ => Err(StatsError::Line {
                found: Excerpt::new(line),
                wanted: "<key>: <value>",
            }),
        }
    }))
}

/// The lines after the head.
fn lines(body: &[u8], limit: usize) -> Result<impl Iterator<Item = &[u8]>, StatsError> {
    if body.len() > limit {
        return Err(StatsError::TooLong {
            bytes: body.len(),
            limit,
        });
    }
    let Some(rest) = body.strip_prefix(b"---\n") else {
        return Err(StatsError::NoHead {
            found: Excerpt::new(body),
        });
    };
    Ok(rest.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()))
}

/// `value` without the double quotes that newer servers put around texts.
fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|inner| inner.strip_suffix('"'))
        .unwrap_or(value)
}

fn value_error(key: &'static str, found: &str, wanted: &'static str) -> StatsError {
    StatsError::Value {
        key,
        found: Excerpt::new(found.as_bytes()),
        wanted,
    }
}

/// A counter or a time. The server prints times signed, and one that is overdue for a moment is negative.
fn number_value(key: &'static str, value: &str) -> Result<u64, StatsError> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    match decimal(digits.as_bytes()) {
        Some(number) if digits.len() == value.len() => Ok(number),
        Some(_) if matches!(key, "age" | "time-left") => Ok(0),
        _ => Err(value_error(key, value, "a number")),
    }
}

fn tube_value(value: &str) -> Result<&str, StatsError> {
    let refused = |_: TubeNameError| value_error("tube", value, "a tube name");
    crate::tube::check(value).map(|()| value).map_err(refused)
}

fn state_value(value: &str) -> Result<JobState, StatsError> {
    match value {
        "ready" => Ok(JobState::Ready),
        "reserved" => Ok(JobState::Reserved),
        "delayed" => Ok(JobState::Delayed),
        "buried" => Ok(JobState::Buried),
        _ => Err(value_error(
            "state",
            value,
            "`ready`, `reserved`, `delayed` or `buried`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "---\nid: 2\ntube: default\nstate: reserved\npri: 4294967295\nage: 3\ndelay: 4\nttr: 5\n\
                       time-left: 6\nfile: 7\nreserves: 8\ntimeouts: 9\nreleases: 10\nburies: 11\nkicks: 12\n";

    #[test]
    fn a_stats_job_body_of_the_server_is_read() {
        let stats = JobStats::parse(JOB.as_bytes()).unwrap();
        let wanted = JobStats {
            id: JobId(2),
            tube: "default",
            state: JobState::Reserved,
            pri: u32::MAX,
            age: 3,
            delay: 4,
            ttr: 5,
            time_left: 6,
            file: 7,
            reserves: 8,
            timeouts: 9,
            releases: 10,
            buries: 11,
            kicks: 12,
        };
        assert_eq!(stats, wanted);
    }

    #[test]
    fn a_quoted_tube_an_unknown_key_and_an_overdue_job_are_understood() {
        let body = JOB
            .replace("default", "\"default\"")
            .replace("time-left: 6", "time-left: -1\nnew-in-2: x");
        let stats = JobStats::parse(body.as_bytes()).unwrap();
        assert_eq!((stats.tube, stats.time_left), ("default", 0));
    }

    #[test]
    fn a_missing_or_impossible_value_is_named() {
        let error = |body: String| JobStats::parse(body.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            error(JOB.replace("ttr: 5\n", "")),
            "found no `ttr` in a statistics body"
        );
        assert_eq!(
            error(JOB.replace("pri: 4", "pri: -4")),
            "found `pri: -4294967295` in a statistics body, wanted a number"
        );
        assert_eq!(
            error(JOB.replace("pri: 4294967295", "pri: 4294967296")),
            "found `pri: 4294967296` in a statistics body, wanted a number below 2^32"
        );
        assert!(error(JOB.replace("reserved", "asleep")).contains("wanted `ready`"));
        assert!(error(JOB.replace("default", "-x")).contains("wanted a tube name"));
        assert!(error(JOB.replace("age: 3", "age 3")).contains("`age 3`, wanted `<key>: <value>`"));
        assert!(error(JOB.replace("---\n", "")).contains("wanted `---`"));
    }

    #[test]
    fn server_statistics_give_texts_and_numbers() {
        let stats =
            Stats::parse(b"---\ntotal-jobs: 2\nversion: \"1.12\"\nrusage-utime: 0.5\nos: #1 SMP: x\n")
                .unwrap();
        assert_eq!(stats.number("total-jobs"), Some(2));
        assert_eq!(stats.get("version"), Some("1.12"));
        assert_eq!(stats.number("rusage-utime"), None);
        assert_eq!(stats.get("os"), Some("#1 SMP: x"));
        assert_eq!(stats.get("nothing"), None);
        assert_eq!(stats.iter().count(), 4);
    }

    #[test]
    fn a_list_of_tubes_is_read() {
        let names: Vec<String> = tube_list(b"---\n- default\n- 331058520\n")
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, ["default", "331058520"]);
        assert_eq!(tube_list(b"---\n").unwrap(), []);
        assert!(matches!(
            tube_list(b"---\ndefault\n"),
            Err(StatsError::Line { .. })
        ));
        assert!(matches!(tube_list(b"---\n- -x\n"), Err(StatsError::Line { .. })));
    }

    #[test]
    fn a_body_longer_than_any_servers_is_refused() {
        let body = [b"---\n".to_vec(), b"a: b\n".repeat(20_000)].concat();
        assert_eq!(
            Stats::parse(&body),
            Err(StatsError::TooLong {
                bytes: 100_004,
                limit: 65_536
            })
        );
    }
}
