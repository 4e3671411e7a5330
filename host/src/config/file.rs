//! The layers of the configuration file (TOML).
//!
//! Two shapes: tables (`[queue]`, `[plugins]`, `[daemon]`, `[handler.NAME]` and any number of `[[pool]]`), or the flat
//! one of the PHP library, whose options stand at the top level, under their PHP names or ours, and describe
//! one pool. The shapes may be mixed, but a pool's option cannot stand at the top level beside `[[pool]]`.
//! Relative paths are completed from the file's directory. A handler's table is passed on as it is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::layer::Layer;
use super::problem::{Fault, Hint, Place, Problem, Report};
use super::settings::{SETTINGS, Section, Setting, TABLES_OF_A_POOL, find};
use super::value::wanted;
use super::{HandlerConfig, near};

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct FileLayer {
    /// `[queue]`, `[plugins]`, `[daemon]`.
    pub(super) shared: Layer,
    /// Each `[[pool]]`, or the one pool of the flat shape; empty where the file speaks of none.
    pub(super) pools: Vec<PoolLayer>,
    /// `[handler.NAME]`.
    pub(super) handlers: BTreeMap<String, HandlerConfig>,
}

/// What the file says of one pool.
#[derive(Debug)]
pub(super) struct PoolLayer {
    pub(super) settings: Layer,
    /// Where the pool begins.
    pub(super) place: Place,
}

