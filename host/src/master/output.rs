//! What workers write to standard output and error.
//!
//! A file per worker in the state directory, so that nothing is lost when the
//! worker dies and nothing blocks when the master does. The kernel tells when a
//! file has grown; each line becomes one log line. A file is emptied when it
//! has grown beyond [`LARGEST`].
//!
//! A worker that writes faster than [`AT_ONCE`] in each [`PAUSE`] does not hold
//! the master up and does not fill the disk: what is beyond [`LARGEST`] is left
//! out, and a line says how much that was.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{
        fd::RawFd,
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{
    children::Id,
    handover::{Descriptors, Kept},
    pidfile, signals,
};

/// The size at which a file is emptied, in bytes.
const LARGEST: u64 = 1024 * 1024;
/// The longest line that is kept together, in bytes.
const LONGEST_LINE: usize = 8 * 1024;
/// How much of one worker is read at one time, in bytes.
const AT_ONCE: u64 = 64 * 1024;
/// How many lines of one worker are read at one time.
const LINES_AT_ONCE: usize = 500;
/// How much of one worker is read when it is gone, in bytes.
const LAST_WORDS: u64 = 256 * 1024;
/// The time between two looks at the files.
const PAUSE: Duration = Duration::from_millis(50);
/// The time between two looks at files whose growth the kernel does not tell.
const UNTOLD: Duration = Duration::from_secs(1);

/// The files of all workers.
pub struct Outputs {
    directory: PathBuf,
    tails: HashMap<Id, Tail>,
    watcher: RecommendedWatcher,
    /// When to look at the files.
    due: Option<Instant>,
    /// When the pause after the last look ends.
    rested: Option<Instant>,
}

/// A worker's file as one instance of the master leaves it to the next.
#[derive(Serialize, Deserialize)]
pub(super) struct OutputLeft {
    path: PathBuf,
    file: RawFd,
    offset: u64,
    partial: Vec<u8>,
}

/// What a look at the files has brought.
struct Look {
    /// Complete lines, by worker.
    lines: Vec<(Id, String)>,
    /// When to look again although the kernel does not tell that a file has grown.
    again: Option<Duration>,
}

struct Tail {
    path: PathBuf,
    file: File,
    offset: u64,
    /// The beginning of a line whose end was not written yet.
    partial: Vec<u8>,
}

impl Outputs {
    /// Uses `directory`, and removes what an earlier master left there, but for the files of `adopted` workers.
    ///
    /// `grown` is called when a file in it has grown or was removed, from a thread of its own.
    pub fn new(
        directory: &Path,
        adopted: &BTreeSet<Id>,
        grown: impl Fn() + Send + 'static,
    ) -> io::Result<Outputs> {
        let adopted: BTreeSet<PathBuf> = adopted.iter().map(|id| file(directory, *id)).collect();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "out") && !adopted.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        let on_event = move |event: notify::Result<Event>| {
            // An error means that events were missed: looking at the files is right then, too.
            if event.map_or(true, |event| event.kind.is_modify() || event.kind.is_remove()) {
                grown();
            }
        };
        // Its thread takes no signal.
        let held = signals::hold()?;
        let mut watcher = notify::recommended_watcher(on_event).map_err(io::Error::other)?;
        drop(held);
        watcher
            .watch(directory, RecursiveMode::NonRecursive)
            .map_err(io::Error::other)?;
        Ok(Outputs {
            directory: directory.to_owned(),
            tails: HashMap::new(),
            watcher,
            due: None,
            rested: None,
        })
    }

    /// A file has grown: there is something to look at, now or after the pause.
    pub fn grown(&mut self, now: Instant) {
        let earliest = self.rested.map_or(now, |rested| rested.max(now));
        self.due = Some(self.due.map_or(earliest, |due| due.min(earliest)));
    }

    /// When [`Outputs::look_when_due`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// The complete lines that were written since the last look, a limited number of each worker.
    pub fn look_when_due(&mut self, now: Instant) -> Vec<(Id, String)> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let look = self.look();
        self.rested = Some(now + PAUSE);
        self.due = look.again.map(|pause| now + pause);
        look.lines
    }

    /// A new file for the worker to write to; `/dev/null` where none can be made, which is logged.
    pub fn open(&mut self, id: Id) -> io::Result<File> {
        match self.create(id) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.restore().and_then(|()| self.create(id))
            }
            created => created,
        }
        .or_else(|error| {
            let directory = self.directory.display();
            warn!(error = %error, "what a worker prints is lost: no file can be made in `{directory}`");
            OpenOptions::new().write(true).open("/dev/null")
        })
    }

    /// What the next instance has to know of a worker's file, where there is one.
    pub(super) fn leave<'a>(&'a self, id: Id, kept: &mut Kept<'a>) -> Option<OutputLeft> {
        let tail = self.tails.get(&id)?;
        Some(OutputLeft {
            path: tail.path.clone(),
            file: kept.keep(&tail.file),
            offset: tail.offset,
            partial: tail.partial.clone(),
        })
    }

    /// Goes on with a file where an earlier instance stopped.
    pub(super) fn adopt(
        &mut self,
        id: Id,
        left: OutputLeft,
        descriptors: &mut Descriptors,
    ) -> io::Result<()> {
        let tail = Tail {
            path: left.path,
            file: File::from(descriptors.take(left.file)?),
            offset: left.offset,
            partial: left.partial,
        };
        self.tails.insert(id, tail);
        Ok(())
    }

    fn create(&mut self, id: Id) -> io::Result<File> {
        let path = file(&self.directory, id);
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let theirs = file.try_clone()?;
        let tail = Tail {
            path,
            file,
            offset: 0,
            partial: Vec::new(),
        };
        self.tails.insert(id, tail);
        Ok(theirs)
    }

    /// Makes the directory anew, which somebody has removed under the daemon.
    fn restore(&mut self) -> io::Result<()> {
        let directory = self.directory.display();
        warn!("`{directory}` was removed and is made anew");
        pidfile::make_private(&self.directory).map_err(io::Error::other)?;
        // The watch went with the old directory, or goes now.
        let _ = self.watcher.unwatch(&self.directory);
        self.watcher
            .watch(&self.directory, RecursiveMode::NonRecursive)
            .map_err(io::Error::other)
    }

    fn look(&mut self) -> Look {
        let mut lines = Vec::new();
        let mut again = None;
        for (id, tail) in &mut self.tails {
            // What cannot be read now is read next time, or was the worker's loss.
            match tail.read(|line| lines.push((*id, line))) {
                Ok(true) => again = Some(PAUSE),
                Ok(false) if again.is_none() && tail.is_removed() => again = Some(UNTOLD),
                _ => {}
            }
        }
        Look { lines, again }
    }

    /// What is left of a worker that is gone, its unfinished last line included; the file is removed.
    ///
    /// Of much that was not read yet, these are the last lines.
    pub fn close(&mut self, id: Id) -> Vec<String> {
        let Some(mut tail) = self.tails.remove(&id) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let _ = tail
            .leave_out(LAST_WORDS, &mut |line| found.push(line))
            .and_then(|()| tail.read_up_to(LAST_WORDS, usize::MAX, |line| found.push(line)));
        if !tail.partial.is_empty() {
            found.push(text(&tail.partial));
        }
        let _ = fs::remove_file(&tail.path);
        found
    }
}

