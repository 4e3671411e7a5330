//! The title of this process, as ps(1) shows it: its role, pool, generation and state.
//!
//! The kernel shows the memory in which the arguments were given (proc_pid_cmdline(5)), and a process may write to its
//! own through `/proc/self/mem`. There is no more room than the arguments have taken: a longer title is cut, so a
//! worker is given a first argument of some length. What a title is made of is its owner's business.
//!
//! From then on [`std::env::args_os`] does not tell what was typed: whoever needs that has kept it.

use std::{
    ffi::CStr,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
};

use nix::sys::prctl;
use tracing::debug;

/// What every title begins with: the name of the program.
const PROGRAM: &str = "asynccall-host";
/// The name of a worker's main thread, which pgrep(1) and pkill(1) go by. It has room for 15 bytes.
const WORKER: &CStr = c"asynccall-work";
/// How long the first argument of a worker is made, in bytes.
const ROOM: usize = 96;

/// The memory of the arguments.
#[derive(Debug)]
pub(crate) struct Title {
    memory: File,
    /// The address of its first byte.
    start: u64,
    /// How many bytes it has.
    room: usize,
    shown: String,
}

impl Title {
    /// Takes the memory over. `None` where the system does not let it be written to.
    ///
    /// Called before this process becomes another user, who may not open it.
    pub(crate) fn of_process() -> Option<Title> {
        Title::open()
            .inspect_err(
                |error| debug!(error = %error, "the process keeps the title that it was started with"),
            )
            .ok()
    }

    fn open() -> io::Result<Title> {
        let (start, end) = argument_memory(&fs::read_to_string("/proc/self/stat")?)
            .ok_or_else(|| io::Error::other("the kernel does not tell where the arguments are"))?;
        let memory = File::options().write(true).open("/proc/self/mem")?;
        Ok(Title {
            memory,
            start,
            room: usize::try_from(end - start).map_err(io::Error::other)?,
            shown: String::new(),
        })
    }

    /// Shows a title, unless it is the one that is shown already.
    pub(crate) fn show(&mut self, text: &str) {
        if self.shown == text {
            return;
        }
        let bytes = padded(text, self.room);
        if let Err(error) = self.memory.write_all_at(&bytes, self.start) {
            debug!(error = %error, "the title of the process cannot be changed");
        }
        text.clone_into(&mut self.shown);
    }
}

/// The title of a worker, of which only the state changes.
#[derive(Debug)]
pub(crate) struct WorkerTitle {
    title: Option<Title>,
    /// What stands before the state.
    identity: String,
    state: &'static str,
}

impl WorkerTitle {
    /// Takes the title of this process over, and the name of its main thread.
    pub(crate) fn new(pool: &str, nr: u32, generation: u64) -> WorkerTitle {
        // It executes `/proc/self/exe`, whose name says nothing; with the master's name it would get signals that are
        // sent by name, and those that mean a pause would stop it.
        if let Err(error) = prctl::set_name(WORKER) {
            debug!(error = %error, "the main thread keeps its name");
        }
        WorkerTitle {
            title: Title::of_process(),
            identity: format!("{PROGRAM}: worker {pool}/{nr} gen {generation}"),
            state: "",
        }
    }

    /// Shows a state, unless it is the one that is shown already.
    pub(crate) fn show(&mut self, state: &'static str) {
        if self.state == state {
            return;
        }
        self.state = state;
        if let Some(title) = &mut self.title {
            title.show(&format!("{} {state}", self.identity));
        }
    }
}

/// A first argument for a worker, with room for its titles.
pub(crate) fn room_for_worker() -> String {
    format!("{:<ROOM$}", format!("{PROGRAM}: worker"))
}

/// The title of a master that holds the pid file of that name.
pub(crate) fn of_master(pid_file: &str, generation: Option<u64>, stopping: bool) -> String {
    match (generation, stopping) {
        (None, false) => format!("{PROGRAM}: master {pid_file} starting"),
        (None, true) => format!("{PROGRAM}: master {pid_file} stopping"),
        (Some(generation), false) => format!("{PROGRAM}: master {pid_file} gen {generation}"),
        (Some(generation), true) => format!("{PROGRAM}: master {pid_file} gen {generation} stopping"),
    }
}

/// Where the arguments begin and end, of a line of proc_pid_stat(5): fields 48 and 49.
fn argument_memory(stat: &str) -> Option<(u64, u64)> {
    // The second field is the program's name in parentheses, which may have spaces and parentheses itself.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(45);
    let start = fields.next()?.parse().ok()?;
    let end = fields.next()?.parse().ok()?;
    (start > 0 && end > start).then_some((start, end))
}

/// The text in so many bytes, the last of which is NUL: otherwise the kernel takes the title to go on in what follows.
fn padded(text: &str, room: usize) -> Vec<u8> {
    let mut cut = text.len().min(room.saturating_sub(1));
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut bytes = text.as_bytes()[..cut].to_vec();
    bytes.resize(room, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_fills_the_room_and_is_cut_between_characters() {
        assert_eq!(padded("ab", 4), b"ab\0\0");
        assert_eq!(padded("abcd", 4), b"abc\0");
        assert_eq!(padded("aé", 3), b"a\0\0");
        assert_eq!(padded("ab", 0), b"");
    }

    #[test]
    fn the_kernel_tells_where_the_arguments_are() {
        let fields: Vec<String> = (3..=52).map(|number| number.to_string()).collect();
        let stat = format!("7 (a) b) {}", fields.join(" "));
        assert_eq!(argument_memory(&stat), Some((48, 49)));
        let hidden = stat.replace(" 48 49 ", " 0 0 ");
        assert_eq!(argument_memory(&hidden), None);
        assert_eq!(argument_memory("7 (a) S 1"), None);
    }
}
