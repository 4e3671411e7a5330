//! Keeps a diary of the jobs that it executes, and misbehaves when the payload asks for it. For the chaos test.
//!
//! A line `begin NUMBER JOB PID TIME` when a job begins, and `end …` when it has been executed to its end: NUMBER is the
//! payload's, JOB the queue server's id, TIME in milliseconds since 1970. Each is one write to a file that is opened for
//! appending, so that processes that die at any moment leave whole lines.

use std::{
    fs::{File, OpenOptions},
    hint::black_box,
    io::Write,
    path::PathBuf,
    process, thread,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use plugin_api::prelude::*;

struct Diary(File);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The diary. Created where it is missing.
    path: PathBuf,
    /// What happens instead of a handler being made.
    #[serde(default)]
    birth: Birth,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Birth {
    #[default]
    Well,
    Refuse,
    Abort,
}

#[derive(Deserialize)]
struct Task {
    number: u64,
    deed: Deed,
    /// The first so many attempts do the deed; later ones, and all of `work`, only work.
    #[serde(default)]
    faults: u32,
    /// How long a deed that takes time takes.
    #[serde(default)]
    ms: u64,
    #[serde(default)]
    mib: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Deed {
    Work,
    Panic,
    Fail,
    /// Asks for another try at once.
    Retry,
    Bury,
    Abort,
    /// Exhausts its stack, which the system answers with a segmentation fault.
    Overflow,
    /// Ends the process as if all were well.
    Exit,
    /// Never ends, whatever the host asks for.
    Hang,
    /// Ends when the host asks for it.
    Dawdle,
    /// Keeps memory for ever, and works for a while.
    Leak,
}

impl Handler for Diary {
    type Config = Config;
    type Payload = Task;
    const DESCRIPTION: &'static str = "Keeps a diary of the jobs that it executes";

    fn new(config: Config) -> Result<Self> {
        match config.birth {
            Birth::Well => {}
            Birth::Refuse => return Err("it was told to refuse".into()),
            Birth::Abort => process::abort(),
        }
        let file = OpenOptions::new().append(true).create(true).open(config.path)?;
        Ok(Diary(file))
    }

    fn execute(&self, job: &Job, task: Task) -> Result {
        self.write("begin", job, &task)?;
        if task.deed == Deed::Work || job.attempt() > task.faults {
            thread::sleep(Duration::from_millis(task.ms));
        } else {
            misbehave(job, &task)?;
        }
        self.write("end", job, &task)?;
        Ok(().into())
    }
}

impl Diary {
    fn write(&self, what: &str, job: &Job, task: &Task) -> Result<()> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let (number, id, pid) = (task.number, job.id(), process::id());
        (&self.0).write_all(format!("{what} {number} {id} {pid} {time}\n").as_bytes())?;
        Ok(())
    }
}

/// Does what the task asks for; where that is no failure, the job is executed to its end.
fn misbehave(job: &Job, task: &Task) -> Result<()> {
    let begun = Instant::now();
    let wait = |limit: Duration| {
        while !job.cancelled() && begun.elapsed() < limit {
            thread::sleep(Duration::from_millis(5));
        }
    };
    match task.deed {
        Deed::Work => {}
        Deed::Panic => panic!("the payload asked for a panic"),
        Deed::Fail => return Err("the payload asked for a failure".into()),
        Deed::Retry => return Err(Error::retry_in(Duration::ZERO, "the payload asked for a retry")),
        Deed::Bury => return Err(Error::bury("the payload asked for a person")),
        Deed::Abort => process::abort(),
        Deed::Overflow => {
            black_box(dig(0));
        }
        Deed::Exit => process::exit(0),
        Deed::Hang => loop {
            thread::park();
        },
        Deed::Dawdle => {
            wait(Duration::MAX);
            return Err("gave up when it was asked to".into());
        }
        Deed::Leak => {
            // Filled, so that it is resident.
            vec![1_u8; task.mib << 20].leak();
            wait(Duration::from_millis(task.ms));
        }
    }
    Ok(())
}

/// Digs until the stack ends.
#[allow(unconditional_recursion, reason = "it is what this is for")]
fn dig(depth: u64) -> u64 {
    let hole = black_box([depth; 64]);
    dig(depth + 1).wrapping_add(hole[0])
}

export_plugin!(Diary);
