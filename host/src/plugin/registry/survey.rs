//! What the search path holds, whether it would be loaded or refused.
//!
//! It opens, judges and reads each file as a start does, so a reason found here is the one that a start would give;
//! but it goes on where a start ends, and keeps no copy. It executes nothing.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Handlers, read_lock,
    search::{Request, asked, in_directory},
};
use crate::plugin::{
    PluginError, PluginInfo, Warning,
    lock::{Lock, LockError},
    stage::stage,
    vet::{self, Policy},
};

/// Everything that a request's directories hold, and what it loads.
#[derive(Debug)]
pub struct Survey {
    /// Each file once: what the request loads in its order, then what else lies in the directories of names.
    pub found: Vec<Found>,
    /// What has no file: names that lead nowhere, directories that cannot be read, a handler that two plugins have,
    /// a lock file that cannot be used.
    pub problems: Vec<PluginError>,
    /// What is tolerated about the lock file.
    pub warnings: Vec<Warning>,
}

/// One file.
#[derive(Debug)]
pub struct Found {
    /// Canonical where that can be told, else as it was found.
    pub path: PathBuf,
    /// Whether the request loads it; else it only lies where names are looked up.
    pub load: bool,
    /// What it is; `None` where it is no plugin.
    pub info: Option<Arc<PluginInfo>>,
    /// What it is refused for; empty: it would be loaded.
    pub faults: Vec<PluginError>,
    /// What it would be refused for if unsafe plugins were not allowed.
    pub tolerated: Vec<Warning>,
}

/// Looks at every file of a request and of the directories in which it looks up names.
pub fn survey(request: &Request) -> Survey {
    let mut survey = Survey {
        found: Vec::new(),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let lock = match read_lock(request) {
        Some(Ok((lock, warnings))) => {
            survey.warnings = warnings;
            Agreement::By(lock)
        }
        Some(Err(errors)) => {
            survey.problems.extend(errors);
            Agreement::Unknown(request.lock.clone().unwrap_or_default())
        }
        None => Agreement::NotAsked,
    };
    let in_dirs = request.dirs.iter().flat_map(|dir| in_directory(dir));
    let loaded = asked(request).into_iter().map(|found| (found, true));
    let beside = in_dirs.map(|found| (found, false));
    let mut seen: HashSet<PathBuf> = HashSet::new();
    for (found, load) in loaded.chain(beside) {
        match found {
            Ok(path) if seen.insert(canonical(&path)) => {
                survey.found.push(look(&path, load, request.policy, &lock));
            }
            Ok(_) => {}
            Err(error) => survey.problems.push(error),
        }
    }
    if survey.found.is_empty() && survey.problems.is_empty() {
        let dirs = request.dirs.iter().chain(&request.drop_in);
        survey.problems.push(PluginError::Nothing {
            drop_in: dirs.cloned().collect(),
        });
    }
    let loaded = survey.found.iter().filter(|found| found.load);
    let (_, duplicates) = Handlers::collect(loaded.filter_map(|found| found.info.clone()));
    survey.problems.extend(duplicates);
    survey
}

/// Which plugins were agreed to.
enum Agreement {
    /// Nobody asks.
    NotAsked,
    /// Those of this lock.
    By(Lock),
    /// None, as this lock file cannot be used.
    Unknown(PathBuf),
}

impl Agreement {
    fn check(&self, info: &PluginInfo) -> Result<(), PluginError> {
        match self {
            Agreement::NotAsked => Ok(()),
            Agreement::By(lock) => lock.check(info),
            Agreement::Unknown(lock) => Err(PluginError::Lock {
                source: LockError::Unknown {
                    path: info.path.clone(),
                    lock: lock.clone(),
                },
            }),
        }
    }
}

/// The canonical path, or the path itself where it leads nowhere.
fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn look(path: &Path, load: bool, policy: Policy, lock: &Agreement) -> Found {
    let mut found = Found {
        path: canonical(path),
        load,
        info: None,
        faults: Vec::new(),
        tolerated: Vec::new(),
    };
    // Also what is refused for who could have changed it is read: its name is worth a look.
    let lenient = Policy {
        allow_unsafe: true,
        ..policy
    };
    let mut vetted = match vet::open(path, lenient) {
        Ok(vetted) => vetted,
        Err(errors) => {
            found.faults.extend(errors);
            return found;
        }
    };
    let warnings = std::mem::take(&mut vetted.warnings);
    if policy.allow_unsafe {
        found.tolerated = warnings;
    } else {
        found.faults.extend(warnings.into_iter().map(PluginError::from));
    }
    match stage(vetted) {
        Ok(staged) => {
            found.faults.extend(lock.check(&staged.info).err());
            found.info = Some(staged.info);
        }
        Err(error) => found.faults.push(error),
    }
    found
}
