//! Layers of settings: what the flags say, what the environment says; the file's layers are made by
//! [`super::file`]. A layer knows for each setting its judged value and its place.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::near;
use super::problem::{Fault, Hint, Place, Report};
use super::settings::{SETTINGS, Section, Setting, VARIABLE_PREFIX};
use super::sources::Environment;
use super::value::{from_texts, judge};
use crate::cli::Flags;

/// A setting that was given.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// In its field's form; `None` where it was wrong, which has been reported.
    pub(super) value: Option<Value>,
    pub(super) place: Place,
}

/// The settings that one source gives.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer(BTreeMap<(Section, &'static str), Given>);

impl Layer {
    /// Judges `value` and keeps it; reports a wrong one, and one that is given twice.
    pub(super) fn give(
        &mut self,
        setting: &'static Setting,
        value: &Value,
        base: &Path,
        place: Place,
        report: &mut Report,
    ) {
        let id = (setting.section, setting.key);
        if let Some(first) = self.0.get(&id) {
            report.problem(
                place,
                Fault::Twice {
                    other: first.place.clone(),
                },
            );
            return;
        }
        let value = judge(setting.kind, value, base);
        let value = value.map_err(|fault| report.problem(place.clone(), fault)).ok();
        self.0.insert(id, Given { value, place });
    }

    /// Keeps that `setting` was given in a form that has no value, which the caller reports.
    pub(super) fn spoil(&mut self, setting: &'static Setting, place: Place) {
        self.0
            .entry((setting.section, setting.key))
            .or_insert(Given { value: None, place });
    }

    pub(super) fn get(&self, section: Section, key: &'static str) -> Option<&Given> {
        self.0.get(&(section, key))
    }

    /// What is given for a pool.
    pub(super) fn of_a_pool(&self) -> impl Iterator<Item = &Given> {
        self.0
            .iter()
            .filter(|((section, _), _)| section.is_of_a_pool())
            .map(|(_, given)| given)
    }

    /// Where `key` was given.
    pub(super) fn place(&self, section: Section, key: &'static str) -> Option<&Place> {
        self.get(section, key).map(|given| &given.place)
    }
}

/// What the flags say. Relative paths are completed from `cwd`.
pub(super) fn of_flags(flags: &Flags, cwd: &Path, report: &mut Report) -> Layer {
    let mut layer = Layer::default();
    for setting in SETTINGS {
        let Some(flag) = setting.flag else { continue };
        if let Some(texts) = flags.typed(flag) {
            layer.give(
                setting,
                &from_texts(setting.kind, texts),
                cwd,
                Place::Flag(flag),
                report,
            );
        }
    }
    layer
}

/// What the environment says. Relative paths are completed from `cwd`; an empty variable counts as unset; what is
/// unknown or was injected by Kubernetes is a warning.
pub(super) fn of_environment(environment: &Environment, cwd: &Path, report: &mut Report) -> Layer {
    let mut layer = Layer::default();
    for (name, text) in environment
        .with_prefix(VARIABLE_PREFIX)
        .filter(|(_, text)| !text.is_empty())
    {
        let place = Place::Variable(name.to_owned());
        let known = SETTINGS
            .iter()
            .find(|setting| setting.variable().as_deref() == Some(name));
        match known {
            _ if is_of_kubernetes(name, text) => report.warning(place, of_kubernetes(known.is_some())),
            None => report.warning(place, unknown(name)),
            Some(setting) if setting.kind.is_list() => {
                let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
                let texts: Vec<String> = texts.map(str::to_owned).collect();
                layer.give(setting, &from_texts(setting.kind, &texts), cwd, place, report);
            }
            Some(setting) => {
                let texts = [text.trim().to_owned()];
                layer.give(setting, &from_texts(setting.kind, &texts), cwd, place, report);
            }
        }
    }
    layer
}

/// Whether this is one of the variables that Kubernetes sets for each service, as for a service named `asynccall`
/// (Kubernetes manual, "Service environment variables").
fn is_of_kubernetes(name: &str, text: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["tcp://", "udp://", "sctp://"];
    let is_address = PROTOCOLS.iter().any(|protocol| text.starts_with(protocol));
    let is_port_of_service = name.rsplit_once("_PORT_").is_some_and(|(_, rest)| {
        let digits = rest.split('_').next().unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    (name.ends_with("_PORT") && is_address)
        || name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || is_port_of_service
}

/// Why such a variable is left aside; `is_setting`: a setting has the same one.
fn of_kubernetes(is_setting: bool) -> Fault {
    let reason = "Kubernetes sets it for a service of this name".to_owned();
    let hint = is_setting.then(|| "`enableServiceLinks: false` in the pod keeps it away".to_owned());
    Fault::Ignored {
        reason,
        hint: Hint(hint),
    }
}

/// The nearest name is sought without the prefix, which would make all of them look alike.
fn unknown(name: &str) -> Fault {
    let known: Vec<String> = SETTINGS.iter().filter_map(Setting::variable).collect();
    let tails = known.iter().filter_map(|name| name.strip_prefix(VARIABLE_PREFIX));
    let near = near::nearest(name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name), tails);
    let hint = Hint(near.map(|tail| format!("did you mean `{VARIABLE_PREFIX}{tail}`?")));
    Fault::Ignored {
        reason: "no setting has this variable".to_owned(),
        hint,
    }
}
