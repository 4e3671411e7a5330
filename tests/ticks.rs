//! What handlers do between jobs: when their ticks come, and what becomes of a worker where one goes wrong.

use crate::support::{Beanstalkd, Daemon, Host, eventually};

/// A daemon whose `echo` ticks every 20 ms, with more of its table.
fn ticking(queue: &Beanstalkd, more: &str) -> Host {
    let config = format!("[handler.echo]\ntick_every_ms = 20\n{more}\n");
    Host::new(queue).plugin("echo").tube("t").config(&config)
}

fn ticks(daemon: &Daemon, handler: &str) -> usize {
    daemon
        .lines_with(&[&format!("handler={handler}"), " tick"])
        .into_iter()
        .filter(|line| !line.contains("job="))
        .count()
}

/// Waits until a handler has ticked so often more.
#[track_caller]
fn wait_for_ticks(daemon: &Daemon, handler: &str, more: usize) {
    let before = ticks(daemon, handler);
    eventually("more ticks", || {
        (ticks(daemon, handler) >= before + more).then_some(())
    });
}

#[test]
fn ticks_come_while_a_job_runs_and_until_the_last_one_has_ended() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = ticking(&queue, "goodbye = true").start();
    wait_for_ticks(&daemon, "echo", 2);
    let job = queue.put("t", r#"{"sleep_ms": 1500}"#);
    daemon.wait_until_running(job);
    assert_eq!(daemon.stop(), Some(0));
    assert!(
        ticks_behind(&daemon, "stopping") >= 2,
        "they go on while the last job runs:\n{}",
        daemon.log()
    );
    let settled = daemon.wait_for_settled(job);
    assert!(settled.contains("settled=delete"), "{settled}");
    assert_eq!(
        ticks_behind(&daemon, "goodbye"),
        0,
        "the goodbye comes behind the last tick:\n{}",
        daemon.log()
    );
}

/// How many lines of ticks follow the first line with this text.
fn ticks_behind(daemon: &Daemon, text: &str) -> usize {
    let log = daemon.log();
    let behind = log.split_once(text).map_or("", |(_, behind)| behind);
    behind.lines().filter(|line| line.ends_with(" tick")).count()
}

#[test]
fn ticks_begin_when_the_generation_has_taken_over() {
    let Some(queue) = Beanstalkd::start() else { return };
    // The first generation never ticks, the second one cannot take over.
    let host = Host::new(&queue).plugin("echo").tube("t").workers(2);
    let daemon = host.config("").start();
    let refused = "[handler.echo]\ntick_every_ms = 1\nself_check = \"fail\"\n";
    daemon.host().directory().write("host.toml", refused);
    daemon.run(&["reload", "--wait"]).failed(1);
    assert_eq!(ticks(&daemon, "echo"), 0);
    daemon
        .host()
        .directory()
        .write("host.toml", "[handler.echo]\ntick_every_ms = 20\n");
    daemon.run(&["reload", "--wait"]).succeeded();
    wait_for_ticks(&daemon, "echo", 2);
    let log = daemon.log();
    let (starting, _) = log.split_once(" tick\n").expect("it ticks");
    assert!(
        starting.contains("gen=3") && starting.contains(" ready"),
        "not before a worker of it was ready: {starting}"
    );
}

#[test]
fn each_handler_ticks_by_itself_also_beside_one_whose_tick_hangs() {
    let Some(queue) = Beanstalkd::start() else { return };
    let config = r#"
        [handler.left]
        tick_every_ms = 20
        [handler.right]
        tick_every_ms = 30
        [handler.echo]
        tick_every_ms = 10
        tick = "hang"
        [[pool]]
        tubes = ["l", "r", "e"]
        handlers = { l = "left", r = "right", e = "echo" }
        [daemon]
        grace = 1
    "#;
    let host = Host::new(&queue).plugin("pair").plugin("echo").config(config);
    let mut daemon = host.start();
    for handler in ["left", "right"] {
        wait_for_ticks(&daemon, handler, 3);
    }
    assert_eq!(ticks(&daemon, "echo"), 1, "its first one has not returned");
    let job = queue.put("e", "1");
    queue.wait_until_gone(job);
    assert_eq!(daemon.stop(), Some(0));
    let left_behind = daemon.lines_with(&["it does not return"]);
    assert_eq!(left_behind.len(), 1, "{left_behind:#?}");
    for part in [" handler=echo ", " what=tick"] {
        assert!(left_behind[0].contains(part), "{}", left_behind[0]);
    }
}

#[test]
fn a_tick_that_fails_or_panics_is_logged_and_the_next_one_comes() {
    let Some(queue) = Beanstalkd::start() else { return };
    for (how, said) in [
        ("fail", "there is nothing to tick"),
        ("panic", "the tick gave up"),
    ] {
        let daemon = ticking(&queue, &format!("tick = \"{how}\"")).start();
        let logged = || {
            daemon
                .lines_with(&["ERROR", "tick of handler `echo`", said])
                .len()
        };
        eventually("three of them are logged", || (logged() >= 3).then_some(()));
        assert_eq!(daemon.lines_with(&["ready"]).len(), 1, "by one worker");
        let job = queue.put("t", "1");
        queue.wait_until_gone(job);
    }
}

/// A tick ends its process while a job runs that is not to blame.
#[track_caller]
fn dies_in_a_tick(how: &str, ended: &str) {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo");
    let trouble = host.path("trouble");
    let more =
        format!("[handler.echo]\ntick_every_ms = 20\ntick = \"{how}\"\ntick_well_without = {trouble:?}\n");
    let more = more
        + "[[pool]]\nname = \"p\"\ntubes = [\"t\"]\nmax_crashes = 1\nbreaker = { failures = 1, rest = 1 }\n";
    let daemon = host.config(&more).start();
    let body = format!(r#"{{"sleep_ms": 60000, "only_while": {trouble:?}}}"#);
    let wait = queue.put("t", r#"{"sleep_ms": 1000}"#);
    daemon.wait_until_running(wait);
    let job = queue.put("t", body);
    std::fs::write(&trouble, "").expect("a file");
    let died = daemon.wait_for_line(&["died of what a handler did apart from jobs"]);
    std::fs::remove_file(&trouble).expect("it is there");
    assert!(died.contains(ended), "{died}");
    // It counts for the breaker all the same.
    daemon.wait_for_line(&[
        "breaker open",
        "what a handler did apart from jobs took its worker down",
    ]);
    for job in [wait, job] {
        queue.wait_until_gone(job);
    }
    assert_eq!(daemon.total("buried"), 0);
    for blamed in ["certificate", "suspected"] {
        assert!(daemon.lines_with(&[blamed]).is_empty(), "{}", daemon.log());
    }
    assert!(
        !daemon
            .lines_with(&["crashed: the queue server hands the job out again"])
            .is_empty(),
        "the job that ran is accounted for:\n{}",
        daemon.log()
    );
}

#[test]
fn a_tick_that_raises_a_fatal_signal_is_blamed_on_no_job() {
    dies_in_a_tick("abort", "SIGABRT");
}

#[test]
fn a_tick_that_ends_the_process_is_blamed_on_no_job() {
    dies_in_a_tick("exit", "exit code 0");
}

#[test]
fn ticks_go_on_while_the_pool_is_paused() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = ticking(&queue, "").start();
    daemon.run(&["pause"]).succeeded();
    wait_for_ticks(&daemon, "echo", 3);
}
