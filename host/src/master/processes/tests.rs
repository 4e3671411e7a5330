use std::{
    io::Read,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use nix::errno::Errno;

use super::*;
use crate::config::LogFormat;

fn processes() -> Processes {
    let log = log::Settings {
        format: LogFormat::Text,
        directives: "info".into(),
        path: None,
        stderr: 2,
        color: false,
    };
    let stderr = io::stderr().as_fd().try_clone_to_owned().expect("it is open");
    Processes::new(Scoreboard::create().expect("memory"), stderr, log)
}

fn process(pid: u32) -> Process {
    Process {
        pid,
        nr: 0,
        pool: "mail".into(),
        generation: 1,
        assignment: Assignment::default(),
        rows: 0..1,
        metrics: None,
        line: Line::Mute(None),
        link_closed: false,
        give_up_at: None,
        exit: None,
        killed: false,
        said: None,
        last_line: None,
    }
}

#[test]
fn a_worker_whose_link_an_orphan_holds_is_gone_a_while_after_its_exit_and_takes_the_orphan_along() {
    // The orphan holds this pipe as it would hold a link.
    let mut worker = Command::new("sh")
        .args(["-c", "sleep 1000 &"])
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("sh runs");
    let mut pipe = worker.stdout.take().expect("it is ours");
    let mut processes = processes();
    processes.table.insert(Id(1), process(worker.id()));
    worker.wait().expect("it is our child");

    let pid = Pid::from_raw(worker.id() as i32);
    let now = Instant::now();
    assert_eq!(processes.deadline(), None);
    processes.note_exit(pid, WaitStatus::Exited(pid, 0), now);
    assert!(processes.take_gone().is_empty(), "it may have said something");
    assert_eq!(processes.deadline(), Some(now + LAST_MESSAGES));
    assert!(!processes.give_up_links(now));
    assert!(processes.give_up_links(now + LAST_MESSAGES));
    assert_eq!(processes.deadline(), None);
    assert_eq!(processes.take_gone().len(), 1);
    // The end of the pipe is the end of the orphan.
    let mut rest = String::new();
    pipe.read_to_string(&mut rest).expect("it is closed");
}

#[test]
fn a_worker_whose_link_is_closed_is_gone_at_its_exit() {
    let mut processes = processes();
    let mut child = Command::new("true").process_group(0).spawn().expect("it runs");
    processes.table.insert(Id(1), process(child.id()));
    child.wait().expect("it is our child");
    let pid = Pid::from_raw(child.id() as i32);
    processes.link_closed(Id(1));
    assert!(processes.take_gone().is_empty());
    processes.note_exit(pid, WaitStatus::Exited(pid, 0), Instant::now());
    assert_eq!(processes.deadline(), None, "nothing has to be waited for");
    assert_eq!(processes.take_gone().len(), 1);
    assert_eq!(
        killpg(pid, Signal::SIGKILL),
        Err(Errno::ESRCH),
        "its group is gone"
    );
}
