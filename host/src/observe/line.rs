//! One event as one line: pure text work.
//!
//! The text form is `time LEVEL identity fields message`, such as
//! `2026-11-22T10:00:00.123+00:00 WARN job=901 tube=mail handler=mailer outcome=failed settled=release delay=60s`.
//! Whatever a plugin or a job puts into a field stays inside its line: control characters are
//! escaped, and what could be taken for another field is quoted. The lines of the PHP library are [`php`]'s.

pub mod php;

use std::{fmt::Write, sync::Arc};

use jiff::Zoned;
use serde_json::{Map, Value};
use tracing::{
    Level,
    field::{Field, Visit},
};

/// The longest value or message that is written, in bytes.
pub const LONGEST_VALUE: usize = 8 * 1024;

/// The fields and the message of one event, in the order in which they are written.
#[derive(Default)]
pub struct Line {
    fields: Vec<(String, Content)>,
    message: String,
    /// The JSON view of the body of the job that the event is about; only kept for the form of the PHP library.
    data: Option<Arc<str>>,
}

enum Content {
    Text(String),
    /// A number or a boolean, as JSON writes it.
    Json(String),
}

impl Line {
    /// A field with a text value.
    pub fn text(&mut self, name: &str, value: &str) {
        self.fields
            .push((name.to_owned(), Content::Text(value.to_owned())));
    }

    /// A field whose value is a JSON number or boolean.
    pub fn json(&mut self, name: &str, value: &str) {
        self.fields
            .push((name.to_owned(), Content::Json(value.to_owned())));
    }

    /// The message.
    pub fn message(&mut self, message: &str) {
        message.clone_into(&mut self.message);
    }

    /// The body of the job that the event is about.
    pub fn data(&mut self, data: Option<Arc<str>>) {
        self.data = data;
    }

    /// `time LEVEL fields message`, with a line feed.
    pub fn to_text(&self, now: &Zoned, level: Level, color: bool) -> String {
        let mut out = String::with_capacity(160);
        let time = now.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z");
        let (start, end) = if color {
            (level_color(level), "\x1b[0m")
        } else {
            ("", "")
        };
        // Writing to a String cannot fail.
        let _ = write!(out, "{time} {start}{level}{end}");
        for (name, content) in &self.fields {
            out.push(' ');
            escape(name, &mut out);
            out.push('=');
            match content {
                Content::Text(value) => quote_where_needed(value, &mut out),
                Content::Json(value) => escape(value, &mut out),
            }
        }
        if !self.message.is_empty() {
            out.push(' ');
            escape(&self.message, &mut out);
        }
        out.push('\n');
        out
    }

    /// A JSON object on one line, with a line feed.
    pub fn to_json(&self, now: &Zoned, level: Level, target: &str) -> String {
        let mut object = Map::new();
        object.insert(
            "time".into(),
            now.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string().into(),
        );
        object.insert("level".into(), level.as_str().to_ascii_lowercase().into());
        object.insert("target".into(), target.into());
        for (name, content) in &self.fields {
            let value = match content {
                Content::Text(value) => Value::from(bounded(value).into_owned()),
                Content::Json(value) => serde_json::from_str(value).unwrap_or_else(|_| value.as_str().into()),
            };
            object.insert(name.clone(), value);
        }
        object.insert("message".into(), bounded(&self.message).into());
        let mut line = Value::Object(object).to_string();
        line.push('\n');
        line
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message(value),
            name => self.text(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.json(field.name(), &value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.json(field.name(), &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.json(field.name(), if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.json(field.name(), &value.to_string());
    }
}

fn level_color(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        _ => "\x1b[2m",
    }
}

/// An error and what it comes from, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// `value`, or its beginning and how much was left out.
pub fn bounded(value: &str) -> std::borrow::Cow<'_, str> {
    if value.len() <= LONGEST_VALUE {
        return value.into();
    }
    let end = value.floor_char_boundary(LONGEST_VALUE);
    format!("{}…(+{} bytes)", &value[..end], value.len() - end).into()
}

/// Writes `text` with control characters escaped, those that no terminal shows and no `grep` expects included.
pub fn escape(text: &str, out: &mut String) {
    escape_whole(&bounded(text), out);
}

/// The same, however long it is.
fn escape_whole(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() || matches!(control, '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{{{:x}}}", control as u32);
            }
            other => out.push(other),
        }
    }
}

fn quote_where_needed(value: &str, out: &mut String) {
    let bare =
        !value.is_empty() && !value.contains([' ', '"', '=', '\\']) && !value.contains(char::is_control);
    if bare {
        return escape(value, out);
    }
    out.push('"');
    escape(&value.replace('\\', "\\\\").replace('"', "\\\""), out);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> Zoned {
        "2026-11-22T12:00:00.5+00:00[UTC]".parse().expect("a date")
    }

    fn sample() -> Line {
        let mut line = Line::default();
        line.json("job", "901");
        line.text("tube", "mail");
        line.text("error", "no \"such\" host\nINFO forged=1");
        line.message("gave\u{1b}[31m up\n");
        line
    }

    #[test]
    fn a_text_line_keeps_everything_inside_one_line() {
        assert_eq!(
            sample().to_text(&noon(), Level::WARN, false),
            "2026-11-22T12:00:00.500+00:00 WARN job=901 tube=mail \
             error=\"no \\\"such\\\" host\\nINFO forged=1\" gave\\u{1b}[31m up\\n\n"
        );
    }

    #[test]
    fn a_json_line_keeps_numbers_as_numbers() {
        let line = sample().to_json(&noon(), Level::WARN, "mailer");
        let value: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(value["job"], 901);
        assert_eq!(value["level"], "warn");
        assert_eq!(value["error"], "no \"such\" host\nINFO forged=1");
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn a_long_value_is_cut_and_says_so() {
        let mut line = Line::default();
        line.text("result", &"界".repeat(LONGEST_VALUE));
        let text = line.to_text(&noon(), Level::DEBUG, false);
        assert!(text.len() < LONGEST_VALUE + 200, "{} bytes", text.len());
        assert!(
            text.contains(&format!("(+{} bytes)", 2 * LONGEST_VALUE + LONGEST_VALUE % 3)),
            "{}",
            &text[8000..]
        );
    }
}
