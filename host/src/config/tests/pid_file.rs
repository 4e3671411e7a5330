//! The pid file, as a run and as a command to a running daemon finds it; and the reading of files.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::given;
use crate::cli::Flags;
use crate::config::{ConfigErrors, Environment, Sources, load, load_pid_file};
use crate::exit::Exit;

#[test]
fn the_default_is_in_a_directory_of_this_user_alone() {
    let table = [
        (None, "/tmp/asynccall-host-1000"),
        (Some("/run/user/1000"), "/run/user/1000/asynccall-host"),
        (Some("relative"), "/tmp/asynccall-host-1000"),
        (Some(""), "/tmp/asynccall-host-1000"),
    ];
    for (runtime, dir) in table {
        let variables: Vec<_> = runtime.map(|dir| ("XDG_RUNTIME_DIR", dir)).into_iter().collect();
        let daemon = given("").variables(&variables).config().daemon;
        assert_eq!(daemon.pid_file, Path::new(dir).join("default.pid"));
        assert_eq!(daemon.private_dir.as_deref(), Some(Path::new(dir)));
    }
    assert_eq!(given("--pid-file /a.pid").config().daemon.private_dir, None);
}

/// A directory with the file `host.toml`.
fn directory(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("host.toml");
    fs::write(&file, text).unwrap();
    (dir, file)
}

fn sources(dir: &TempDir, flags: Flags, variables: &[(&str, &str)]) -> Sources {
    let environment = Environment::new(variables.iter().copied());
    Sources {
        flags,
        environment,
        cwd: dir.path().to_owned(),
        euid: 1000,
    }
}

#[test]
fn a_command_finds_the_pid_file_by_flag_variable_and_file() {
    let (dir, _) = directory("slots = 'wrong'\n[daemon]\npid_file = 'file.pid'");
    let flags = || Flags::default().with("config", "host.toml");
    let found = |flags, variables: &[_]| load_pid_file(&sources(&dir, flags, variables)).unwrap();
    let path = |name| dir.path().join(name);
    let variable = [("ASYNCCALL_PID_FILE", "variable.pid")];
    assert_eq!(
        found(flags(), &[]),
        path("file.pid"),
        "although something else in the file is wrong"
    );
    assert_eq!(found(flags(), &variable), path("variable.pid"));
    assert_eq!(
        found(flags().with("pid-file", "flag.pid"), &variable),
        path("flag.pid")
    );
    assert_eq!(
        found(Flags::default(), &[("ASYNCCALL_CONFIG", "host.toml")]),
        path("file.pid")
    );
    assert_eq!(
        found(Flags::default(), &[]),
        Path::new("/tmp/asynccall-host-1000/default.pid")
    );
}

#[test]
fn a_pid_file_that_cannot_be_known_is_an_error() {
    let (dir, file) = directory("[daemon]\npid_file = 3");
    let flags = || Flags::default().with("config", "host.toml");
    let refused = |flags| load_pid_file(&sources(&dir, flags, &[])).unwrap_err();
    assert!(refused(flags()).to_string().contains("found `3`"));
    fs::write(&file, "[daemon").unwrap();
    assert_eq!(refused(flags()).exit(), Exit::Config);
    assert_eq!(
        refused(Flags::default().with("config", "gone.toml")).exit(),
        Exit::NoInput
    );
    assert!(load_pid_file(&sources(&dir, flags().with("pid-file", "a.pid"), &[])).is_ok());
}

#[test]
fn files_are_read_and_each_that_cannot_be_is_named() {
    let (dir, _) = directory("[plugins]\nload = './a.so'\n[handler.a]\nx = 1");
    fs::write(dir.path().join("a.json"), "{\"x\": 2}").unwrap();
    let flags = |files: &str| {
        Flags::default()
            .with("config", "host.toml")
            .with("handler-config", files)
    };
    let config = load(&sources(&dir, flags("a=a.json"), &[])).unwrap().config;
    assert_eq!(config.handlers["a"].value()["x"], 2);
    let gone = Flags::default()
        .with("config", "gone.toml")
        .with("handler-config", "a=gone.json");
    let errors: ConfigErrors = load(&sources(&dir, gone.clone().with("plugin", "./a.so"), &[])).unwrap_err();
    assert_eq!((errors.problems().len(), errors.exit()), (2, Exit::NoInput));
    let text = errors.to_string().replace(dir.path().to_str().unwrap(), "DIR");
    insta::assert_snapshot!(text, @"
    `--config`: cannot be read: `DIR/gone.toml`: No such file or directory (os error 2)
    `--handler-config`: cannot be read: `DIR/gone.json`: No such file or directory (os error 2)
    ");
    let errors = load(&sources(&dir, gone.with("port", "x"), &[])).unwrap_err();
    assert!(errors.to_string().contains("`--port`"), "{errors}");
}

#[test]
fn the_surroundings_of_this_process_are_taken_down() {
    let sources = Sources::of_process(Flags::default()).unwrap();
    assert!(sources.cwd.is_absolute());
    let text = serde_json::to_string(&sources).unwrap();
    assert_eq!(serde_json::from_str::<Sources>(&text).unwrap(), sources);
}
