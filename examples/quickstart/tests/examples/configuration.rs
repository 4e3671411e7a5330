//! The sample configurations are what the daemon takes, with the defaults that it has.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::stage::{built, daemon, example, run};

/// The directory that the samples load plugins from.
const INSTALLED: &str = "/usr/local/lib/asynccall";

/// The text of a sample, with the mailer from where cargo has built it.
fn sample(name: &str) -> String {
    let mailer = built(&["--package", "asynccall-mailer"], "mailer");
    let directory = mailer.parent().and_then(Path::to_str).expect("a path in UTF-8");
    let text = fs::read_to_string(example("config").join(name)).expect("the sample is there");
    assert!(text.contains(INSTALLED));
    text.replace(INSTALLED, directory)
}

/// What `check` says to a configuration.
#[track_caller]
fn check(text: &str) -> String {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("asynccall-host.toml");
    fs::write(&file, text).expect("a writable directory");
    let checked = run(Command::new(daemon()).args(["check", "-c"]).arg(&file));
    let error = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{error}\n{text}");
    String::from_utf8_lossy(&checked.stdout).into_owned()
}

/// The sample with its `#key = value` lines in force, but for the account, which this machine need not have.
fn with_everything(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with("user = ") || rest.starts_with("group = ") => line,
        Some(rest) if rest.starts_with(char::is_alphabetic) => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_sample_is_accepted() {
    for (name, pool) in [
        (
            "asynccall-host.toml",
            "pool default: tubes async_call_test, handler mailer, workers 1, slots of each 1",
        ),
        (
            "minimal.toml",
            "pool default: tubes mail, handler mailer, workers 1, slots of each 1",
        ),
        (
            "php-names.toml",
            "pool default: tubes async_call_test, handler mailer, workers 4, slots of each 1",
        ),
    ] {
        let said = check(&sample(name));
        assert!(said.lines().any(|line| line == pool), "{name}: {said}");
        assert!(!said.contains("warning"), "{name}: {said}");
    }
}

/// The flags that `--help` lists, each with the first word of its default.
fn flags(help: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    help.split("--").skip(1).map(|text| {
        let end = text.find(|character: char| !matches!(character, 'a'..='z' | '0'..='9' | '-'));
        let default = text.split_once("[default: ").map(|(_, rest)| rest);
        let word = default.and_then(|rest| rest.split([' ', ']']).next());
        (&text[..end.unwrap_or(text.len())], word)
    })
}

#[test]
fn the_full_sample_has_the_key_of_every_flag_with_its_default() {
    let text = sample("asynccall-host.toml");
    check(&with_everything(&text));
    let help = run(Command::new(daemon()).arg("--help"));
    let help = String::from_utf8(help.stdout).expect("it is text");
    let mut compared = 0;
    for (flag, default) in flags(&help) {
        let key = match flag {
            "config" | "handler-config" | "help" | "version" => continue,
            "plugin" => "load".to_owned(),
            "plugin-dir" => "drop_in".to_owned(),
            "allow-unsafe-plugins" => "allow_unsafe".to_owned(),
            "plugins-lock" => "lock".to_owned(),
            "tube" => "tubes".to_owned(),
            flag => flag.replace('-', "_"),
        };
        let given = text
            .lines()
            .find_map(|line| line.strip_prefix(&key)?.strip_prefix(" = "));
        match (given, default) {
            (Some(value), Some(default)) => {
                assert_eq!(value.trim_matches(['[', ']', '"']), default, "{key}");
                compared += 1;
            }
            (Some(_), None) => {}
            (None, _) => assert!(text.contains(&format!("\n#{key} = ")), "no `{key}`"),
        }
    }
    assert!(compared >= 15, "{help}");
}

#[test]
fn the_units_commands_are_the_daemons() {
    let unit = fs::read_to_string(example("config/asynccall-host.service")).expect("the unit is there");
    let commands = unit
        .lines()
        .filter(|line| line.starts_with("Exec"))
        .filter_map(|line| line.split_once("=/usr/local/bin/asynccall-host "));
    let mut known = 0;
    for (key, arguments) in commands {
        // With `--help` nothing is done, but everything before it is parsed.
        let parsed = run(Command::new(daemon()).args(arguments.split(' ')).arg("--help"));
        assert!(
            parsed.status.success(),
            "{key}: {}",
            String::from_utf8_lossy(&parsed.stderr)
        );
        known += 1;
    }
    assert_eq!(known, 3);
}
