//! What is started: the program, its arguments and its surroundings.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Command,
};

/// A command that can be started any number of times.
#[derive(Debug)]
pub(crate) struct Launch {
    /// Absolute.
    pub(crate) program: PathBuf,
    /// The program's name as it was written, and its arguments; never empty.
    pub(crate) command: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// The worker's own environment is not passed on.
    pub(crate) clear_environment: bool,
    pub(crate) directory: Option<PathBuf>,
}

impl Launch {
    /// The command, before its standard streams are set.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some((name, arguments)) = self.command.split_first() {
            command.arg0(name).args(arguments);
        }
        if self.clear_environment {
            command.env_clear();
        }
        command.envs(&self.environment);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}

/// The command as it was written, shortened to what a log line has room for.
impl Display for Launch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 120;
        let text = self.command.join(" ");
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "`{}…`", text.get(..end).unwrap_or_default()),
            None => write!(f, "`{text}`"),
        }
    }
}
