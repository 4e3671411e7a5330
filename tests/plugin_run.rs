//! `plugin run`: one job without a queue, in a process of its own.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::support::{Ended, Host, plugin, processes};

/// Runs a handler of a built plugin on a body.
#[track_caller]
fn run(name: &str, body: &Value, more: &[&str]) -> Ended {
    let file = plugin(name);
    let mut words = vec!["plugin", "run", file.to_str().expect("a path"), "--body=-"];
    words.extend(more);
    Host::unconnected().run_with_input(&words, body.to_string().as_bytes())
}

/// What was told, but for the time that it took and for log lines.
fn told(ended: &Ended) -> String {
    let text = ended.to_string();
    let is_log = |line: &str| line.starts_with("20") && line.contains("T");
    let lines = text.lines().filter(|line| !is_log(line));
    let lines = lines.map(|line| match line.strip_prefix("took     ") {
        Some(_) => "took     TIME",
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_verdict_has_its_words_and_its_exit_code() {
    let texts = [
        json!({"x": [1, "二"]}),
        json!({"fail": "no route"}),
        json!({"retry_in": 1.5}),
        json!({"bury": "a person should look"}),
    ];
    let texts = texts.map(|body| told(&run("echo", &body, &[])));
    insta::assert_snapshot!(texts.join("\n"), @r#"
    exit 0
    outcome  done
    result   {"x":[1,"二"]}
    took     TIME
    exit 1
    outcome  failed
    message  no route
    took     TIME
    error: handler `echo` answered `failed` to job 1: no route
    exit 10
    outcome  retry in 1.5s
    message  the payload asked for a retry
    took     TIME
    error: handler `echo` answered `retry` to job 1: the payload asked for a retry
    exit 11
    outcome  bury
    message  a person should look
    took     TIME
    error: handler `echo` answered `bury` to job 1: a person should look
    "#);
    let panics = run("echo", &json!({"panic": "all is lost"}), &[]);
    assert_eq!(panics.code, Some(12), "{panics}");
    assert!(
        panics
            .out
            .starts_with("outcome  exception\nmessage  panicked at "),
        "{panics}"
    );
}

#[test]
fn what_a_handler_answers_does_not_steer_the_terminal() {
    let text = "red \u{1b}[31m, back \r, C1 \u{9b}1m, 二";
    insta::assert_snapshot!(told(&run("echo", &json!({"fail": text}), &[])), @r"
    exit 1
    outcome  failed
    message  red \u001b[31m, back \u000d, C1 \u009b1m, 二
    took     TIME
    error: handler `echo` answered `failed` to job 1: red \u001b[31m, back \u000d, C1 \u009b1m, 二
    ");
    let ended = run("echo", &json!({"x": "\u{7f}"}), &["--json"]);
    let document: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(document["shown"]["result"]["x"], "\u{7f}");
}

#[test]
fn a_handler_that_ends_or_keeps_the_process_is_told_and_the_command_lives() {
    let texts = [
        told(&run("echo", &json!({"abort": true}), &[])),
        told(&run("echo", &json!({"exit": 3}), &["--repeat=2"])),
        told(&run("echo", &json!({"until_cancelled": true}), &["--timeout=1"])),
    ];
    insta::assert_snapshot!(texts.join("\n"), @"
    exit 13
    error: handler `echo` ended its process with SIGABRT at job 1
    exit 13
    error: handler `echo` ended its process with exit code 3 at job 1
    exit 13
    error: handler `echo` gave no answer within 1s at job 1
    ");
    let host = Host::unconnected();
    let file = plugin("landmine");
    let file = file.to_str().expect("a path");
    let config = |at: &str| {
        let file = host.directory().write("at.json", json!({"at": at}).to_string());
        format!("--handler-config=landmine={}", file.display())
    };
    let texts = ["job", "drop"].map(|at| told(&host.run_bare(&["plugin", "run", file, &config(at)])));
    insta::assert_snapshot!(texts.join("\n"), @"
    exit 13
    error: handler `landmine` ended its process with SIGSEGV at job 1
    exit 13
    outcome  done
    took     TIME
    error: the plugin ended its process with SIGSEGV after everything was done
    ");
}

#[test]
fn the_process_of_a_handler_does_not_outlive_the_command() {
    let host = Host::unconnected();
    let file = plugin("echo");
    let body = host.directory().write("body", r#"{"until_cancelled": true}"#);
    let words = ["plugin", "run", "--log-level=debug"].map(OsStr::new);
    let mut command = host.bare_command(&[]);
    command.args(words).arg(file).arg("--body").arg(body);
    let mut command = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
    let stderr = command.stderr.take().expect("it is ours");
    let mut line = String::new();
    BufReader::new(stderr).read_line(&mut line).expect("it is text");
    assert!(line.contains(" echo"), "the handler has begun: {line}");
    let [child] = processes::children(command.id())[..] else {
        panic!("one child")
    };
    command.kill().expect("it is ours");
    command.wait().expect("it is ours");
    processes::wait_until_gone(child);
}

/// The words that try a job with the handler `exec`, which starts that command for it, a list in TOML.
#[track_caller]
fn trying_exec(host: &Host, command: &str) -> [String; 5] {
    let config = format!("[handler.exec]\ncommand = {command}\nmode = \"oneshot\"\n");
    let config = host.directory().write("host.toml", config);
    let file = plugin("exec");
    let paths = [file, config].map(|path| path.to_str().expect("a path").to_owned());
    let [file, config] = paths;
    [
        "plugin".to_owned(),
        "run".to_owned(),
        file,
        "-c".to_owned(),
        config,
    ]
}

#[test]
fn programs_that_a_handler_has_started_end_with_a_trial_that_is_killed() {
    let host = Host::unconnected();
    let pids = host.path("pids");
    // One that the handler waits for, in a group of its own, and one in a session of its own, whose parent is gone.
    let script = format!(
        "(setsid sleep 600 & echo $! >>{0}); echo $$ >>{0}; exec sleep 600",
        pids.display()
    );
    let words = trying_exec(&host, &format!("[\"sh\", \"-c\", {script:?}]"));
    let words = [&words.each_ref().map(String::as_str)[..], &["--timeout=1"]].concat();
    insta::assert_snapshot!(told(&host.run_bare(&words)), @"
    exit 13
    error: handler `exec` gave no answer within 1s at job 1
    ");
    let pids = fs::read_to_string(pids).expect("the programs were started");
    let pids: Vec<u32> = pids.lines().map(|pid| pid.parse().expect("a number")).collect();
    assert_eq!(pids.len(), 2, "{pids:?}");
    pids.into_iter().for_each(processes::wait_until_gone);
}

#[test]
fn a_file_that_is_asked_for_like_a_name_is_told_by_its_path() {
    let host = Host::unconnected();
    host.directory().copy(&plugin("echo"));
    let directory = host.directory().root().to_owned();
    let host = host.working_directory(directory);
    let texts = ["echo", "libecho"].map(|name| told(&host.run_bare(&["plugin", "run", name])));
    insta::assert_snapshot!(texts.join("\n"), @"
    exit 66
    error: cannot find plugin `echo`: there are no directories to search
      hint: that is a name to look up; the file in the working directory is `./libecho.so`
    exit 66
    error: cannot find plugin `libecho`: there are no directories to search
      hint: that is a name to look up; the file in the working directory is `./libecho.so`
    ");
}

#[test]
fn several_runs_are_counted_and_timed() {
    let host = Host::unconnected();
    let marker = host.directory().write("marker", "");
    let body = json!({"only_while": marker, "retry_in": 7});
    let ended = run("echo", &body, &["--repeat=20", "--json", "--log-level=off"]);
    assert_eq!((ended.code, ended.err.lines().count()), (Some(10), 1), "{ended}");
    let document: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(document["outcomes"], json!({"retry": 20}));
    assert_eq!(document["shown"]["delay_s"], 7.0);
    let took = &document["took_us"];
    assert!(
        took["median"].as_f64() <= took["p99"].as_f64() && took["p99"].as_f64() <= took["longest"].as_f64()
    );
    let told = told(&run("echo", &json!(1), &["--repeat=3"]));
    insta::assert_snapshot!(told, @"
    exit 0
    jobs     3: done 3
    shown    job 1
    outcome  done
    result   1
    took     TIME
    ");
}

#[test]
fn the_handler_is_chosen_configured_and_heard() {
    let told_of = |words: &[&str]| told(&run("pair", &json!(1), words));
    insta::assert_snapshot!(told_of(&[]), @"
    exit 64
    error: no handler is chosen; there are `left`, `right`
      hint: name one of them behind the plugin
    ");
    insta::assert_snapshot!(told_of(&["rihgt"]), @"
    exit 78
    error: no plugin has a handler `rihgt`; there are `left`, `right`
      hint: did you mean `right`?
    ");
    let host = Host::unconnected();
    let config = host
        .directory()
        .write("host.toml", "[handler.right]\nside = \"r\"\n");
    let ended = run(
        "pair",
        &json!(1),
        &["right", "-c", config.to_str().expect("a path")],
    );
    assert!(
        ended.err.contains(" INFO ") && ended.err.contains("from a task"),
        "{ended}"
    );
    insta::assert_snapshot!(told(&ended), @r#"
    exit 0
    outcome  done
    result   ["right","r",1]
    took     TIME
    "#);
    let ended = run("pair", &json!(1), &["left", "--log-format=json"]);
    let line: Value = serde_json::from_str(ended.err.trim()).expect("a log line in JSON");
    assert_eq!(line["message"], "in place");
}

#[test]
fn what_the_handler_prints_does_not_mix_with_the_answer() {
    let ended = run("loud", &json!({"out": "to out", "err": "to err\n"}), &["--json"]);
    assert_eq!(ended.err, "to out\nto err\n");
    let document: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(document["outcomes"], json!({"done": 1}));
}

#[test]
fn a_job_without_a_body_is_null_and_a_body_may_come_from_a_file() {
    let host = Host::unconnected();
    let file = plugin("echo");
    let file = file.to_str().expect("a path");
    let out = host.run_bare(&["plugin", "run", file, "echo"]).succeeded();
    assert!(out.starts_with("outcome  done\nresult   null\n"), "{out}");
    // A body of PHP serialize, which is longer than a pipe or socket takes at once.
    let text = "x".repeat(2 << 20);
    let body = host
        .directory()
        .write("body", format!("s:{}:\"{text}\";", text.len()));
    let body = body.to_str().expect("a path");
    let out = host
        .run_bare(&["plugin", "run", file, "--body", body])
        .succeeded();
    assert!(out.starts_with("outcome  done\nresult   \"xxx"), "{:.60}", out);
    insta::assert_snapshot!(host.run_bare(&["plugin", "run", file, "--body=/none"]), @"
    exit 66
    error: cannot read `/none`: No such file or directory (os error 2)
    ");
}

#[test]
fn tube_and_attempt_are_what_the_handler_is_told() {
    let host = Host::unconnected();
    let script = host
        .directory()
        .write("job.sh", "echo \"\\\"$JOB_TUBE $JOB_ATTEMPT\\\"\"\n");
    let words = trying_exec(&host, &format!("[\"sh\", {script:?}]"));
    let words = words.each_ref().map(String::as_str);
    let told = |more: &[&str]| {
        let out = host.run_bare(&[&words[..], more].concat()).succeeded();
        out.lines()
            .find(|line| line.starts_with("result "))
            .map(str::to_owned)
    };
    assert_eq!(told(&[]).as_deref(), Some("result   \"default 1\""));
    let more = ["--tube=orders", "--attempt=4"];
    assert_eq!(told(&more).as_deref(), Some("result   \"orders 4\""));
}
