//! From what was asked for to handlers by name, across several plugins.
//!
//! The master stages and asks [`Handlers`], which it has from manifests alone, so
//! that names are validated before anything runs. A worker opens the same plugins
//! and creates the handlers that its pools use, and no others.

mod handlers;
mod search;
mod survey;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use asynccall_abi::host::HostApiRef;
use serde_json::Value;

use crate::plugin::{
    PluginError, PluginErrors, PluginInfo, Warning,
    description::{Description, DescriptionError},
    library::{Handler, Library},
    lock::Lock,
    schema::place_of,
    stage::{Staged, StagedRef, stage},
    vet,
};

pub use handlers::Handlers;
pub use search::{Asked, Request, resolve};
pub use survey::{Found, Survey, survey};

/// The plugins of one generation, as the master holds them.
///
/// Dropping it closes the copies: not before every worker that might still be started from it has started.
#[derive(Debug)]
pub struct Catalog {
    /// In the order of the request, each file once.
    pub plugins: Vec<Staged>,
    /// The handlers in them.
    pub handlers: Handlers,
    /// What was tolerated because unsafe plugins are allowed.
    pub warnings: Vec<Warning>,
}

impl Catalog {
    /// The plugins of a generation that an earlier instance of this process has made.
    pub fn inherited(plugins: Vec<Staged>) -> Catalog {
        // Duplicates were an error when the generation was made.
        let (handlers, _) = Handlers::collect(plugins.iter().map(|staged| Arc::clone(&staged.info)));
        Catalog {
            plugins,
            handlers,
            warnings: Vec::new(),
        }
    }

    /// What a worker needs that inherits the copies' descriptors.
    pub fn references(&self) -> Vec<StagedRef> {
        self.plugins.iter().map(Staged::reference).collect()
    }

    /// The content hashes of the plugins: two catalogs are the same code where these are the same.
    pub fn hashes(&self) -> BTreeSet<String> {
        self.plugins
            .iter()
            .map(|staged| staged.info.sha256.clone())
            .collect()
    }
}

/// Finds, vets and copies every plugin of a request, and reads their manifests. Executes nothing of them.
///
/// All plugins are looked at, so the errors are all that there are.
pub fn stage_all(request: &Request) -> Result<Catalog, PluginErrors> {
    let mut staging = Staging::default();
    staging.read_lock(request);
    for found in search::each(request) {
        match found {
            Ok(path) => staging.add(&path, request.policy),
            Err(error) => staging.errors.push(error),
        }
    }
    staging.finish()
}

/// A [`Catalog`] in the making.
#[derive(Default)]
struct Staging {
    plugins: Vec<Staged>,
    warnings: Vec<Warning>,
    errors: Vec<PluginError>,
    /// Canonical paths of plugins: a file may be asked for in several ways.
    seen: HashSet<PathBuf>,
    /// Files and directories with a finding: plugins beside each other share their directories.
    blamed: HashSet<PathBuf>,
    /// `None` too where it cannot be read, which is an error of its own and says nothing about any plugin.
    lock: Option<Lock>,
}

impl Staging {
    fn read_lock(&mut self, request: &Request) {
        match read_lock(request) {
            Some(Ok((lock, warnings))) => {
                self.lock = Some(lock);
                self.tolerate(warnings);
            }
            Some(Err(errors)) => self.refuse(errors),
            None => {}
        }
    }

    fn add(&mut self, asked: &Path, policy: vet::Policy) {
        match vet::open(asked, policy) {
            Ok(vetted) => {
                if !self.seen.insert(vetted.path.clone()) {
                    return;
                }
                self.tolerate(vetted.warnings.iter().cloned());
                match stage(vetted).and_then(|staged| self.agreed(staged)) {
                    Ok(staged) => self.plugins.push(staged),
                    Err(error) => self.errors.push(error),
                }
            }
            Err(errors) => self.refuse(errors),
        }
    }

    /// Compares what was copied, not what the file may contain by now.
    fn agreed(&self, staged: Staged) -> Result<Staged, PluginError> {
        match &self.lock {
            Some(lock) => lock.check(&staged.info).map(|()| staged),
            None => Ok(staged),
        }
    }

