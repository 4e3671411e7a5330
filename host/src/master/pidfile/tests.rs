use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt};

use nix::sys::stat::Mode;

use super::*;

#[test]
fn a_second_start_on_a_pid_file_says_who_holds_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.pid");
    let held = PidFile::acquire(&path, None).expect("a free file");
    let error = PidFile::acquire(&path, None).expect_err("the file is held");
    assert!(
        error.to_string().contains(&format!("pid {}", std::process::id())),
        "{error}"
    );
    assert_eq!(
        std::fs::read_to_string(&path).expect("a file"),
        std::process::id().to_string()
    );
    assert_eq!(std::fs::metadata(&path).expect("a file").mode() & 0o777, 0o600);
    held.release();
    assert!(!path.exists());
}

#[test]
fn a_file_that_nobody_has_locked_is_no_running_daemon() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("stale.pid");
    std::fs::write(&path, "1").expect("a file");
    let error = Holder::find(&path).expect_err("nobody holds it");
    assert!(matches!(error, PidFileError::NotRunning { .. }), "{error}");
    PidFile::acquire(&path, None).expect("a stale file does not block a start");
}

#[test]
fn a_symbolic_link_is_not_followed() {
    let directory = tempfile::tempdir().expect("a directory");
    let (target, link) = (
        directory.path().join("precious"),
        directory.path().join("link.pid"),
    );
    std::fs::write(&target, "precious").expect("a file");
    std::os::unix::fs::symlink(&target, &link).expect("a link");
    PidFile::acquire(&link, None).expect_err("links are refused");
    assert_eq!(std::fs::read_to_string(&target).expect("a file"), "precious");
}

#[test]
fn a_directory_that_others_may_use_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = directory.path().join("open");
    DirBuilder::new().mode(0o755).create(&open).expect("a directory");
    let error = make_private(&open).expect_err("it is not private");
    assert!(error.to_string().contains("with mode 0755"), "{error}");
    make_private(&directory.path().join("new")).expect("a new one is made private");
}

#[test]
fn a_symbolic_link_is_no_private_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let (own, link) = (directory.path().join("own"), directory.path().join("link"));
    make_private(&own).expect("a new directory");
    std::os::unix::fs::symlink(&own, &link).expect("a link");
    let error = make_private(&link).expect_err("links are refused");
    assert!(error.to_string().contains("found a symbolic link"), "{error}");
    let uid = nix::unistd::geteuid().as_raw() + 1;
    make_private_for(&link, uid, uid).expect_err("links are refused");
    assert_ne!(std::fs::metadata(&own).expect("a directory").uid(), uid);
}

#[test]
fn a_directory_is_given_away_only_while_it_is_empty() {
    let directory = tempfile::tempdir().expect("a directory");
    let used = directory.path().join("used");
    make_private(&used).expect("a new directory");
    std::fs::write(used.join("deaths.json"), "[]").expect("a file");
    let error = make_private_for(&used, 3_000_001, 3_000_001).expect_err("it is in use");
    assert!(
        error.to_string().contains("of uid 3000001 with mode 0700, found"),
        "{error}"
    );
    if nix::unistd::geteuid().is_root() {
        let new = directory.path().join("new");
        for _ in 0..2 {
            make_private_for(&new, 3_000_001, 3_000_001).expect("root may give it away");
        }
        assert_eq!(std::fs::metadata(&new).expect("a directory").uid(), 3_000_001);
    }
}

#[test]
fn a_file_with_a_second_name_is_not_written_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let (precious, path) = (directory.path().join("precious"), directory.path().join("a.pid"));
    std::fs::write(&precious, "precious").expect("a file");
    std::fs::hard_link(&precious, &path).expect("a link");
    let error = PidFile::acquire(&path, None).expect_err("it may be somebody else's making");
    assert!(matches!(error, PidFileError::Linked { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&precious).expect("a file"), "precious");
}

#[test]
fn a_start_waits_for_somebody_who_only_looks() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.pid");
    std::fs::write(&path, "").expect("a file");
    let looking = File::open(&path).expect("the file");
    looking.try_lock_shared().expect("it is free");
    let mut looking = Some(looking);
    let taken = PidFile::acquire_patiently(&path, || looking = None);
    taken.expect("nobody looks any more");

    let _holder = PidFile::acquire(&path, None).expect("it is free");
    let mut pauses = 0;
    let error = PidFile::acquire_patiently(&path, || pauses += 1).expect_err("it is held");
    assert!(matches!(error, PidFileError::Held { .. }), "{error}");
    assert_eq!(pauses, LOOKS);
}

#[test]
fn a_file_that_was_there_is_made_private() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.pid");
    std::fs::write(&path, "").expect("a file");
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("ours");
    let _held = PidFile::acquire(&path, None).expect("a free file");
    assert_eq!(std::fs::metadata(&path).expect("a file").mode() & 0o777, 0o600);
}

#[test]
fn a_pid_file_is_a_regular_file_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pipe");
    nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600)).expect("a pipe");
    for error in [
        PidFile::acquire(&path, None).expect_err("it is no file"),
        Holder::find(&path).expect_err("it is no file"),
    ] {
        assert!(matches!(error, PidFileError::NoFile { .. }), "{error}");
    }
}

#[test]
fn a_file_of_another_user_is_not_taken() {
    // Only root can give a file away; for others the check is shown by who may own it.
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.pid");
    let file = File::create(&path).expect("a file");
    let stranger = nix::unistd::geteuid().as_raw() + 1;
    let error = check_owner(&file, &path, &[stranger]).expect_err("it is ours");
    assert_eq!(error.exit(), Exit::NoPermission);
    assert!(
        error.to_string().contains(&format!("wanted uid {stranger}")),
        "{error}"
    );
}
