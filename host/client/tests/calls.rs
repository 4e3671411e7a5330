//! Calls that were made of the PHP library's client, and what it put for each: made of [`Call`], they give the same
//! jobs to the byte, or are refused for a reason that is listed here.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::path::Path;

use asynccall_client::call::{Call, Encoding, InvalidCall};
use asynccall_client::payload::{Limits, json_view, php};
use asynccall_client::protocol::Command;
use asynccall_client::tube::crc32_name;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

/// What the PHP library put, if only in part, or took for done, and we refuse; the words of our error.
const REFUSED: [(&str, &str); 7] = [
    ("methodParams_string_passthrough", "`methodParams` is a string"),
    ("retryStopAt_date_space", "`retryStopAt` is `2030-01-02 `"),
    (
        "retryStopAt_trailing_newline",
        r"`retryStopAt` is `2030-01-02 03:04:05\n`",
    ),
    (
        "retryStopAt_impossible_date",
        "`retryStopAt` is `2030-99-99 99:99:99`",
    ),
    ("ttr_zero", "`ttr` is 0"),
    ("retryTimeTable_empty", "`retryTimeTable` has no entry"),
    ("retryTimeTable_future_then_past_partial", "which was 1 s ago"),
];
/// What the PHP library refused as well, often only when the server did.
const REFUSED_BY_BOTH: [(&str, &str); 9] = [
    ("delay_negative", "`delay` is -5"),
    ("delay_u32_overflow", "`delay` is 4294967296"),
    ("ttr_negative", "`ttr` is -1"),
    ("retryTimeTable_past", "which was 10 s ago"),
    (
        "retryTimeTable_with_interval",
        "`retryTimeTable` and `retryIntervalTime` exclude each other",
    ),
    (
        "retryTimeTable_with_interval_0",
        "`retryTimeTable` and `retryIntervalTime` exclude each other",
    ),
    (
        "retryInterval_without_stopAt",
        "`retryIntervalTime` is set without `retryStopAt`",
    ),
    ("err_empty_params", "`model` is empty"),
    ("err_method_empty", "`method` is empty"),
];
/// What a [`Call`] cannot say: flags that are no booleans, classes of the producer, and tubes that are none.
const NOT_EXPRESSIBLE: [&str; 5] = [
    "errorRetry_int1_not_cast",
    "noRetry_int1_not_cast",
    "err_model_missing",
    "tube_not_given",
    "tube_assoc_array",
];

/// A job that the PHP library put.
struct Job {
    tube: String,
    pri: u32,
    delay: u32,
    ttr: u32,
    body: Vec<u8>,
}

fn lines(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/php")
        .join(file);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The lines of the calls as text, whose maps keep their order.
fn call_lines() -> Vec<php::Value<'static>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/php/calls.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let read = |line: &str| php::from_json(line.as_bytes()).unwrap().into_owned();
    text.lines().map(read).collect()
}

fn jobs_of(case: &str, golden: &[Value]) -> Vec<Job> {
    let number = |line: &Value, key: &str| u32::try_from(line[key].as_u64().unwrap()).unwrap();
    let of_case = golden.iter().filter(|line| line["case"] == case);
    of_case
        .map(|line| Job {
            tube: line["tube"].as_str().unwrap().to_owned(),
            pri: number(line, "pri"),
            delay: number(line, "delay"),
            ttr: number(line, "ttr"),
            body: BASE64.decode(line["body_base64"].as_str().unwrap()).unwrap(),
        })
        .collect()
}

fn text(value: &php::Value<'_>) -> String {
    match value {
        php::Value::String(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        php::Value::Int(number) => number.to_string(),
        other => panic!("no text: {other:?}"),
    }
}

/// PHP's `intval()`, which the library applies to numbers.
fn number(value: &php::Value<'_>) -> i64 {
    match value {
        php::Value::Int(number) => *number,
        php::Value::Float(float) => float.value() as i64,
        php::Value::String(bytes) => {
            let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
            String::from_utf8(digits.copied().collect())
                .unwrap()
                .parse()
                .unwrap()
        }
        other => panic!("no number: {other:?}"),
    }
}

/// The call of a line; parameters that JSON cannot hold are taken from the `body` that PHP made of them.
fn call_of(line: &php::Value<'_>, body: Option<&[u8]>) -> Call {
    let of_call = line.get("call").unwrap();
    let given = |key| of_call.get(key).filter(|value| **value != php::Value::Null);
    let name = |key| given(key).map(text).unwrap_or_default();
    let flag = |key| given(key) == Some(&php::Value::Bool(true));
    let mut call = Call::new(name("model"), name("method"))
        .error_retry(flag("errorRetry"))
        .no_retry(flag("noRetry"))
        .force_sync(flag("forceSync"));
    if let Some(params) = of_call.get("modelParams") {
        call = call.model_params(params.clone().into_owned());
    }
    if let Some(params) = given("methodParams") {
        call = call.method_params(params.clone().into_owned());
    }
    if line.get("params_of_body") == Some(&php::Value::Bool(true)) {
        let document = php::parse(body.unwrap(), &Limits::default()).unwrap();
        call = call.method_params(document.root().get("methodParams").unwrap().clone().into_owned());
    }
    if let Some(delay) = given("delay") {
        call = call.delay(number(delay));
    }
    if let Some(ttr) = given("ttr") {
        call = call.ttr(number(ttr));
    }
    if let Some(php::Value::Array(entries)) = given("retryTimeTable") {
        call = call.retry_time_table(entries.iter().map(|(_, moment)| number(moment)));
    }
    if let Some(interval) = given("retryIntervalTime") {
        call = call.retry_interval_time(number(interval));
    }
    if let Some(end) = given("retryStopAt") {
        call = call.retry_stop_at(text(end));
    }
    call
}

/// What a client would write for the call, command by command.
fn commands(call: &Call, now: i64, encoding: Encoding) -> Result<Vec<Vec<u8>>, InvalidCall> {
    let prepared = call.prepare(now, encoding)?;
    let wire = |put: &asynccall_client::producer::Put<'_>| {
        let mut wire = Vec::new();
        put.command().unwrap().encode(&mut wire);
        wire
    };
    Ok(prepared.puts().iter().map(wire).collect())
}

