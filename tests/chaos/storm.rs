//! The storm: what happens to the daemon, its queue server and its network, one blow after the other.
//!
//! Which blow comes next, when, and with which parameters is the dice's; whom it hits depends on who is there.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::sys::signal::Signal;

use super::{
    dice::Dice,
    history::{Blow, BlowKind},
    producer::TTR,
    proxy::Proxy,
    subject::{BROKEN, Disk, POOLS, Subject},
};
use crate::support::{Beanstalkd, PATIENCE, processes};

/// How often it looks whether something is due.
const LOOK: Duration = Duration::from_millis(20);
/// Exit codes of commands that are an answer: done, refused, no daemon, no plugin, no reply, bad settings.
const ANSWERS: [i32; 6] = [0, 1, 3, 66, 69, 78];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    KillWorker,
    StopWorker,
    KillMaster,
    StopMaster,
    KillQueue,
    CutConnections,
    StallConnections,
    Reload,
    ReloadBroken,
    Restart,
    RollBack,
    Scale,
    Pause,
}

impl Display for Act {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Act::KillWorker => "worker killed",
            Act::StopWorker => "worker stopped",
            Act::KillMaster => "master killed",
            Act::StopMaster => "master stopped",
            Act::KillQueue => "queue server killed",
            Act::CutConnections => "all connections cut",
            Act::StallConnections => "all connections stalled",
            Act::Reload => "new plugin, reload",
            Act::ReloadBroken => "broken plugin or settings, reload",
            Act::Restart => "restart",
            Act::RollBack => "rollback",
            Act::Scale => "scale",
            Act::Pause => "pause",
        })
    }
}

/// How often each act comes.
const ACTS: [(u64, Act); 13] = [
    (18, Act::KillWorker),
    (6, Act::StopWorker),
    (4, Act::KillMaster),
    (4, Act::StopMaster),
    (4, Act::KillQueue),
    (5, Act::CutConnections),
    (2, Act::StallConnections),
    (8, Act::Reload),
    (7, Act::ReloadBroken),
    (4, Act::Restart),
    (4, Act::RollBack),
    (6, Act::Scale),
    (4, Act::Pause),
];

/// What has to be made good later.
#[derive(Clone, Copy)]
enum Due {
    StartMaster,
    StartQueue,
    Continue(u32),
    Mend,
    Resume,
}

struct Command {
    words: Vec<String>,
    child: Child,
}

/// The storm and what it has done.
pub(super) struct Storm<'a> {
    pub(super) subject: &'a mut Subject,
    queue: &'a mut Beanstalkd,
    proxy: &'a Proxy,
    dice: Dice,
    due: Vec<(Instant, Due)>,
    commands: Vec<Command>,
    /// Stopped, never to go on.
    frozen: Vec<u32>,
    is_broken: bool,
    queue_is_away: bool,
    pub(super) blows: Vec<Blow>,
    /// How often what happened.
    pub(super) tally: BTreeMap<String, usize>,
    /// What should never happen, whatever the storm does.
    pub(super) complaints: Vec<String>,
}

