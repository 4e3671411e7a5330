//! The promise of the abi, tested with real builds: any two minors work together, and anything else is refused in
//! one line.
//!
//! Later minors and broken ones are made from this workspace by edits, see [`versions`]. The host is `examples/loader.rs`,
//! the plugin is the echo of the zoo.

mod tree;
mod versions;

use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use asynccall_abi::{ABI_MAJOR, ABI_MINOR};
use serde_json::{Value, json};
use tree::{Edit, Tree, built, workspace_root};
use versions::{ROOT_GROWS, broken_promises, later_minor, version};

/// How many minors are tried that come after today's.
const LATER: u16 = 2;

/// A host and a plugin of one minor.
struct Minor {
    loader: PathBuf,
    plugin: PathBuf,
}

/// This workspace's own minor, and [`LATER`] more.
fn minors() -> &'static [Minor] {
    static MINORS: OnceLock<Vec<Minor>> = OnceLock::new();
    MINORS.get_or_init(|| {
        let mut minors = vec![current()];
        for later in 1..=LATER {
            let tree = Tree::new(&format!("minor_{later}"), &later_minor(later));
            minors.push(Minor {
                loader: tree.loader(),
                plugin: tree.plugin(),
            });
        }
        minors
    })
}

fn current() -> Minor {
    let build = |selection: &[&str], target, key| {
        let output = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--message-format=json-render-diagnostics"])
            .args(selection)
            .current_dir(workspace_root())
            .output()
            .expect("cargo runs the tests, so it can be started");
        built(&output, target, key)
    };
    Minor {
        loader: build(
            &["-p", "asynccall-abi", "--example", "loader"],
            "loader",
            "executable",
        ),
        plugin: build(&["-p", "zoo-echo"], "echo", "filenames"),
    }
}

/// Has every plugin in turn, all in one process, run a job in this host.
#[track_caller]
fn answers(loader: &Path, plugins: &[&Path]) -> Vec<Value> {
    let mut command = Command::new(loader);
    for plugin in plugins {
        command.arg(plugin).args(["echo", "{}"]);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the loader was just built");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(br#"{"a":[1]}"#).expect("the loader reads it all");
    drop(stdin);
    let output = child.wait_with_output().expect("the loader ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8(output.stdout).expect("it is text");
    let lines: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("it is JSON"))
        .collect();
    assert_eq!(lines.len(), plugins.len(), "{text}");
    lines
}

/// The one line in which a host refuses this workspace's plugin.
#[track_caller]
fn refusal(name: &str, edits: &[Edit]) -> String {
    let loader = Tree::new(name, edits).loader();
    let [answer] = &answers(&loader, &[&minors()[0].plugin])[..] else {
        unreachable!("one answer for one plugin")
    };
    let error = answer["error"].as_str();
    error.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn any_two_minors_work_together_also_beside_others() {
    for (host, Minor { loader, .. }) in minors().iter().enumerate() {
        let plugins: Vec<_> = minors()
            .iter()
            .map(|minor| minor.plugin.as_path())
            .enumerate()
            .collect();
        let rotated = (0..plugins.len()).map(|by| {
            let mut order = plugins.clone();
            order.rotate_left(by);
            order
        });
        let reversed = plugins.iter().rev().copied().collect();
        for order in rotated.chain([reversed]) {
            let paths: Vec<_> = order.iter().map(|(_, path)| *path).collect();
            for ((plugin, _), answer) in order.iter().zip(answers(loader, &paths)) {
                let context = format!("host +{host}, plugin +{plugin}: {answer}");
                assert_eq!(answer["abi"], abi(*plugin), "{context}");
                assert_eq!(answer["host_abi"], abi(host), "{context}");
                assert_eq!(answer["verdict"], 0, "{context}");
                assert_eq!(answer["result"], r#"{"a":[1]}"#, "{context}");
                assert_eq!(answer["message"], seen_by_plugin(*plugin, host), "{context}");
                if host > 0 {
                    let grown = usize::from(ROOT_GROWS) - 1;
                    assert_eq!(
                        answer["handler"],
                        json!(common(host, *plugin, |k| json!(10 + k), json!(0)))
                    );
                    assert_eq!(
                        answer["root"],
                        json!(common(host, *plugin, |k| json!(20 + k), json!(null))[grown..])
                    );
                }
            }
        }
    }
}

/// The abi of the minor so many after today's.
fn abi(later: usize) -> Value {
    json!([ABI_MAJOR, usize::from(ABI_MINOR) + later])
}

/// What one side sees of the other: an answer where the other side has it, else what an absent one reads as.
fn common(own: usize, other: usize, there: fn(usize) -> Value, absent: Value) -> Vec<Value> {
    (1..=own)
        .map(|k| if k <= other { there(k) } else { absent.clone() })
        .collect()
}

/// What a plugin of a later minor says of its host, in the words of its `Debug`.
fn seen_by_plugin(plugin: usize, host: usize) -> String {
    if plugin == 0 {
        return String::new();
    }
    let mut job = Vec::new();
    let mut api = Vec::new();
    for k in 1..=plugin {
        job.push(if k <= host { 30 + k } else { 0 });
        api.push((k <= host).then_some(40 + k));
    }
    let mut said = String::new();
    write!(said, "job {job:?} host {api:?}").expect("a string takes everything");
    said
}

#[test]
fn a_broken_promise_is_refused_in_one_line_that_names_the_type() {
    for (name, edits, difference) in broken_promises() {
        let expected = format!("its types differ from this host's although the versions agree: {difference}");
        assert_eq!(refusal(name, &edits), expected, "{name}");
    }
}

#[test]
fn another_major_is_refused_before_anything_else_is_looked_at() {
    assert_eq!(
        refusal("major_2", &version(2, 0)),
        format!("it was built for plugin-abi {ABI_MAJOR}.{ABI_MINOR}, this host speaks plugin-abi 2.0")
    );
}
