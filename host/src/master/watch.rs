//! Reloading by itself: watching the plugins of the generation that serves.
//!
//! The kernel tells when something changes in one of their [`Places`]; [`settling`] decides when that is over, and
//! whether it is new. What is then begun is the reload of the command. Nothing wakes the master while nothing changes,
//! and nothing is watched where the setting is off.
//!
//! A lock file that is asked for is one of the places: plugins that it comes to refuse are told of, and plugins that it
//! comes to agree to are loaded.
//!
//! The watches are made anew before each look, so that what was removed and made again, or is led to by another link,
//! is watched from before it is read. A directory above the watched ones that is renamed is not noticed, and neither
//! is what a file system does not tell of, such as a change made by another machine on a network file system.

use std::{
    collections::BTreeSet,
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;
use tracing::{debug, error, info, warn};

use super::{Master, generation::Generation, signals};
use crate::plugin::{
    places::Places,
    registry::{self, Request},
};

mod settling;

use settling::{Content, Look, Settling, Verdict};

/// How often the places are looked up anew where they change while they are being watched.
const PLACES_TRIES: usize = 5;

/// The watch over the plugins.
pub(super) struct PluginWatch {
    /// None where the setting is off.
    sight: Option<Sight>,
    settling: Settling,
    /// Is notified when something in the places has changed.
    changed: Arc<Notify>,
}

impl PluginWatch {
    /// Watches nothing yet.
    pub(super) fn new(changed: Arc<Notify>) -> PluginWatch {
        PluginWatch {
            sight: None,
            settling: Settling::default(),
            changed,
        }
    }

    /// Remembers which plugins were loaded from the disk last, whatever comes of them.
    pub(super) fn loaded(&mut self, generation: &Generation) {
        self.settling.loaded(generation.catalog.hashes());
    }

    /// Something in the places has changed.
    pub(super) fn changed(&mut self, now: Instant) {
        if self.sight.is_some() {
            self.settling.changed(now);
        }
    }

    /// Watches the plugins of `generation` instead of those before, or none where its settings say so.
    fn follow(&mut self, generation: &Generation, now: Instant) {
        if !generation.config.plugins.watch {
            self.sight = None;
            return;
        }
        if self.sight.is_none() {
            match Sight::new(self.changed.clone()) {
                Ok(sight) => self.sight = Some(sight),
                Err(error) => return warn!(%error, "plugins are not watched"),
            }
        }
        if let Some(sight) = &mut self.sight {
            sight.request = generation.request();
        }
        // The plugins may have changed between their loading and now.
        self.settling.changed(now);
    }

    fn deadline(&self) -> Option<Instant> {
        self.sight.as_ref().and(self.settling.deadline())
    }

    /// Looks at the plugins if that is due.
    fn look_when_due(&mut self, serving: &BTreeSet<String>, now: Instant) -> Verdict {
        let is_due = self.deadline().is_some_and(|due| due <= now);
        match &mut self.sight {
            Some(sight) if is_due => {
                sight.watch_anew();
                self.settling.looked(look(&sight.request), serving, now)
            }
            _ => Verdict::Unsettled,
        }
    }
}

/// The kernel's watches.
struct Sight {
    request: Request,
    watcher: RecommendedWatcher,
    watched: Places,
    /// What the watcher's own thread compares changes with.
    concerning: Arc<Mutex<Places>>,
    /// The operator knows that something cannot be watched.
    told: bool,
}

impl Sight {
    fn new(changed: Arc<Notify>) -> notify::Result<Sight> {
        let concerning = Arc::new(Mutex::new(Places::default()));
        let places = concerning.clone();
        // Its thread takes no signal.
        let _held = signals::hold()?;
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let places = places.lock().unwrap_or_else(PoisonError::into_inner);
            // An error means that changes were missed.
            if event.map_or(true, |event| is_change(&event, &places)) {
                changed.notify_one();
            }
        })?;
        Ok(Sight {
            request: Request::default(),
            watcher,
            watched: Places::default(),
            concerning,
            told: false,
        })
    }

    /// Watches the places of this moment. A change from now on is told.
    fn watch_anew(&mut self) {
        for directory in &self.watched.directories {
            // The watch may have gone with its directory.
            let _ = self.watcher.unwatch(directory);
        }
        self.watched = Places::default();
        for _ in 0..PLACES_TRIES {
            let places = Places::of(&self.request);
            if places == self.watched {
                break;
            }
            *self.concerning.lock().unwrap_or_else(PoisonError::into_inner) = places.clone();
            for directory in places.directories.difference(&self.watched.directories) {
                if let Err(error) = self.watcher.watch(directory, RecursiveMode::NonRecursive)
                    && !std::mem::replace(&mut self.told, true)
                {
                    let directory = directory.display();
                    warn!(%error, "cannot watch `{directory}`: a change there is noticed only together with another");
                }
            }
            self.watched = places;
        }
    }
}

/// Whether it may change what is loaded. That a file is opened or read, as it is for a look, changes nothing.
fn is_change(event: &Event, places: &Places) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
        EventKind::Access(_) => return false,
        _ => {}
    }
    event.need_rescan() || event.paths.iter().any(|path| places.concern(path))
}

/// What a reload would find now. Executes nothing of it.
fn look(request: &Request) -> Look {
    let paths = registry::resolve(request).unwrap_or_default();
    let files = paths.into_iter().chain(request.lock.clone()).filter_map(|path| {
        let metadata = fs::metadata(&path).ok()?;
        Some((path, metadata.len(), metadata.modified().ok()))
    });
    let files = files.collect();
    let content = match registry::stage_all(request) {
        Ok(catalog) => Content::Whole(catalog.hashes()),
        Err(errors) if errors.are_of_unfinished_files() => Content::Unfinished(errors.to_string()),
        Err(errors) => Content::Refused(errors.to_string()),
    };
    Look { files, content }
}

impl Master {
    /// Watches the plugins of the generation that serves now.
    pub(super) fn follow_plugins(&mut self) {
        let serving = self.serving.and_then(|number| self.generations.get(&number));
        if let Some(generation) = serving {
            self.watch.follow(generation, Instant::now());
        }
    }

    /// When the plugins are to be looked at. A change during a rollout or restart waits for its end.
    pub(super) fn plugin_look(&self) -> Option<Instant> {
        let is_free =
            self.stopping.is_none() && self.restart.is_none() && self.children.rolling_out().is_none();
        is_free.then(|| self.watch.deadline()).flatten()
    }

    /// Looks at the plugins if that is due, and reloads if they are new.
    pub(super) fn look_at_plugins(&mut self, now: Instant) {
        if self.plugin_look().is_none_or(|due| now < due) {
            return;
        }
        let serving = self.serving.and_then(|number| self.generations.get(&number));
        let hashes = serving.map_or_else(BTreeSet::new, |generation| generation.catalog.hashes());
        match self.watch.look_when_due(&hashes, now) {
            Verdict::Unsettled => {}
            Verdict::Same => debug!("the plugins are as they were"),
            Verdict::Reload => {
                info!("the plugins have changed");
                if let Err(failure) = self.reload() {
                    error!(error = %failure, "reload refused, the running generation goes on");
                    self.watch.settling.forget();
                }
            }
            Verdict::Wait(error) => {
                warn!(%error, "the plugins have changed, but one is unfinished: waiting for the rest");
            }
            Verdict::Refuse(error) => {
                error!(%error, "the plugins have changed, but cannot be loaded, the running generation goes on");
            }
        }
    }
}
