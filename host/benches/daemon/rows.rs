//! What is measured: a module for each group of rows.

pub(crate) mod counts;
mod drains;
mod idle;
mod latency;
mod peers;
mod php;
mod producer;
mod reload;
mod scale;

use std::process::ExitCode;

use clap::{Args, builder::PossibleValuesParser};

use crate::table::{HEAD, Row};

/// How much is measured.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// How often each pair is measured.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// How many jobs a drain has.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) jobs: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            rounds: 5,
            jobs: 100_000,
        }
    }
}

/// Tells a row as soon as it is known.
type Tell<'a> = &'a mut dyn FnMut(Row);

type Group = (&'static str, fn(&Options, Tell<'_>));

const GROUPS: &[Group] = &[
    ("drain", drains::rows),
    ("ahead", drains::ahead),
    ("counts", counts::rows),
    ("latency", latency::rows),
    ("idle", idle::rows),
    ("producer", producer::rows),
    ("scale", scale::rows),
    ("reload", reload::rows),
    ("peers", peers::rows),
    ("php", php::rows),
];

/// The names of the groups.
pub(crate) fn names() -> PossibleValuesParser {
    GROUPS.iter().map(|(name, _)| name).collect::<Vec<_>>().into()
}

/// Measures these groups of rows, or all, and prints the table as it grows.
///
/// Fails where a count is over its limit.
#[allow(clippy::print_stdout, reason = "the table is what it is run for")]
pub(crate) fn print(groups: &[String], options: &Options) -> ExitCode {
    let mut missed = 0;
    let mut plots = Vec::new();
    println!("{HEAD}");
    for (name, rows) in GROUPS {
        if groups.is_empty() || groups.iter().any(|group| group == name) {
            rows(options, &mut |mut row| {
                println!("{row}");
                missed += usize::from(*name == "counts" && row.is_met() == Some(false));
                plots.extend(row.plot.take());
            });
        }
    }
    plots.iter().for_each(|plot| println!("\n```text\n{plot}```"));
    match missed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
