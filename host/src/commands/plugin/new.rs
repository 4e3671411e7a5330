//! `plugin new`: a crate to begin with, and what to do with it next.

use std::path::Path;

use crate::{
    cli::New,
    exit::Exit,
    master::Failure,
    scaffold::{self, Kind, dependency::Dependency, name::Name, placement::place},
};

/// `plugin new`: what was written, and the commands from there to a job that is done. What stands two columns in is a
/// command, to be run as it is.
pub(super) fn new(typed: New) -> Result<String, Failure> {
    let name = Name::parse(&typed.name).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let dependency = match typed.path {
        Some(path) => {
            Dependency::local(&path).map_err(|error| Failure::new(Exit::NoInput, error.to_string()))?
        }
        None => Dependency::Registry,
    };
    let kind = if typed.asynchronous {
        Kind::Async
    } else {
        Kind::Blocking
    };
    let files = scaffold::files(&name, kind, &dependency);
    place(Path::new(""), name.of_package(), &files)
        .map_err(|error| Failure::new(Exit::CannotCreate, error.to_string()))?;
    Ok(next(&name))
}

fn next(name: &Name) -> String {
    let (package, handler) = (name.of_package(), name.of_handler());
    format!(
        "wrote `{package}`: its handler `{handler}` in src/lib.rs appends the text of each job to a file

test it, build it, and run it on a job that no queue server has:

  cd {package}
  cargo test
  cargo build
  asynccall-host plugin run target/debug/lib{handler}.so --body job.json -c asynccall-host.toml

with a beanstalkd on its usual port, run it:

  asynccall-host -c asynccall-host.toml

and in another terminal, in the same directory, give it a job, see what it did, and end the daemon:

  asynccall-host call -c asynccall-host.toml --body job.json
  cat target/texts.txt
  asynccall-host stop -c asynccall-host.toml

README.md goes on from there"
    )
}
