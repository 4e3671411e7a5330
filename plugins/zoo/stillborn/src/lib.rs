//! Fails while its handler is made, in the way that its configuration names. For tests.

use std::{process, thread};

use plugin_api::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    how: How,
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
    const DESCRIPTION: &'static str = "Is never made";

    #[allow(clippy::print_stderr, reason = "an abort's last words are what is tested")]
    fn new(config: Config) -> Result<Self> {
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
