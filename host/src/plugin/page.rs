//! A page about a handler, in Markdown: what its plugin's manifest and its schemas say, for whoever configures it and
//! for whoever puts jobs.
//!
//! Pure. A plugin's texts are data: they cannot end a table's cell, and none of them is markup that the page relies on.

mod example;
mod fields;
mod node;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::plugin::{
    description::Description,
    manifest::{HandlerEntry, Manifest},
};
use fields::{Field, fields, phrase};

/// What follows from every outcome, which no manifest says.
const OUTCOMES: &str = "\
The handler answers each job with done, with a wish for another try, with a failure, or that it is to be buried; a panic
is a failure too. When it is tried again, and how often, the job's message and the pool decide (`retry`, `[pool.backoff]`,
`max_attempts`). A job runs at least once: after a crash or a lost connection it may run again.
";

/// The page of one of the plugin's handlers.
pub fn page(manifest: &Manifest, handler: &HandlerEntry, description: &Description) -> String {
    let mut page = format!("# `{}`\n", handler.name);
    if !handler.description.is_empty() {
        page += &format!("\n{}\n", fields::one_line(&handler.description));
    }
    page += &format!(
        "\nA handler of the plugin `{}` {}, built for plugin abi {}.\n",
        manifest.name, manifest.version, manifest.abi
    );
    page += "\n## Configuration\n\n";
    page += &configuration(&handler.name, description.config.as_ref());
    page += "\n## Payload\n\n";
    page += &payload(description.payload.as_ref());
    page += "\n## Outcomes\n\n";
    page += OUTCOMES;
    page
}

fn configuration(handler: &str, schema: Option<&Value>) -> String {
    let Some(schema) = schema else {
        return "The plugin gives no schema of the configuration.\n".to_owned();
    };
    let rows = fields(schema);
    if rows.is_empty() {
        return "There is nothing to configure.\n".to_owned();
    }
    format!(
        "{}In the configuration file below `[handler.{handler}]`, or in a JSON file by `--handler-config {handler}=FILE`.\n\n\
         {}\nAn example; what begins with `#` may be left out:\n\n```toml\n{}```\n",
        paragraph(schema),
        table(&rows),
        example::configuration(handler, schema)
    )
}

fn payload(schema: Option<&Value>) -> String {
    let Some(schema) = schema else {
        return "The plugin gives no schema of the payload.\n".to_owned();
    };
    let rows = fields(schema);
    let about = paragraph(schema);
    let example = format!("An example:\n\n```json\n{}\n```\n", example::payload(schema));
    match rows.is_empty() {
        true => format!("{about}{}.\n\n{example}", phrase(schema)),
        false => format!("{about}{}\n{example}", table(&rows)),
    }
}

/// What a schema says of the whole document, as a paragraph.
fn paragraph(schema: &Value) -> String {
    match fields::about(schema) {
        about if about.is_empty() => about,
        about => format!("{about}\n\n"),
    }
}

fn table(rows: &[Field]) -> String {
    let mut table = "| Key | Type | Required | Default | |\n|---|---|---|---|---|\n".to_owned();
    for row in rows {
        let required = if row.is_required { "yes" } else { "" };
        let default = row.default.as_deref().unwrap_or_default();
        let cells = [&code(&row.key), &row.kind, required, default, &row.text];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        table += &format!("| {} |\n", cells.join(" | ")).replace("  |", " |");
    }
    table
}

/// A text as code, whatever is in it.
fn code(text: &str) -> String {
    let text = fields::one_line(text);
    match text.contains('`') {
        true => format!("`` {text} ``"),
        false => format!("`{text}`"),
    }
}