/// A key of the file, where it begins, and its value.
type Entry<'a, 'i> = (&'a str, usize, &'a Spanned<DeValue<'i>>);

/// Reads `text`, the content of the file at `path`. Where it is no TOML at all, only that is reported.
pub(super) fn parse(path: &Path, text: &str, report: &mut Report) -> Option<FileLayer> {
    let found = Report::default();
    let base = path.parent().unwrap_or(Path::new("/"));
    let mut reader = Reader {
        path,
        text,
        base,
        report: found,
        layer: FileLayer::default(),
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let message = error.message().replace('\n', "; ");
        let place = reader.place(error.span().unwrap_or_default().start, None);
        reader.report.problem(place, Fault::Syntax { message });
    }
    if errors.is_empty() {
        reader.document(document.get_ref());
    }
    let Reader {
        report: mut found,
        layer,
        ..
    } = reader;
    found.problems.sort_by_key(line);
    report.problems.append(&mut found.problems);
    report.warnings.append(&mut found.warnings);
    errors.is_empty().then_some(layer)
}

fn line(problem: &Problem) -> Option<usize> {
    match &problem.place {
        Place::File { line, .. } => *line,
        _ => None,
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    base: &'a Path,
    report: Report,
    layer: FileLayer,
}

impl Reader<'_> {
    fn place(&self, offset: usize, key: Option<String>) -> Place {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Place::File {
            path: PathBuf::from(self.path),
            line: Some(line),
            key,
        }
    }

    fn document(&mut self, table: &DeTable<'_>) {
        let mut flat = Layer::default();
        for entry @ (name, at, value) in entries(table) {
            match name {
                "queue" => self.section(Section::Queue, value),
                "plugins" => self.section(Section::Plugins, value),
                "daemon" => self.section(Section::Daemon, value),
                "pool" => self.pools(value),
                "handler" => self.handlers(value),
                _ => match SETTINGS
                    .iter()
                    .find(|setting| setting.php.is_some() && setting.is_called(name))
                {
                    Some(setting) if setting.section.is_of_a_pool() => {
                        self.give(setting, name.to_owned(), entry, &mut flat);
                    }
                    Some(setting) => {
                        let mut shared = std::mem::take(&mut self.layer.shared);
                        self.give(setting, name.to_owned(), entry, &mut shared);
                        self.layer.shared = shared;
                    }
                    None => {
                        let place = self.place(at, Some(name.to_owned()));
                        self.report.problem(place, unknown_at_top(name));
                    }
                },
            }
        }
        self.flat_pool(flat);
    }

    /// Makes the pool's options of the top level a pool, unless the file has pools.
    fn flat_pool(&mut self, flat: Layer) {
        let places: Vec<Place> = flat.of_a_pool().map(|given| given.place.clone()).collect();
        match (self.layer.pools.first(), places.first()) {
            (Some(pool), _) => {
                let pool = pool.place.without_key();
                for place in places {
                    self.report
                        .problem(place, Fault::BesidePools { pool: pool.clone() });
                }
            }
            (None, Some(place)) => {
                let place = place.clone();
                self.layer.pools.push(PoolLayer {
                    settings: flat,
                    place,
                });
            }
            (None, None) => {}
        }
    }

    /// Reads a table of shared settings.
    fn section(&mut self, section: Section, value: &Spanned<DeValue<'_>>) {
        let mut shared = std::mem::take(&mut self.layer.shared);
        if let Some(table) = self.table(value, section.path(), &section.header()) {
            self.settings(section, table, &mut shared);
        }
        self.layer.shared = shared;
    }

    /// Reads the settings of `section` in `table` into `layer`.
    fn settings(&mut self, section: Section, table: &DeTable<'_>, layer: &mut Layer) {
        for entry @ (name, at, value) in entries(table) {
            let key = format!("{}.{name}", section.path());
            let inner = TABLES_OF_A_POOL.into_iter().find(|(inner, _)| *inner == name);
            if let (Section::Pool, Some((_, inner))) = (section, inner) {
                if let Some(table) = self.table(value, &key, &inner.header()) {
                    self.settings(inner, table, layer);
                }
                continue;
            }
            match find(section, name) {
                Some(setting) => self.give(setting, key, entry, layer),
                None => {
                    let place = self.place(at, Some(key));
                    self.report.problem(place, unknown_in(section, name));
                }
            }
        }
    }

    fn give(
        &mut self,
        setting: &'static Setting,
        key: String,
        (_, at, value): Entry<'_, '_>,
        layer: &mut Layer,
    ) {
        let place = self.place(at, Some(key));
        match to_json(value) {
            Ok(value) => layer.give(setting, &value, self.base, place, &mut self.report),
            Err((_, found)) => {
                let fault = Fault::Value {
                    found,
                    wanted: wanted(setting.kind),
                    hint: Hint::default(),
                };
                layer.spoil(setting, place.clone());
                self.report.problem(place, fault);
            }
        }
    }

    fn pools(&mut self, value: &Spanned<DeValue<'_>>) {
        let place = self.place(value.span().start, Some("pool".to_owned()));
        let Some(pools) = value.get_ref().as_array() else {
            let found = kind_of(value.get_ref());
            let hint = Hint::some("a pool's table is headed `[[pool]]`");
            self.report.problem(
                place,
                Fault::Value {
                    found,
                    wanted: "a list of tables".to_owned(),
                    hint,
                },
            );
            return;
        };
        for pool in pools {
            let place = self.place(pool.span().start, Some("pool".to_owned()));
            let mut settings = Layer::default();
            if let Some(table) = self.table(pool, "pool", "[[pool]]") {
                self.settings(Section::Pool, table, &mut settings);
            }
            self.layer.pools.push(PoolLayer { settings, place });
        }
    }

    fn handlers(&mut self, value: &Spanned<DeValue<'_>>) {
        let Some(table) = self.table(value, "handler", "[handler.NAME]") else {
            return;
        };
        for (name, _, value) in entries(table) {
            let key = format!("handler.{name}");
            if self.table(value, &key, "[handler.NAME]").is_none() {
                continue;
            }
            match to_json(value) {
                Ok(value) => {
                    self.layer
                        .handlers
                        .insert(name.to_owned(), HandlerConfig::new(value));
                }
                Err((span, found)) => {
                    let place = self.place(span.start, Some(key));
                    let wanted = "a value that JSON has too".to_owned();
                    let hint = Hint::some("write it as a string");
                    self.report.problem(place, Fault::Value { found, wanted, hint });
                }
            }
        }
    }

    /// `value` as a table, or a report that it is none.
    fn table<'v, 'i>(
        &mut self,
        value: &'v Spanned<DeValue<'i>>,
        key: &str,
        header: &str,
    ) -> Option<&'v DeTable<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let place = self.place(value.span().start, Some(key.to_owned()));
            let wanted = format!("a table, `{header}`");
            let found = kind_of(value.get_ref());
            self.report.problem(
                place,
                Fault::Value {
                    found,
                    wanted,
                    hint: Hint::default(),
                },
            );
        }
        table
    }
}

