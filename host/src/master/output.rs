//! What workers write to standard output and error.
//!
//! A file per worker in the state directory, so that nothing is lost when the
//! worker dies and nothing blocks when the master does. The kernel tells when a
//! file has grown; each line becomes one log line. A file is emptied when it
//! has grown beyond [`LARGEST`].

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::children::Id;

/// The size at which a file is emptied, in bytes.
const LARGEST: u64 = 1024 * 1024;
/// The longest line that is kept together, in bytes.
const LONGEST_LINE: usize = 8 * 1024;

/// The files of all workers.
pub struct Outputs {
    directory: PathBuf,
    tails: HashMap<Id, Tail>,
}

struct Tail {
    path: PathBuf,
    file: File,
    offset: u64,
    /// The beginning of a line whose end was not written yet.
    partial: Vec<u8>,
}

/// Calls back when a file in the directory has grown, for as long as it lives.
pub struct Watch {
    _watcher: RecommendedWatcher,
}

impl Outputs {
    /// Uses `directory`, and removes what an earlier master left there.
    pub fn new(directory: &Path) -> io::Result<Outputs> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "out") {
                fs::remove_file(path)?;
            }
        }
        Ok(Outputs {
            directory: directory.to_owned(),
            tails: HashMap::new(),
        })
    }

    /// A new file for the worker to write to.
    pub fn open(&mut self, id: Id) -> io::Result<File> {
        let path = self.directory.join(format!("{}.out", id.0));
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let theirs = file.try_clone()?;
        self.tails.insert(
            id,
            Tail {
                path,
                file,
                offset: 0,
                partial: Vec::new(),
            },
        );
        Ok(theirs)
    }

    /// The complete lines that were written since the last call, by worker.
    pub fn lines(&mut self) -> Vec<(Id, String)> {
        let mut found = Vec::new();
        for (id, tail) in &mut self.tails {
            // What cannot be read now is read next time, or was the worker's loss.
            let _ = tail.read(|line| found.push((*id, line)));
        }
        found
    }

    /// What is left of a worker that is gone, its unfinished last line included; the file is removed.
    pub fn close(&mut self, id: Id) -> Vec<String> {
        let Some(mut tail) = self.tails.remove(&id) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let _ = tail.read(|line| found.push(line));
        if !tail.partial.is_empty() {
            found.push(text(&tail.partial));
        }
        let _ = fs::remove_file(&tail.path);
        found
    }
}

impl Tail {
    fn read(&mut self, mut line: impl FnMut(String)) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        loop {
            let count = self.file.read_at(&mut chunk, self.offset)?;
            self.offset += count as u64;
            for byte in &chunk[..count] {
                if *byte != b'\n' && self.partial.len() < LONGEST_LINE {
                    self.partial.push(*byte);
                    continue;
                }
                line(text(&self.partial));
                self.partial.clear();
                if *byte != b'\n' {
                    self.partial.push(*byte);
                }
            }
            if count < chunk.len() {
                break;
            }
        }
        if self.offset > LARGEST {
            // The worker appends: it goes on at the new end.
            self.file.set_len(0)?;
            self.offset = 0;
        }
        Ok(())
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches('\r').to_owned()
}

impl Watch {
    /// Watches the files of a directory. `grown` is called from a thread of its own.
    pub fn new(directory: &Path, grown: impl Fn() + Send + 'static) -> notify::Result<Watch> {
        let on_event = move |event: notify::Result<Event>| {
            // An error means that events were missed: looking at the files is right then, too.
            if event.map_or(true, |event| event.kind.is_modify()) {
                grown();
            }
        };
        let mut watcher = notify::recommended_watcher(on_event)?;
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(Watch { _watcher: watcher })
    }
}
