//! The promise for plugins in C: what was built against the header of any minor runs in the hosts of every minor that
//! knows such plugins, today's daemon among them, and the hosts before refuse it in words.

use std::path::{Path, PathBuf};

use asynccall_client::protocol::JobState;
use serde_json::{Value, json};

use super::{released::released, run};
use crate::support::{
    Beanstalkd, Daemon, Directory, Host, compiler::c_zoo, eventually, exposition::Page, plugin, plugins,
};

/// The zoo in C of every released minor that knows such plugins.
#[track_caller]
fn released_libraries() -> Vec<PathBuf> {
    let released = released().into_iter();
    released.filter_map(|released| released.in_c).collect()
}

#[track_caller]
fn run_zoo(loader: &Path, body: &str, library: &Path, config: &str) -> Value {
    let mut answers = run(loader, body, &[(library, "c-zoo", config)]);
    answers.pop().expect("there is one for each plugin")
}

/// Everything that the zoo of 1.2 does.
#[track_caller]
fn assert_keeps_its_promises(loader: &Path, library: &Path) {
    let said = |message: &str| {
        let answer = run_zoo(loader, message, library, "{}");
        json!([answer["verdict"], answer["delay_ms"], answer["message"]])
    };
    for (message, expected) in [
        (r#""done""#, json!([0, null, ""])),
        (r#""retry""#, json!([1, 1500, "not yet"])),
        (r#""bury""#, json!([2, null, "a person should look"])),
        (r#""fail""#, json!([3, null, "no luck"])),
        (r#""exception""#, json!([4, null, "thrown"])),
        (r#""nothing""#, json!([3, null, "the handler gave no answer"])),
        ("", json!([2, null, "the body is empty"])),
    ] {
        assert_eq!(said(message), expected, "{message}");
    }
    let facts = run_zoo(loader, r#""facts""#, library, "{}");
    let expected =
        r#"{"attempt":1,"tube":"loader","priority":1024,"known":true,"version":"0.0.0","on":true}"#;
    assert_eq!(facts["result"], expected, "{facts}");
    assert_eq!(facts["progress"], 1, "{facts}");
    let put = run_zoo(loader, r#""put""#, library, "{}");
    assert_eq!((&put["verdict"], &put["put"]), (&json!(0), &json!([r#""done""#])));
    let counted = run_zoo(loader, r#""count""#, library, "{}");
    assert_eq!(counted["metrics"], json!([["c-zoo_counted", 2.5]]), "{counted}");
    let logged = run_zoo(loader, r#""log""#, library, "{}");
    let fields = json!({"rows": "3", "who": "a b", "forged": "1 level=ERROR"});
    assert_eq!(logged["logs"][0]["fields"], fields, "{logged}");
    assert_eq!(logged["logs"][0]["level"], 2, "{logged}");
    let ticked = run_zoo(loader, r#""done""#, library, r#"{"do":"tick"}"#);
    assert_eq!(ticked["tick_every_ms"], 20, "{ticked}");
    let messages = [0, 1].map(|line| &ticked["logs"][line]["message"]);
    assert_eq!(messages, ["tick in C", "goodbye in C"], "{ticked}");
    assert_eq!(
        ticked["described"], r#"{"payload":{"type":"string"}}"#,
        "{ticked}"
    );
    for (what, expected) in [
        ("refuse", "create 1: refused as asked"),
        ("fail", "create 2: failed \u{fffd} as asked"),
        ("silent", "create 2: it gave no reason"),
        ("check", "self-check 2: there is nobody to answer to"),
    ] {
        let config = json!({"do": what}).to_string();
        let refused = run_zoo(loader, r#""done""#, library, &config);
        assert_eq!(refused["error"], expected);
    }
}

#[test]
fn plugins_in_c_of_every_released_minor_and_of_today_run_in_every_host_that_knows_them() {
    let directory = Directory::new();
    let mut libraries = released_libraries();
    libraries.push(c_zoo(&directory, "zoo", "cc", &["-std=c99"]));
    let knowing = released().into_iter().filter(|released| released.in_c.is_some());
    let loaders = knowing.map(|released| released.loader);
    for loader in loaders.chain([plugins::loader()]) {
        for library in &libraries {
            assert_keeps_its_promises(&loader, library);
        }
    }
}

#[test]
fn hosts_from_before_plugins_in_c_refuse_them_in_words() {
    let directory = Directory::new();
    let library = c_zoo(&directory, "zoo", "cc", &["-std=c99"]);
    for released in released().iter().filter(|released| released.in_c.is_none()) {
        let refused = run_zoo(&released.loader, r#""done""#, &library, "{}");
        assert_eq!(
            refused["error"],
            "it is a plugin of kind 2, this host knows kind 1"
        );
    }
}

/// A daemon with a plugin in C whose handler ticks, and which may put one job for each.
#[track_caller]
fn daemon_with(queue: &Beanstalkd, library: &Path, tube: &str) -> Daemon {
    let host = Host::new(queue)
        .load(library)
        .load(plugin("echo"))
        .flag("--handler=c-zoo")
        .flag("--put-limit=1");
    host.tube(tube).config("[handler.c-zoo]\ndo = \"tick\"\n").start()
}

#[test]
fn todays_daemon_runs_plugins_in_c_of_every_released_minor_with_the_outcomes_of_those_in_rust() {
    let Some(queue) = Beanstalkd::start() else { return };
    for (number, library) in released_libraries().iter().enumerate() {
        let tube = format!("t{number}");
        let daemon = daemon_with(&queue, library, &tube);
        for (message, outcome) in [
            (r#""done""#, "outcome=done settled=delete"),
            (r#""retry""#, "outcome=retry settled=release delay=2s"),
            (r#""fail""#, "outcome=failed settled=release"),
            (r#""exception""#, "outcome=exception settled=release"),
        ] {
            let line = daemon.wait_for_settled(queue.put(&tube, message));
            assert!(line.contains(outcome), "{message}: {line}");
        }
        let buried = queue.put(&tube, r#""bury""#);
        queue.wait_for(buried, JobState::Buried);
        let logging = queue.put(&tube, r#""log""#);
        daemon.wait_for_settled(logging);
        let line = daemon.wait_for_line(&["counted rows", &format!("job={logging} ")]);
        assert!(line.contains(" WARN ") && line.contains("rows=3"), "{line}");
        let status = daemon.status();
        assert_eq!(status["plugins"][0]["name"], "c-zoo", "{status}");
        assert_eq!(status["totals"]["crashed"], 0, "{status}");
    }
}

#[test]
fn plugins_in_c_of_every_released_minor_tick_count_and_put_in_todays_daemon() {
    let Some(queue) = Beanstalkd::start() else { return };
    for (number, library) in released_libraries().iter().enumerate() {
        let tube = format!("t{number}");
        let mut daemon = daemon_with(&queue, library, &tube);
        let ticks = || daemon.lines_with(&["handler=c-zoo", "tick in C"]).len();
        eventually("it ticks again and again", || (ticks() >= 3).then_some(()));

        for job in queue.put_all(&tube, [r#""count""#; 4]) {
            queue.wait_until_gone(job);
        }
        eventually("all are counted", || {
            let page = Page::read(&daemon.run(&["status", "--metrics"]).succeeded());
            let counted = page.value("c_zoo_counted", &[("pool", "default"), ("in", "c")]);
            (counted == Some(10.0)).then_some(())
        });

        let before = queue.stat("total-jobs");
        let putting = queue.put_with_ttr(&tube, 77, r#""put""#);
        let line = daemon.wait_for_line(&[&format!("from={putting}"), "a handler has put a job"]);
        let (_, put) = line.split_once(" put=").expect("it names the job");
        let put = put.split(' ').next().and_then(|put| put.parse().ok());
        let line = daemon.wait_for_settled(put.expect("a number"));
        assert!(line.contains("outcome=done settled=delete"), "{line}");
        queue.wait_until_gone(putting);
        assert_eq!(queue.stat("total-jobs"), before + 2);

        assert_eq!(daemon.stop(), Some(0));
        assert_eq!(daemon.lines_with(&["goodbye in C"]).len(), 1, "{}", daemon.log());
    }
}

#[test]
fn todays_daemon_refuses_configurations_in_the_words_of_released_plugins_in_c() {
    let Some(queue) = Beanstalkd::start() else { return };
    for library in released_libraries() {
        for (what, expected) in [
            (
                "refuse",
                "error: cannot configure handler `c-zoo`: refused as asked",
            ),
            (
                "check",
                "error: handler `c-zoo` failed its self-check: there is nobody to answer to",
            ),
        ] {
            let config = format!("[handler.c-zoo]\ndo = \"{what}\"\n");
            let ended = Host::new(&queue)
                .load(&library)
                .tube("t")
                .config(&config)
                .run(&["run"]);
            assert_ne!(ended.code, Some(0), "{ended}");
            assert!(ended.err.contains(expected), "{what}: {ended}");
        }
    }
}
