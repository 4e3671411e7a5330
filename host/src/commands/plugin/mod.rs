//! `plugin …`: one module for each command with something to do. None of them needs a daemon or a queue server.

mod check;
mod docs;
mod list;
mod lock;
mod new;
mod run;
mod schema;

use asynccall_abi::c::HEADER;
use nix::libc::STDERR_FILENO;
use serde_json::{Map, Value, json};

use crate::{
    cli::{Flags, Plugin},
    config::{self, Config, Purpose},
    exit::Exit,
    local::LoadError,
    master::{Failure, generation},
    observe::log,
    plugin::{
        PluginError, PluginErrors, PluginInfo,
        description::Description,
        registry::{Asked, Catalog, Request, stage_all},
    },
    trial::{Limits, Said, Setup, Task, Trial, TrialError},
};

/// `plugin …`: what to print at the end. A command that fails with something to show gives it to `print` before.
pub fn plugin(typed: Plugin, print: impl FnOnce(&str)) -> Result<String, Failure> {
    match typed {
        Plugin::New(typed) => new::new(typed),
        Plugin::Header => Ok(HEADER.trim_end().to_owned()),
        Plugin::List(typed) => list::list(typed),
        Plugin::Lock(typed) => lock::lock(typed),
        Plugin::Check(typed) => check::check(typed, print),
        Plugin::Run(typed) => run::run(*typed, print),
        Plugin::Schema(typed) => schema::schema(typed),
        Plugin::Docs(typed) => docs::docs(typed),
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

/// What the plugin says of one of its handlers, asked in a process of its own.
fn describe(config: &Config, catalog: &Catalog, handler: &str) -> Result<Description, Failure> {
    let lost = |error: TrialError| Failure::new(error.exit(), error.full());
    let limits = Limits {
        start: config.daemon.start_timeout,
        job: None,
    };
    let setup = setup(config, catalog, handler, Task::Describe);
    let mut trial = Trial::start(catalog, &setup, &[], limits).map_err(|error| lost(error.into()))?;
    loop {
        // What becomes of the child once it has said that is of no interest.
        if let Said::Described(description) = trial.hear().map_err(lost)? {
            return Ok(description);
        }
    }
}

/// The handlers that are meant: the one that is named, or all of the plugin's.
fn chosen(catalog: &Catalog, wanted: Option<&str>) -> Result<Vec<String>, Failure> {
    match wanted {
        Some(wanted) => Ok(vec![
            catalog
                .handlers
                .choose(Some(wanted))
                .map_err(unusable)?
                .to_owned(),
        ]),
        None => Ok(catalog.handlers.names().map(str::to_owned).collect()),
    }
}

/// The handler that is meant: the one that is named, or the plugin's only one.
fn only<'a>(catalog: &'a Catalog, wanted: Option<&str>) -> Result<&'a str, Failure> {
    catalog.handlers.choose(wanted).map_err(|error| match error {
        PluginError::NoneChosen { .. } => Failure::new(
            Exit::Usage,
            format!("{error}\n  hint: name one of them behind the plugin"),
        ),
        error => unusable(error),
    })
}

fn unusable(error: PluginError) -> Failure {
    not_loaded(LoadError::Handler(error))
}

fn not_loaded(error: LoadError) -> Failure {
    Failure::new(error.exit(), error.to_string())
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
