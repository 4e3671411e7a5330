//! The handler `model`: jobs of the PHP library's client become calls of methods, on SQLite and on PostgreSQL.

use asynccall_client::protocol::JobState;
use serde_json::{Value, json};

use crate::support::{
    Beanstalkd, Daemon, Host,
    databases::{Postgres, Sqlite},
    php,
};

/// A daemon whose orders are in this database.
#[track_caller]
fn start(queue: &Beanstalkd, url: &str) -> Daemon {
    let host = Host::new(queue).plugin("model").tube("t");
    host.config(&format!(
        "[handler.model]\nurl = \"{url}\"\nretry_s = 1\nconnect_timeout_s = 2\n"
    ))
    .start()
}

/// All that a PHP producer's job on SQLite needs; `None`, said aloud, where something is missing.
#[track_caller]
fn sqlite_shop() -> Option<(Beanstalkd, Sqlite, Daemon)> {
    let (queue, shop) = (Beanstalkd::start()?, Sqlite::new()?);
    let daemon = php::installed().then(|| start(&queue, &shop.url()))?;
    Some((queue, shop, daemon))
}

/// Puts a job as the PHP library's client does.
#[track_caller]
fn put(queue: &Beanstalkd, call: Value) -> u64 {
    let mut whole = json!({"model": "\\App\\Models\\Order"});
    let call = call.as_object().expect("an object").clone();
    whole.as_object_mut().expect("an object").extend(call);
    php::put(queue, "t", &json!({ "call": whole }))
}

/// The line of a job's settlement, which has all of these parts.
#[track_caller]
fn settled(daemon: &Daemon, job: u64, parts: &[&str]) {
    let line = daemon.wait_for_settled(job);
    for part in parts {
        assert!(line.contains(part), "wanted `{part}`: {line}");
    }
}

const DONE: &[&str] = &["handler=model", "outcome=done", "settled=delete"];

#[test]
fn a_job_of_the_php_library_cancels_an_order_in_sqlite() {
    let Some((queue, shop, daemon)) = sqlite_shop() else {
        return;
    };
    let job = put(
        &queue,
        json!({"modelParams": 1, "method": "cancel", "methodParams": ["late"]}),
    );
    queue.wait_until_gone(job);
    settled(&daemon, job, DONE);
    assert_eq!(
        shop.sql("SELECT status, reason FROM orders WHERE id = 1"),
        "cancelled|late"
    );
}

#[test]
fn the_row_model_names_the_model_with_or_without_its_namespace() {
    let Some((queue, _shop, daemon)) = sqlite_shop() else {
        return;
    };
    for (model, parts) in [
        ("Order", DONE),
        ("\\Order", DONE),
        ("App\\Models\\Order", DONE),
        ("Invoice", &["outcome=failed", "settled=bury", "Model not exist"]),
    ] {
        let job = put(
            &queue,
            json!({"model": model, "modelParams": 1, "method": "isOpen"}),
        );
        settled(&daemon, job, parts);
    }
}

#[test]
fn the_row_model_params_is_a_key_criteria_or_empty() {
    let Some((queue, shop, daemon)) = sqlite_shop() else {
        return;
    };
    let criteria = json!({"conditions": "total > :least: AND status = ?0", "bind": {"least": 10, "0": "open"}, "order": "id DESC"});
    for params in [json!(1), json!("1"), json!("number = 'B3'"), criteria] {
        let job = put(&queue, json!({"modelParams": params, "method": "isOpen"}));
        settled(&daemon, job, DONE);
    }
    for (params, parts) in [
        (json!(9), ["outcome=failed", "settled=bury", "Model not exist"]),
        (
            json!("id = 1; DROP TABLE orders"),
            ["outcome=bury", "settled=bury", "found `;`"],
        ),
    ] {
        let job = put(&queue, json!({"modelParams": params, "method": "cancel"}));
        settled(&daemon, job, &parts);
        queue.wait_for(job, JobState::Buried);
    }
    let job = put(
        &queue,
        json!({"modelParams": "", "method": "place", "methodParams": {"number": "C4", "total": 40}}),
    );
    settled(&daemon, job, DONE);
    assert_eq!(
        shop.sql("SELECT number, status, total FROM orders WHERE id = 4"),
        "C4|open|40"
    );
}

