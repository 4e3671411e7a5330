//! A producer at a steady rate, which knows what it has put.
//!
//! It speaks to the queue server directly. A put without an answer may have arrived: its number is put again, and
//! remembered as one that may be in the queue twice, under two ids.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use asynccall_client::{
    connection::{Address, Connection, ConnectionError, Options, PutError},
    tube::TubeName,
};

use super::{Plan, dice::Dice, history::Put, jobs::Task};
use crate::support::PATIENCE;

/// Time to run of every job, in seconds.
pub(super) const TTR: u32 = 3;
/// How many rough jobs there are for each worker in a million seconds: more of them, and the workers would be busy
/// with dying.
const ROUGH_PER_WORKER: u64 = 150_000;
/// The wait before it connects again.
const PAUSE: Duration = Duration::from_millis(20);

/// What was put.
#[derive(Default)]
pub(super) struct Produced {
    pub(super) puts: Vec<Put>,
    /// Numbers that may have been put once more.
    pub(super) doubtful: BTreeSet<u64>,
}

/// The producer, at work.
pub(super) struct Producer {
    thread: JoinHandle<Produced>,
    is_over: Arc<AtomicBool>,
}

impl Producer {
    /// Puts jobs at the plan's rate, each into one of the tubes.
    pub(super) fn start(address: Address, tubes: &[&str], plan: &Plan, dice: Dice) -> Producer {
        let is_over = Arc::new(AtomicBool::new(false));
        let tubes = tubes
            .iter()
            .map(|tube| TubeName::new(tube).expect("a tube's name"));
        let rate = u32::try_from(plan.rate).expect("a rate");
        let mut work = Work {
            rough: ROUGH_PER_WORKER * plan.workers as u64 / plan.rate,
            address,
            connection: None,
            tubes: tubes.collect(),
            dice,
            produced: Produced::default(),
        };
        let ends = is_over.clone();
        let thread = thread::spawn(move || {
            let begun = Instant::now();
            for number in 1.. {
                let due = begun + Duration::from_secs(number) / rate;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if ends.load(Ordering::SeqCst) {
                    break;
                }
                work.put(number);
            }
            work.produced
        });
        Producer { thread, is_over }
    }

    /// Ends it, and answers with what was put.
    pub(super) fn stop(self) -> Produced {
        self.is_over.store(true, Ordering::SeqCst);
        self.thread.join().expect("the producer has not failed")
    }
}

struct Work {
    /// How many of a million jobs are rough.
    rough: u64,
    address: Address,
    connection: Option<Connection>,
    tubes: Vec<TubeName>,
    dice: Dice,
    produced: Produced,
}

impl Work {
    /// Puts a job until its put is answered.
    fn put(&mut self, number: u64) {
        let task = Task::roll(number, self.rough, &mut self.dice);
        let tube = self.dice.within(0..self.tubes.len() as u64) as usize;
        let delay = u32::from(self.dice.happens(50));
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.attempt(&task, tube, delay) {
                Ok(job) => {
                    self.produced.puts.push(Put {
                        number,
                        job,
                        deed: task.deed,
                        at_most_once: task.at_most_once,
                    });
                    return;
                }
                Err(_) => {
                    self.connection = None;
                    thread::sleep(PAUSE);
                }
            }
        }
        panic!("the queue server did not come back");
    }

    fn attempt(&mut self, task: &Task, tube: usize, delay: u32) -> Result<u64, PutError> {
        if self.connection.is_none() {
            self.connection = Some(Connection::connect(&self.address, &Options::default())?);
        }
        let connection = self.connection.as_mut().ok_or(ConnectionError::Broken)?;
        connection.use_tube(&self.tubes[tube])?;
        match connection.put(1000, delay, TTR, task.body().as_bytes()) {
            Ok(id) => Ok(id.0),
            Err(error @ PutError::NotPut { .. }) => Err(error),
            Err(error @ PutError::Unknown { .. }) => {
                // It may have arrived.
                self.produced.doubtful.insert(task.number);
                Err(error)
            }
            Err(refused) => panic!("the queue server refuses a job: {refused}"),
        }
    }
}
