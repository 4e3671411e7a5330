//! A daemon that watches its plugins reloads when they have changed, and only then.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::support::{
    Beanstalkd, Daemon, Host, eventually, plugin,
    plugins::{library, other_echo},
    processes,
};

/// A wish for a reload that would take a hung handler to its limit.
const HANG: &str = "[handler.stillborn]\nhow = \"hang\"\n";

/// What the daemon says when it has looked at its plugins and found nothing new.
const AS_THEY_WERE: &str = "the plugins are as they were";

/// A daemon that watches, with a copy of `echo` of its own that is named in its file.
#[track_caller]
fn watching(queue: &Beanstalkd, more: &str) -> Daemon {
    let host = Host::new(queue).tube("t").flag("--watch");
    let own = host.directory().write(in_lib("echo"), content(&plugin("echo")));
    let config = format!("[plugins]\nload = [\"{}\"]\n{more}", own.display());
    at_rest(host.config(&config).start())
}

/// A daemon that watches a directory with `echo` in it.
#[track_caller]
fn watching_a_directory(queue: &Beanstalkd) -> Daemon {
    let host = Host::new(queue).tube("t").flag("--watch").flag("--handler=echo");
    host.directory().write(in_lib("echo"), content(&plugin("echo")));
    let directory = host.path("lib");
    at_rest(host.flag("--plugin-dir").flag(directory).start())
}

/// Where the library of a plugin lies below the daemon's directory.
fn in_lib(name: &str) -> String {
    format!("lib/{}", library(name))
}

/// A daemon whose first look is over.
#[track_caller]
fn at_rest(daemon: Daemon) -> Daemon {
    wait_for_looks(&daemon, 1);
    daemon
}

/// Waits until the daemon has looked that often, since its start, and found nothing new.
#[track_caller]
fn wait_for_looks(daemon: &Daemon, count: usize) {
    eventually("the daemon looks at its plugins", || {
        (daemon.lines_with(&[AS_THEY_WERE]).len() >= count).then_some(())
    });
}

#[track_caller]
fn content(library: &Path) -> Vec<u8> {
    fs::read(library).expect("the library is there")
}

/// Puts a file in the place of `echo`, as `install` and `mv` do it.
#[track_caller]
fn install(daemon: &Daemon, content: &[u8]) {
    let new = daemon.host().directory().write("lib/.new", content);
    fs::rename(new, daemon.host().path(&in_lib("echo"))).expect("the file is put in place");
}

/// Opens `echo` for writing over it, as `cp` does it.
#[track_caller]
fn overwrite(daemon: &Daemon) -> File {
    File::create(daemon.host().path(&in_lib("echo"))).expect("it is ours")
}

#[track_caller]
fn wait_for_generation(daemon: &Daemon, generation: u64) {
    daemon.wait_for_status(&format!("generation {generation} serves"), |status| {
        status["generation"] == generation
    });
}

/// Runs a job and answers with the line of its handler, which names generation and build.
#[track_caller]
fn run_job(daemon: &Daemon, queue: &Beanstalkd) -> String {
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
    daemon.wait_for_line(&[&format!("job={job}"), "tag="])
}

#[track_caller]
fn assert_runs_other_build(daemon: &Daemon, queue: &Beanstalkd) {
    // A job may still be taken by an old worker that was not told to be quiet yet.
    eventually("the other build runs", || {
        run_job(daemon, queue).contains("tag=other").then_some(())
    });
}

/// That nothing was ever loaded but these generations.
#[track_caller]
fn assert_generations(daemon: &Daemon, count: usize) {
    let loaded = daemon.lines_with(&["reload: loading the new generation"]);
    assert_eq!(loaded.len() + 1, count, "{loaded:#?}");
}

#[test]
fn a_plugin_that_is_renamed_into_place_is_loaded() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching(&queue, "");
    install(&daemon, &content(&other_echo()));
    wait_for_generation(&daemon, 2);
    assert_runs_other_build(&daemon, &queue);
    wait_for_looks(&daemon, 2);
    assert_generations(&daemon, 2);
}

#[test]
fn a_plugin_that_is_copied_slowly_is_loaded_once_when_it_is_whole() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching(&queue, "");
    let other = content(&other_echo());
    let mut file = overwrite(&daemon);
    for chunk in other.chunks(other.len() / 25) {
        // The pauses are the writer's: shorter than what is waited for, and longer in sum.
        thread::sleep(Duration::from_millis(80));
        assert_generations(&daemon, 1);
        file.write_all(chunk).expect("it is ours");
    }
    drop(file);
    wait_for_generation(&daemon, 2);
    assert_runs_other_build(&daemon, &queue);
    wait_for_looks(&daemon, 2);
    assert_generations(&daemon, 2);
}