#[test]
fn the_rows_method_and_method_params_name_the_call() {
    let Some((queue, shop, daemon)) = sqlite_shop() else {
        return;
    };
    for (method, given, parts) in [
        (
            "explode",
            json!([]),
            &["outcome=failed", "settled=bury", "Method not exist"],
        ),
        (
            "cancel",
            json!({"raeson": "late"}),
            &["outcome=bury", "settled=bury", "no parameter takes"],
        ),
    ] {
        let job = put(
            &queue,
            json!({"modelParams": 1, "method": method, "methodParams": given}),
        );
        settled(&daemon, job, parts);
    }
    for (id, given) in [(1, json!([])), (3, json!({"reason": "late"}))] {
        let job = put(
            &queue,
            json!({"modelParams": id, "method": "cancel", "methodParams": given}),
        );
        settled(&daemon, job, DONE);
    }
    assert_eq!(shop.sql("SELECT reason FROM orders ORDER BY id"), "\n\nlate");
}

#[test]
fn the_rows_of_retries_decide_about_a_false_answer() {
    let Some((queue, _shop, daemon)) = sqlite_shop() else {
        return;
    };
    for (more, parts) in [
        (json!({}), &["outcome=failed", "settled=bury", "answered false"]),
        (
            json!({"retryIntervalTime": 55, "retryStopAt": "2099-01-01 00:00:00"}),
            &["outcome=failed", "settled=release", "delay=55s"],
        ),
    ] {
        let mut call = json!({"modelParams": 2, "method": "isOpen"});
        let more = more.as_object().expect("an object").clone();
        call.as_object_mut().expect("an object").extend(more);
        let job = put(&queue, call);
        settled(&daemon, job, parts);
    }
}

#[test]
fn a_json_job_cancels_an_order() {
    let (Some(queue), Some(shop)) = (Beanstalkd::start(), Sqlite::new()) else {
        return;
    };
    let daemon = start(&queue, &shop.url());
    let job = queue.put("t", r#"{"model": "Order", "modelParams": 3, "method": "cancel"}"#);
    settled(&daemon, job, DONE);
    assert_eq!(shop.sql("SELECT status FROM orders WHERE id = 3"), "cancelled");
}

#[test]
fn a_job_of_the_php_library_cancels_an_order_in_postgresql() {
    let (Some(queue), Some(mut shop)) = (Beanstalkd::start(), Postgres::start()) else {
        return;
    };
    if !php::installed() {
        return;
    }
    let daemon = start(&queue, &shop.url());
    let criteria = json!({"conditions": "total IN ({totals:array}) AND number LIKE ?0", "bind": {"totals": ["10", 30], "0": "B%"}});
    for (params, given) in [
        (json!("1"), json!(["late"])),
        (criteria, json!({"reason": "x'; DROP TABLE orders; --"})),
    ] {
        let job = put(
            &queue,
            json!({"modelParams": params, "method": "cancel", "methodParams": given}),
        );
        settled(&daemon, job, DONE);
    }
    assert_eq!(
        shop.sql("SELECT id, status, reason FROM orders ORDER BY id"),
        "1|cancelled|late\n2|sent|\n3|cancelled|x'; DROP TABLE orders; --"
    );
    let taken = put(&queue, json!({"method": "place", "methodParams": ["A1"]}));
    settled(
        &daemon,
        taken,
        &["outcome=failed", "settled=bury", "duplicate key"],
    );

    shop.halt();
    let place = json!({"method": "place", "methodParams": ["C4"], "errorRetry": false});
    let job = put(&queue, place);
    settled(&daemon, job, &["outcome=retry", "settled=release", "delay=1s"]);
    assert!(shop.resume(), "its port is free");
    queue.wait_until_gone(job);
    assert_eq!(shop.sql("SELECT status FROM orders WHERE number = 'C4'"), "open");
}
