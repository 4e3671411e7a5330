//! Plugins of kind 2: plain C against one header, with the outcomes, log lines and errors of plugins in Rust.

use std::{ffi::OsStr, fs, path::Path};

use asynccall_client::protocol::JobState;
use serde_json::{Value, json};

use crate::support::{
    Beanstalkd, Directory, Host,
    author::{Author, repository},
    compiler::c_zoo,
    eventually,
    exposition::Page,
    plugin,
};

/// Runs the zoo in C on a message, without a queue.
#[track_caller]
fn run(library: &Path, message: &[u8]) -> (Option<i32>, Value) {
    let file = library.to_str().expect("a path");
    let words = ["plugin", "run", file, "--body=-", "--json"];
    let ended = Host::unconnected().run_with_input(&words, message);
    let document: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended}"));
    (ended.code, document["shown"].clone())
}

#[test]
fn c_and_cpp_of_every_standard_give_the_same_answers() {
    let directory = Directory::new();
    let builds = [
        ("cc", vec!["-std=c99"]),
        ("cc", vec!["-std=c17", "-O3", "-flto"]),
        ("c++", vec!["-std=c++11", "-x", "c++"]),
        ("c++", vec!["-std=c++20", "-x", "c++"]),
    ];
    let expected = [
        (r#""done""#, 0, "done", "", json!(null)),
        (r#"{"other":[1]}"#, 0, "done", "", json!({"other": [1]})),
        (r#""retry""#, 10, "retry", "not yet", json!(null)),
        (r#""bury""#, 11, "bury", "a person should look", json!(null)),
        (r#""fail""#, 1, "failed", "no luck", json!(null)),
        (r#""exception""#, 12, "exception", "thrown", json!(null)),
        (
            r#""broken""#,
            1,
            "failed",
            "the handler's result is not JSON: expected value at line 1 column 8",
            json!(null),
        ),
        (
            r#""nothing""#,
            1,
            "failed",
            "the handler gave no answer",
            json!(null),
        ),
        // A verdict that nobody knows is another try, and a text that is none is empty.
        (r#""unknown""#, 10, "retry", "", json!(null)),
        (
            r#""endless""#,
            1,
            "failed",
            "the handler's result is not JSON: EOF while parsing a value at line 1 column 0",
            json!(null),
        ),
        (
            r#""put nothing""#,
            11,
            "bury",
            "put 2: there is no job to put",
            json!(null),
        ),
        ("s:4:\"fail\";", 1, "failed", "no luck", json!(null)),
    ];
    for (number, (compiler, flags)) in builds.iter().enumerate() {
        let library = c_zoo(&directory, &format!("zoo{number}"), compiler, flags);
        for (message, code, outcome, text, result) in &expected {
            let (ended, answer) = run(&library, message.as_bytes());
            let context = format!("{compiler} {flags:?} {message}: {answer}");
            assert_eq!(ended, Some(*code), "{context}");
            assert_eq!(answer["outcome"], *outcome, "{context}");
            assert_eq!(answer["message"].as_str().unwrap_or_default(), *text, "{context}");
            assert_eq!(answer["result"], *result, "{context}");
        }
    }
}

#[test]
fn an_exception_that_leaves_a_plugin_ends_its_process_in_words() {
    let directory = Directory::new();
    let library = c_zoo(&directory, "zoo", "c++", &["-std=c++11", "-x", "c++"]);
    let file = library.to_str().expect("a path");
    let ended = Host::unconnected().run_with_input(&["plugin", "run", file, "--body=-"], br#""throw""#);
    assert_ne!(ended.code, Some(0), "{ended}");
    for part in [
        "fatal: an exception has left `execute`, and nothing may unwind out of a plugin in C",
        "handler `c-zoo` ended its process with SIGABRT at job 1",
    ] {
        assert!(ended.err.contains(part), "{ended}");
    }
}

#[test]
fn a_daemon_runs_a_plugin_in_c_beside_one_in_rust() {
    let Some(queue) = Beanstalkd::start() else { return };
    let directory = Directory::new();
    let library = c_zoo(&directory, "zoo", "cc", &["-std=c99"]);
    let host = Host::new(&queue).load(&library).load(plugin("echo"));
    let daemon = host
        .flag("--handler=c-zoo")
        .flag("--max-crashes=1")
        .tube("t")
        .start();

    let facts = queue.put("t", r#""facts""#);
    let line = daemon.wait_for_settled(facts);
    assert!(
        line.contains("handler=c-zoo outcome=done settled=delete"),
        "{line}"
    );
    let said = r#"result="{\"attempt\":1,\"tube\":\"t\",\"priority\":"#;
    assert!(line.contains(said), "{line}");
    let version = env!("CARGO_PKG_VERSION");
    let rest = format!(r#"\"known\":true,\"version\":\"{version}\",\"on\":true}}""#);
    assert!(line.contains(&rest), "{line}");

    let retried = queue.put("t", r#""retry""#);
    let line = daemon.wait_for_settled(retried);
    assert!(line.contains("outcome=retry settled=release delay=2s"), "{line}");
    let buried = queue.put("t", r#""bury""#);
    queue.wait_for(buried, JobState::Buried);

    let logging = queue.put("t", r#""log""#);
    daemon.wait_for_settled(logging);
    let job = format!("job={logging} ");
    let line = daemon.wait_for_line(&["counted rows"]);
    for part in [
        " WARN ",
        &job,
        "handler=c-zoo",
        "rows=3",
        r#"who="a b""#,
        r#"forged="1 level=ERROR""#,
    ] {
        assert!(line.contains(part), "`{part}` is missing in: {line}");
    }

    let crashing = queue.put("t", r#""crash""#);
    let line = daemon.wait_for_line(&["SIGSEGV", &format!("job={crashing}")]);
    assert!(line.contains("t"), "{line}");
    queue.wait_for(crashing, JobState::Buried);
    let after = queue.put("t", r#""done""#);
    queue.wait_until_gone(after);
    assert_eq!(daemon.status()["plugins"][0]["abi"], "1.2");
}

#[test]
fn what_a_handler_in_c_counts_is_in_the_status_and_for_prometheus() {
    let Some(queue) = Beanstalkd::start() else { return };
    let directory = Directory::new();
    let library = c_zoo(&directory, "zoo", "cc", &["-std=c99"]);
    let daemon = Host::new(&queue).load(&library).tube("t").workers(2).start();
    queue.put_all("t", [r#""count""#; 4]);
    daemon.wait_for_total("done", 4);
    let expected = json!({
        "name": "c_zoo_counted",
        "kind": "counter",
        "help": "What messages have asked to be counted",
        "plugin": "c-zoo",
        "series": [{"pool": "default", "labels": {"in": "c"}, "value": 10.0}],
    });
    assert_eq!(daemon.status()["metrics"], json!([expected]));
    let page = Page::read(&daemon.run(&["status", "--metrics"]).succeeded());
    assert_eq!(page.kind("c_zoo_counted"), Some("counter"));
    let labels = [("pool", "default"), ("in", "c")];
    assert_eq!(page.value("c_zoo_counted", &labels), Some(10.0));
}

#[test]
fn a_handler_in_c_puts_as_many_jobs_as_its_pool_allows() {
    let Some(queue) = Beanstalkd::start() else { return };
    let directory = Directory::new();
    let library = c_zoo(&directory, "zoo", "cc", &["-std=c99"]);
    let host = || Host::new(&queue).load(&library).tube("t");

    let daemon = host().start();
    let job = queue.put("t", r#""put""#);
    let line = daemon.wait_for_settled(job);
    let said = "put 1: the pool lets its handlers put no jobs; hint: its setting `put_limit` (--put-limit)";
    for part in ["outcome=bury settled=bury", said] {
        assert!(line.contains(part), "`{part}` is missing in: {line}");
    }
    assert_eq!(queue.stat("total-jobs"), 1);
    drop(daemon);

    let daemon = host().flag("--put-limit=1").start();
    let job = queue.put_with_ttr("t", 77, r#""put""#);
    let line = daemon.wait_for_line(&[&format!("from={job}"), "a handler has put a job"]);
    let put = line.split(" put=").nth(1).and_then(|rest| rest.split(' ').next());
    let put: u64 = put.and_then(|id| id.parse().ok()).expect("the line has its id");
    // It is for the same tube, and so the same handler does it.
    for job in [job, put] {
        let line = daemon.wait_for_settled(job);
        assert!(line.contains("outcome=done settled=delete"), "{line}");
        queue.wait_until_gone(job);
    }
    assert_eq!(queue.stat("total-jobs"), 3);
}

#[test]
fn a_handler_in_c_ticks_between_jobs_and_says_goodbye() {
    let Some(queue) = Beanstalkd::start() else { return };
    let directory = Directory::new();
    let library = c_zoo(&directory, "zoo", "cc", &["-std=c99"]);
    let host = Host::new(&queue).load(&library).tube("t");
    let mut daemon = host.config("[handler.c-zoo]\ndo = \"tick\"\n").start();
    eventually("three ticks", || {
        (daemon.lines_with(&["handler=c-zoo", "tick in C"]).len() >= 3).then_some(())
    });
    let job = queue.put("t", r#""done""#);
    queue.wait_until_gone(job);
    assert!(
        daemon.lines_with(&["goodbye in C"]).is_empty(),
        "{}",
        daemon.log()
    );
    assert_eq!(daemon.stop(), Some(0));
    let log = daemon.log();
    let (_, behind) = log.split_once("goodbye in C").expect("it says goodbye");
    assert!(!behind.contains("tick in C"), "behind the last tick: {log}");
    assert!(!behind.contains("goodbye in C"), "once: {log}");
}

#[test]
fn a_handler_in_c_that_cannot_be_made_is_refused_in_the_same_words_as_one_in_rust() {
    let Some(queue) = Beanstalkd::start() else { return };
    let directory = Directory::new();
    let library = c_zoo(&directory, "zoo", "cc", &[]);
    let table = [
        (
            "refuse",
            "error: cannot configure handler `c-zoo`: refused as asked",
        ),
        (
            "fail",
            "error: cannot create handler `c-zoo`: failed \u{fffd} as asked",
        ),
        (
            "silent",
            "error: cannot create handler `c-zoo`: it gave no reason",
        ),
        (
            "check",
            "error: handler `c-zoo` failed its self-check: there is nobody to answer to",
        ),
    ];
    for (what, expected) in table {
        let config = directory.write("zoo.json", json!({"do": what}).to_string());
        let host = Host::new(&queue).load(&library).tube("t");
        let host = host.flag(format!("--handler-config=c-zoo={}", config.display()));
        let ended = host.run(&["run"]);
        assert_ne!(ended.code, Some(0), "{ended}");
        assert!(ended.err.contains(expected), "{what}: {ended}");
    }
}

#[test]
fn a_plugin_of_an_older_or_a_later_header_loads() {
    let directory = Directory::new();
    // Only `create` and `execute` are there: nothing of what stands behind them is called.
    let older = c_zoo(&directory, "older", "cc", &["-DOLDER_HEADER"]);
    let later = c_zoo(&directory, "later", "cc", &["-DLATER_HEADER"]);
    for library in [older, later] {
        let (code, answer) = run(&library, br#""facts""#);
        assert_eq!(code, Some(0), "{answer}");
        assert_eq!(answer["result"]["attempt"], 1, "{answer}");
    }
}

#[test]
fn a_table_or_manifest_without_what_a_host_needs_is_refused() {
    let directory = Directory::new();
    for (flag, reason) in [
        ("-DNO_TABLE", "its entry gave no table of functions"),
        ("-DNO_EXECUTE", "its table of functions has no `execute`"),
        (
            "-DNO_SIZE",
            "the `size` of its table of functions has no room for `create` and `execute`; hint: it is sizeof(asynccall_plugin_functions)",
        ),
        (
            "-DQUOTED",
            "hint: plugin_api::export_plugin! writes the manifest, and ASYNCCALL_PLUGIN that of a plugin in C, whose texts",
        ),
    ] {
        let library = c_zoo(&directory, "broken", "cc", &[flag]);
        let file = library.to_str().expect("a path");
        let ended = Host::unconnected().run_bare(&["plugin", "check", file]);
        assert_ne!(ended.code, Some(0), "{ended}");
        assert!(ended.out.contains(reason), "{ended}");
    }
}

#[test]
fn who_only_has_the_binary_begins_with_the_header_that_it_prints() {
    let mut author = Author::new();
    let example = repository().join("examples/c/checksum.c");
    fs::copy(example, author.path("checksum.c")).expect("the file is copied");
    author.run("asynccall-host plugin header > asynccall_plugin.h");
    author.run("cc -std=c99 -O2 -shared -fPIC -I . -o libchecksum.so checksum.c");
    let said = author.run("asynccall-host plugin check ./libchecksum.so");
    assert!(said.contains("ok      load"), "{said}");
    let printed = fs::read_to_string(author.path("asynccall_plugin.h")).expect("it is printed");
    let header = repository().join("plugin-api/abi/include/asynccall_plugin.h");
    assert_eq!(printed, fs::read_to_string(header).expect("the header is there"));
}

/// The commands in the fenced block of a README.
fn commands(readme: &str) -> String {
    let (_, from) = readme.split_once("```sh\n").expect("it has a block of commands");
    from.split_once("```").expect("the block ends").0.to_owned()
}

#[test]
fn the_examples_do_what_their_readmes_say() {
    for (example, result) in [
        ("examples/c", r#"result   {"adler32":1546979243}"#),
        ("examples/cpp", r#"result   {"words":3}"#),
    ] {
        // The commands name the header from where they are written, and leave their library there.
        let include = repository().join("plugin-api/abi/include");
        let mut author =
            Author::new().where_stands("../../plugin-api/abi/include", include.display().to_string());
        for entry in fs::read_dir(repository().join(example)).expect("the example is there") {
            let path = entry.expect("it can be listed").path();
            let name = path.file_name().and_then(OsStr::to_str).expect("a file");
            fs::copy(&path, author.path(name)).expect("the file is copied");
        }
        let readme = fs::read_to_string(author.path("README.md")).expect("the readme is there");
        let said: String = commands(&readme).lines().map(|line| author.run(line)).collect();
        assert!(said.contains("ok      load"), "{said}");
        assert!(said.contains(result), "{example}: {said}");
    }
}
