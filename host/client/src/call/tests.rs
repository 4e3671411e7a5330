use jiff::civil;
use jiff::tz::{TimeZone, offset};
use serde_json::json;

use super::*;
use crate::payload::php;

const NOW: i64 = 1_700_000_000;

fn call() -> Call {
    Call::new("Order", "cancel")
}

#[track_caller]
fn refused(call: Call) -> String {
    call.prepare(NOW, Encoding::Json)
        .expect_err("this call breaks a rule")
        .to_string()
}

#[track_caller]
fn delays(call: Call) -> Vec<u32> {
    let prepared = call.prepare(NOW, Encoding::Json);
    prepared.expect("this call is fine").delays().to_vec()
}

/// A key of the message.
#[track_caller]
fn message(call: Call, key: &str) -> serde_json::Value {
    let prepared = call.prepare(NOW, Encoding::Json).expect("this call is fine");
    let object: serde_json::Value = serde_json::from_slice(prepared.body()).expect("JSON");
    object[key].clone()
}

#[test]
fn a_call_with_nothing_set_has_the_php_librarys_defaults() {
    let prepared = call().prepare(NOW, Encoding::Json).unwrap();
    assert_eq!(
        String::from_utf8_lossy(prepared.body()),
        r#"{"model":"Order","method":"cancel","modelParams":"","methodParams":[],"errorRetry":false,"noRetry":false,"priority":1700000000,"retryIntervalTime":0,"retryStopAt":""}"#
    );
    let wanted = Put::new(prepared.body()).priority(1_700_000_000).delay(0).ttr(60);
    assert_eq!(prepared.puts(), [wanted]);
}

#[test]
fn model_params_are_nothing_a_key_or_criteria() {
    for (given, wanted) in [
        (Value::Null, json!("")),
        (Value::from(""), json!("")),
        (Value::from(88), json!(88)),
        (Value::from("6f1c"), json!("6f1c")),
        (Value::Bool(false), json!(false)),
        (Value::Array(Vec::new()), json!([])),
        (
            Value::from(json!({"conditions": "id = :id:", "bind": {"id": 5}})),
            json!({"conditions": "id = :id:", "bind": {"id": 5}}),
        ),
    ] {
        assert_eq!(message(call().model_params(given), "modelParams"), wanted);
    }
}

#[test]
fn method_params_are_a_list_or_a_map_and_what_php_takes_for_false_is_none() {
    for (given, wanted) in [
        (Value::from(["a", "b"]), json!(["a", "b"])),
        (Value::from(json!({"why": "late"})), json!({"why": "late"})),
        (Value::Null, json!([])),
        (Value::Bool(false), json!([])),
        (Value::Int(0), json!([])),
        (Value::from(0.0), json!([])),
        (Value::from(""), json!([])),
        (Value::from("0"), json!([])),
    ] {
        assert_eq!(message(call().method_params(given), "methodParams"), wanted);
    }
    for (given, what) in [
        (Value::from("x"), "a string"),
        (Value::from(7), "a number"),
        (Value::from(0.5), "a number"),
        (Value::Bool(true), "true"),
        (Value::Reference(1), "a reference"),
    ] {
        assert_eq!(
            refused(call().method_params(given)),
            format!("`methodParams` is {what}, wanted a list or a map of arguments")
        );
    }
}

#[test]
fn the_flags_of_the_message_are_booleans() {
    assert_eq!(message(call().error_retry(true), "errorRetry"), json!(true));
    assert_eq!(message(call().no_retry(true), "noRetry"), json!(true));
    assert!(call().force_sync(true).is_forced_sync());
    assert!(!call().force_sync(true).force_sync(false).is_forced_sync());
}

