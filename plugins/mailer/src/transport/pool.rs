//! SMTP connections that wait for the next mail.
//!
//! Hands out a connection to one slot at a time; slots that find none here open their own. So at most as many
//! connections are in use as there are slots, and at most `size` wait.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lettre::transport::smtp::client::SmtpConnection;

/// How long a server may take to answer the `QUIT` of a connection that is no longer wanted.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Idle connections, the most recently used last.
pub(super) struct Pool {
    size: usize,
    /// How long a connection may wait; servers close idle connections themselves after some minutes.
    max_idle: Duration,
    waiting: Mutex<Vec<Waiting>>,
}

struct Waiting {
    connection: SmtpConnection,
    since: Instant,
}

impl Pool {
    pub(super) fn new(size: usize, max_idle: Duration) -> Pool {
        Pool {
            size,
            max_idle,
            waiting: Mutex::new(Vec::new()),
        }
    }

    /// The connection that was used last, if it has not waited too long.
    pub(super) fn take(&self) -> Option<SmtpConnection> {
        let (fresh, expired) = {
            let mut waiting = self.lock();
            match waiting.pop() {
                Some(last) if last.since.elapsed() <= self.max_idle => (Some(last.connection), Vec::new()),
                // All others have waited even longer.
                Some(last) => (None, waiting.drain(..).chain([last]).collect()),
                None => (None, Vec::new()),
            }
        };
        expired.into_iter().for_each(|old| close(old.connection));
        fresh
    }

    /// Keeps a connection that is ready for another `MAIL`, or closes it if enough wait.
    pub(super) fn park(&self, connection: SmtpConnection) {
        let mut waiting = self.lock();
        if waiting.len() < self.size {
            waiting.push(Waiting {
                connection,
                since: Instant::now(),
            });
            return;
        }
        drop(waiting);
        close(connection);
    }

    /// Drops all that wait, after one of them turned out to be dead: the server has probably restarted.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        // A list of connections is whole whatever happened to the thread that held it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("size", &self.size)
            .field("max_idle", &self.max_idle)
            .finish_non_exhaustive()
    }
}

/// Says good-bye, without waiting long for the answer.
pub(super) fn close(mut connection: SmtpConnection) {
    if connection.set_timeout(Some(QUIT_TIMEOUT)).is_ok() {
        connection.abort();
    }
}
