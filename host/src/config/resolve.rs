//! From sources and texts to one [`Config`]: the flags beat the environment, the environment beats the file, and the
//! file beats the defaults. Pure: no file, clock or process is asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::check;
use super::file::{self, FileLayer, PoolLayer};
use super::layer::Layer;
use super::problem::{ConfigErrors, Fault, Hint, Place, Problem, Report};
use super::settings::{Kind, SETTINGS, Section, Setting, TABLES_OF_A_POOL};
use super::sources::{FileText, Sources, Texts, Typed, WantedFile};
use super::value::{from_texts, judge};
use super::{Config, Daemon, HandlerConfig, Pool, Purpose};

/// A valid configuration, and what is strange about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The configuration.
    pub config: Config,
    /// To be logged, or printed by `check`; nothing of it keeps the daemon from running.
    pub warnings: Vec<Problem>,
}

/// Resolves `sources` and the `texts` of the files that they name.
///
/// # Errors
/// Every problem there is, not only the first.
pub fn resolve(sources: &Sources, texts: &Texts) -> Result<Resolved, ConfigErrors> {
    resolve_for(Purpose::Daemon, sources, texts)
}

/// The same, for somebody who may need less than a daemon.
///
/// # Errors
/// Every problem there is, not only the first.
pub(super) fn resolve_for(
    purpose: Purpose,
    sources: &Sources,
    texts: &Texts,
) -> Result<Resolved, ConfigErrors> {
    let mut report = Report::default();
    let file = texts
        .config
        .as_ref()
        .and_then(|file| file::parse(&file.path, &file.text, &mut report));
    let file = file.unwrap_or_default();
    let typed = Typed::of(sources, &mut report);

    // The strongest layer first.
    let layers = [&typed.flags, &typed.environment, &file.shared];
    let shared_queue = object(Section::Queue, &layers);
    let pools = pools(&typed, &file.pools, &shared_queue, &mut report)?;
    check::slots(&pools, &layers[..2], &file.pools, &mut report);
    let handlers = handlers(&file, &typed, &texts.handlers, &mut report);
    let queue = build(Section::Queue, shared_queue)?;
    let plugins = build(Section::Plugins, plugins(texts.config.as_ref(), &layers))?;
    let daemon: Daemon = build(Section::Daemon, daemon(sources, &layers))?;
    check::plugins(&plugins, purpose, &layers, &mut report);
    check::user(&daemon, &layers, &mut report);

    let Report { problems, warnings } = report;
    let config = Config {
        queue,
        plugins,
        handlers,
        pools,
        daemon,
    };
    ConfigErrors::unless_empty(problems, Resolved { config, warnings })
}

/// The pools, each from the layers that speak of it.
fn pools(
    typed: &Typed,
    in_file: &[PoolLayer],
    shared_queue: &Map<String, Value>,
    report: &mut Report,
) -> Result<Vec<Pool>, ConfigErrors> {
    let only = PoolLayer {
        settings: Layer::default(),
        place: Place::Unset("pool".to_owned()),
    };
    if let [_, second, ..] = in_file {
        let pool = second.place.without_key();
        for given in typed.environment.of_a_pool().chain(typed.flags.of_a_pool()) {
            report.problem(
                given.place.clone(),
                Fault::BesideSeveralPools { pool: pool.clone() },
            );
        }
        check::pool_names(in_file, report);
    }
    let in_file = if in_file.is_empty() {
        std::slice::from_ref(&only)
    } else {
        in_file
    };
    let pools = in_file.iter().map(|pool| {
        let layers = [&typed.flags, &typed.environment, &pool.settings];
        let mut settings = object(Section::Pool, &layers);
        for (key, section) in TABLES_OF_A_POOL {
            let mut table = object(section, &layers);
            if section == Section::PoolQueue {
                fill(&mut table, shared_queue);
            }
            settings.insert(key.to_owned(), Value::Object(table));
        }
        let built: Pool = build(Section::Pool, settings)?;
        check::pool(&built, &layers, report);
        Ok(built)
    });
    pools.collect()
}

/// Takes from `shared` what `table` leaves open.
fn fill(table: &mut Map<String, Value>, shared: &Map<String, Value>) {
    for (key, value) in table.iter_mut().filter(|(_, value)| value.is_null()) {
        *value = shared.get(key).cloned().unwrap_or_default();
    }
}

/// What is loaded, with the default of the lock file, which lies beside the configuration file.
fn plugins(file: Option<&FileText>, layers: &[&Layer]) -> Map<String, Value> {
    let mut settings = object(Section::Plugins, layers);
    let lock = settings.entry("lock").or_insert(Value::Null);
    if let (Value::Null, Some(file)) = (&lock, file) {
        *lock = Value::from(file.path.with_file_name(DEFAULT_LOCK).to_string_lossy());
    }
    settings
}

/// The name of the lock file beside the configuration file.
const DEFAULT_LOCK: &str = "plugins.lock";

/// The daemon's settings, with the default of the pid file, which depends on user and environment.
fn daemon(sources: &Sources, layers: &[&Layer]) -> Map<String, Value> {
    let mut settings = object(Section::Daemon, layers);
    let pid_file = settings.entry("pid_file").or_insert(Value::Null);
    if pid_file.is_null() {
        let dir = private_dir(sources);
        *pid_file = Value::from(dir.join(DEFAULT_PID_FILE).to_string_lossy());
        settings.insert("private_dir".to_owned(), Value::from(dir.to_string_lossy()));
    }
    settings
}

