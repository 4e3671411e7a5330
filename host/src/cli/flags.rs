//! The flags of the settings: clap arguments made from the table of settings, kept as the text that was typed.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};
use serde::{Deserialize, Serialize};

use crate::config::settings::{Kind, SETTINGS, Setting};

/// The flags that commands to a running daemon take: they are needed to find its pid file.
const OF_TARGET: &[&str] = &["config", "pid-file"];
/// The flags that count for a producer: where the queue server is, and what `--force-sync` loads.
const OF_PRODUCER: &[&str] = &[
    "config",
    "host",
    "port",
    "plugin",
    "plugin-dir",
    "handler-config",
    "allow-unsafe-plugins",
    "require-sha256",
    "plugins-lock",
    "log-level",
];
/// The flags that say where plugins are searched and which of them are refused.
const OF_SEARCH: &[&str] = &[
    "config",
    "plugin",
    "plugin-dir",
    "allow-unsafe-plugins",
    "require-sha256",
    "plugins-lock",
];
/// The flags that say how one plugin is found, refused, configured and tried.
const OF_TRIAL: &[&str] = &[
    "config",
    "handler-config",
    "plugin-dir",
    "allow-unsafe-plugins",
    "require-sha256",
    "plugins-lock",
    "start-timeout",
    "log-format",
    "log-level",
];

/// The setting flags of one command line, by flag name without dashes: the texts in the order in which they were
/// typed. A switch typed without a value is `true`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(BTreeMap<String, Vec<String>>);

impl Flags {
    /// What was typed for `flag`, or nothing.
    pub(crate) fn typed(&self, flag: &str) -> Option<&[String]> {
        self.0.get(flag).map(Vec::as_slice)
    }

    /// With `flag` set to `text` as if it had been typed alone, in place of what was typed.
    #[must_use]
    pub fn with(mut self, flag: &str, text: impl Into<String>) -> Self {
        self.0.insert(flag.to_owned(), vec![text.into()]);
        self
    }

    /// Takes the flags that `wanted` lets through.
    fn read(&mut self, matches: &ArgMatches, wanted: impl Fn(&str) -> bool) {
        for flag in SETTINGS
            .iter()
            .filter_map(|setting| setting.flag)
            .filter(|flag| wanted(flag))
        {
            if let Ok(Some(typed)) = matches.try_get_many::<String>(flag) {
                self.0.insert(flag.to_owned(), typed.cloned().collect());
            }
        }
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.read(matches, |_| true);
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.read(matches, |_| true);
        Ok(())
    }
}

impl Args for Flags {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(SETTINGS.iter().filter_map(argument))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// Which daemon a command speaks to: `--pid-file`, or the configuration file that names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target(pub Flags);

/// What a producer is told of the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Producer(pub Flags);

/// Where plugins are searched, and which of them are refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search(pub Flags);

/// How one plugin is found, refused, configured and tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trial(pub Flags);

/// Has `$name` take the flags of `$list` alone.
macro_rules! takes {
    ($name:ident, $list:ident) => {
        impl FromArgMatches for $name {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                let mut flags = Self::default();
                flags.update_from_arg_matches(matches)?;
                Ok(flags)
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                // `call` has flags of its own with the names of a pool's.
                self.0.read(matches, |flag| $list.contains(&flag));
                Ok(())
            }
        }

        impl Args for $name {
            fn augment_args(command: clap::Command) -> clap::Command {
                let of_list = |setting: &&Setting| setting.flag.is_some_and(|flag| $list.contains(&flag));
                command.args(SETTINGS.iter().filter(of_list).filter_map(argument))
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                Self::augment_args(command)
            }
        }
    };
}

takes!(Target, OF_TARGET);
takes!(Producer, OF_PRODUCER);
takes!(Search, OF_SEARCH);
takes!(Trial, OF_TRIAL);

fn argument(setting: &Setting) -> Option<Arg> {
    let flag = setting.flag?;
    let arg = Arg::new(flag)
        .long(flag)
        .value_name(value_name(setting.kind))
        .help(help(setting))
        .help_heading(setting.section.heading())
        .allow_negative_numbers(true);
    let arg = if flag == "config" { arg.short('c') } else { arg };
    let arg = match setting.php {
        Some(name) if name != flag => arg.alias(name),
        _ => arg,
    };
    Some(match setting.kind {
        Kind::Switch => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        kind if kind.is_list() => arg.action(ArgAction::Append),
        _ => arg,
    })
}

fn value_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer { .. } | Kind::Duration { .. } | Kind::Number { .. } => "N",
        Kind::Switch => "true|false",
        Kind::OneOf(_) => "WORD",
        Kind::Text | Kind::Name | Kind::Account | Kind::TubeList => "NAME",
        Kind::Host => "HOST",
        Kind::LogFilter => "LEVEL",
        Kind::Path | Kind::PidFile => "FILE",
        Kind::PathList | Kind::Grants => "DIR",
        Kind::Network => "off|PORT",
        Kind::PluginList => "PATH|NAME",
        Kind::TubeHandlers => "TUBE=NAME",
        Kind::HandlerFiles => "NAME=FILE.json",
    }
}

/// The help text with the words to choose from, the default and its unit.
fn help(setting: &Setting) -> String {
    let mut help = setting.help.to_owned();
    if let Kind::OneOf(words) = setting.kind {
        help += &format!(": {}", words.join(", "));
    }
    let default = match (setting.kind, setting.default) {
        (Kind::PidFile, _) => {
            "asynccall-host/default.pid in $XDG_RUNTIME_DIR, else in a private directory in /tmp"
        }
        (Kind::Switch, _) => "",
        (_, default) => default,
    };
    if !default.is_empty() {
        help += &format!(" [default: {default}{}]", setting.unit());
    }
    help
}
