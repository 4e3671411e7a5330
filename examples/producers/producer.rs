//! Puts one mail as a JSON job on a beanstalkd, for the handler `mailer`.
//!
//! ```console
//! $ cargo run -p asynccall-client --example producer -- HOST:PORT TUBE
//! ```
//!
//! Prints the job's id. Exit code 1: not put, and why. 64: wrong command line.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that answers on its terminal"
)]

use std::{env, error::Error, process::ExitCode};

use asynccall_client::{Client, producer::Put, protocol::JobId, tube::TubeName};
use serde_json::json;

/// How long a worker has for the job, in seconds.
const TTR: u32 = 60;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, tube] = arguments.as_slice() else {
        eprintln!("usage: producer HOST:PORT TUBE");
        return ExitCode::from(64);
    };
    match put(address, tube) {
        Ok(id) => {
            println!("{id}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn put(address: &str, tube: &str) -> Result<JobId, Box<dyn Error>> {
    let mail = json!({
        "to": "ann@example.org",
        "subject": "Hello from Rust",
        "text": "This was put by producer.rs.",
    });
    let mut client = Client::new(address.parse()?, TubeName::new(tube)?);
    Ok(client.put(&Put::new(&mail.to_string()).ttr(TTR))?)
}

/// An error and its sources, in one line.
fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
