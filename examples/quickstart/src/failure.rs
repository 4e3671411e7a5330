//! Why the quickstart ended early.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use asynccall_client::{
    connection::{ConnectionError, PutError},
    tube::TubeNameError,
};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(
        "beanstalkd is not on PATH\n  hint: install it with `apt-get install beanstalkd` (Debian, Ubuntu), \
         `apk add beanstalkd` (Alpine) or `brew install beanstalkd` (macOS)"
    )]
    NotInstalled,
    #[error("ended by signal {signal}")]
    Interrupted { signal: i32 },
    #[error("cannot run `{program}`")]
    Run { program: String, source: io::Error },
    #[error("`{program}` ended with {status}")]
    Ended { program: String, status: ExitStatus },
    #[error("cargo built no `{name}`")]
    NotBuilt { name: &'static str },
    #[error("waited {} s for {what}", limit.as_secs())]
    TooLate { what: &'static str, limit: Duration },
    #[error("cannot use `{}`", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot listen for signals and changes of files")]
    Events(#[source] Box<dyn Error + Send + Sync>),
    #[error("cannot find a free port")]
    Port(#[source] io::Error),
    #[error("cannot name the tube")]
    Tube(#[from] TubeNameError),
    #[error("cannot write the PHP job")]
    Php(#[from] serde_json::Error),
    #[error("cannot speak to beanstalkd")]
    Queue(#[from] ConnectionError),
    #[error("cannot put the job")]
    Put(#[from] PutError),
    #[error("cannot write to standard output")]
    Output(#[from] io::Error),
}

impl Failure {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::File { path, source }
    }

    /// The text with its sources, in one line unless there is a hint.
    pub(crate) fn full(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        text
    }

    /// As `--help` lists them.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotInstalled => 69,
            Self::Interrupted { signal } => u8::try_from(128 + signal).unwrap_or(1),
            _ => 1,
        }
    }
}