#[test]
fn a_plugin_that_is_half_written_is_never_loaded_and_told_of_once() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching(&queue, "");
    let other = content(&other_echo());
    let mut file = overwrite(&daemon);
    for (number, chunk) in other.chunks(other.len() / 4 + 1).enumerate() {
        if number > 0 {
            // Told of at the first pause, and seen again at each other one.
            daemon.wait_for_line(&[" WARN ", "unfinished", "libecho.so is truncated"]);
            wait_for_looks(&daemon, number);
            assert!(run_job(&daemon, &queue).contains(" gen=1 "), "the old one works");
            assert_generations(&daemon, 1);
        }
        file.write_all(chunk).expect("it is ours");
    }
    drop(file);
    wait_for_generation(&daemon, 2);
    assert_runs_other_build(&daemon, &queue);
    assert_eq!(
        daemon.lines_with(&["unfinished"]).len(),
        1,
        "the log is not flooded"
    );
    assert!(daemon.lines_with(&[" ERROR "]).is_empty());
}

#[test]
fn a_new_plugin_in_a_watched_directory_is_loaded_and_a_removed_one_dropped() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching_a_directory(&queue);
    let plugins = |count| {
        daemon.wait_for_status("the plugins are others", |status| {
            status["plugins"].as_array().map(Vec::len) == Some(count)
        })
    };
    daemon
        .host()
        .directory()
        .write(in_lib("loud"), content(&plugin("loud")));
    plugins(2);
    fs::remove_file(daemon.host().path(&in_lib("loud"))).expect("it is ours");
    plugins(1);
    assert_generations(&daemon, 3);
}

#[test]
fn when_the_last_plugin_is_removed_the_running_generation_goes_on() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching_a_directory(&queue);
    fs::remove_file(daemon.host().path(&in_lib("echo"))).expect("it is ours");
    daemon.wait_for_line(&[" ERROR ", "cannot be loaded", "no plugin to load: no `*.so` in "]);
    assert!(run_job(&daemon, &queue).contains(" gen=1 "));
    install(&daemon, &content(&plugin("echo")));
    wait_for_looks(&daemon, 2);
    assert_generations(&daemon, 1);
}

#[test]
fn a_plugin_whose_content_stays_the_same_is_not_loaded_again() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching(&queue, "");
    let path = daemon.host().path(&in_lib("echo"));
    let touch = File::options().append(true).open(&path).expect("it is ours");
    touch
        .set_modified(std::time::SystemTime::now())
        .expect("it is ours");
    wait_for_looks(&daemon, 2);
    overwrite(&daemon)
        .write_all(&content(&plugin("echo")))
        .expect("it is ours");
    wait_for_looks(&daemon, 3);
    install(&daemon, &content(&plugin("echo")));
    wait_for_looks(&daemon, 4);
    assert_generations(&daemon, 1);
    assert_eq!(daemon.lines_with(&["starting"]).len(), 1);
}

#[test]
fn a_broken_plugin_changes_nothing_and_the_next_good_one_is_loaded() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching(&queue, "");
    install(&daemon, b"this is no library");
    daemon.wait_for_line(&[
        " ERROR ",
        "cannot be loaded",
        "libecho.so is not a shared library",
    ]);
    assert!(run_job(&daemon, &queue).contains(" gen=1 "));
    assert_generations(&daemon, 1);
    install(&daemon, &content(&other_echo()));
    wait_for_generation(&daemon, 2);
    assert_runs_other_build(&daemon, &queue);
}

#[test]
fn a_plugin_that_failed_is_not_tried_again_before_the_next_change() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching(&queue, "[handler.stillborn]\nhow = \"refuse\"\n");
    let failing = content(&plugin("stillborn"));
    install(&daemon, &failing);
    daemon.wait_for_line(&[" ERROR ", "gen=2", "reload failed", "there is no database"]);
    install(&daemon, &failing);
    wait_for_looks(&daemon, 2);
    assert_generations(&daemon, 2);
    install(&daemon, &content(&other_echo()));
    wait_for_generation(&daemon, 3);
    assert_runs_other_build(&daemon, &queue);
}

#[test]
fn a_plugin_that_was_rolled_back_does_not_come_again_by_itself() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching(&queue, "");
    install(&daemon, &content(&other_echo()));
    wait_for_generation(&daemon, 2);
    wait_for_looks(&daemon, 2);
    daemon.run(&["rollback"]).succeeded();
    // The file is still the one that nobody wants, and is so after it was touched.
    wait_for_looks(&daemon, 3);
    install(&daemon, &content(&other_echo()));
    wait_for_looks(&daemon, 4);
    assert_eq!(daemon.status()["generation"], 3);
    assert_generations(&daemon, 2);
}

