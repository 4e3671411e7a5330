//! What is wrong between settings that are right one by one.

use std::collections::{BTreeMap, BTreeSet};

use asynccall_client::tube::TubeNamingError;

use super::file::PoolLayer;
use super::layer::Layer;
use super::problem::{Fault, Hint, Place, Report};
use super::settings::Section;
use super::sources::WantedFile;
use super::{Daemon, PluginRef, Plugins, Pool, Purpose, near};
use crate::ipc::scoreboard::MOST_SLOTS;

/// Where `key` was given, in the strongest of `layers`, or that it was not.
fn place(section: Section, key: &'static str, layers: &[&Layer]) -> Place {
    let given = layers.iter().find_map(|layer| layer.place(section, key));
    given
        .cloned()
        .unwrap_or_else(|| Place::Unset(format!("{}.{key}", section.path())))
}

/// There is something to load, a name has a directory to be found in, and what has to be locked has a lock file.
pub(super) fn plugins(plugins: &Plugins, purpose: Purpose, layers: &[&Layer], report: &mut Report) {
    if plugins.require_sha256 && plugins.lock.is_none() {
        report.problem(
            place(Section::Plugins, "require_sha256", layers),
            Fault::Missing {
                wanted: "a lock file, as there is no configuration file that it could lie beside".to_owned(),
                hint: Hint::some("`--plugins-lock FILE`"),
            },
        );
    }
    let at = place(Section::Plugins, "load", layers);
    let is_given = [
        ("load", &at),
        ("drop_in", &place(Section::Plugins, "drop_in", layers)),
    ]
    .iter()
    .any(|(_, place)| !matches!(place, Place::Unset(_)));
    if purpose == Purpose::Daemon && plugins.load.is_empty() && plugins.drop_in.is_empty() && !is_given {
        let hint = Hint::some("`--plugin PATH`, `--plugin-dir DIR` or `[plugins] load` in the file");
        report.problem(
            at,
            Fault::Missing {
                wanted: "a plugin to load".to_owned(),
                hint,
            },
        );
        return;
    }
    let by_name = plugins.load.iter().find_map(|plugin| match plugin {
        PluginRef::Name(name) => Some(name),
        PluginRef::Path(_) => None,
    });
    if let Some(name) = by_name.filter(|_| plugins.dirs.is_empty()) {
        let hint = Hint::some(format!(
            "set `[plugins] dirs` in the file, where `lib{name}.so` is looked up, or write a path such as `./{name}`"
        ));
        let wanted = "a path, as there is no directory to look names up in".to_owned();
        report.problem(
            at,
            Fault::Value {
                found: format!("the name `{name}`"),
                wanted,
                hint,
            },
        );
    }
}

/// A group comes with a user, and a user that the master becomes has a pid file in a place of its own.
///
/// The directory of the default pid file is private to whoever starts the daemon.
pub(super) fn user(daemon: &Daemon, layers: &[&Layer], report: &mut Report) {
    let missing = |wanted: &str, hint: &str| Fault::Missing {
        wanted: wanted.to_owned(),
        hint: Hint::some(hint),
    };
    let at = |key| place(Section::Daemon, key, layers);
    let is_given = |key| {
        layers
            .iter()
            .any(|layer| layer.get(Section::Daemon, key).is_some())
    };
    if daemon.group.is_some() && !is_given("user") {
        let hint = "`group` is the group of the user that the daemon becomes";
        report.problem(at("user"), missing("a user, as there is a `group`", hint));
    }
    if daemon.user.is_some() && daemon.private_dir.is_some() && !is_given("pid_file") {
        let hint = "for example `/run/asynccall-host/daemon.pid`, in a directory that the user can enter";
        report.problem(at("pid_file"), missing("a pid file, as there is a `user`", hint));
    }
}

/// Several pools have names of their own.
pub(super) fn pool_names(pools: &[PoolLayer], report: &mut Report) {
    let mut names: BTreeMap<&str, &Place> = BTreeMap::new();
    for pool in pools {
        let Some(given) = pool.settings.get(Section::Pool, "name") else {
            let wanted = "a `name`, as there are several pools".to_owned();
            report.problem(
                pool.place.clone(),
                Fault::Missing {
                    wanted,
                    hint: Hint::default(),
                },
            );
            continue;
        };
        let Some(name) = given.value.as_ref().and_then(|value| value.as_str()) else {
            continue;
        };
        match names.get(name) {
            Some(first) => {
                let wanted = format!("a name that is not that of {first}");
                let found = format!("`{name}`");
                report.problem(
                    given.place.clone(),
                    Fault::Value {
                        found,
                        wanted,
                        hint: Hint::default(),
                    },
                );
            }
            None => {
                names.insert(name, &given.place);
            }
        }
    }
}

