//! What a child writes to standard output and error: lines for the log, and the last one for an error text.

use std::{
    fmt::{self, Display, Formatter},
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use plugin_api::tracing::{info, warn};

/// A longer line is logged in pieces, in bytes.
const MAX_LINE: usize = 4096;
/// What is read at once, in bytes. A child that writes without end is not read without end.
const CHUNK: usize = 64 * 1024;

/// The reading end of a child's output.
#[derive(Debug)]
pub(crate) struct Output {
    /// `None` once it is at its end.
    pipe: Option<File>,
    lines: Lines,
}

impl Output {
    /// Reads from a pipe that does not block. `limit` bytes are logged per job.
    pub(crate) fn new(pipe: OwnedFd, limit: usize) -> Output {
        Output {
            pipe: Some(File::from(pipe)),
            lines: Lines::new(limit),
        }
    }

    /// What to wait on; nothing once it is at its end.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Another job begins.
    pub(crate) fn begin(&mut self) {
        self.lines.begin();
    }

    /// Logs what is there, at most a chunk of it.
    pub(crate) fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut chunk = [0; 4096];
        let mut total = 0;
        while total < CHUNK {
            match pipe.read(&mut chunk) {
                Ok(0) => {
                    self.pipe = None;
                    return self.lines.finish();
                }
                Ok(count) => {
                    total += count;
                    self.lines.add(chunk.get(..count).unwrap_or_default());
                    // A pipe that had less than there was room for is empty now.
                    if count < chunk.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.pipe = None,
            }
        }
    }

    /// Reads what a child that has ended left behind, and answers with its last line.
    pub(crate) fn last_words(&mut self) -> LastWords {
        self.read();
        self.lines.finish();
        LastWords(self.lines.last().map(str::to_owned))
    }
}

/// The last line that says something. Its `Display` goes behind our own words: a colon and the line, or nothing.
#[derive(Debug)]
pub(crate) struct LastWords(pub(crate) Option<String>);

impl Display for LastWords {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(line) => write!(f, ": {line}"),
            None => Ok(()),
        }
    }
}

/// Parts bytes into lines and logs them.
#[derive(Debug)]
struct Lines {
    /// The line that has no end yet.
    open: Vec<u8>,
    last: String,
    left: usize,
    limit: usize,
    /// Bytes of this job that were not logged.
    missed: usize,
}

impl Lines {
    fn new(limit: usize) -> Lines {
        Lines {
            open: Vec::new(),
            last: String::new(),
            left: limit,
            limit,
            missed: 0,
        }
    }

    fn begin(&mut self) {
        self.finish();
        self.report_missed();
        self.last.clear();
        self.left = self.limit;
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            self.extend(line);
            self.finish();
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.extend(bytes);
    }

    fn extend(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = MAX_LINE - self.open.len();
            let (piece, rest) = bytes.split_at(bytes.len().min(room));
            self.open.extend_from_slice(piece);
            bytes = rest;
            if self.open.len() == MAX_LINE {
                self.finish();
            }
        }
    }

    /// The open line has ended.
    fn finish(&mut self) {
        let line = self.open.trim_ascii_end();
        if !line.is_empty() {
            self.last.clear();
            self.last.push_str(&String::from_utf8_lossy(line));
            if self.left >= line.len() {
                self.left -= line.len();
                info!("{}", self.last);
            } else {
                self.left = 0;
                self.missed += line.len();
            }
        }
        self.open.clear();
    }

    fn report_missed(&mut self) {
        if self.missed > 0 {
            warn!(
                bytes = self.missed,
                "output left out: `max_output_bytes` is reached"
            );
            self.missed = 0;
        }
    }

    fn last(&mut self) -> Option<&str> {
        self.report_missed();
        Some(self.last.as_str()).filter(|line| !line.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(pieces: &[&[u8]]) -> Option<String> {
        let mut lines = Lines::new(1000);
        pieces.iter().for_each(|piece| lines.add(piece));
        lines.finish();
        lines.last().map(str::to_owned)
    }

    #[test]
    fn the_last_line_that_says_something_is_kept_however_it_arrives() {
        let table: [(&[&[u8]], Option<&str>); 6] = [
            (&[], None),
            (&[b"\n\n"], None),
            (&[b"one\ntwo\n"], Some("two")),
            (&[b"one\ntw", b"o"], Some("two")),
            (&[b"one\r\n", b"  \n\n"], Some("one")),
            (&[b"\xff\n"], Some("\u{fffd}")),
        ];
        for (pieces, wanted) in table {
            assert_eq!(last(pieces).as_deref(), wanted, "{pieces:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_kept_in_pieces() {
        let long = vec![b'x'; MAX_LINE + 3];
        assert_eq!(last(&[&long]).as_deref(), Some("xxx"));
    }

    #[test]
    fn a_new_job_has_no_last_line_and_its_whole_share_of_the_log() {
        let mut lines = Lines::new(5);
        lines.add(b"four\nmore\n");
        assert_eq!((lines.left, lines.missed), (0, 4));
        lines.begin();
        assert_eq!((lines.left, lines.missed), (5, 0));
        assert_eq!(lines.last(), None);
    }
}