/// The name of the pid file in the private directory.
const DEFAULT_PID_FILE: &str = "default.pid";

/// The directory of the default pid file: of this user alone.
fn private_dir(sources: &Sources) -> PathBuf {
    match sources.environment.runtime_dir() {
        Some(dir) => dir.join("asynccall-host"),
        None => Path::new("/tmp").join(format!("asynccall-host-{}", sources.euid)),
    }
}

/// Handler configurations: of the JSON files where a handler has one, else of the file's table.
fn handlers(
    file: &FileLayer,
    typed: &Typed,
    texts: &BTreeMap<String, FileText>,
    report: &mut Report,
) -> BTreeMap<String, HandlerConfig> {
    check::handler_files(&typed.handler_files(), report);
    let mut handlers = file.handlers.clone();
    for (name, FileText { path, text }) in texts {
        let place = |line| Place::File {
            path: path.clone(),
            line,
            key: None,
        };
        match serde_json::from_str::<Value>(text) {
            Ok(value) if value.is_object() => {
                handlers.insert(name.clone(), HandlerConfig::new(value));
            }
            Ok(_) => {
                let wanted = format!("an object, the configuration of handler `{name}`");
                let found = "another JSON value".to_owned();
                report.problem(
                    place(None),
                    Fault::Value {
                        found,
                        wanted,
                        hint: Hint::default(),
                    },
                );
            }
            Err(error) => {
                report.problem(
                    place(Some(error.line())),
                    Fault::Syntax {
                        message: format!("not JSON: {error}"),
                    },
                );
            }
        }
    }
    handlers
}

/// The pid file alone; `read` is asked for the configuration file where no flag and no variable names the pid file.
///
/// # Errors
/// What is wrong with this one setting, or a file that is no TOML.
pub(super) fn pid_file(
    sources: &Sources,
    read: impl FnOnce(&WantedFile, &mut Report) -> Option<FileText>,
) -> Result<PathBuf, ConfigErrors> {
    let mut report = Report::default();
    let typed = Typed::of(sources, &mut report);
    let mut shared = Layer::default();
    let place = |layer: &Layer| layer.place(Section::Daemon, "pid_file").cloned();
    let typed_at = place(&typed.flags).or_else(|| place(&typed.environment));
    if typed_at.is_none() {
        let text = typed.config_file().and_then(|wanted| read(&wanted, &mut report));
        shared = match text.map(|file| file::parse(&file.path, &file.text, &mut report)) {
            Some(Some(layer)) => layer.shared,
            Some(None) => return ConfigErrors::unless_empty(report.problems, PathBuf::new()),
            None => shared,
        };
    }
    let at = typed_at.or_else(|| place(&shared));
    let matters = |problem: &Problem| {
        at.as_ref() == Some(&problem.place) || matches!(problem.fault, Fault::Unreadable { .. })
    };
    report.problems.retain(matters);
    let settings = daemon(sources, &[&typed.flags, &typed.environment, &shared]);
    let Daemon { pid_file, .. } = build(Section::Daemon, settings)?;
    ConfigErrors::unless_empty(report.problems, pid_file)
}

/// The settings of `section`, each from the strongest of `layers` (strongest first) that has it, else its
/// default. A list that adds is joined from all layers instead, the weakest first.
fn object(section: Section, layers: &[&Layer]) -> Map<String, Value> {
    let value = |setting: &'static Setting| {
        let given = layers
            .iter()
            .filter_map(|layer| layer.get(section, setting.key)?.value.clone());
        let mut given: Vec<Value> = given.collect();
        if setting.adds {
            given.reverse();
            let items = given.iter().filter_map(Value::as_array).flatten().cloned();
            return Value::Array(items.collect());
        }
        given.into_iter().next().unwrap_or_else(|| default_of(setting))
    };
    let rows = SETTINGS.iter().filter(|setting| setting.section == section);
    rows.map(|setting| (setting.key.to_owned(), value(setting)))
        .collect()
}

/// The default of a setting in its field's form: `null` or an empty list where there is none.
fn default_of(setting: &Setting) -> Value {
    let texts = [setting.default.to_owned()];
    match (setting.default, setting.kind.is_list()) {
        _ if setting.kind == Kind::TubeHandlers => Value::Object(Map::new()),
        ("", true) => Value::Array(Vec::new()),
        ("", false) => Value::Null,
        _ => judge(setting.kind, &from_texts(setting.kind, &texts), Path::new("/")).unwrap_or_default(),
    }
}

/// Fills the struct of `section`. That it does not fit is an error of the table of settings, whatever was given.
fn build<T: DeserializeOwned>(section: Section, settings: Map<String, Value>) -> Result<T, ConfigErrors> {
    serde_json::from_value(Value::Object(settings)).map_err(|error| {
        let place = Place::Unset(section.path().to_owned());
        ConfigErrors::one(
            place,
            Fault::Internal {
                message: error.to_string(),
            },
        )
    })
}
