//! `plugin lock`: agrees to the plugins that a start would load, as they are now.

use std::collections::BTreeSet;

use crate::{
    cli,
    exit::Exit,
    master::{Failure, generation},
    plugin::{
        PluginError,
        lock::{Entry, Lock, LockError},
        registry::{Request, stage_all},
    },
};

/// `plugin lock`: writes the lock file, and tells of each plugin what has changed against the one before.
///
/// What a start would refuse for another reason is not agreed to, and then nothing is written. Nor is it in the place of
/// a file that is no lock.
pub(super) fn lock(typed: cli::Lock) -> Result<String, Failure> {
    let config = super::settings(typed.search.0)?;
    let Some(path) = config.plugins.lock.clone() else {
        let text = "found no place for the lock file, wanted `--plugins-lock FILE`, or a configuration file beside which it lies";
        return Err(Failure::new(Exit::Usage, text));
    };
    let request = Request {
        lock: None,
        ..generation::request(&config)
    };
    let catalog = stage_all(&request).map_err(|errors| Failure::new(errors.exit(), errors.to_string()))?;
    let lock = Lock::of(path.clone(), catalog.plugins.iter().map(|staged| &*staged.info));
    let before = Lock::read_to_replace(&path, request.policy)
        .map_err(|errors| Failure::new(errors.exit(), errors.to_string()))?;
    lock.write().map_err(cannot_write)?;
    // A start would refuse it for the same reasons.
    let (_, tolerated) = Lock::read(&path, request.policy).map_err(|errors| {
        Failure::new(
            Exit::NoPermission,
            format!("the lock file is written, but {errors}"),
        )
    })?;

    let mut lines: Vec<String> = catalog
        .warnings
        .iter()
        .chain(&tolerated)
        .map(|warning| format!("warning: {warning}"))
        .collect();
    lines.extend(changes(before.entries(), lock.entries()));
    lines.push(format!(
        "wrote `{}`, plugins: {}",
        path.display(),
        lock.entries().len()
    ));
    Ok(lines.join("\n"))
}

/// One line for each plugin that is agreed to, or no longer.
fn changes(before: &BTreeSet<Entry>, now: &BTreeSet<Entry>) -> Vec<String> {
    let line = |what: &str, entry: &Entry| {
        let Entry {
            file,
            name,
            version,
            sha256,
        } = entry;
        format!("{what} {file}: {name} {version}, sha256 {sha256}")
    };
    let mut lines: Vec<String> = now
        .iter()
        .map(|entry| match before.contains(entry) {
            true => line("as before", entry),
            false => line("new", entry),
        })
        .collect();
    lines.extend(before.difference(now).map(|entry| line("gone", entry)));
    lines
}

fn cannot_write(source: LockError) -> Failure {
    Failure::new(Exit::CannotCreate, PluginError::Lock { source }.full())
}
