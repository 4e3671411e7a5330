//! The thread that starts children and sees those off that are not needed any more.
//!
//! Children are tied to the thread that started them, and a slot's thread need not live as long as they do: so one
//! thread of our own starts them all. It also waits for children that leave, which no job should wait for.

use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use plugin_api::tracing::{debug, warn};

use super::{
    child::Child,
    start::{StartError, start},
};
use crate::{config::Limits, launch::Launch, output::Output, process::Process};

/// How often children that leave are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// The other threads' side.
pub(super) struct Nursery {
    /// `None` once it is closed.
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Start(Sender<Result<Child, StartError>>),
    SeeOff(Box<Child>),
}

/// The thread's side.
struct Staff {
    launch: Launch,
    hello: Vec<u8>,
    limits: Limits,
    start_timeout: Duration,
    stop_grace: Duration,
    leaving: Vec<Leaving>,
}

/// A child that was let go.
struct Leaving {
    process: Process,
    output: Output,
    /// When it is told to end, or killed where it was.
    due: Instant,
    is_told: bool,
}

impl Nursery {
    /// Starts the thread. `hello` is the frame that every child is greeted with.
    pub(super) fn start(
        launch: Launch,
        hello: Vec<u8>,
        limits: Limits,
        start_timeout: Duration,
        stop_grace: Duration,
    ) -> io::Result<Nursery> {
        let (orders, received) = mpsc::channel();
        let staff = Staff {
            launch,
            hello,
            limits,
            start_timeout,
            stop_grace,
            leaving: Vec::new(),
        };
        let thread = thread::Builder::new().name("exec nursery".to_owned());
        let thread = thread.spawn(move || staff.work(&received))?;
        Ok(Nursery {
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Starts a child and waits for its hello.
    pub(super) fn child(&self) -> Result<Child, StartError> {
        let (answer, answered) = mpsc::channel();
        let orders = self.orders.as_ref().ok_or(StartError::NoNursery)?;
        let sent = orders.send(Order::Start(answer));
        sent.map_err(|_| StartError::NoNursery)?;
        answered.recv().map_err(|_| StartError::NoNursery)?
    }

    /// Lets a child leave: its link is closed, and what does not help gets TERM and KILL.
    pub(super) fn see_off(&self, child: Child) {
        if let Some(orders) = &self.orders {
            // Without the thread the child is dropped here, and ends with that.
            let _ = orders.send(Order::SeeOff(Box::new(child)));
        }
    }
}

impl Drop for Nursery {
    /// Waits until the last child has left.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // What it could have panicked of has been logged.
            let _ = thread.join();
        }
    }
}

impl Staff {
    fn work(mut self, orders: &Receiver<Order>) {
        loop {
            let order = match self.leaving.is_empty() {
                true => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => orders.recv_timeout(LOOK),
            };
            match order {
                Ok(Order::Start(answer)) => {
                    let started = start(&self.launch, &self.hello, self.limits, self.start_timeout);
                    if let Ok(child) = &started {
                        debug!(pid = child.pid(), "child started");
                    }
                    // A slot that does not wait any more leaves the child to its end.
                    let _ = answer.send(started);
                }
                Ok(Order::SeeOff(child)) => self.see_off(*child),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if self.leaving.is_empty() => return,
                Err(RecvTimeoutError::Disconnected) => thread::sleep(LOOK),
            }
            self.look();
        }
    }

    fn see_off(&mut self, child: Child) {
        let (process, output) = child.dismiss();
        self.leaving.push(Leaving {
            process,
            output,
            due: Instant::now() + self.stop_grace,
            is_told: false,
        });
    }

    /// Looks at everyone that leaves.
    fn look(&mut self) {
        let kill_grace = self.limits.kill_grace;
        self.leaving.retain_mut(|leaving| {
            leaving.output.read();
            if leaving.process.has_ended() {
                leaving.output.read();
                return false;
            }
            if Instant::now() < leaving.due {
                return true;
            }
            if leaving.is_told {
                let pid = leaving.process.pid();
                warn!(pid, "a child did not leave and is killed");
                return false;
            }
            leaving.process.terminate();
            leaving.is_told = true;
            leaving.due = Instant::now() + kill_grace;
            true
        });
    }
}