#[test]
fn a_delay_and_a_ttr_are_what_the_server_takes() {
    let most = i64::from(u32::MAX);
    for seconds in [0, 1, most] {
        assert_eq!(delays(call().delay(seconds)), [seconds as u32]);
    }
    for seconds in [-1, most + 1, i64::MIN, i64::MAX] {
        assert_eq!(
            refused(call().delay(seconds)),
            format!("`delay` is {seconds}, wanted 0 to 4294967295 seconds")
        );
    }
    for seconds in [1, 3, most] {
        let prepared = call().ttr(seconds).prepare(NOW, Encoding::Json).unwrap();
        assert_eq!(prepared.puts()[0].ttr, seconds as u32);
    }
    for seconds in [0, -1, most + 1] {
        assert_eq!(
            refused(call().ttr(seconds)),
            format!("`ttr` is {seconds}, wanted 1 to 4294967295 seconds")
        );
    }
}

#[test]
fn a_retry_time_table_gives_one_job_for_each_moment_and_the_delay_comes_on_top() {
    assert_eq!(
        delays(call().retry_time_table([NOW + 10, NOW + 120, NOW])),
        [10, 120, 0]
    );
    assert_eq!(
        delays(call().delay(7).retry_time_table([NOW + 10, NOW - 7])),
        [17, 0]
    );
    let prepared = call()
        .retry_time_table([NOW, NOW])
        .prepare(NOW, Encoding::Php)
        .unwrap();
    let puts = prepared.puts();
    assert!(puts.len() == 2 && puts[0] == puts[1]);
}

#[test]
fn a_retry_time_table_without_a_moment_with_a_past_one_or_a_far_one_is_refused_as_a_whole() {
    insta::assert_snapshot!(
        [
            refused(call().retry_time_table([])),
            refused(call().retry_time_table([NOW + 20, NOW - 1, NOW + 40])),
            refused(call().delay(5).retry_time_table([NOW - 10])),
            refused(call().retry_time_table([i64::MIN])),
            refused(call().retry_time_table([NOW * 1000])),
            refused(call().delay(i64::from(u32::MAX)).retry_time_table([NOW + 1])),
            refused(call().delay(-1).retry_time_table([NOW + 1])),
        ]
        .join("\n"),
        @"
    `retryTimeTable` has no entry, so no job would be put; hint: leave it out to put one
    `retryTimeTable` has the moment 1699999999, which was 1 s ago, `delay` included
    `retryTimeTable` has the moment 1699999990, which was 5 s ago, `delay` included
    `retryTimeTable` has the moment -9223372036854775808, which was 9223372036854775808 s ago, `delay` included
    `retryTimeTable` has the moment 1700000000000, which is more than 4294967295 s ahead; hint: wanted Unix seconds
    `retryTimeTable` has the moment 1700000001, which is more than 4294967295 s ahead; hint: wanted Unix seconds
    `delay` is -1, wanted 0 to 4294967295 seconds
    "
    );
}

#[test]
fn a_retry_time_table_excludes_the_other_ways_to_try_again() {
    let table = || call().retry_time_table([NOW + 10]);
    let end = "2030-01-02 03:04:05";
    for (with, beside) in [
        (table().retry_interval_time(5), "retryIntervalTime"),
        (table().retry_interval_time(0), "retryIntervalTime"),
        (
            table().retry_interval_time(5).retry_stop_at(end),
            "retryIntervalTime",
        ),
        (table().retry_stop_at(end), "retryStopAt"),
        (table().retry_stop_at(""), "retryStopAt"),
    ] {
        assert_eq!(
            refused(with),
            format!("`retryTimeTable` and `{beside}` exclude each other")
        );
    }
}

#[test]
fn a_retry_interval_needs_an_end_unless_it_is_none() {
    let end = "2030-01-02 03:04:05";
    let with_end = call().retry_interval_time(600).retry_stop_at(end);
    assert_eq!(message(with_end.clone(), "retryIntervalTime"), json!(600));
    assert_eq!(message(with_end, "retryStopAt"), json!(end));
    assert_eq!(
        message(call().retry_interval_time(0), "retryIntervalTime"),
        json!(0)
    );
    assert_eq!(message(call().retry_stop_at(end), "retryStopAt"), json!(end));
    assert_eq!(
        refused(call().retry_interval_time(5)),
        "`retryIntervalTime` is set without `retryStopAt`; hint: say when to try no more"
    );
    for seconds in [-1, i64::from(u32::MAX) + 1] {
        assert_eq!(
            refused(call().retry_interval_time(seconds).retry_stop_at(end)),
            format!("`retryIntervalTime` is {seconds}, wanted 0 to 4294967295 seconds")
        );
    }
}

