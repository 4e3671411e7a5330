//! `plugin list`: what the search path holds.

use serde_json::{Value, json};

use crate::{
    cli::List,
    master::{Failure, generation},
    plugin::{
        PluginError, PluginInfo,
        registry::{Found, Survey, survey},
    },
};

/// How much of a hash the table shows.
const SHORT_HASH: usize = 12;

/// The columns of the table. The path is the last one, which needs no width.
const TITLES: [&str; 8] = [
    "NAME", "VERSION", "ABI", "HANDLERS", "HASH", "VETTED", "LOAD", "PATH",
];

/// `plugin list`: a table, below each of its rows what the plugin is refused for.
pub(super) fn list(typed: List) -> Result<String, Failure> {
    let config = super::settings(typed.search.0)?;
    let survey = survey(&generation::request(&config));
    if !typed.json {
        return Ok(table(&survey));
    }
    super::pretty(&document(&survey))
}

fn table(survey: &Survey) -> String {
    let rows: Vec<[String; 8]> = survey.found.iter().map(row).collect();
    let mut widths = TITLES.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut lines = Vec::new();
    if !rows.is_empty() {
        lines.push(line(&TITLES.map(str::to_owned), &widths));
    }
    for (found, row) in survey.found.iter().zip(&rows) {
        lines.push(line(row, &widths));
        lines.extend(found.faults.iter().map(|fault| format!("  {}", indented(fault))));
        lines.extend(
            found
                .tolerated
                .iter()
                .map(|warning| format!("  warning: {warning}")),
        );
    }
    lines.extend(
        survey
            .warnings
            .iter()
            .map(|warning| format!("warning: {warning}")),
    );
    lines.extend(
        survey
            .problems
            .iter()
            .map(|problem| format!("problem: {}", problem.full())),
    );
    lines.join("\n")
}

fn row(found: &Found) -> [String; 8] {
    let of = |part: fn(&PluginInfo) -> String| found.info.as_deref().map_or_else(|| "-".to_owned(), part);
    [
        of(|info| info.manifest.name.clone()),
        of(|info| info.manifest.version.clone()),
        of(|info| info.manifest.abi.to_string()),
        of(handlers),
        of(|info| info.sha256.chars().take(SHORT_HASH).collect()),
        vetted(found).to_owned(),
        if found.load { "yes" } else { "no" }.to_owned(),
        found.path.display().to_string(),
    ]
}

fn handlers(info: &PluginInfo) -> String {
    let names: Vec<&str> = info
        .manifest
        .handlers
        .iter()
        .map(|handler| handler.name.as_str())
        .collect();
    names.join(",")
}

/// `yes`; `no` where it is refused; `unsafe` where it is used only because that is allowed.
fn vetted(found: &Found) -> &'static str {
    match (found.faults.is_empty(), found.tolerated.is_empty()) {
        (false, _) => "no",
        (true, false) => "unsafe",
        (true, true) => "yes",
    }
}

fn line(cells: &[String; 8], widths: &[usize; 8]) -> String {
    let padded = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:width$}"));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// Error and hint, the hint below the error.
fn indented(error: &PluginError) -> String {
    error.full().replace('\n', "\n  ")
}

fn document(survey: &Survey) -> Value {
    let plugins: Vec<Value> = survey.found.iter().map(entry).collect();
    let problems: Vec<String> = survey.problems.iter().map(PluginError::full).collect();
    let warnings: Vec<String> = survey.warnings.iter().map(ToString::to_string).collect();
    json!({ "plugins": plugins, "problems": problems, "warnings": warnings })
}

/// One file.
fn entry(found: &Found) -> Value {
    let faults: Vec<String> = found.faults.iter().map(PluginError::full).collect();
    let tolerated: Vec<String> = found.tolerated.iter().map(ToString::to_string).collect();
    let mut entry = super::identity(found.info.as_deref());
    entry.insert("path".to_owned(), json!(found.path.display().to_string()));
    entry.insert("load".to_owned(), Value::Bool(found.load));
    entry.insert("vetted".to_owned(), json!(vetted(found)));
    entry.insert("refused".to_owned(), json!(faults));
    entry.insert("warnings".to_owned(), json!(tolerated));
    Value::Object(entry)
}
