//! Messages to and from one child, over two pipes, with deadlines; its output is read on the side.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags};

use crate::{
    frame::{self, FrameError, HEAD},
    output::Output,
    pipe,
    spawn::Ends,
};

/// What is read at once. A larger frame is read in one piece as soon as its length is known.
const CHUNK: usize = 16 * 1024;
/// Buffers that have grown beyond this are not kept for the next job.
const KEPT: usize = 256 * 1024;

/// Our ends of the link to a child.
pub(super) struct Link {
    /// Once it is closed the child is to leave.
    to: File,
    from: File,
    /// What has arrived of the next frame, and nothing else.
    inbox: Vec<u8>,
    limit: usize,
}

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("it has closed its link")]
    Closed,
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("it sent more than one message at once")]
    TooMuch,
    #[error("cannot talk to it: {0}")]
    Io(#[from] io::Error),
}

impl Link {
    /// A link, and the ends for the child. Longer documents than `limit` bytes are refused.
    pub(super) fn new(limit: usize) -> io::Result<(Link, Ends)> {
        let (to, reads) = pipe::to_child()?;
        let (from, writes) = pipe::from_child()?;
        let link = Link {
            to: File::from(to),
            from: File::from(from),
            inbox: Vec::new(),
            limit,
        };
        Ok((link, Ends { reads, writes }))
    }

    /// Whether the child has closed its end, or sent something although nothing was asked.
    pub(super) fn is_disturbed(&self) -> bool {
        let mut from = [PollFd::new(self.from.as_fd(), PollFlags::POLLIN)];
        pipe::wait(&mut from, Duration::ZERO).is_err() || from.iter().any(|from| from.any() != Some(false))
    }

    /// Writes what can be written of `frame` now and until `deadline`; says how much that was.
    pub(super) fn send(
        &mut self,
        frame: &[u8],
        output: &mut Output,
        deadline: Instant,
    ) -> Result<usize, LinkError> {
        let mut sent = 0;
        while let Some(rest) = frame.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.to.write(rest) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    wait(&self.to, PollFlags::POLLOUT, output, left)?;
                }
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(LinkError::Closed),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }

    /// Waits for a message until `deadline`; `false` where none has come. [`Link::message`] has it then.
    pub(super) fn receive(&mut self, output: &mut Output, deadline: Instant) -> Result<bool, LinkError> {
        loop {
            if self.is_complete()? {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // What is there counts even where there is no time to wait.
            if !wait(&self.from, PollFlags::POLLIN, output, left)? {
                if left.is_zero() {
                    return Ok(false);
                }
                continue;
            }
            self.read()?;
        }
    }

    /// The message that has come.
    pub(super) fn message(&self) -> &[u8] {
        self.inbox.get(HEAD..).unwrap_or_default()
    }

    /// The message has been read.
    pub(super) fn forget_message(&mut self) {
        self.inbox.clear();
        self.inbox.shrink_to(KEPT);
    }

    fn is_complete(&self) -> Result<bool, LinkError> {
        match frame::first(&self.inbox, self.limit)? {
            Some(document) if HEAD + document.len() < self.inbox.len() => Err(LinkError::TooMuch),
            found => Ok(found.is_some()),
        }
    }

    /// Reads what is there, at most the rest of a frame whose length is known or a chunk.
    fn read(&mut self) -> Result<(), LinkError> {
        let known = self
            .inbox
            .first_chunk()
            .map(|head| u32::from_be_bytes(*head) as usize);
        let missing = known.map_or(0, |length| (HEAD + length).saturating_sub(self.inbox.len()));
        let begin = self.inbox.len();
        // One byte beyond a frame shows that something follows it.
        self.inbox.resize(begin + CHUNK.max(missing + 1), 0);
        let place = self.inbox.get_mut(begin..).unwrap_or_default();
        let read = self.from.read(place);
        let count = *read.as_ref().unwrap_or(&0);
        self.inbox.truncate(begin + count);
        match read {
            Ok(0) => Err(LinkError::Closed),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Waits for one end of the link, and reads the output that comes meanwhile. Whether the end has something.
fn wait(end: &File, flags: PollFlags, output: &mut Output, time: Duration) -> io::Result<bool> {
    let is_ready = |polled: &PollFd<'_>| polled.any() != Some(false);
    let end = PollFd::new(end.as_fd(), flags);
    let Some(descriptor) = output.descriptor() else {
        let mut alone = [end];
        pipe::wait(&mut alone, time)?;
        return Ok(alone.iter().any(is_ready));
    };
    let mut both = [end, PollFd::new(descriptor, PollFlags::POLLIN)];
    pipe::wait(&mut both, time)?;
    let [end, has_output] = both.each_ref().map(is_ready);
    if has_output {
        output.read();
    }
    Ok(end)
}
