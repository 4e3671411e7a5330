//! The log lines of the PHP library, looked for as an operator's `grep -E` does it.

use std::process::{Command, Stdio};

use asynccall_client::protocol::JobState;
use serde_json::json;

use crate::support::{Beanstalkd, Daemon, Host, eventually, have};

/// The time before each line, in local time without a zone.
const TIME: &str = r"^\[[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\] ";

/// A daemon that logs like the PHP library, at the level that it has by default.
fn host(queue: &Beanstalkd) -> Host {
    let host = Host::new(queue).plugin("echo").tube("t").log_level("");
    host.flag("--log-format=php")
}

/// Waits until `grep -E` finds a line behind the time.
#[track_caller]
fn grep(daemon: &Daemon, pattern: &str) {
    let pattern = format!("{TIME}{pattern}$");
    eventually(&format!("a line like {pattern}"), || {
        let mut grep = Command::new("grep");
        grep.args(["-E", "-q", &pattern]).arg(daemon.host().log_file());
        let found = grep.stdout(Stdio::null()).status().expect("grep runs");
        found.success().then_some(())
    });
}

#[test]
fn every_row_of_the_librarys_table_has_its_line() {
    let Some(queue) = Beanstalkd::start() else { return };
    if !have("grep", &["--version"], "Debian: apt-get install grep") {
        return;
    }
    let daemon = host(&queue).start();
    let rows = [
        (
            json!({"a": [1, "b c"]}),
            r#"DELETE \{"a":\[1,"b c"\]\} - \{"a":\[1,"b c"\]\}"#,
        ),
        (
            json!({"fail": "the disk is full", "retryIntervalTime": 0}),
            r#"BURY the disk is full - \{"fail":"the disk is full","retryIntervalTime":0\}"#,
        ),
        (
            json!({"fail": "later", "retryIntervalTime": 70}),
            r#"RELEASE later - 重新发布，延时70秒后重新执行 - \{"fail":"later",.*\}"#,
        ),
        (
            json!({"fail": "too late", "retryIntervalTime": 70, "retryStopAt": "2001-01-01 00:00:00"}),
            r#"DELETE too late - 重新发布的任务结束，达到最大重试时间点2001-01-01 00:00:00 - \{"fail":"too late",.*\}"#,
        ),
        (
            json!({"once": 1, "noRetry": true}),
            r#"DELETED \{"noRetry":true,"once":1\} - \{.*\}"#,
        ),
        (
            json!({"fail": "once", "noRetry": true}),
            r#"DELETED once - \{"fail":"once","noRetry":true\}"#,
        ),
        (
            json!({"panic": "oh", "errorRetry": false}),
            r#"BURYException .*oh.* - \{"errorRetry":false,"panic":"oh"\}"#,
        ),
        (
            json!({"panic": "oh no", "errorRetry": true}),
            r#"RELEASEException .*oh no.* - \{"errorRetry":true,"panic":"oh no"\}"#,
        ),
    ];
    for (message, pattern) in rows {
        queue.put("t", message.to_string());
        grep(&daemon, pattern);
    }
    for body in ["", "a:1:{i:0;"] {
        queue.put("t", body);
    }
    grep(&daemon, "Command params is not null - the body is empty.*");
    eventually("both are told", || {
        (daemon.lines_with(&["Command params is not null"]).len() == 2).then_some(())
    });
}

#[test]
fn a_php_body_is_shown_as_json() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue).start();
    queue.put("t", r#"a:2:{s:5:"model";s:5:"Order";s:4:"fail";s:2:"no";}"#);
    grep(
        &daemon,
        r#"RELEASE no - 重新发布，延时[0-9]+秒后重新执行 - \{"model":"Order","fail":"no"\}"#,
    );
}

#[test]
fn what_the_library_has_no_line_for_says_its_level_or_has_the_nearest_form() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = host(&queue).flag("--max-crashes=1").start();
    grep(&daemon, "INFO .*serving.*");
    let poison = queue.put("t", r#"{"abort": true}"#);
    grep(
        &daemon,
        r#"ERROR crashed, death certificate: .* tube=t handler=echo .*"#,
    );
    grep(&daemon, r#"BURY it took down 1 worker - \{"abort":true\}"#);
    queue.wait_for(poison, JobState::Buried);
    assert_eq!(daemon.stop(), Some(0));
    let log = daemon.log();
    let is_dated = |line: &str| line.starts_with('[') && line.get(20..22) == Some("] ");
    assert!(log.lines().all(is_dated), "{log}");
}

#[test]
fn a_line_of_the_library_cannot_be_forged() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue).start();
    let forged = "x\n[2001-01-01 00:00:00] DELETE true - {}\r\u{1b}[31m";
    queue.put("t", json!({"bury": forged}).to_string());
    grep(&daemon, r"BURY x.*\[2001-01-01 00:00:00\] DELETE .*");
    let log = daemon.log();
    assert!(!log.lines().any(|line| line.starts_with("[2001")), "{log}");
    assert!(log.chars().all(|c| c == '\n' || !c.is_control()), "{log}");
}

#[test]
fn a_long_body_is_cut_in_the_log() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue).start();
    queue.put("t", json!({"bury": "no", "long": "x".repeat(60_000)}).to_string());
    grep(&daemon, r"BURY no - .*x…\(\+5[0-9]{4} bytes\)");
}