#[test]
fn a_change_during_a_reload_is_loaded_when_that_one_has_ended() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching(&queue, "[daemon]\nstart_timeout = 3\n");
    let config = daemon.read("host.toml");
    let hanging = config.replace(
        &daemon.host().path(&in_lib("echo")).display().to_string(),
        &plugin("stillborn").display().to_string(),
    );
    let directory = daemon.host().directory();
    directory.write("host.toml", hanging + HANG);
    daemon.run(&["reload"]).succeeded();
    directory.write("host.toml", config);
    install(&daemon, &content(&other_echo()));
    daemon.wait_for_line(&["gen=2", "reload failed", "was not ready within 3 s"]);
    wait_for_generation(&daemon, 3);
    assert_runs_other_build(&daemon, &queue);
}

/// A daemon that loads `current/libecho.so`, where `current` leads to `release-1`; `release-2` has the other build.
#[track_caller]
fn watching_releases(queue: &Beanstalkd) -> Daemon {
    let host = Host::new(queue).tube("t").flag("--watch");
    for (release, built) in [("release-1", plugin("echo")), ("release-2", other_echo())] {
        let name = Path::new(release).join(library("echo"));
        host.directory().write(name, content(&built));
    }
    symlink("release-1", host.path("current")).expect("the directory is ours");
    let file = host.path("current").join(library("echo"));
    at_rest(host.load(file).start())
}

/// Lets `current` lead elsewhere, as `ln -sfn` does it.
#[track_caller]
fn flip(daemon: &Daemon, release: &str) {
    let new = daemon.host().path("new");
    symlink(release, &new).expect("the directory is ours");
    fs::rename(new, daemon.host().path("current")).expect("the directory is ours");
}

#[test]
fn a_link_that_leads_to_another_release_is_followed() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching_releases(&queue);
    flip(&daemon, "release-2");
    wait_for_generation(&daemon, 2);
    assert_runs_other_build(&daemon, &queue);
    flip(&daemon, "release-1");
    wait_for_generation(&daemon, 3);
}

#[test]
fn a_change_of_the_file_that_a_link_leads_to_counts() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching_releases(&queue);
    let file: PathBuf = ["release-1", &library("echo")].iter().collect();
    daemon.host().directory().write(file, content(&other_echo()));
    wait_for_generation(&daemon, 2);
    assert_runs_other_build(&daemon, &queue);
}

#[test]
fn a_directory_that_is_removed_and_made_anew_is_watched_again() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching_a_directory(&queue);
    let lib = daemon.host().path("lib");
    fs::remove_dir_all(&lib).expect("it is ours");
    daemon.wait_for_line(&[" ERROR ", "cannot read plugin directory"]);
    fs::create_dir(&lib).expect("it is ours");
    daemon.wait_for_line(&[" ERROR ", "no plugin to load"]);
    install(&daemon, &content(&other_echo()));
    wait_for_generation(&daemon, 2);
    assert_runs_other_build(&daemon, &queue);
    // Another directory takes its place in one moment, and then is changed itself.
    fs::rename(&lib, daemon.host().path("old")).expect("it is ours");
    daemon
        .host()
        .directory()
        .write(in_lib("echo"), content(&plugin("echo")));
    wait_for_generation(&daemon, 3);
    install(&daemon, &content(&other_echo()));
    wait_for_generation(&daemon, 4);
}

#[test]
fn a_daemon_that_was_restarted_watches_again() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching(&queue, "");
    daemon.run(&["restart"]).succeeded();
    install(&daemon, &content(&other_echo()));
    daemon.wait_for_line(&["the plugins have changed"]);
    assert_runs_other_build(&daemon, &queue);
}

#[test]
fn the_setting_takes_effect_at_a_reload_and_nothing_is_watched_while_it_is_off() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t");
    let daemon = host.config("[plugins]\nwatch = false\n").start();
    let set = |watch: bool| {
        let config = format!("[plugins]\nwatch = {watch}\n");
        daemon.host().directory().write("host.toml", config);
        daemon.run(&["reload", "--wait"]).succeeded();
    };
    let watches = || processes::inotify_watches(daemon.pid());
    let without = watches();
    set(true);
    wait_for_looks(&daemon, 1);
    assert_eq!(watches(), without + 1, "the directory of the plugin");
    set(false);
    eventually("nothing is watched", || (watches() == without).then_some(()));
}

#[test]
fn a_daemon_that_watches_is_not_woken_while_nothing_changes() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = watching(&queue, "[[pool]]\nreserve_timeout = 1\n");
    let reserves = || queue.stat("cmd-reserve-with-timeout");
    let begun = reserves();
    let before = processes::wake_ups(daemon.pid());
    eventually("three reserves wait in vain", || {
        (reserves() >= begun + 3).then_some(())
    });
    let woken = processes::wake_ups(daemon.pid()) - before;
    assert!(woken <= 5, "the master woke {woken} times in three idle seconds");
}