fn wanted(job: &Job) -> Vec<u8> {
    let mut wire = Vec::new();
    let body = asynccall_client::protocol::Body::new(&job.body).unwrap();
    let (pri, delay, ttr) = (job.pri, job.delay, job.ttr);
    Command::Put {
        pri,
        delay,
        ttr,
        body,
    }
    .encode(&mut wire);
    wire
}

#[test]
fn every_call_that_can_be_expressed_is_put_as_the_php_library_put_it_byte_for_byte() {
    let golden = lines("golden.jsonl");
    let mut equal = 0;
    for line in call_lines() {
        let case = text(line.get("case").unwrap());
        let is_listed = |list: &[(&str, &str)]| list.iter().any(|(listed, _)| *listed == case);
        if NOT_EXPRESSIBLE.contains(&case.as_str()) || is_listed(&REFUSED) || is_listed(&REFUSED_BY_BOTH) {
            continue;
        }
        let jobs = jobs_of(&case, &golden);
        assert!(!jobs.is_empty(), "{case} put nothing: list it");
        let call = call_of(&line, jobs.first().map(|job| job.body.as_slice()));
        let now = number(line.get("now").unwrap());
        let found = commands(&call, now, Encoding::Php).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(found.len(), jobs.len(), "{case}");
        for (found, job) in found.iter().zip(&jobs) {
            assert!(
                *found == wanted(job),
                "{case}:\n{}\nwanted\n{}",
                found.escape_ascii(),
                wanted(job).escape_ascii()
            );
            let tube = text(line.get("tube").unwrap());
            assert_eq!(crc32_name(&tube).as_str(), job.tube, "{case}");
        }
        equal += 1;
    }
    assert!(equal > 60, "only {equal} cases were compared");
}

#[test]
fn a_json_message_is_the_json_view_of_the_php_message() {
    let golden = lines("golden.jsonl");
    for line in call_lines() {
        let case = text(line.get("case").unwrap());
        let jobs = jobs_of(&case, &golden);
        let Some(first) = jobs.first() else { continue };
        let call = call_of(&line, Some(&first.body));
        let now = number(line.get("now").unwrap());
        let Ok(serialized) = call.prepare(now, Encoding::Php) else {
            continue;
        };
        let mut scratch = Vec::new();
        match json_view(serialized.body(), &Limits::default(), &mut scratch) {
            Ok(view) => {
                let json = call.prepare(now, Encoding::Json).unwrap();
                assert_eq!(
                    String::from_utf8_lossy(json.body()),
                    String::from_utf8_lossy(view.json),
                    "{case}"
                );
            }
            Err(_) => {
                let error = call.prepare(now, Encoding::Json).unwrap_err();
                assert!(matches!(error, InvalidCall::NoJson(_)), "{case}: {error}");
            }
        }
    }
}

#[test]
fn what_is_refused_names_the_parameter_whether_or_not_the_php_library_let_it_through() {
    let golden = lines("golden.jsonl");
    let lines = call_lines();
    for (case, words) in REFUSED.iter().chain(&REFUSED_BY_BOTH) {
        let line = lines
            .iter()
            .find(|line| text(line.get("case").unwrap()) == *case)
            .unwrap();
        let was_refused = line.get("error") != Some(&php::Value::Null);
        let by_both = REFUSED_BY_BOTH.iter().any(|(listed, _)| listed == case);
        assert!(was_refused || !by_both, "{case}");
        let body = jobs_of(case, &golden).into_iter().next().map(|job| job.body);
        let call = call_of(line, body.as_deref());
        let now = number(line.get("now").unwrap());
        let error = call.prepare(now, Encoding::Php).unwrap_err().to_string();
        assert!(error.contains(words), "{case}: {error}");
    }
}
