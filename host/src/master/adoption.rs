//! How an instance of the master goes on where the one before it stopped.
//!
//! Workers, generations, totals and paused pools are taken over. Then a new
//! generation is begun from the settings and plugins of now, as at a reload;
//! where that fails, the adopted one goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::unix::net::UnixListener,
    time::Instant,
};

use tracing::{error, info, warn};

use super::{
    Failure, Master,
    children::{Children, Id},
    generation::Generation,
    handover::Inheritance,
    pidfile::PidFile,
    restart::Takeover,
};

impl Inheritance {
    /// The incarnations of workers that were left.
    pub(super) fn workers(&self) -> BTreeSet<Id> {
        self.left.workers.keys().copied().map(Id).collect()
    }

    /// The pid file, still locked.
    pub(super) fn pid_file(&mut self) -> Result<PidFile, Failure> {
        let file = self
            .descriptors
            .take(self.left.pid_file)
            .map_err(|error| Failure::cannot("take over the pid file", error))?;
        Ok(PidFile::inherited(file.into(), &self.left.pid_path)?)
    }

    /// The control socket, which has listened all the time.
    pub(super) fn control(&mut self) -> io::Result<UnixListener> {
        self.descriptors.take(self.left.control).map(UnixListener::from)
    }

    /// The file that the earlier instance logged to.
    pub(super) fn log_file(&mut self) -> Option<std::fs::File> {
        let file = self.left.log_file?;
        self.descriptors.take(file).ok().map(std::fs::File::from)
    }
}

impl Master {
    /// Takes over, and begins the next generation. `is_known` tells whether the workers speak this version.
    pub(super) fn go_on(
        &mut self,
        inheritance: Inheritance,
        is_known: bool,
        next: Result<Generation, Failure>,
    ) -> Result<(), Failure> {
        self.last_generation = inheritance.left.last_generation;
        self.adopt(inheritance, is_known)
            .map_err(|error| Failure::cannot("take over what the daemon left to itself", error))?;
        // Whoever has ended in between was told of to nobody.
        self.processes.reap();
        self.bury_the_gone();
        self.outputs.grown(Instant::now());
        self.follow_plugins();
        let mut takeover = Takeover {
            generation: self.last_generation + 1,
            failure: None,
        };
        match next {
            Ok(generation) => {
                self.takeover = Some(takeover);
                self.watch.loaded(&generation);
                self.begin(generation);
            }
            Err(failure) => {
                error!(error = %failure, "restarted, but the new generation cannot load: the running one goes on");
                self.manager.ready(self.children.current());
                takeover.failure = Some(failure);
                self.takeover = Some(takeover);
            }
        }
        Ok(())
    }

    fn adopt(&mut self, inheritance: Inheritance, is_known: bool) -> io::Result<()> {
        let Inheritance {
            left,
            mut descriptors,
        } = inheritance;
        let now = Instant::now();
        if let Some(generations) = left.generations()?.filter(|_| is_known) {
            let generations = Generation::adopt(generations, &mut descriptors)?;
            self.generations = generations
                .into_iter()
                .map(|generation| (generation.number, generation))
                .collect();
        }
        self.serving = Some(left.serving);
        self.previous = left.previous;
        self.totals = left.totals;
        self.metrics = left.metrics;
        self.paused = left.paused;
        self.started = now.checked_sub(left.up).unwrap_or(now);
        let mut standings = BTreeMap::new();
        for (id, (standing, mut process)) in left.workers {
            let id = Id(id);
            if !is_known {
                self.totals += process.counts;
                self.metrics.keep(process.recorded.drain(..));
            }
            let into = (&mut descriptors, &mut self.outputs, &self.events);
            self.processes.adopt(id, &standing, process, is_known, into)?;
            standings.insert(id, standing);
        }
        let count = standings.len();
        match is_known {
            true => info!(
                "gen" = left.serving,
                workers = count,
                "restarted: the workers go on"
            ),
            false => warn!(
                "gen" = left.serving,
                workers = count,
                "restarted: the workers speak another version and leave when there are new ones"
            ),
        }
        self.children = Children::adopt(left.serving, left.plan, left.next_worker, standings, now);
        if is_known {
            self.processes.adopt_streaks(left.streaks);
        }
        self.end_unknown_rests();
        Ok(())
    }
}
