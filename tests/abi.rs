//! The promise of the abi: plugins and hosts of every released minor, other toolchains, several handlers in a library.
//!
//! What was released lies in `tests/fixtures/abi`. The hosts here are the daemon and `plugin-api/abi/examples/loader.rs`.
//! Minors that do not exist yet are tested beside the abi itself.

mod in_c;
mod released;

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    Beanstalkd, Host, plugin,
    plugins::{self, BUILDS, Toolchain},
};
use released::{Released, released};

/// Has plugins run one job each, all in one process of this host. One answer per plugin.
#[track_caller]
fn run(loader: &Path, body: &str, asked: &[(&Path, &str, &str)]) -> Vec<Value> {
    let mut command = Command::new(loader);
    for (plugin, handler, config) in asked {
        command.arg(plugin).args([handler, config]);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the loader can be started");
    let mut stdin = child.stdin.take().expect("its input is ours");
    stdin.write_all(body.as_bytes()).expect("it reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    let answers: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    assert_eq!(answers.len(), asked.len(), "{}: {text}", output.status);
    answers
}

/// The answer of an echo that has run the job.
#[track_caller]
fn assert_echoed(answer: &Value, body: &str) {
    assert_eq!(answer["error"], Value::Null, "{answer}");
    assert_eq!(answer["verdict"], 0, "{answer}");
    assert_eq!(answer["result"], body, "{answer}");
    let log = json!({
        "level": 4, "job": 901, "target": "echo", "message": "echo",
        "fields": {"tag": "blue", "bytes": body.len().to_string()},
    });
    assert_eq!(answer["logs"], json!([log]), "{answer}");
}

const BODY: &str = r#"{"a":[1,"二"]}"#;
const CONFIG: &str = r#"{"tag":"blue"}"#;
/// A job of three steps, each but the last of which is reported where the plugin can do so.
const STEPS: &str = r#"{"progress_every_ms":1,"sleep_ms":3}"#;
/// A configuration with which a plugin that has a self-check fails it.
const FAILING: &str = r#"{"self_check":"fail"}"#;

#[test]
fn a_plugin_of_every_released_minor_runs_in_todays_host_also_beside_todays_plugin() {
    for Released {
        minor, plugin: old, ..
    } in released()
    {
        let new = plugin("echo");
        for order in [[&old, &new], [&new, &old]] {
            let asked = order.map(|path| (path.as_path(), "echo", CONFIG));
            for (path, answer) in order.iter().zip(run(&plugins::loader(), BODY, &asked)) {
                assert_echoed(&answer, BODY);
                if **path == old {
                    assert_eq!(answer["abi"], json!([1, minor]));
                }
            }
        }
    }
}

#[test]
fn plugins_of_all_minors_run_beside_each_other_in_a_host_of_every_minor() {
    let released = released();
    let libraries = released.iter().map(|released| released.plugin.clone());
    let libraries: Vec<_> = libraries.chain([plugin("echo")]).collect();
    let loaders = released.iter().map(|released| released.loader.clone());
    for loader in loaders.chain([plugins::loader()]) {
        let mut asked: Vec<_> = libraries
            .iter()
            .map(|path| (path.as_path(), "echo", CONFIG))
            .collect();
        for _ in 0..libraries.len() {
            asked.rotate_left(1);
            let backwards: Vec<_> = asked.iter().rev().copied().collect();
            for order in [&asked, &backwards] {
                for answer in run(&loader, BODY, order) {
                    assert_echoed(&answer, BODY);
                }
            }
        }
    }
}

#[test]
fn todays_plugin_runs_in_a_host_of_every_released_minor() {
    for Released { minor, loader, .. } in released() {
        let answer = run_one(&loader, BODY, &plugin("echo"), CONFIG);
        assert_echoed(&answer, BODY);
        assert_eq!(answer["host_abi"], json!([1, minor]));
    }
}

/// The one answer of a host that has one plugin run one job.
#[track_caller]
fn run_one(loader: &Path, body: &str, plugin: &Path, config: &str) -> Value {
    let mut answers = run(loader, body, &[(plugin, "echo", config)]);
    answers.pop().expect("there is one for each plugin")
}

#[test]
fn progress_reaches_a_host_that_knows_it_and_harms_no_other() {
    for released in released() {
        let known = u64::from(released.has_progress_and_self_check()) * 2;
        let old_host = run_one(&released.loader, STEPS, &plugin("echo"), CONFIG);
        let old_plugin = run_one(&plugins::loader(), STEPS, &released.plugin, CONFIG);
        for answer in [&old_host, &old_plugin] {
            assert_echoed(answer, STEPS);
        }
        // The loader of 1.0 counts nothing.
        assert_eq!(old_host["progress"].as_u64().unwrap_or(0), known, "{old_host}");
        assert_eq!(old_plugin["progress"], known, "{old_plugin}");
    }
    let today = run_one(&plugins::loader(), STEPS, &plugin("echo"), CONFIG);
    assert_eq!(today["progress"], 2, "{today}");
}

#[test]
fn a_self_check_is_asked_for_by_hosts_that_know_it_and_passed_by_plugins_that_do_not() {
    let failed = "self-check 2: there is nobody to answer to";
    for released in released() {
        let old_host = run_one(&released.loader, BODY, &plugin("echo"), FAILING);
        if released.has_progress_and_self_check() {
            assert_eq!(old_host["error"], failed);
            let old_plugin = run_one(&plugins::loader(), BODY, &released.plugin, FAILING);
            assert_eq!(old_plugin["error"], failed);
        } else {
            assert_eq!(old_host["result"], BODY, "{old_host}");
        }
    }
    let today = run_one(&plugins::loader(), BODY, &plugin("echo"), FAILING);
    assert_eq!(today["error"], failed);
}

/// A job of an echo that counts and puts, in a host that knows both.
#[track_caller]
fn assert_counts_and_puts(answer: &Value) {
    assert_eq!(answer["verdict"], 0, "{answer}");
    assert_eq!(answer["put"], json!([r#"{"n":1}"#, "2"]), "{answer}");
    assert_eq!(answer["metrics"], json!([["zoo-echo_counted", 2.5]]), "{answer}");
    assert_eq!(answer["tick_every_ms"], 5, "{answer}");
    let said: Vec<_> = answer["logs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|log| log["message"].as_str().expect("a text"))
        .collect();
    assert_eq!(said, ["echo", "put", "put", "tick", "goodbye"], "{answer}");
    let described = answer["described"].as_str().expect("a text");
    let described: Value = serde_json::from_str(described).expect("it is JSON");
    assert_eq!(described["config"]["type"], "object", "{described}");
}

#[test]
fn ticks_metrics_and_puts_reach_hosts_that_know_them_and_harm_no_other() {
    let body = r#"{"count":2.5,"put":[{"n":1},2]}"#;
    let config = r#"{"tag":"blue","tick_every_ms":5,"goodbye":true}"#;
    for released in released() {
        let old_host = run_one(&released.loader, body, &plugin("echo"), config);
        if released.has_ticks_metrics_and_puts() {
            assert_counts_and_puts(&old_host);
            assert_counts_and_puts(&run_one(&plugins::loader(), body, &released.plugin, config));
        } else {
            // It cannot put, and says so; what it would have counted is dropped.
            assert_eq!(old_host["verdict"], 3, "{old_host}");
            let message =
                "cannot put a job: the host is older than plugin-abi 1.2 and puts no jobs for its handlers";
            assert_eq!(old_host["message"], message, "{old_host}");
            let old_plugin = run_one(&plugins::loader(), BODY, &released.plugin, CONFIG);
            assert_eq!(old_plugin["tick_every_ms"], 0, "{old_plugin}");
            assert_eq!(old_plugin["described"], Value::Null, "{old_plugin}");
        }
    }
    assert_counts_and_puts(&run_one(&plugins::loader(), body, &plugin("echo"), config));
}

#[test]
fn a_released_plugin_keeps_its_promises_in_todays_host() {
    let table = [
        (
            json!({"retry_in": 1.5}),
            json!([1, 1500, "the payload asked for a retry"]),
        ),
        (json!({"bury": "broken"}), json!([2, null, "broken"])),
        (json!({"fail": "no luck"}), json!([3, null, "no luck"])),
    ];
    for Released { plugin: old, .. } in released() {
        for (payload, expected) in &table {
            let answer = run_one(&plugins::loader(), &payload.to_string(), &old, "{}");
            let said = json!([answer["verdict"], answer["delay_ms"], answer["message"]]);
            assert_eq!(said, *expected);
        }
        let answers = run(
            &plugins::loader(),
            r#"{"panic":"on purpose"}"#,
            &[
                (&old, "echo", "{}"),
                (&old, "ecko", "{}"),
                (&old, "echo", r#"{"tga":1}"#),
            ],
        );
        assert_eq!(answers[0]["verdict"], 4);
        let message = answers[0]["message"].as_str().expect("a text");
        assert!(message.starts_with("panicked at "), "{message}");
        assert_eq!(
            answers[1]["error"],
            "create 0: no handler is called `ecko`, the plugin has `echo`"
        );
        let refused = answers[2]["error"].as_str().expect("a text");
        // Which fields there are depends on the minor.
        let expected = "create 1: unknown field `tga`, expected ";
        assert!(refused.starts_with(expected), "{refused}");
    }
}

#[test]
fn the_daemon_runs_a_plugin_of_every_released_minor() {
    let Some(queue) = Beanstalkd::start() else { return };
    for released in released() {
        let tube = &released.version;
        let host = Host::new(&queue).load(&released.plugin).tube(tube);
        let daemon = host.flag("--max-runtime=1").start();
        let done = queue.put(tube, r#"a:1:{s:1:"a";i:1;}"#);
        let line = daemon.wait_for_settled(done);
        assert!(line.contains("outcome=done settled=delete"), "{line}");
        assert!(line.contains(r#"result="{\"a\":1}""#), "{line}");
        let panicked = queue.put(tube, r#"{"panic":"on purpose"}"#);
        let line = daemon.wait_for_settled(panicked);
        assert!(line.contains("outcome=exception settled=release"), "{line}");
        let status = daemon.status();
        assert_eq!(status["plugins"][0]["abi"], *tube, "{status}");
        assert_eq!(status["totals"]["crashed"], 0, "{status}");
        let steady = queue.put(tube, r#"{"sleep_ms": 2500, "progress_every_ms": 50}"#);
        daemon.wait_for_settled(steady);
        let asked = daemon.lines_with(&["max_runtime is over"]).len();
        // A plugin of 1.0 does the same work and cannot say that it gets on.
        assert_eq!(asked, usize::from(!released.has_progress_and_self_check()));
    }
}

/// Runs every build of this toolchain's `echo`, beside the ordinary one, in the hosts of today and of every released minor.
#[track_caller]
fn assert_runs_everywhere(toolchain: &Toolchain) {
    let ordinary = plugin("echo");
    let loaders = released().into_iter().map(|released| released.loader);
    let loaders: Vec<_> = loaders.chain([plugins::loader()]).collect();
    for how in &BUILDS {
        let built = toolchain.echo(how);
        let asked = [
            (built.as_path(), "echo", CONFIG),
            (ordinary.as_path(), "echo", CONFIG),
        ];
        for loader in &loaders {
            for answer in run(loader, BODY, &asked) {
                assert_echoed(&answer, BODY);
            }
        }
        let panicked = run_one(&plugins::loader(), r#"{"panic":"on purpose"}"#, &built, "{}");
        assert_eq!(panicked["verdict"], 4, "{}: {panicked}", how.name);
    }
}

#[test]
fn plugins_run_in_every_host_whichever_profile_built_them_also_with_link_time_optimisation() {
    assert_runs_everywhere(&Toolchain::Own);
}

#[test]
fn plugins_of_another_toolchain_run_in_every_host_whichever_profile_built_them() {
    if let Some(foreign) = Toolchain::other() {
        assert_runs_everywhere(&foreign);
    }
}

#[test]
fn one_library_offers_several_handlers_of_either_kind() {
    let pair = plugin("pair");
    let answers = run(
        &plugins::loader(),
        "[1]",
        &[
            (&pair, "left", r#"{"side":"west"}"#),
            (&pair, "right", r#"{"side":"east"}"#),
            (&pair, "up", "{}"),
        ],
    );
    assert_eq!(answers[0]["result"], r#"["left","west",[1]]"#);
    assert_eq!(answers[0]["logs"][0]["job"], 901);
    assert_eq!(answers[1]["result"], r#"["right","east",[1]]"#);
    let log = &answers[1]["logs"][0];
    assert_eq!(
        (&log["message"], &log["job"]),
        (&json!("from a task"), &json!(901))
    );
    assert_eq!(log["fields"], json!({"kind": "spawned"}));
    assert_eq!(
        answers[2]["error"],
        "create 0: no handler is called `up`, the plugin has `left`, `right`"
    );
}

#[test]
fn the_daemon_gives_each_pool_its_handler_of_one_library() {
    let Some(queue) = Beanstalkd::start() else { return };
    let config = "[handler.left]\nside = \"west\"\n[handler.right]\nside = \"east\"\n\
                  [[pool]]\nname = \"a\"\ntubes = [\"a\"]\nhandler = \"left\"\n\
                  [[pool]]\nname = \"b\"\ntubes = [\"b\"]\nhandler = \"right\"\n";
    let daemon = Host::new(&queue).plugin("pair").config(config).start();
    let (left, right) = (queue.put("a", "[1]"), queue.put("b", "[2]"));
    let line = daemon.wait_for_settled(left);
    assert!(line.contains(r#"result="[\"left\",\"west\",[1]]""#), "{line}");
    let line = daemon.wait_for_settled(right);
    assert!(line.contains(r#"result="[\"right\",\"east\",[2]]""#), "{line}");
    // A thread of the plugin's own runtime wrote this, in a task that only its span ties to the job.
    daemon.wait_for_line(&[&format!("job={right}"), "kind=spawned", "from a task"]);
}

#[test]
fn a_plugin_from_before_schemas_gives_none_and_is_configured_as_ever() {
    for released in released().iter().filter(|released| released.minor < 2) {
        let host = Host::unconnected();
        let file = released.plugin.to_str().expect("a path");
        let refused = host.run_bare(&["plugin", "schema", file]).failed(1);
        assert!(
            refused.contains("the plugin gives no schema of any document of handler `echo`"),
            "{refused}"
        );
        let config = host.directory().write("echo.json", r#"{"tag": 7}"#);
        let config = format!("--handler-config=echo={}", config.display());
        let ended = host.run_bare(&["plugin", "check", file, &config]);
        assert_eq!(ended.code, Some(78), "{ended}");
        assert!(
            ended
                .out
                .contains("-       echo: configuration: no schema to check it against\n")
                && ended
                    .out
                    .contains("cannot configure handler `echo`: invalid type: integer `7`"),
            "{ended}"
        );
    }
}
