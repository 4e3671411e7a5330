//! Does what a handler should not: prints to the process's own streams and starts programs. For tests.
//!
//! A payload may ask, in this order, for: `out` (printed to standard output), `err` (to standard error), `run` (a shell
//! command, waited for), `abort` (true: the process ends).

use std::process::{self, Command};

use plugin_api::prelude::*;

struct Loud;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wishes {
    out: Option<String>,
    err: Option<String>,
    run: Option<String>,
    abort: bool,
}

impl Handler for Loud {
    type Config = ();
    type Payload = Wishes;
    const DESCRIPTION: &'static str = "Prints to the standard streams";

    fn new((): ()) -> Result<Self> {
        Ok(Loud)
    }

    #[allow(
        clippy::print_stdout,
        clippy::print_stderr,
        reason = "it is what this handler is for"
    )]
    fn execute(&self, _: &Job, wishes: Wishes) -> Result {
        if let Some(text) = wishes.out {
            println!("{text}");
        }
        if let Some(text) = wishes.err {
            eprint!("{text}");
        }
        if let Some(command) = wishes.run {
            Command::new("sh").arg("-c").arg(command).status()?;
        }
        if wishes.abort {
            process::abort();
        }
        Ok(().into())
    }
}

export_plugin!(Loud);
