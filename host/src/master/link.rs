//! The master's end of a worker's link: lines in, lines out, and what is under way in between.
//!
//! The event loop reads and writes. What it has read of an unfinished line and
//! what it could not write yet lies where a handover finds it: a link goes on
//! in the next instance at the very byte.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::{
    net::UnixStream,
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tracing::warn;

use super::{Event, children::Id};
use crate::ipc::{self, ToMaster, ToWorker};

/// How much is read at once, in bytes.
const CHUNK: usize = 4096;

/// What is under way on a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UnderWay {
    /// The beginning of a line of which the rest was not read yet.
    unread: Vec<u8>,
    /// What was not written yet.
    unsent: Vec<u8>,
}

struct End {
    socket: UnixStream,
    under_way: Mutex<UnderWay>,
    /// There is something to write.
    wake: Notify,
}

/// A link. Dropping it hangs up.
pub(super) struct Link {
    end: Arc<End>,
    tasks: [JoinHandle<()>; 2],
}

impl Link {
    /// Serves a link, which may have been served before: messages become events, and its end is one, too.
    pub(super) fn serve(
        id: Id,
        socket: StdUnixStream,
        under_way: UnderWay,
        events: mpsc::UnboundedSender<Event>,
    ) -> io::Result<Link> {
        socket.set_nonblocking(true)?;
        let end = Arc::new(End {
            socket: UnixStream::from_std(socket)?,
            under_way: Mutex::new(under_way),
            wake: Notify::new(),
        });
        end.wake.notify_one();
        let tasks = [
            tokio::spawn(read(id, end.clone(), events)),
            tokio::spawn(write(end.clone())),
        ];
        Ok(Link { end, tasks })
    }

    /// Sends a message as soon as it can go out. A worker that is gone is noticed by the end of its link.
    pub(super) fn send(&self, message: &ToWorker) {
        if let Ok(line) = ipc::encode(message) {
            self.end.under_way().unsent.extend(line);
            self.end.wake.notify_one();
        }
    }

    /// What is under way at this moment.
    pub(super) fn under_way(&self) -> UnderWay {
        self.end.under_way().clone()
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.socket.as_fd()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl End {
    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is there and answers with the complete lines; `None` at the end of the link.
    fn take_lines(&self) -> Option<Vec<Vec<u8>>> {
        let mut chunk = [0; CHUNK];
        let count = match self.socket.try_read(&mut chunk) {
            Ok(0) => return None,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return None,
        };
        let unread = &mut self.under_way().unread;
        unread.extend(chunk.iter().take(count));
        let mut lines = Vec::new();
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            lines.push(unread.drain(..=end).collect());
        }
        Some(lines)
    }

    /// Writes as much as goes out at once, and answers whether all of it did.
    fn send_some(&self) -> io::Result<bool> {
        let unsent = &mut self.under_way().unsent;
        while !unsent.is_empty() {
            match self.socket.try_write(unsent) {
                Ok(count) => drop(unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

async fn read(id: Id, end: Arc<End>, events: mpsc::UnboundedSender<Event>) {
    while end.socket.readable().await.is_ok() {
        let Some(lines) = end.take_lines() else { break };
        for line in lines {
            match serde_json::from_slice::<ToMaster>(&line) {
                Ok(message) => drop(events.send(Event::FromWorker(id, message))),
                Err(error) => warn!(error = %error, "a worker sent something that is no message"),
            }
        }
    }
    let _ = events.send(Event::LinkClosed(id));
}

async fn write(end: Arc<End>) {
    loop {
        end.wake.notified().await;
        loop {
            match end.send_some() {
                Ok(true) => break,
                Ok(false) if end.socket.writable().await.is_ok() => {}
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};

    use super::*;

    #[test]
    fn a_link_goes_on_at_the_very_byte_in_the_next_instance() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let (ours, mut theirs) = StdUnixStream::pair().expect("a pair");
            let next = ours.try_clone().expect("a duplicate");
            let (events, mut inbox) = mpsc::unbounded_channel();
            let link = Link::serve(Id(1), ours, UnderWay::default(), events.clone()).expect("served");
            theirs.write_all(b"\"ready\"\n\"qui").expect("written");
            assert!(matches!(
                inbox.recv().await,
                Some(Event::FromWorker(Id(1), ToMaster::Ready))
            ));
            // Nothing is written before the loop has its next turn.
            link.send(&ToWorker::Pause);
            let under_way = link.under_way();
            assert_eq!(
                under_way,
                UnderWay {
                    unread: b"\"qui".to_vec(),
                    unsent: b"\"pause\"\n".to_vec()
                }
            );
            drop(link);
            let link = Link::serve(Id(1), next, under_way, events).expect("served");
            theirs.write_all(b"et\"\n").expect("written");
            assert!(matches!(
                inbox.recv().await,
                Some(Event::FromWorker(Id(1), ToMaster::Quiet))
            ));
            let mut line = String::new();
            BufReader::new(&theirs).read_line(&mut line).expect("written");
            assert_eq!(line, "\"pause\"\n");
            drop(theirs);
            assert!(matches!(inbox.recv().await, Some(Event::LinkClosed(Id(1)))));
            drop(link);
        });
    }
}
