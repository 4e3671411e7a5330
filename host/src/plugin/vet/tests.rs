use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use nix::{sys::stat::Mode, unistd::mkfifo};

use super::*;

/// Ids that no passwd file has, so that the texts show the numbers.
const SELF: u32 = 3_000_001;
const STRANGER: u32 = 3_000_002;
const OWN_GROUP: u32 = 3_000_003;
const TEAM: u32 = 3_000_004;

const LENIENT: Policy = Policy {
    allow_unsafe: true,
    root_alone: false,
};

fn judged(mode: u32, uid: u32, gid: u32, directory: bool) -> Option<Finding> {
    let accounts = Accounts {
        trusted: SELF.into(),
        private_groups: vec![0, OWN_GROUP],
    };
    let facts = Facts {
        mode,
        uid,
        gid,
        directory,
    };
    facts.judge(Path::new("/srv/it's here"), &accounts)
}

#[test]
fn what_only_root_and_this_user_can_write_is_safe() {
    for (mode, uid, gid, directory) in [
        (0o755, 0, 0, true),
        (0o644, SELF, TEAM, false),
        (0o775, SELF, OWN_GROUP, true),
        (0o775, 0, 0, true),
        (0o664, 0, OWN_GROUP, false),
        (0o1777, 0, 0, true),
        (0o1775, SELF, TEAM, true),
        (0o000, SELF, TEAM, false),
    ] {
        assert_eq!(judged(mode, uid, gid, directory), None, "{mode:o} {uid} {gid}");
    }
}

#[test]
fn what_somebody_else_can_write_is_found_with_the_command_that_mends_it() {
    let texts = [
        judged(0o777, 0, 0, true),
        judged(0o666, SELF, TEAM, false),
        judged(0o775, SELF, TEAM, true),
        judged(0o755, STRANGER, TEAM, true),
        judged(0o1777, STRANGER, TEAM, true),
        judged(0o1757, STRANGER, TEAM, false),
    ]
    .map(|finding| {
        let finding = finding.expect("it is not safe");
        format!("{finding}\n  {}\n", finding.remedy())
    });
    insta::assert_snapshot!(texts.concat(), @r"
    `/srv/it's here` (mode 0777, owner `root`) can be written by everybody
      chmod o-w '/srv/it'\''s here'
    `/srv/it's here` (mode 0666, owner `3000001`) can be written by everybody
      chmod go-w '/srv/it'\''s here'
    `/srv/it's here` (mode 0775, owner `3000001`) can be written by group `3000004`
      chmod g-w '/srv/it'\''s here'
    `/srv/it's here` (mode 0755, owner `3000002`) belongs to neither root nor `3000001`
      chown 3000001 '/srv/it'\''s here'
    `/srv/it's here` (mode 1777, owner `3000002`) belongs to neither root nor `3000001`
      chown 3000001 '/srv/it'\''s here'
    `/srv/it's here` (mode 1757, owner `3000002`) belongs to neither root nor `3000001` and can be written by everybody
      chown 3000001 '/srv/it'\''s here' && chmod o-w '/srv/it'\''s here'
    ");
}

#[test]
fn a_private_group_carries_its_users_name_and_lists_nobody_else() {
    let members = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert!(accounts::is_private("worker", "worker", &[]));
    assert!(accounts::is_private(
        "worker",
        "worker",
        &members(&["worker", "root"])
    ));
    assert!(!accounts::is_private("worker", "worker", &members(&["deploy"])));
    assert!(!accounts::is_private("worker", "users", &[]));
}

#[test]
fn a_writable_directory_above_the_file_is_refused_unless_unsafe_plugins_are_allowed() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let shared = dir.path().join("shared");
    let inner = shared.join("plugins");
    fs::create_dir_all(&inner).expect("the directory is ours");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o757)).expect("it is ours");
    let path = inner.join("libstub.so");
    fs::write(&path, "any bytes").expect("the directory is ours");
    let shared = shared.canonicalize().expect("it exists");

    let errors = open(&path, Policy::default()).expect_err("others could replace `plugins`");
    let [error] = errors.errors() else {
        panic!("one directory is to blame: {errors}");
    };
    let owner = accounts::user_name(nix::unistd::geteuid().as_raw());
    let at = shared.display();
    assert_eq!(
        error.full(),
        format!(
            "refusing plugin libstub.so: `{at}` (mode 0757, owner `{owner}`) can be written by everybody\n  \
             hint: run `chmod o-w {at}`, or accept the risk with `--allow-unsafe-plugins`"
        )
    );

    let vetted = open(&path, LENIENT).expect("the risk is accepted");
    let [warning] = &*vetted.warnings else {
        panic!("one warning for one directory: {:?}", vetted.warnings);
    };
    assert_eq!(
        warning.to_string(),
        format!(
            "loading UNSAFE plugin libstub.so, as `--allow-unsafe-plugins` says: `{at}` (mode 0757, owner `{owner}`) \
             can be written by everybody; mend it with `chmod o-w {at}`"
        )
    );

    fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).expect("it is ours");
    assert!(
        open(&path, Policy::default())
            .expect("the hint was followed")
            .warnings
            .is_empty()
    );
}

