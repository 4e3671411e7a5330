//! `plugin …`: one module for each command. None of them needs a daemon or a queue server.

mod check;
mod list;
mod lock;
mod new;
mod run;

use nix::libc::STDERR_FILENO;
use serde_json::{Map, Value, json};

use crate::{
    cli::{Flags, Plugin},
    config::{self, Config, Purpose},
    exit::Exit,
    master::{Failure, generation},
    observe::log,
    plugin::{
        PluginErrors, PluginInfo,
        registry::{Asked, Catalog, Request, stage_all},
    },
    trial::{Setup, Task},
};

/// `plugin …`: what to print at the end. A command that fails with something to show gives it to `print` before.
pub fn plugin(typed: Plugin, print: impl FnOnce(&str)) -> Result<String, Failure> {
    match typed {
        Plugin::New(typed) => new::new(typed),
        Plugin::List(typed) => list::list(typed),
        Plugin::Lock(typed) => lock::lock(typed),
        Plugin::Check(typed) => check::check(typed, print),
        Plugin::Run(typed) => run::run(*typed, print),
    }
}

/// The settings that say where plugins are and what handlers are given; there may be none to load.
fn settings(flags: Flags) -> Result<Config, Failure> {
    let resolved = config::load_for(Purpose::Producer, &super::sources(flags)?);
    match resolved {
        Ok(resolved) => Ok(resolved.config),
        Err(errors) => Err(Failure::new(errors.exit(), errors.to_string())),
    }
}

/// Stages the one plugin that was asked for, by path or by name. Names are looked up in the drop-in directories too.
fn stage(config: &Config, asked: &str) -> Result<Catalog, PluginErrors> {
    let Request {
        mut dirs,
        drop_in,
        policy,
        lock,
        ..
    } = generation::request(config);
    dirs.extend(drop_in);
    stage_all(&Request {
        load: vec![Asked::parse(asked)],
        dirs,
        drop_in: Vec::new(),
        policy,
        lock,
    })
}

/// What a child needs in order to try a handler of these plugins.
fn setup(config: &Config, catalog: &Catalog, handler: &str, task: Task) -> Setup {
    let mut log = log::settings(&config.daemon, STDERR_FILENO);
    log.path = None;
    Setup {
        plugins: catalog.references(),
        handler: handler.to_owned(),
        config: config.handlers.get(handler).cloned().unwrap_or_default(),
        log,
        task,
    }
}

/// What a document says of a plugin beside its path; `null` throughout where the file is none.
fn identity(info: Option<&PluginInfo>) -> Map<String, Value> {
    let manifest = info.map(|info| &info.manifest);
    Map::from_iter([
        ("sha256".to_owned(), json!(info.map(|info| &info.sha256))),
        ("name".to_owned(), json!(manifest.map(|manifest| &manifest.name))),
        (
            "version".to_owned(),
            json!(manifest.map(|manifest| &manifest.version)),
        ),
        ("abi".to_owned(), json!(manifest.map(|manifest| manifest.abi))),
        (
            "toolchain".to_owned(),
            json!(manifest.map(|manifest| &manifest.toolchain)),
        ),
        (
            "handlers".to_owned(),
            json!(manifest.map(|manifest| &manifest.handlers)),
        ),
    ])
}

/// A document as text.
fn pretty(document: &Value) -> Result<String, Failure> {
    serde_json::to_string_pretty(document)
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot print JSON: {error}")))
}
