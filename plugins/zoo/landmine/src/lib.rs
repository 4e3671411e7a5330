//! Ends its process with SIGSEGV where it is told to. For tests.
//!
//! With the environment variable `LANDMINE`, while the library is loaded, before anything in it was called; else at what
//! its configuration names.
#![allow(
    unsafe_code,
    reason = "a constructor of a library and a write to where nothing is are what is tested"
)]

use std::{env, ptr};

use plugin_api::prelude::*;

#[used]
// SAFETY: the section holds addresses of functions that the dynamic linker calls, as this one is.
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

extern "C" fn constructor() {
    if env::var_os("LANDMINE").is_some() {
        step_on_it();
    }
}

fn step_on_it() {
    // SAFETY: there is none. Nothing is ever mapped there (mmap_min_addr), so the process ends here.
    unsafe { ptr::without_provenance_mut::<u8>(1).write_volatile(1) };
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    at: Option<At>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum At {
    New,
    SelfCheck,
    Job,
    Drop,
}

struct Landmine(Config);

impl Landmine {
    fn pass(&self, at: At) {
        if self.0.at == Some(at) {
            step_on_it();
        }
    }
}

impl Handler for Landmine {
    type Config = Config;
    type Payload = ();
    const DESCRIPTION: &'static str = "Lies in wait";

    fn new(config: Config) -> Result<Self> {
        let landmine = Landmine(config);
        landmine.pass(At::New);
        Ok(landmine)
    }

    fn self_check(&self) -> Result<()> {
        self.pass(At::SelfCheck);
        Ok(())
    }

    fn execute(&self, _: &Job, (): ()) -> Result {
        self.pass(At::Job);
        Ok(().into())
    }
}

impl Drop for Landmine {
    fn drop(&mut self) {
        self.pass(At::Drop);
    }
}

export_plugin!(Landmine);