impl Tail {
    /// Reads lines, and answers whether more is left.
    fn read(&mut self, mut line: impl FnMut(String)) -> io::Result<bool> {
        if self.file.metadata()?.len().saturating_sub(self.offset) > LARGEST {
            self.leave_out(AT_ONCE, &mut line)?;
        }
        self.read_up_to(AT_ONCE, LINES_AT_ONCE, line)?;
        let is_all = self.file.metadata()?.len() <= self.offset;
        if is_all && self.offset > LARGEST {
            // The worker appends: it goes on at the new end.
            self.file.set_len(0)?;
            self.offset = 0;
        }
        Ok(!is_all)
    }

    /// Goes on at the last `kept` bytes, at the beginning of a line, and says how much that leaves out.
    fn leave_out(&mut self, kept: u64, line: &mut impl FnMut(String)) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length.saturating_sub(self.offset) <= kept {
            return Ok(());
        }
        let mut last = vec![0; kept as usize];
        self.file.read_exact_at(&mut last, length - kept)?;
        let begins = last
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let missed = length - kept - self.offset + begins as u64 + self.partial.len() as u64;
        self.partial.clear();
        line(format!("{missed} bytes of output left out"));
        // Only what was kept stays in the file, so that it cannot grow without end.
        self.file.set_len(0)?;
        (&self.file).write_all(&last[begins..])?;
        self.offset = 0;
        Ok(())
    }

    /// Reads at most that many bytes, and stops behind that many lines.
    fn read_up_to(&mut self, bytes: u64, lines: usize, mut line: impl FnMut(String)) -> io::Result<()> {
        let mut chunk = vec![0; bytes as usize];
        let count = self.file.read_at(&mut chunk, self.offset)?;
        let mut found = 0;
        for byte in &chunk[..count] {
            if found >= lines {
                break;
            }
            self.offset += 1;
            if *byte != b'\n' && self.partial.len() < LONGEST_LINE {
                self.partial.push(*byte);
                continue;
            }
            line(text(&self.partial));
            found += 1;
            self.partial.clear();
            if *byte != b'\n' {
                self.partial.push(*byte);
            }
        }
        Ok(())
    }

    fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|data| data.nlink() == 0)
    }
}

/// The file of a worker.
fn file(directory: &Path, id: Id) -> PathBuf {
    directory.join(format!("{}.out", id.0))
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches('\r').to_owned()
}

#[cfg(test)]
mod tests;