#[test]
fn a_link_is_judged_by_what_it_points_to() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let target = dir.path().join("libstub-2.so");
    fs::write(&target, "any bytes").expect("the directory is ours");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o646)).expect("it is ours");
    let link = dir.path().join("libstub.so");
    std::os::unix::fs::symlink(&target, &link).expect("the directory is ours");
    let text = open(&link, Policy::default())
        .expect_err("everybody can write to the target")
        .to_string();
    assert!(text.starts_with("refusing plugin libstub-2.so: "), "{text}");
}

#[test]
fn only_regular_files_are_opened_and_a_fifo_is_not_waited_for() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let fifo = dir.path().join("libfifo.so");
    mkfifo(&fifo, Mode::S_IRWXU).expect("the directory is ours");
    let first_line = |path: &Path| {
        let errors = open(path, LENIENT).expect_err("it is no regular file");
        let text = errors.errors()[0].full();
        text.replace(&dir.path().display().to_string(), "DIR")
    };
    let texts = [
        first_line(&fifo),
        first_line(Path::new("/dev/null")),
        first_line(dir.path()),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r"
    cannot open plugin `DIR/libfifo.so`: it is a FIFO, not a regular file
    cannot open plugin `/dev/null`: it is a device, not a regular file
    cannot open plugin `DIR`: it is a directory, not a regular file
      hint: `--plugin-dir DIR` loads every library in it
    ");
}

#[test]
fn a_missing_file_is_told_with_the_similar_one_beside_it() {
    let error = open(Path::new("./libmailer.so"), Policy::default()).expect_err("there is none");
    insta::assert_snapshot!(error, @r"
    cannot open plugin `./libmailer.so`: no such file
      hint: cargo leaves a plugin in `target/release/`, as `lib<name>.so`
    ");
    let dir = tempfile::tempdir().expect("a directory can be made");
    fs::write(dir.path().join("libmailer.so"), "").expect("the directory is ours");
    let text = open(&dir.path().join("libmialer.so"), Policy::default())
        .expect_err("a slip")
        .to_string();
    insta::assert_snapshot!(text.replace(&dir.path().display().to_string(), "DIR"), @r"
    cannot open plugin `DIR/libmialer.so`: no such file
      hint: did you mean `DIR/libmailer.so`?
    ");
}

#[test]
fn where_root_alone_is_trusted_the_own_user_is_a_stranger() {
    let accounts = Accounts::trusting(ROOT);
    let facts = |uid| Facts {
        mode: 0o644,
        uid,
        gid: TEAM,
        directory: false,
    };
    let path = Path::new("/srv/libmailer.so");
    assert_eq!(facts(0).judge(path, &accounts), None);
    let finding = facts(SELF).judge(path, &accounts).expect("it is not root's");
    insta::assert_snapshot!(format!("{finding}\n{}", finding.remedy()), @"
    `/srv/libmailer.so` (mode 0644, owner `3000001`) does not belong to root
    chown root /srv/libmailer.so
    ");
}
