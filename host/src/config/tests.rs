//! The configuration as a whole: pure tables over flags, environment and file texts.

mod environment;
mod files;
mod pid_file;
mod precedence;
mod problems;

use super::{Config, Environment, FileText, Resolved, Sources, Texts, resolve};
use crate::cli::{Command, Flags, parse};

/// A configuration in the making: a plugin is named unless the test is about plugins.
struct Given {
    flags: Flags,
    environment: Environment,
    texts: Texts,
}

/// Flags as on a command line, after `--plugin /p/libecho.so`.
fn given(line: &str) -> Given {
    given_alone(&format!("--plugin /p/libecho.so {line}"))
}

/// Flags as on a command line, and nothing else.
#[track_caller]
fn given_alone(line: &str) -> Given {
    let args = std::iter::once("asynccall-host").chain(line.split_whitespace());
    let Ok(Command::Run(flags)) = parse(args) else {
        panic!("`{line}` is no command line of a run")
    };
    Given {
        flags,
        environment: Environment::default(),
        texts: Texts::default(),
    }
}

impl Given {
    fn variables(mut self, variables: &[(&str, &str)]) -> Self {
        self.environment = Environment::new(variables.iter().copied());
        self
    }

    /// The file `/etc/host.toml`.
    fn file(mut self, text: &str) -> Self {
        self.texts.config = Some(FileText {
            path: "/etc/host.toml".into(),
            text: text.to_owned(),
        });
        self
    }

    fn handler(mut self, name: &str, text: &str) -> Self {
        let file = FileText {
            path: format!("/etc/{name}.json").into(),
            text: text.to_owned(),
        };
        self.texts.handlers.insert(name.to_owned(), file);
        self
    }

    fn sources(&self) -> Sources {
        let (flags, environment) = (self.flags.clone(), self.environment.clone());
        Sources {
            flags,
            environment,
            cwd: "/home/me".into(),
            euid: 1000,
        }
    }

    #[track_caller]
    fn resolved(&self) -> Resolved {
        resolve(&self.sources(), &self.texts).unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[track_caller]
    fn config(&self) -> Config {
        self.resolved().config
    }

    /// The warnings, one per line.
    #[track_caller]
    fn warnings(&self) -> String {
        self.resolved()
            .warnings
            .iter()
            .map(|warning| format!("{warning}\n"))
            .collect()
    }

    /// The problems, one per line.
    #[track_caller]
    fn problems(&self) -> String {
        resolve(&self.sources(), &self.texts)
            .expect_err("this configuration is wrong")
            .to_string()
    }
}
