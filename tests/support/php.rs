//! A producer in PHP, and PHP as a reader of bodies.

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

/// What PHP itself reads out of a serialized body, as its `json_encode` shows it.
#[track_caller]
pub(crate) fn unserialized(body: &[u8]) -> Value {
    const SCRIPT: &str = "echo json_encode(unserialize(stream_get_contents(STDIN)), JSON_THROW_ON_ERROR);";
    let mut php = Command::new("php")
        .args(["-n", "-r", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("php runs");
    let mut stdin = php.stdin.take().expect("its input is ours");
    stdin.write_all(body).expect("it reads its input");
    drop(stdin);
    let output = php.wait_with_output().expect("it ends");
    serde_json::from_slice(&output.stdout).expect("PHP has read the body")
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
