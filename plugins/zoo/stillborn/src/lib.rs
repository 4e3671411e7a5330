//! Fails while its handler is made, in the way that its configuration names. For tests.
//!
//! With `when`, a path, it does so only while there is something at that path.

use std::{path::PathBuf, process, thread};

use plugin_api::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    how: How,
    when: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    Refuse,
    Panic,
    Abort,
    Exit,
    Hang,
}

struct Stillborn;

impl Handler for Stillborn {
    type Config = Config;
    type Payload = ();
    const DESCRIPTION: &'static str = "Is not made";

    #[allow(clippy::print_stderr, reason = "an abort's last words are what is tested")]
    fn new(config: Config) -> Result<Self> {
        if config.when.is_some_and(|path| !path.exists()) {
            return Ok(Stillborn);
        }
        match config.how {
            How::Refuse => Err("there is no database".into()),
            How::Panic => panic!("the constructor gave up"),
            How::Abort => {
                eprintln!("last words before the abort");
                process::abort()
            }
            How::Exit => process::exit(0),
            How::Hang => loop {
                thread::park();
            },
        }
    }

    fn execute(&self, _: &Job, (): ()) -> Result {
        Ok(().into())
    }
}

export_plugin!(Stillborn);
