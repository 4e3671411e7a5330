//! One pool, several handlers: the tube of a job says which one executes it.

use asynccall_client::protocol::JobState;
use serde_json::json;

use crate::support::{Beanstalkd, Daemon, Host, daemon::slots, queue::php_tube};

/// `mail` has the handler `left`, `sms` and the tube that only has a checksum `right`; what is left over has `echo`.
const CONFIG: &str = r#"
[handler.left]
side = "west"
[handler.right]
side = "east"
[[pool]]
tubes = ["mail", "sms", "邮件 队列", "rest"]
handler = "echo"
[pool.handlers]
mail = "left"
sms = "right"
"邮件 队列" = "right"
"#;

fn host(queue: &Beanstalkd, config: &str) -> Host {
    Host::new(queue).plugin("pair").plugin("echo").config(config)
}

/// The line that tells of a job that is done, which has to name this handler and result.
#[track_caller]
fn assert_done(daemon: &Daemon, job: u64, tube: &str, handler: &str, result: &str) {
    let line = daemon.wait_for_settled(job);
    for part in [tube, &format!(" handler={handler} "), result] {
        assert!(line.contains(part), "`{part}` is missing in: {line}");
    }
}

#[test]
fn each_tube_has_its_handler_with_the_handlers_own_configuration() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, CONFIG).start();
    let mail = queue.put("mail", "1");
    let sms = queue.put("sms", "2");
    let rest = queue.put("rest", "3");
    assert_done(&daemon, mail, " tube=mail ", "left", r#"[\"left\",\"west\",1]"#);
    assert_done(&daemon, sms, " tube=sms ", "right", r#"[\"right\",\"east\",2]"#);
    assert_done(&daemon, rest, " tube=rest ", "echo", "result=3");
    let pool = daemon.status()["pools"][0].clone();
    assert_eq!(pool["handler"], json!(null), "it depends on the tube");
    let handlers = json!({"mail": "left", "sms": "right", "邮件 队列": "right", "rest": "echo"});
    assert_eq!(pool["handlers"], handlers);
    let text = daemon.run(&["status"]).succeeded();
    assert!(
        text.contains(" handlers mail=left rest=echo sms=right 邮件 队列=right "),
        "{text}"
    );
}

#[test]
fn a_tube_that_is_only_known_by_its_checksum_has_its_handler() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, CONFIG).start();
    let job = queue.put(&php_tube("邮件 队列"), "1");
    assert_done(&daemon, job, r#" tube="邮件 队列" "#, "right", r#"\"east\""#);
    let job = queue.put(&php_tube("mail"), "i:1;");
    assert_done(&daemon, job, " tube=mail ", "left", r#"\"west\""#);
}

#[test]
fn handlers_by_tube_cost_one_stats_job_for_each_job_and_the_facts_are_free_afterwards() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, CONFIG).start();
    queue.put_all("mail", (0..20).map(|number| number.to_string()));
    queue.put_all("rest", (0..10).map(|_| r#"{"fail": true}"#));
    daemon.wait_for_total("done", 20);
    daemon.wait_for_total("released", 10);
    assert_eq!(queue.stat("cmd-stats-job"), 30);
}

#[test]
fn a_table_that_names_one_handler_for_all_tubes_costs_nothing() {
    let Some(queue) = Beanstalkd::start() else { return };
    let config = "[[pool]]\ntubes = [\"a\", \"b\"]\nhandler = \"echo\"\nhandlers = { a = \"echo\" }\n";
    let daemon = host(&queue, config).start();
    queue.put_all("a", (0..20).map(|number| number.to_string()));
    queue.put_all("b", (0..20).map(|number| number.to_string()));
    daemon.wait_for_total("done", 40);
    assert_eq!(queue.stat("cmd-stats-job"), 0);
    assert_eq!(daemon.status()["pools"][0]["handler"], "echo");
}

#[test]
fn a_running_job_and_a_death_certificate_name_the_jobs_own_handler() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, CONFIG).start();
    let job = queue.put("rest", r#"{"sleep_ms": 1500, "abort": true}"#);
    daemon.wait_until_running(job);
    let status = daemon.status();
    let busy = slots(&status).find(|slot| slot["job"] == job).cloned();
    let busy = busy.expect("its slot");
    assert_eq!(
        (&busy["tube"], &busy["handler"]),
        (&json!("rest"), &json!("echo"))
    );
    let line = daemon.wait_for_line(&[&format!("job={job}"), "death certificate"]);
    assert!(line.contains(" tube=rest handler=echo sha256="), "{line}");
    queue.wait_for(job, JobState::Delayed);
}

#[test]
fn a_breaker_names_the_handler_that_failed_last() {
    let Some(queue) = Beanstalkd::start() else { return };
    let config = CONFIG.replace("[pool.handlers]", "breaker = { failures = 2 }\n[pool.handlers]");
    let daemon = host(&queue, &config).start();
    queue.put_all("rest", [r#"{"fail": "no more"}"#; 2]);
    daemon.wait_for_line(&["breaker open", "handler `echo`: no more"]);
    let breaker = daemon.status()["pools"][0]["breaker"].clone();
    assert_eq!(breaker["error"], "handler `echo`: no more");
}

#[test]
fn every_handler_of_a_pool_checks_itself_before_the_pool_begins() {
    let Some(queue) = Beanstalkd::start() else { return };
    let config = format!("{CONFIG}[handler.echo]\nself_check = \"fail\"\n");
    let refused = host(&queue, &config).run(&["start"]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.err.contains("there is nobody to answer to"), "{refused}");
}

#[test]
fn a_tube_without_a_handler_and_a_handler_without_a_tube_are_errors() {
    let check = |pool: &str| {
        let host = Host::unconnected().plugin("pair").plugin("echo");
        host.config(&format!(
            "[[pool]]\nname = \"p\"\ntubes = [\"mail\", \"sms\"]\n{pool}"
        ))
        .run(&["check"])
    };
    insta::assert_snapshot!(check("handlers = { mail = \"left\" }"), @r"
    exit 78
    error: pool `p`, tube `sms`: no handler is chosen; there are `echo`, `left`, `right`
      hint: choose one with `--handler NAME`, or with `handler` in the file's `[[pool]]`
    ");
    insta::assert_snapshot!(check("handler = \"echo\"\nhandlers = { mial = \"left\", sms = \"right\" }"), @r"
    exit 78
    error: DIR/host.toml:5: `pool.handlers`: found the tube `mial`, wanted one of the pool's `tubes`; hint: did you mean `mail`?
    ");
    insta::assert_snapshot!(check("handler = \"echo\"\nhandlers = { mail = \"letf\" }"), @r"
    exit 78
    error: pool `p`, tube `mail`: no plugin has a handler `letf`; there are `echo`, `left`, `right`
      hint: did you mean `left`?
    ");
    let text = check("handlers = { mail = \"left\", sms = \"right\" }").succeeded();
    assert!(
        text.contains("pool p: tubes mail sms, handlers mail=left sms=right, workers 1"),
        "{text}"
    );
}
