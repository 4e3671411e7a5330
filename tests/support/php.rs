//! A producer in PHP.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{Beanstalkd, have};

/// Whether PHP is there; where it is not, the test is skipped, said aloud.
#[track_caller]
pub(crate) fn installed() -> bool {
    have("php", &["--version"], "Debian: apt-get install php-cli")
}

/// Puts a job with `producer.php`, whose message this is, and answers with the job's id.
#[track_caller]
pub(crate) fn put(queue: &Beanstalkd, tube: &str, message: &Value) -> u64 {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/php/producer.php");
    let mut php = Command::new("php")
        .arg(script)
        .args(["127.0.0.1", &queue.port().to_string(), tube])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("php runs");
    let mut stdin = php.stdin.take().expect("its input is ours");
    stdin
        .write_all(message.to_string().as_bytes())
        .expect("it reads its input");
    drop(stdin);
    let output = php.wait_with_output().expect("it ends");
    let id = String::from_utf8_lossy(&output.stdout);
    id.trim().parse().expect("the producer prints the job's id")
}
