use std::{
    fs,
    io::{ErrorKind, Seek, SeekFrom},
    path::PathBuf,
};

use super::*;
use crate::plugin::{
    fixtures::{self, Plugin},
    vet,
};

fn built() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let path = Plugin::default().build(&dir.path().join("libstub.so"));
    (dir, path)
}

#[track_caller]
fn staged(path: &Path) -> Staged {
    stage(vet::open(path, vet::Policy::default()).expect("it is ours alone")).expect("it is a plugin")
}

#[track_caller]
fn content(copy: BorrowedFd<'_>) -> Vec<u8> {
    fs::read(format!("/proc/self/fd/{}", copy.as_raw_fd())).expect("it is open")
}

#[test]
fn a_copy_has_the_files_bytes_and_their_hash_is_its_identity() {
    let (_dir, path) = built();
    let staged = staged(&path);
    let bytes = fs::read(&path).expect("it was just built");
    assert!(content(staged.as_fd()) == bytes);
    let hash: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(staged.info.sha256, hash);
    assert_eq!(staged.info.path, path.canonicalize().expect("it exists"));
    assert_eq!(staged.info.manifest.name, "stub");
}

#[test]
fn a_hash_is_sha_256_in_hexadecimal_digits() {
    let mut to = tempfile::tempfile().expect("a file can be made");
    let hash = copy_hashed(&b"abc"[..], &mut to).expect("it has room");
    // The first example of FIPS 180-4.
    assert_eq!(
        hash,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn a_copy_stays_as_it_is_when_the_file_is_overwritten() {
    let (_dir, path) = built();
    let staged = staged(&path);
    let before = content(staged.as_fd());
    fs::write(&path, "something else").expect("it is ours");
    assert!(content(staged.as_fd()) == before);
}

#[test]
fn a_copy_in_memory_refuses_every_write() {
    let (_dir, path) = built();
    let copy = staged(&path).copy;
    let mut copy = File::from(copy);
    let refused = copy.write(b"x").expect_err("it is sealed");
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    assert!(copy.set_len(0).is_err() && copy.set_len(1 << 20).is_err());
}

#[test]
fn a_copy_on_disk_has_no_name_and_cannot_be_written() {
    let parent = tempfile::tempdir().expect("a directory can be made");
    let mut writer = on_disk(parent.path()).expect("the directory is ours");
    writer.write_all(b"plugin").expect("it is open for writing");
    let left = fs::read_dir(parent.path()).expect("it is ours").count();
    assert_eq!(left, 0, "nothing stays behind when the process is killed");
    let copy = Copy {
        writer,
        form: Form::Disk,
    };
    let mut copy = File::from(copy.seal().expect("it can be opened anew"));
    assert!(copy.write(b"x").is_err());
    copy.seek(SeekFrom::Start(0)).expect("a file can seek");
    assert_eq!(content(copy.as_fd()), b"plugin");
}

#[test]
fn a_long_file_name_is_no_obstacle_for_a_copy_in_memory() {
    let name = format!("/srv/lib{}.so", "x".repeat(248));
    assert!(in_memory(Path::new(&name)).is_ok());
}

#[test]
fn a_file_that_grows_while_it_is_read_is_noticed() {
    let file = tempfile::tempfile().expect("a file can be made");
    let before = Version::of(&file).expect("it is open");
    assert!(before == Version::of(&file).expect("it is open"));
    (&file).write_all(b"more").expect("it is ours");
    assert!(before != Version::of(&file).expect("it is open"));
}

#[test]
fn a_sparse_file_beyond_all_measure_is_not_copied() {
    let (_dir, path) = built();
    let file = File::options().write(true).open(&path).expect("it is ours");
    file.set_len(MAX_PLUGIN + 1).expect("a hole takes no room");
    let vetted = vet::open(&path, vet::Policy::default()).expect("it is ours alone");
    insta::assert_snapshot!(stage(vetted).expect_err("it is too large"),
        @"cannot stage plugin libstub.so: it has 4294967297 bytes, more than 4294967296");
}

#[test]
fn a_constructor_does_not_run_while_a_plugin_is_staged() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let trace = dir.path().join("ran");
    let plugin = Plugin {
        extra: fixtures::constructor_that_makes(&trace),
        ..Plugin::default()
    };
    let path = plugin.build(&dir.path().join("libstub.so"));
    staged(&path);
    assert!(!trace.exists());
}

#[test]
fn what_a_worker_is_told_survives_its_way() {
    let (_dir, path) = built();
    let reference = staged(&path).reference();
    let text = serde_json::to_string(&reference).expect("it is plain data");
    assert_eq!(serde_json::from_str::<StagedRef>(&text).ok(), Some(reference));
}
