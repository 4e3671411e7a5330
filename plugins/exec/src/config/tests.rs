//! Which configurations are refused with which text, and what the defaults are.

use plugin_api::serde_json::{self, json};

use super::*;
use crate::tests::assert_fits;

/// The whole error text, from reading the keys or from checking them.
#[track_caller]
fn refusal(config: Value) -> String {
    match serde_json::from_value::<Config>(config) {
        Err(error) => error.to_string(),
        Ok(config) => config
            .resolve()
            .expect_err("the configuration is refused")
            .to_string(),
    }
}

#[track_caller]
fn resolved(config: Value) -> Settings {
    assert_fits(&config);
    let config: Config = serde_json::from_value(config).expect("the keys are known");
    config.resolve().expect("the configuration is accepted")
}

#[test]
fn a_bad_configuration_is_refused_with_what_to_do() {
    let sh = |more: Value| {
        let mut config = json!({"command": ["sh"], "mode": "oneshot"});
        let members = more.as_object().expect("an object").clone();
        config.as_object_mut().expect("an object").extend(members);
        config
    };
    let table = [
        (json!({"command": ["sh"]}), "missing field `mode`"),
        (json!({"mode": "oneshot"}), "missing field `command`"),
        (
            sh(json!({"mode": "daemon"})),
            "unknown variant `daemon`, expected `oneshot` or `persistent`",
        ),
        (
            sh(json!({"max_job": 1})),
            "unknown field `max_job`, expected one of `command`, `mode`",
        ),
        (sh(json!({"command": []})), "`command` is empty, wanted a program"),
        (sh(json!({"command": [""]})), "`command` is empty"),
        (
            sh(json!({"command": "sh -c x"})),
            "invalid type: string \"sh -c x\", expected a sequence",
        ),
        (
            sh(json!({"command": ["bin/sh"]})),
            "`bin/sh` of `command` is not an absolute path\n  hint:",
        ),
        (
            sh(json!({"command": ["no-such-program"]})),
            "`no-such-program` of `command` is not in `PATH`, which is `/",
        ),
        (
            sh(json!({"command": ["/etc/passwd"]})),
            "cannot use `/etc/passwd` of `command`: it is not an executable file",
        ),
        (
            sh(json!({"command": ["/nonexistent"]})),
            "cannot use `/nonexistent` of `command`: No such file",
        ),
        (
            sh(json!({"command": ["sh", "a\0b"]})),
            "`command` contains a zero byte",
        ),
        (
            sh(json!({"env": {"A=B": "c"}})),
            "`A=B` of `env` is not a name of a variable",
        ),
        (sh(json!({"env": {"A": "\0"}})), "`env` contains a zero byte"),
        (
            sh(json!({"directory": "tmp"})),
            "cannot use `tmp` of `directory`: it is not an absolute path",
        ),
        (
            sh(json!({"directory": "/nonexistent"})),
            "cannot use `/nonexistent` of `directory`: No such",
        ),
        (
            sh(json!({"directory": "/etc/passwd"})),
            "cannot use `/etc/passwd` of `directory`: not a directory",
        ),
        (
            sh(json!({"timeout": 0})),
            "`timeout` is 0, wanted at least a fraction",
        ),
        (
            sh(json!({"timeout": -1})),
            "`-1` is no time, wanted seconds from 0",
        ),
        (
            sh(json!({"kill_grace": 1e300})),
            "is no time, wanted seconds from 0",
        ),
        (
            sh(json!({"max_jobs": 5})),
            "`max_jobs` needs `mode = \"persistent\"`",
        ),
        (
            sh(json!({"stop_grace": 5})),
            "`stop_grace` needs `mode = \"persistent\"`",
        ),
        (
            sh(json!({"start_timeout": 5})),
            "`start_timeout` needs `mode = \"persistent\"`",
        ),
        (
            sh(json!({"mode": "persistent", "exit_codes": {}})),
            "`exit_codes` needs `mode = \"oneshot\"`",
        ),
        (
            sh(json!({"exit_codes": {"burry": [1]}})),
            "unknown field `burry`, expected one of `done`, `bury`",
        ),
        (
            sh(json!({"exit_codes": {"bury": [1], "retry": [2, 1]}})),
            "exit code 1 is both in `exit_codes.bury` and in `exit_codes.retry`",
        ),
        (
            sh(json!({"exit_codes": {"bury": [256]}})),
            "`256` of `exit_codes.bury` is no exit code, wanted 0 to 255",
        ),
    ];
    for (config, wanted) in table {
        let told = refusal(config.clone());
        assert!(
            told.contains(wanted),
            "{config}\n  gave   {told}\n  wanted {wanted}"
        );
    }
}

#[test]
fn a_program_without_a_slash_is_found_in_the_path() {
    let settings = resolved(json!({"command": ["sh", "-c", "true"], "mode": "oneshot"}));
    assert!(settings.launch.program.ends_with("bin/sh"));
    assert_eq!(settings.launch.command, ["sh", "-c", "true"]);
}

#[test]
fn exit_codes_that_are_named_leave_the_lists_of_the_defaults() {
    let verdicts = |codes: Value| {
        let config = json!({"command": ["sh"], "mode": "oneshot", "exit_codes": codes});
        match resolved(config).kind {
            Kind::Oneshot(verdicts) => verdicts,
            Kind::Persistent(_) => panic!("the mode is oneshot"),
        }
    };
    let told = verdicts(json!({"done": [0, 75], "retry_delay": 0.5}));
    assert_eq!(told.done, [0, 75].into());
    assert_eq!(told.bury, [65].into());
    assert!(told.retry.is_empty());
    assert_eq!(told.retry_delay, Duration::from_millis(500));
    let told = verdicts(json!({"bury": []}));
    assert!(told.bury.is_empty());
    assert_eq!(told.retry, [75].into());
}

#[test]
fn class_and_options_reach_a_oneshot_command_by_its_environment() {
    let config = json!({
        "command": ["sh"], "mode": "oneshot", "class": "\\Core\\Mailler", "options": {"a": 1}, "env": {"B": "c"},
    });
    let environment = resolved(config).launch.environment;
    let told: Vec<_> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("ASYNCCALL_CLASS", "\\Core\\Mailler"),
            ("ASYNCCALL_OPTIONS", r#"{"a":1}"#),
            ("B", "c")
        ]
    );
}