#[test]
fn an_end_of_retries_is_a_date_and_a_time_that_exist() {
    for text in [
        "2030-01-02 03:04:05",
        "2028-02-29 00:00:00",
        "0001-01-01 23:59:59",
    ] {
        assert_eq!(message(call().retry_stop_at(text), "retryStopAt"), json!(text));
    }
    for text in [
        "",
        "2030-01-02",
        "2030-01-02 ",
        "2030-01-02 03:04",
        "2030-01-02 03:04:05\n",
        "2030-01-02T03:04:05",
        "2030-01-02 03:04:05Z",
        "2030-1-2 3:4:5",
        "2030-99-99 99:99:99",
        "2030-02-29 00:00:00",
        "2030-01-02 24:00:00",
        "2030-01-02 03:04:60",
        "２030-01-02 03:04:0",
        "+2 hours",
    ] {
        let error = refused(call().retry_stop_at(text));
        assert!(
            error.starts_with(&format!(
                "`retryStopAt` is `{}`, wanted a date",
                text.escape_debug()
            )),
            "{error}"
        );
    }
}

#[test]
fn a_moment_is_written_as_the_workers_clock_shows_it() {
    let workers = TimeZone::fixed(offset(8));
    let moment = civil::date(2030, 1, 2)
        .at(3, 4, 5, 999_000_000)
        .to_zoned(TimeZone::fixed(offset(-5)))
        .unwrap();
    assert_eq!(StopAt::in_zone(&moment, &workers).as_str(), "2030-01-02 16:04:05");
    assert_eq!(
        StopAt::from(moment.datetime()),
        StopAt::from("2030-01-02 03:04:05")
    );
    let before = civil::date(-5, 1, 1).at(0, 0, 0, 0);
    assert!(refused(call().retry_stop_at(before)).starts_with("`retryStopAt` is"));
}

#[test]
fn a_model_and_a_method_have_a_name() {
    assert_eq!(
        refused(Call::new("", "cancel")),
        "`model` is empty, wanted the name of a model"
    );
    assert_eq!(
        refused(Call::new("Order", "")),
        "`method` is empty, wanted the name of a method"
    );
}

#[test]
fn a_wrong_clock_gives_the_nearest_priority() {
    let priority = |now| call().prepare(now, Encoding::Json).unwrap().puts()[0].priority;
    assert_eq!(priority(-5), 0);
    assert_eq!(priority(i64::from(u32::MAX) + 5), u32::MAX);
}

#[test]
fn what_json_cannot_hold_can_still_be_put_in_phps_format() {
    // Slot 5 is `methodParams` itself.
    let cycle = Value::Array(vec![(php::Key::Int(0), Value::Reference(5))]);
    let call = call().method_params(cycle);
    let error = call.prepare(NOW, Encoding::Json).unwrap_err();
    assert!(matches!(error, InvalidCall::NoJson(_)));
    let prepared = call.prepare(NOW, Encoding::Php).unwrap();
    assert!(prepared.body().windows(5).any(|bytes| bytes == b"{i:0;"));
}

#[test]
fn the_words_of_the_encodings_read_and_print_alike() {
    for encoding in [Encoding::Json, Encoding::Php] {
        assert_eq!(encoding.to_string().parse(), Ok(encoding));
    }
    let text = "PHP".parse::<Encoding>().unwrap_err().to_string();
    assert_eq!(text, "unknown encoding `PHP`, wanted `json` or `php`");
}