/// The settings of one pool fit each other.
pub(super) fn pool(pool: &Pool, layers: &[&Layer], report: &mut Report) {
    tubes(pool, layers, report);
    handlers(pool, layers, report);
    isolation(pool, layers, report);
    let (first, max) = (pool.backoff.first.as_secs(), pool.backoff.max.as_secs());
    if max < first {
        let at = match place(Section::Backoff, "max", layers) {
            Place::Unset(_) => place(Section::Backoff, "first", layers),
            given => given,
        };
        let found = format!("a longest delay of {max} s");
        let wanted = format!("at least the first delay, {first} s");
        report.problem(
            at,
            Fault::Value {
                found,
                wanted,
                hint: Hint::default(),
            },
        );
    }
}

/// The slots of all workers have room on the scoreboard, and once more for the generation that replaces them.
pub(super) fn slots(pools: &[Pool], layers: &[&Layer], in_file: &[PoolLayer], report: &mut Report) {
    let slots = |pool: &Pool| u64::from(pool.worker_num) * u64::from(pool.slots);
    let sum: u64 = pools.iter().map(slots).sum();
    if sum <= MOST_SLOTS as u64 {
        return;
    }
    let mut places = layers.to_vec();
    places.extend(in_file.iter().map(|pool| &pool.settings));
    let at = match place(Section::Pool, "worker_num", &places) {
        Place::Unset(_) => place(Section::Pool, "slots", &places),
        given => given,
    };
    report.problem(
        at,
        Fault::Value {
            found: format!("{sum} slots in all workers (`worker_num` times `slots`, over all pools)"),
            wanted: format!("at most {MOST_SLOTS}"),
            hint: Hint::default(),
        },
    );
}

/// Each tube can be watched under the pool's naming.
fn tubes(pool: &Pool, layers: &[&Layer], report: &mut Report) {
    let at = place(Section::Pool, "tubes", layers);
    for name in &pool.tubes {
        match pool.tube_naming.resolve(name) {
            Ok(tube) => {
                if let Some(reason) = tube.crc32_alone() {
                    let message = format!("watched under its crc32 alone: {reason}");
                    report.warning(at.clone(), Fault::Remark { message });
                }
            }
            Err(TubeNamingError::NotPlain { source, .. }) => {
                report.problem(at.clone(), Fault::Tube { source })
            }
            Err(TubeNamingError::Empty) => {
                let wanted = "a name for each tube".to_owned();
                report.problem(
                    at.clone(),
                    Fault::Missing {
                        wanted,
                        hint: Hint::default(),
                    },
                );
            }
        }
    }
}

/// Nobody who may still gain privileges is isolated (landlock_restrict_self(2), seccomp(2)).
fn isolation(pool: &Pool, layers: &[&Layer], report: &mut Report) {
    if pool.isolation.is_given() && !pool.no_new_privs {
        report.problem(
            place(Section::Pool, "no_new_privs", layers),
            Fault::Value {
                found: "`false`".to_owned(),
                wanted: "`true`, as the pool has an `isolation`".to_owned(),
                hint: Hint::some("the kernel isolates nobody who may gain privileges"),
            },
        );
    }
}

/// Each tube that is given a handler of its own is one of the pool's.
fn handlers(pool: &Pool, layers: &[&Layer], report: &mut Report) {
    for tube in pool.handlers.keys().filter(|tube| !pool.tubes.contains(tube)) {
        report.problem(
            place(Section::Pool, "handlers", layers),
            Fault::Value {
                found: format!("the tube `{}`", tube.escape_debug()),
                wanted: "one of the pool's `tubes`".to_owned(),
                hint: near::hint(tube, pool.tubes.iter().map(String::as_str)),
            },
        );
    }
}

/// Each handler has one JSON file.
pub(super) fn handler_files(files: &[(String, WantedFile)], report: &mut Report) {
    let mut names = BTreeSet::new();
    for (name, file) in files {
        if !names.insert(name) {
            let found = format!("two files for handler `{name}`");
            let wanted = "one for each handler".to_owned();
            report.problem(
                file.place.clone(),
                Fault::Value {
                    found,
                    wanted,
                    hint: Hint::default(),
                },
            );
        }
    }
}