    fn tolerate(&mut self, warnings: impl IntoIterator<Item = Warning>) {
        for warning in warnings {
            if self.blamed.insert(warning.finding().path.clone()) {
                self.warnings.push(warning);
            }
        }
    }

    fn refuse(&mut self, errors: PluginErrors) {
        for error in errors {
            match error.finding() {
                Some(finding) if !self.blamed.insert(finding.path.clone()) => {}
                _ => self.errors.push(error),
            }
        }
    }

    fn finish(mut self) -> Result<Catalog, PluginErrors> {
        let infos = self.plugins.iter().map(|staged| Arc::clone(&staged.info));
        let (handlers, duplicates) = Handlers::collect(infos);
        self.errors.extend(duplicates);
        let catalog = Catalog {
            plugins: self.plugins,
            handlers,
            warnings: self.warnings,
        };
        PluginErrors::or(self.errors, catalog)
    }
}

/// The lock of a request, where it asks for one.
fn read_lock(request: &Request) -> Option<Result<(Lock, Vec<Warning>), PluginErrors>> {
    let path = request.lock.as_ref()?;
    Some(Lock::read(path, request.policy))
}

/// The loaded plugins of a process.
#[derive(Debug)]
pub struct Registry {
    libraries: Vec<Library>,
    handlers: Handlers,
}

/// Loads every staged plugin, in the worker that inherited the copies. Runs their constructors.
///
/// Their descriptors become close-on-exec; they must never be closed, and their numbers never be used again.
pub fn open(staged: Vec<StagedRef>, host: HostApiRef) -> Result<Registry, PluginErrors> {
    let mut libraries = Vec::new();
    let mut errors = Vec::new();
    for reference in staged {
        match Library::open(reference, host) {
            Ok(library) => libraries.push(library),
            Err(error) => errors.push(error),
        }
    }
    let infos = libraries.iter().map(|library| Arc::clone(library.info()));
    let (handlers, duplicates) = Handlers::collect(infos);
    errors.extend(duplicates);
    PluginErrors::or(errors, Registry { libraries, handlers })
}

impl Registry {
    /// What the plugin says of the handler of that name; both schemas are looked at.
    pub fn describe(&self, handler: &str) -> Result<Description, PluginError> {
        let library = self.library(handler)?;
        let description = library.describe(handler)?;
        match description.check() {
            Ok(()) => Ok(description),
            Err(source) => Err(wrong(library, handler, source)),
        }
    }

    /// Whether a configuration fits the schema that the handler's plugin gives; `false`: it gives none.
    ///
    /// To be asked before the handler is made from that configuration.
    pub fn check(&self, handler: &str, config: &Value) -> Result<bool, PluginError> {
        let library = self.library(handler)?;
        let description = library.describe(handler)?;
        let faults = description.faults(&place_of(handler), config);
        match faults.map_err(|source| wrong(library, handler, source))? {
            None => Ok(description.config.is_some()),
            Some(faults) => Err(PluginError::Unfit {
                handler: handler.to_owned(),
                path: library.info().path.clone(),
                faults,
            }),
        }
    }

    /// Makes the handler of that name from its configuration.
    pub fn create(&self, handler: &str, config: &Value) -> Result<Handler, PluginError> {
        self.library(handler)?.create(handler, &config.to_string())
    }

    fn library(&self, handler: &str) -> Result<&Library, PluginError> {
        let has = |library: &&Library| {
            let entries = &library.info().manifest.handlers;
            entries.iter().any(|entry| entry.name == handler)
        };
        let library = self.libraries.iter().find(has);
        library.ok_or_else(|| self.handlers.missing(handler))
    }

    /// The loaded plugins, in the order of the request.
    pub fn plugins(&self) -> impl Iterator<Item = &Arc<PluginInfo>> {
        self.libraries.iter().map(Library::info)
    }
}

fn wrong(library: &Library, handler: &str, source: DescriptionError) -> PluginError {
    PluginError::Description {
        handler: handler.to_owned(),
        path: library.info().path.clone(),
        source,
    }
}
