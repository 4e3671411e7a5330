//! `plugin docs`: a page about each handler of a plugin.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{cli, exit::Exit, local::LoadError, master::Failure, plugin::page::page};

/// `plugin docs`: the pages one after the other, or the files that they were written to.
///
/// Nothing is written before all that was asked for is known.
pub(super) fn docs(typed: cli::Docs) -> Result<String, Failure> {
    let config = super::settings(typed.settings.0.clone())?;
    let catalog = super::stage(&config, &typed.plugin)
        .map_err(|errors| super::not_loaded(LoadError::Plugins(errors)))?;
    let mut pages = Vec::new();
    for handler in super::chosen(&catalog, typed.handler.as_deref())? {
        let description = super::describe(&config, &catalog, &handler)?;
        let manifest = catalog.handlers.plugin(&handler).map(|plugin| &plugin.manifest);
        let entry = manifest.and_then(|manifest| {
            let entry = manifest.handlers.iter().find(|entry| entry.name == handler)?;
            Some(page(manifest, entry, &description))
        });
        pages.extend(entry.map(|page| (handler, page)));
    }
    match &typed.output {
        None => {
            let pages: Vec<String> = pages.into_iter().map(|(_, page)| page).collect();
            Ok(pages.join("\n").trim_end().to_owned())
        }
        Some(directory) => write(directory, &pages),
    }
}

fn write(directory: &Path, pages: &[(String, String)]) -> Result<String, Failure> {
    let failed = |path: &Path, error: io::Error| {
        let text = format!("cannot write `{}`: {error}", path.display());
        Failure::new(Exit::CannotCreate, text)
    };
    fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    let mut lines = Vec::new();
    for (handler, page) in pages {
        let path = file(directory, handler);
        fs::write(&path, page).map_err(|error| failed(&path, error))?;
        lines.push(format!("wrote `{}`", path.display()));
    }
    Ok(lines.join("\n"))
}

/// The file of a handler's page; whatever its name has, the file is in the directory.
fn file(directory: &Path, handler: &str) -> PathBuf {
    let plain = |c: char| if c == '/' { '_' } else { c };
    let name: String = handler.chars().map(plain).collect();
    directory.join(format!("{name}.md"))
}
