//! The difference that a layout check has found, in one line.
//!
//! abi_stable prints hundreds of lines that begin with what is equal. The line made here names the type, the member
//! and what either side has there.

use std::fmt::Display;

use abi_stable::{
    abi_stability::abi_checking::{AbiInstability, AbiInstabilityErrors, ExpectedFound},
    type_layout::TLFieldOrFunction,
};

/// How abi_stable names a function's answer.
const ANSWER: &str = "__returns";
/// How it names the methods of a trait object.
const METHODS: &str = "VTable";
/// What it puts behind a trait's name for the object.
const OBJECT: &str = "_TO";

/// Which side the check took as the interface, which may have no more than the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interface {
    Plugin,
    Host,
}

impl Interface {
    /// Interface first.
    pub(crate) fn order<T>(self, plugin: T, host: T) -> (T, T) {
        match self {
            Interface::Plugin => (plugin, host),
            Interface::Host => (host, plugin),
        }
    }

    /// Plugin first.
    fn sides<T>(self, pair: &ExpectedFound<T>) -> (&T, &T) {
        match self {
            Interface::Plugin => (&pair.expected, &pair.found),
            Interface::Host => (&pair.found, &pair.expected),
        }
    }
}

/// The first difference, one that names something before one that only measures.
pub(crate) fn in_one_line(errors: &AbiInstabilityErrors, interface: Interface) -> String {
    let all = errors
        .errors
        .iter()
        .flat_map(|inside| inside.errs.iter().map(|error| (&inside.stack_trace, error)));
    let Some((stack, error)) = all.min_by_key(|(_, error)| rank(error)) else {
        return "unknown".to_owned();
    };
    let stack = stack.iter().map(|entry| *interface.sides(entry).1);
    format!("{}: {}", place(stack), words(error, interface))
}

fn rank(error: &AbiInstability) -> u8 {
    match error {
        AbiInstability::Name(_) | AbiInstability::UnexpectedField(_) => 0,
        AbiInstability::FieldCountMismatch(_) | AbiInstability::MismatchedPrefixSize(_) => 1,
        _ => 2,
    }
}

/// The innermost type of this crate on the way to the difference, and the way from there.
fn place(stack: impl Iterator<Item = TLFieldOrFunction>) -> String {
    let mut owner = "Plugin";
    let mut way: Vec<&str> = Vec::new();
    for entry in stack {
        let TLFieldOrFunction::Field(field) = entry else {
            continue;
        };
        let kind = field.layout();
        way.push(match field.name() {
            ANSWER => "answer",
            // abi_stable gives the names of all parameters to the first one.
            name => name.split_once(',').map_or(name, |(first, _)| first),
        });
        if kind.package().as_str() == env!("CARGO_PKG_NAME") {
            way.clear();
            if kind.name() != METHODS {
                owner = kind.name().strip_suffix(OBJECT).unwrap_or(kind.name());
            }
        }
    }
    way.insert(0, owner);
    format!("`{}`", way.join("."))
}

fn words(error: &AbiInstability, interface: Interface) -> String {
    let differ = |plugin: &dyn Display, host: &dyn Display, what: &str| {
        format!("{plugin}{what} in the plugin, {host}{what} in this host")
    };
    match error {
        AbiInstability::Name(pair) => {
            let (plugin, host) = interface.sides(pair);
            differ(
                &format_args!("`{}`", plugin.name()),
                &format_args!("`{}`", host.name()),
                "",
            )
        }
        AbiInstability::UnexpectedField(pair) => {
            let (plugin, host) = interface.sides(pair);
            let name = |name: &'static str| format!("`{}`", name.trim_end_matches(','));
            differ(&name(plugin.name()), &name(host.name()), "")
        }
        AbiInstability::FieldCountMismatch(pair) => {
            let (plugin, host) = interface.sides(pair);
            differ(plugin, host, " fields")
        }
        AbiInstability::MismatchedPrefixSize(pair) => {
            let (plugin, host) = interface.sides(pair);
            differ(plugin, host, " fields that no minor lacks")
        }
        AbiInstability::Size(pair) => {
            let (plugin, host) = interface.sides(pair);
            differ(plugin, host, " bytes")
        }
        AbiInstability::PackageVersion(pair) => {
            let (plugin, host) = interface.sides(pair);
            differ(plugin, host, "")
        }
        AbiInstability::TagError { .. } | AbiInstability::ExtraCheckError(_) => {
            "the trait's bounds differ".to_owned()
        }
        other => {
            let named = format!("{other:?}");
            let end = named.find(|c: char| !c.is_alphanumeric()).unwrap_or(named.len());
            format!("the two sides differ ({})", &named[..end])
        }
    }
}
