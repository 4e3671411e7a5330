//! Each kind of value: what it takes, and what it says about the rest.

use std::path::Path;

use serde_json::{Value, json};

use super::{from_texts, judge};
use crate::config::settings::{Kind, SETTINGS, Unit};

const SECONDS: Kind = Kind::Duration {
    unit: Unit::Seconds,
    min: 1,
    max: 300,
};
const MILLISECONDS: Kind = Kind::Duration {
    unit: Unit::Milliseconds,
    min: 1,
    max: 5000,
};
const INTEGER: Kind = Kind::Integer { min: 1, max: 9 };
const NUMBER: Kind = Kind::Number { min: 0.0, max: 1.0 };
const WORD: Kind = Kind::OneOf(&["both", "plain"]);

#[track_caller]
fn taken(kind: Kind, value: Value) -> Value {
    judge(kind, &value, Path::new("/base")).unwrap_or_else(|fault| panic!("{value}: {fault}"))
}

#[track_caller]
fn refused(kind: Kind, value: Value) -> String {
    match judge(kind, &value, Path::new("/base")) {
        Ok(taken) => panic!("{value} was taken as {taken}"),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn what_is_right_comes_in_the_form_of_its_field() {
    let table = [
        (INTEGER, json!(9), json!(9)),
        (SECONDS, json!(2), json!({"secs": 2, "nanos": 0})),
        (
            MILLISECONDS,
            json!(1200),
            json!({"secs": 1, "nanos": 200_000_000}),
        ),
        (NUMBER, json!(0.5), json!(0.5)),
        (NUMBER, json!(1), json!(1.0)),
        (Kind::Switch, json!(true), json!(true)),
        (WORD, json!("plain"), json!("plain")),
        (Kind::Name, json!("mail-2_x"), json!("mail-2_x")),
        (Kind::Host, json!("127.0.0.1"), json!("127.0.0.1")),
        (Kind::Host, json!("beanstalkd2"), json!("beanstalkd2")),
        (Kind::Host, json!("::1"), json!("::1")),
        (Kind::Host, json!("[::1]"), json!("::1")),
        (Kind::Host, json!("fe80::1%eth0"), json!("fe80::1%eth0")),
        (Kind::Host, json!("unix:/run/b.sock"), json!("unix:/run/b.sock")),
        (Kind::Host, json!("unix:b.sock"), json!("unix:/base/b.sock")),
        (
            Kind::LogFilter,
            json!("info, mailer=debug,a::b=OFF"),
            json!("info, mailer=debug,a::b=OFF"),
        ),
        (Kind::Path, json!("./a/./b"), json!("/base/a/b")),
        (Kind::Path, json!("../a"), json!("/base/../a")),
        (Kind::Path, json!("/a//b/"), json!("/a/b")),
        (Kind::PidFile, json!("a.pid"), json!("/base/a.pid")),
        (Kind::PathList, json!("a"), json!(["/base/a"])),
        (Kind::PathList, json!([]), json!([])),
        (
            Kind::PluginList,
            json!("./libecho.so"),
            json!([{"path": "/base/libecho.so"}]),
        ),
        (
            Kind::PluginList,
            json!(["libecho.so", "echo"]),
            json!([{"path": "/base/libecho.so"}, {"name": "echo"}]),
        ),
        (Kind::TubeList, json!("订单 1"), json!(["订单 1"])),
        (Kind::TubeList, json!(["a", "b", "a"]), json!(["a", "b"])),
        (
            Kind::HandlerFiles,
            json!(["m=a=b.json"]),
            json!([{"name": "m", "path": "/base/a=b.json"}]),
        ),
    ];
    for (kind, given, expected) in table {
        assert_eq!(taken(kind, given.clone()), expected, "{kind:?} {given}");
    }
}

#[test]
fn what_is_wrong_is_shown_with_what_was_wanted() {
    let table = [
        (INTEGER, json!(0)),
        (INTEGER, json!(-1)),
        (INTEGER, json!(2.0)),
        (INTEGER, json!("2")),
        (INTEGER, json!("two")),
        (INTEGER, json!([1, 2])),
        (INTEGER, json!({"a": 1})),
        (
            Kind::Integer {
                min: 0,
                max: u64::MAX,
            },
            json!(-1),
        ),
        (SECONDS, json!("2s")),
        (MILLISECONDS, json!(0.2)),
        (NUMBER, json!(1.5)),
        (Kind::Switch, json!("true")),
        (Kind::Switch, json!(1)),
        (WORD, json!("Plain")),
        (WORD, json!("none")),
        (Kind::Text, json!("")),
        (Kind::Name, json!("Mail")),
        (Kind::Host, json!("tcp://127.0.0.1")),
        (Kind::Host, json!("127.0.0.1:11300")),
        (Kind::Host, json!("/run/b.sock")),
        (Kind::Host, json!("unix:")),
        (Kind::Host, json!("a b")),
        (Kind::LogFilter, json!("inof")),
        (Kind::LogFilter, json!("info,=debug")),
        (Kind::LogFilter, json!("info,a[b]=debug")),
        (Kind::PidFile, json!("/tmp/async_task_%d.pid")),
        (Kind::PidFile, json!("/tmp/")),
        (Kind::Path, json!("a\0b")),
        (Kind::PluginList, json!("a b")),
        (Kind::TubeList, json!([])),
        (Kind::TubeList, json!(["a", 1])),
        (Kind::TubeList, json!(["a", "b\r\n"])),
        (Kind::HandlerFiles, json!(["mailer"])),
    ];
    let lines = table
        .iter()
        .map(|(kind, value)| refused(*kind, value.clone()) + "\n");
    insta::assert_snapshot!(lines.collect::<String>(), @r#"
    found `0`, wanted an integer from 1 to 9
    found `-1`, wanted an integer from 1 to 9
    found `2.0`, wanted an integer from 1 to 9
    found `"2"`, wanted an integer from 1 to 9; hint: write it without quotes
    found `"two"`, wanted an integer from 1 to 9
    found `[1,2]`, wanted an integer from 1 to 9
    found a table, wanted an integer from 1 to 9
    found `-1`, wanted an integer, not negative
    found `"2s"`, wanted whole seconds from 1 to 300
    found `0.2`, wanted whole milliseconds from 1 to 5000
    found `1.5`, wanted a number from 0 to 1
    found `"true"`, wanted true or false; hint: write it without quotes
    found `1`, wanted true or false
    found `"Plain"`, wanted `both` or `plain`; hint: did you mean `plain`?
    found `"none"`, wanted `both` or `plain`
    found `""`, wanted a text
    found `"Mail"`, wanted a name of the letters a-z, digits, `_` and `-`
    found `"tcp://127.0.0.1"`, wanted a host name, an address or `unix:PATH`; hint: the host alone, without a scheme; its port is `port`
    found `"127.0.0.1:11300"`, wanted a host name, an address or `unix:PATH`; hint: the host alone; its port is `port`
    found `"/run/b.sock"`, wanted a host name, an address or `unix:PATH`; hint: a Unix socket is written `unix:PATH`
    found `"unix:"`, wanted a host name, an address or `unix:PATH`
    found `"a b"`, wanted a host name, an address or `unix:PATH`
    found `"inof"`, wanted a log level, or directives such as `info,mailer=debug`; hint: did you mean `info`?
    found `"info,=debug"`, wanted a log level, or directives such as `info,mailer=debug`
    found `"info,a[b]=debug"`, wanted a log level, or directives such as `info,mailer=debug`
    found `"/tmp/async_task_%d.pid"`, wanted the path of a pid file; hint: `%d` is not replaced here; write the whole path, one for each daemon
    found `"/tmp/"`, wanted the path of a pid file; hint: this is a directory; add the file's name
    found `"a\u0000b"`, wanted a path
    found `"a b"`, wanted a plugin's path or name, or a list of them; hint: a path has a `/`; a name has letters, digits, `_` and `-` only
    found an empty list, wanted a tube's name or a list of them, at least one
    found `["a",1]`, wanted a tube's name or a list of them, at least one
    found `["a","b\r\n"]`, wanted a tube's name or a list of them, at least one
    found `"mailer"`, wanted `NAME=FILE.json`
    "#);
}

#[test]
fn a_long_wrong_value_is_shortened() {
    let text = refused(Kind::Host, json!("é/".repeat(100)));
    assert!(text.contains('…') && text.chars().count() < 200, "{text}");
}

#[test]
fn what_was_typed_is_read_as_its_kind_and_else_stays_text() {
    let texts = |text: &str| [text.to_owned()];
    let table = [
        (INTEGER, "7", json!(7)),
        (INTEGER, "-7", json!(-7)),
        (INTEGER, "18446744073709551615", json!(u64::MAX)),
        (INTEGER, "99999999999999999999", json!("99999999999999999999")),
        (INTEGER, "7.0", json!("7.0")),
        (SECONDS, "", json!("")),
        (NUMBER, "0.5", json!(0.5)),
        (NUMBER, "NaN", Value::Null),
        (Kind::Switch, "true", json!(true)),
        (Kind::Switch, "0", json!(false)),
        (Kind::Switch, "yes", json!("yes")),
        (WORD, "both", json!("both")),
        (Kind::TubeList, "1", json!(["1"])),
    ];
    for (kind, text, expected) in table {
        assert_eq!(from_texts(kind, &texts(text)), expected, "{kind:?} {text}");
    }
}

#[test]
fn every_default_is_right_and_every_log_filter_is_one_of_tracings() {
    for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
        taken(
            setting.kind,
            from_texts(setting.kind, &[setting.default.to_owned()]),
        );
    }
    for filter in [
        "info",
        "INFO",
        "off",
        "info,mailer=debug,a::b=off",
        "info, mailer=debug",
    ] {
        taken(Kind::LogFilter, json!(filter));
        filter.parse::<tracing_subscriber::filter::Targets>().unwrap();
    }
}
