//! `plugin new`: from an empty directory outside every workspace to jobs that are done, by the commands that are
//! printed on the way, each run as it stands.

use std::{fs, process::Output};

use crate::support::{Beanstalkd, author::Author, author::repository, have, queue::free_port};

/// The commands among what `plugin new` prints.
fn commands(printed: &str) -> Vec<&str> {
    printed
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .collect()
}

/// Begins a plugin and runs every command that is printed, to the end of a daemon that has done one job.
#[track_caller]
fn take_the_first_steps(author: &mut Author, name: &str, flags: &[&str]) {
    let printed = author.begin(&[&[name], flags].concat());
    let commands = commands(&printed);
    assert_eq!(commands.len(), 8, "{printed}");
    for line in commands {
        match line.strip_prefix("cat ") {
            Some(file) => author.wait_for_file(file, &format!("Hello from {name}.\n").repeat(2)),
            None => drop(author.run(line)),
        }
    }
    author.wait_for_other_terminals();
    author.run("cargo fmt --check");
}

#[test]
fn a_new_plugin_does_its_first_jobs_by_the_commands_that_are_printed_and_those_of_its_readme() {
    let Some(queue) = Beanstalkd::start() else {
        return;
    };
    let mut author = Author::new().with_queue(&queue);
    take_the_first_steps(&mut author, "courier", &[]);
    fs::remove_file(author.path("target/texts.txt")).expect("the handler has written it");

    let readme = fs::read_to_string(author.path("README.md")).expect("there is a README");
    assert_eq!(author.follow(&readme), 11, "{readme}");
    author.wait_for_other_terminals();
}

#[test]
fn a_new_asynchronous_plugin_does_its_first_job_too() {
    let Some(queue) = Beanstalkd::start() else {
        return;
    };
    let mut author = Author::new().with_queue(&queue);
    take_the_first_steps(&mut author, "sms-gateway", &["--async"]);
    // The other kind is `examples/handler`, which is looked at in the same way.
    author.run("cargo clippy --all-targets -- -D warnings");
}

#[test]
fn the_way_from_an_empty_directory_to_a_mail_is_as_it_is_told() {
    let advice = "Debian: apt-get install python3-aiosmtpd";
    if !have("/usr/bin/python3", &["-c", "import aiosmtpd"], advice) {
        return;
    }
    let Some(queue) = Beanstalkd::start() else {
        return;
    };
    let tutorial = repository().join("examples/first-plugin/README.md");
    let tutorial = fs::read_to_string(tutorial).expect("there is a tutorial");
    let checkout = repository().to_str().expect("a path in UTF-8");
    let mut author = Author::new()
        .with_queue(&queue)
        .where_stands("/src/asynccall-host", checkout)
        .where_stands("8025", free_port().to_string());
    assert_eq!(author.follow(&tutorial), 12, "{tutorial}");
    author.run("cargo fmt --check");
}

#[test]
fn the_shortest_and_the_longest_name_give_formatted_code() {
    for name in ["x", &format!("an{}", "-y".repeat(31))] {
        for flags in [&[][..], &["--async"]] {
            let mut author = Author::new();
            author.begin(&[&[name], flags].concat());
            author.run(&format!("cd {name}"));
            author.run("cargo fmt --check");
        }
    }
}

/// What a refused run said, of which it is known that it printed and changed nothing.
#[track_caller]
fn refused(author: &Author, code: i32, words: &[&str]) -> String {
    let before = author.names();
    let Output {
        status,
        stdout,
        stderr,
    } = author.host(&[&["plugin", "new"], words].concat());
    let text = String::from_utf8(stderr).expect("it is text");
    assert_eq!(status.code(), Some(code), "{text}");
    assert!(stdout.is_empty(), "{text}");
    assert_eq!(author.names(), before, "{text}");
    text
}

#[test]
fn what_cannot_be_a_plugins_name_or_place_is_refused_and_nothing_is_written() {
    let author = Author::new();
    fs::create_dir(author.path("full")).expect("a directory");
    fs::write(author.path("full/mine"), "mine").expect("a file");
    let texts = [
        refused(&author, 64, &["SmsGateway"]),
        refused(&author, 64, &["test"]),
        refused(&author, 64, &["../elsewhere"]),
        refused(&author, 73, &["full"]),
    ];
    insta::assert_snapshot!(texts.concat(), @r"
    error: `SmsGateway` is no name for a plugin: wanted a lower-case letter, and then a-z, 0-9, `-` and `_`
      hint: did you mean `sms-gateway`?
    error: a plugin cannot be called `test`: that is a crate that Rust or the plugin itself uses
      hint: `my-test` would do
    error: `../elsewhere` is no name for a plugin: wanted a lower-case letter, and then a-z, 0-9, `-` and `_`
      hint: did you mean `elsewhere`?
    error: `full` is there already, and nothing of it is overwritten
    ");
}

#[test]
fn a_path_that_is_not_that_of_plugin_api_is_refused_with_the_right_one() {
    let author = Author::new();
    for directory in ["checkout/plugin-api", "other", "broken"] {
        fs::create_dir_all(author.path(directory)).expect("a directory");
    }
    for (file, text) in [
        ("checkout/Cargo.toml", "[workspace]\n"),
        (
            "checkout/plugin-api/Cargo.toml",
            "[package]\nname = \"asynccall-plugin-api\"\n",
        ),
        ("other/Cargo.toml", "[package]\nname = \"other\"\n"),
        ("broken/Cargo.toml", "[package\n"),
    ] {
        fs::write(author.path(file), text).expect("a file");
    }
    let texts = ["checkout", "other", "broken", "nowhere"]
        .map(|path| refused(&author, 66, &["courier", "--path", path]));
    insta::assert_snapshot!(texts.concat(), @r"
    error: `checkout/Cargo.toml` is the manifest of no package, wanted that of `asynccall-plugin-api`
      hint: did you mean `checkout/plugin-api`?
    error: `other/Cargo.toml` is the manifest of `other`, wanted that of `asynccall-plugin-api`
    error: cannot read `broken/Cargo.toml`: unclosed table, expected `]`
    error: cannot read `nowhere/Cargo.toml`: No such file or directory (os error 2)
    ");
}

#[test]
fn without_a_path_plugin_api_comes_from_the_registry_and_a_relative_one_is_seen_from_the_new_crate() {
    let author = Author::new();
    fs::create_dir_all(author.path("lib/plugin-api")).expect("a directory");
    let manifest = author.path("lib/plugin-api/Cargo.toml");
    fs::write(manifest, "[package]\nname = \"asynccall-plugin-api\"\n").expect("a file");
    for (name, words, wanted) in [
        ("far", &[][..], "asynccall-plugin-api = { version = \"1\" }"),
        (
            "near",
            &["--path", "./lib/plugin-api"],
            "asynccall-plugin-api = { path = \"../lib/plugin-api\" }",
        ),
    ] {
        let output = author.host(&[&["plugin", "new", name], words].concat());
        assert!(output.status.success(), "{output:?}");
        let manifest = author.path(name).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).expect("it is written");
        assert!(manifest.lines().any(|line| line == wanted), "{manifest}");
    }
}
