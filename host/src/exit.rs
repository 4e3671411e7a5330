//! The exit codes of every command: one table, used by `main` and shown in the README.
//!
//! The numbers from 64 on are those of `sysexits.h`, so that a supervisor can tell a configuration that will
//! never work (78) from a start that is worth another try. Which error ends in which code is decided where the
//! error is known; here is only what a code means.

use std::fmt;
use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command did what it was asked to do.
    Ok = 0,
    /// It was understood and tried, and it failed.
    Failed = 1,
    /// No daemon holds the pid file.
    NotRunning = 3,
    /// A handler that was tried wants another try of its job.
    Retry = 10,
    /// A handler that was tried wants its job to be buried.
    Bury = 11,
    /// A handler that was tried panicked or raised an exception.
    Exception = 12,
    /// A plugin that was tried ended its process, or fell silent in it.
    Crashed = 13,
    /// The command line is wrong.
    Usage = 64,
    /// What was given to read is not what it should be.
    BadData = 65,
    /// A named file is missing or cannot be read.
    NoInput = 66,
    /// Something needed from outside does not answer.
    Unavailable = 69,
    /// An error of the daemon itself.
    Internal = 70,
    /// A file or socket cannot be made.
    CannotCreate = 73,
    /// Another daemon holds the pid file.
    AlreadyRunning = 75,
    /// The user may not do this.
    NoPermission = 77,
    /// The configuration is wrong.
    Config = 78,
}

impl Exit {
    /// Every code, in ascending order.
    pub const ALL: [Self; 16] = [
        Self::Ok,
        Self::Failed,
        Self::NotRunning,
        Self::Retry,
        Self::Bury,
        Self::Exception,
        Self::Crashed,
        Self::Usage,
        Self::BadData,
        Self::NoInput,
        Self::Unavailable,
        Self::Internal,
        Self::CannotCreate,
        Self::AlreadyRunning,
        Self::NoPermission,
        Self::Config,
    ];

    /// The process's exit status.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The exit of this code, as another process reports it. A code that is not in the table, from a daemon of
    /// another version, is a plain failure.
    pub fn from_code(code: u8) -> Self {
        Self::ALL
            .into_iter()
            .find(|exit| exit.code() == code)
            .unwrap_or(Self::Failed)
    }

    /// What the code means: the README's table.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::Failed => {
                "tried and failed: a reload was refused, no generation became ready, the daemon did not end in time, a handler that `call --force-sync` or `plugin run` ran failed, a plugin did not pass `plugin check`, `plugin schema` found none, or nobody knows whether `call` put a job"
            }
            Self::NotRunning => "no daemon holds the pid file",
            Self::Retry => "`plugin run`: the handler wants another try of the job",
            Self::Bury => "`plugin run`: the handler wants the job to be buried",
            Self::Exception => "`plugin run`: the handler panicked or raised an exception",
            Self::Crashed => {
                "`plugin check`, `plugin run`: the plugin ended its process, or gave no answer in time"
            }
            Self::Usage => "the command line is wrong",
            Self::BadData => {
                "the input is no job body, or one that the queue server does not take; or the schemas that a plugin gives are none"
            }
            Self::NoInput => "a configuration file, plugin or input file is missing or unusable",
            Self::Unavailable => {
                "the daemon does not answer on its control socket; `call`: the queue server cannot be reached or takes no job now, and nothing was put"
            }
            Self::Internal => "an error of the daemon itself; please report it",
            Self::CannotCreate => {
                "the pid file, the control socket, the log file, the lock file or the directory of a new plugin cannot be made"
            }
            Self::AlreadyRunning => "another daemon holds the pid file",
            Self::NoPermission => {
                "the pid file or its directory belongs to someone else, only root may become `user`, or somebody else could change the lock file that `plugin lock` has written"
            }
            Self::Config => {
                "the configuration is wrong: the file, a variable, or what they mean together, such as two plugins with the same handler"
            }
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.code(), self.meaning())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_codes_are_unique_and_ascending() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
    }

    #[test]
    fn a_code_leads_back_to_its_exit_and_an_unknown_one_is_a_failure() {
        for exit in Exit::ALL {
            assert_eq!(Exit::from_code(exit.code()), exit);
        }
        assert_eq!(Exit::from_code(99), Exit::Failed);
    }

    #[test]
    fn the_readme_shows_every_code_with_its_meaning() {
        let readme = include_str!("../../README.md");
        let table: String = Exit::ALL
            .iter()
            .map(|exit| format!("| {} | {} |\n", exit.code(), exit.meaning()))
            .collect();
        let expected = format!("### Exit codes\n\n| code | meaning |\n|---|---|\n{table}\n");
        assert!(readme.contains(&expected), "it should say:\n{expected}");
    }
}