impl<'a> Storm<'a> {
    pub(super) fn new(
        subject: &'a mut Subject,
        queue: &'a mut Beanstalkd,
        proxy: &'a Proxy,
        dice: Dice,
    ) -> Storm<'a> {
        Storm {
            subject,
            queue,
            proxy,
            dice,
            due: Vec::new(),
            commands: Vec::new(),
            frozen: Vec::new(),
            is_broken: false,
            queue_is_away: false,
            blows: Vec::new(),
            tally: BTreeMap::new(),
            complaints: Vec::new(),
        }
    }

    /// Rages for a while, then makes everything good: servers run, processes go on, files are whole.
    pub(super) fn rage(&mut self, duration: Duration) {
        self.proxy.set_calm(false);
        let end = Instant::now() + duration;
        let mut next = Instant::now();
        while Instant::now() < end {
            self.mind(Instant::now());
            if Instant::now() >= next {
                let act = self.dice.weighted(&ACTS);
                self.act(act);
                next = Instant::now() + Duration::from_millis(self.dice.within(100..500));
            }
            thread::sleep(LOOK);
        }
        self.proxy.set_calm(true);
        self.calm_down();
    }

    /// Everything that is due at `now`, and a look at who has ended.
    fn mind(&mut self, now: Instant) {
        let is_due = |(at, _): &mut (Instant, Due)| *at <= now;
        let due: Vec<_> = self.due.extract_if(.., is_due).collect();
        for (_, due) in due {
            match due {
                Due::StartMaster => self.start_master(),
                Due::StartQueue => {
                    assert!(self.queue.resume(), "the queue server starts again");
                    self.queue_is_away = false;
                }
                Due::Continue(pid) => processes::signal(pid, Signal::SIGCONT),
                Due::Mend => self.mend(),
                Due::Resume => self.run(&["resume"]),
            }
        }
        if let Some(end) = self.subject.take_ended() {
            // A start that has no generation to fall back on ends when the storm kills one of its first workers, ready
            // or not, before all of them are.
            let worker_was_killed = [
                "the worker ended before it was ready: SIGKILL",
                "the worker ended: SIGKILL",
            ];
            if worker_was_killed.iter().any(|text| end.contains(text)) {
                *self
                    .tally
                    .entry("start failed, its worker was killed".to_owned())
                    .or_default() += 1;
            } else {
                self.complaints.push(format!("the master ended by itself: {end}"));
            }
            self.start_master();
        }
        self.hear_commands();
    }

    fn act(&mut self, act: Act) {
        // Asked for whether it is needed or not, so that who is there does not shift the stream.
        let (pause, choice) = (
            Duration::from_millis(self.dice.within(50..1500)),
            self.dice.within(0..1 << 32),
        );
        let later = Instant::now() + pause;
        let restarts = self.commands.iter().any(|command| command.words[0] == "restart");
        match act {
            Act::KillWorker => self.kill_worker(choice),
            Act::StopWorker => self.stop_worker(choice, pause),
            Act::KillMaster => {
                if self.subject.master().is_none() {
                    return;
                }
                self.subject.kill_master();
                self.due.push((later, Due::StartMaster));
            }
            Act::StopMaster => {
                let Some(master) = self.subject.master() else {
                    return;
                };
                let pid = master.pid();
                processes::signal(pid, Signal::SIGSTOP);
                self.due.push((later + pause, Due::Continue(pid)));
            }
            Act::KillQueue => {
                if std::mem::replace(&mut self.queue_is_away, true) {
                    return;
                }
                self.queue.halt();
                self.due.push((later, Due::StartQueue));
            }
            Act::CutConnections => self.proxy.cut_all(),
            Act::StallConnections => self.proxy.stall_all(),
            Act::Reload => {
                self.mend();
                self.run(&["reload", "--wait"]);
            }
            // An operator's mistake is found by a reload. A start that finds it has nothing to fall back on.
            Act::ReloadBroken if restarts || !self.subject.serves() => return,
            Act::ReloadBroken => {
                let disk = BROKEN[choice as usize % BROKEN.len()];
                self.subject.prepare(disk, &mut self.dice);
                self.is_broken = true;
                self.run(&["reload", "--wait"]);
                self.due.push((later, Due::Mend));
            }
            Act::Restart => {
                self.mend();
                self.run(&["restart"]);
            }
            Act::RollBack => self.run(&["rollback"]),
            Act::Scale => {
                let workers = (choice % 4 + 1).to_string();
                let pool = POOLS[choice as usize / 4 % POOLS.len()];
                self.run(&["scale", pool, &workers]);
            }
            Act::Pause => {
                let pool = POOLS[choice as usize % POOLS.len()];
                self.run(&["pause", "--pool", pool]);
                self.due.push((later, Due::Resume));
            }
        }
        *self.tally.entry(act.to_string()).or_default() += 1;
    }

    fn kill_worker(&mut self, choice: u64) {
        let workers = self.subject.workers();
        if let Some(pid) = one_of(&workers, choice) {
            self.strike(pid, BlowKind::Kill);
        }
    }

    /// Stops a worker for longer than its job's time to run; one in three never goes on.
    fn stop_worker(&mut self, choice: u64, pause: Duration) {
        let workers = self.subject.workers();
        let Some(pid) = one_of(&workers, choice) else {
            return;
        };
        self.strike(pid, BlowKind::Stop);
        if choice.is_multiple_of(3) {
            self.frozen.push(pid);
        } else {
            let back = Instant::now() + Duration::from_secs(u64::from(TTR)) + pause;
            self.due.push((back, Due::Continue(pid)));
        }
    }

    fn strike(&mut self, pid: u32, kind: BlowKind) {
        processes::signal(
            pid,
            match kind {
                BlowKind::Kill => Signal::SIGKILL,
                BlowKind::Stop => Signal::SIGSTOP,
            },
        );
        // Afterwards: whatever the process has done was done before, however long this thread waited for its turn.
        self.blows.push(Blow {
            at: now_ms(),
            pid,
            kind,
        });
    }

    fn start_master(&mut self) {
        if self.subject.master().is_none() {
            self.mend();
            self.subject.start();
        }
    }

    /// Puts a good plugin and good settings on disk, a new plugin each time.
    fn mend(&mut self) {
        self.subject.prepare(Disk::Good, &mut self.dice);
        self.is_broken = false;
    }

    /// Starts a command, and does not wait for it.
    fn run(&mut self, words: &[&str]) {
        let Some(mut command) = self.subject.command(words) else {
            return;
        };
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        self.commands.push(Command {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            child: child.expect("the binary runs"),
        });
    }

    /// Takes in the commands that have ended.
    fn hear_commands(&mut self) {
        let has_ended = |command: &mut Command| command.child.try_wait().expect("it is our child").is_some();
        for command in self.commands.extract_if(.., has_ended) {
            let output = command.child.wait_with_output().expect("it has ended");
            let code = output.status.code();
            let answer = code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
            let name = format!("command `{}`, {answer}", command.words[0]);
            *self.tally.entry(name).or_default() += 1;
            if code.is_none_or(|code| !ANSWERS.contains(&code)) {
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                self.complaints
                    .push(format!("{:?} ended with {code:?}: {error}", command.words));
            }
        }
    }

    fn calm_down(&mut self) {
        let far = Instant::now() + Duration::from_secs(3600);
        self.mind(far);
        for pid in std::mem::take(&mut self.frozen) {
            if self.subject.workers().contains(&pid) {
                self.strike(pid, BlowKind::Kill);
            }
        }
        let begun = Instant::now();
        while !self.commands.is_empty() {
            if begun.elapsed() > PATIENCE {
                for Command { words, mut child } in self.commands.drain(..) {
                    self.complaints.push(format!("{words:?} does not end"));
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
            self.mind(Instant::now());
            thread::sleep(LOOK);
        }
        if self.is_broken {
            self.mend();
        }
    }
}

fn one_of(workers: &[u32], choice: u64) -> Option<u32> {
    let index = choice.checked_rem(workers.len() as u64)?;
    workers.get(index as usize).copied()
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    since.as_millis() as u64
}