/// The entries of a table in the order of the file, so that of two spellings the second is the one too many.
fn entries<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Entry<'a, 'i>> {
    let mut entries: Vec<Entry<'a, 'i>> = table
        .iter()
        .map(|(key, value)| (key.get_ref().as_ref(), key.span().start, value))
        .collect();
    entries.sort_by_key(|(_, at, _)| *at);
    entries
}

/// The type of a value, without the value: it may be a secret that stands in the wrong place.
fn kind_of(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(_) | DeValue::Array(_) => format!("an {}", value.type_str()),
        other => format!("a {}", other.type_str()),
    }
}

/// The same value in JSON, or where and what it is that JSON lacks.
fn to_json(value: &Spanned<DeValue<'_>>) -> Result<Value, (Range<usize>, String)> {
    let lacking = |what: &str| (value.span(), what.to_owned());
    Ok(match value.get_ref() {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(switch) => Value::from(*switch),
        DeValue::Datetime(_) => return Err(lacking("a datetime")),
        DeValue::Integer(integer) => {
            let (digits, radix) = (integer.as_str(), integer.radix());
            let signed = i64::from_str_radix(digits, radix).map(Value::from);
            let either = signed.or_else(|_| u64::from_str_radix(digits, radix).map(Value::from));
            either.map_err(|_| lacking("an integer of more than 64 bits"))?
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse::<f64>().ok().and_then(Number::from_f64);
            Value::Number(number.ok_or_else(|| lacking("a float that is not finite"))?)
        }
        DeValue::Array(items) => Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        DeValue::Table(table) => {
            let mut object = Map::new();
            for (key, value) in table.iter() {
                object.insert(key.get_ref().as_ref().to_owned(), to_json(value)?);
            }
            Value::Object(object)
        }
    })
}

/// An unknown key of a table: the same key of another table, or the nearest of this one.
fn unknown_in(section: Section, name: &str) -> Fault {
    let known = SETTINGS
        .iter()
        .filter(|setting| setting.section == section)
        .map(|setting| setting.key);
    let tables = TABLES_OF_A_POOL.iter().map(|(key, _)| *key);
    let tables = tables.filter(|_| section == Section::Pool);
    let hint = elsewhere(name).unwrap_or_else(|| near::hint(name, known.chain(tables)));
    Fault::Unknown { what: "key", hint }
}

/// An unknown key of the top level: a setting of a table, or the nearest name of a table or PHP option.
fn unknown_at_top(name: &str) -> Fault {
    const TABLES: [&str; 5] = ["queue", "plugins", "daemon", "pool", "handler"];
    let options = SETTINGS.iter().filter_map(|setting| setting.php);
    let hint = elsewhere(name).unwrap_or_else(|| near::hint(name, TABLES.into_iter().chain(options)));
    Fault::Unknown { what: "key", hint }
}

/// Where a setting of this name belongs.
fn elsewhere(name: &str) -> Option<Hint> {
    let in_file = |setting: &&Setting| setting.section != Section::Invocation && setting.is_called(name);
    let setting = SETTINGS.iter().find(in_file)?;
    Some(Hint::some(format!(
        "`{}` belongs into `{}`",
        setting.key,
        setting.section.header()
    )))
}
