//! The lines of the PHP library, for those who look for them with `grep`.
//!
//! How a job ended is told in the library's own forms, with the JSON view of its body at the end; everything else as
//! `[time] LEVEL message fields`. Times are local, without a zone, as the library writes them.
//!
//! | the job | the line behind the time |
//! |---|---|
//! | is done | `DELETE <json result> - <json>` |
//! | failed and is tried again, or goes back for another reason | `RELEASE <message> - 重新发布，延时N秒后重新执行 - <json>` |
//! | failed behind its `retryStopAt` | `DELETE <message> - 重新发布的任务结束，达到最大重试时间点<stopAt> - <json>` |
//! | is buried | `BURY <message> - <json>` |
//! | is buried, and its body is empty or cannot be read | `Command params is not null - <message>` |
//! | was deleted before it ran | `DELETED <json result or message> - <json>` |
//! | panicked or raised an exception | `RELEASEException <message> - <json>`, `BURYException <message> - <json>` |

use std::fmt::Write;

use jiff::Zoned;
use serde::de::IgnoredAny;
use tracing::Level;

use super::{Content, Line, escape, escape_whole, quote_where_needed};

impl Line {
    /// The line with its line feed.
    pub fn to_php(&self, now: &Zoned, level: Level) -> String {
        let mut out = format!("[{}] ", now.strftime("%Y-%m-%d %H:%M:%S"));
        if !self.write_end_of_job(&mut out) {
            self.write_event(level, &mut out);
        }
        out.push('\n');
        out
    }

    /// `false`, and nothing written, where the line does not say how a job was settled.
    fn write_end_of_job(&self, out: &mut String) -> bool {
        let (Some(settled), Some(outcome)) = (self.field("settled"), self.field("outcome")) else {
            return false;
        };
        let message = ["error", "reason"].iter().find_map(|name| self.field(name));
        let message = message.unwrap_or_default();
        let result = || as_json(self.field("result").unwrap_or_default());
        let delay = self.field("delay").unwrap_or("0s").trim_end_matches('s');
        let stop_at = self.field("stop_at").unwrap_or_default();
        let body = self.data.as_deref();
        let (status, said, more) = match (outcome, settled) {
            ("done", "delete") => ("DELETE", result(), String::new()),
            ("done", "deleted_before_running") => ("DELETED", result(), String::new()),
            (_, "deleted_before_running") => ("DELETED", message.to_owned(), String::new()),
            ("exception", "bury") => ("BURYException", message.to_owned(), String::new()),
            ("exception", "release") => ("RELEASEException", message.to_owned(), String::new()),
            (_, "bury") if body.is_none_or(is_falsy) => {
                out.push_str("Command params is not null - ");
                escape(message, out);
                return true;
            }
            (_, "bury") => ("BURY", message.to_owned(), String::new()),
            (_, "release") => (
                "RELEASE",
                message.to_owned(),
                format!(" - 重新发布，延时{delay}秒后重新执行"),
            ),
            (_, "delete") => (
                "DELETE",
                message.to_owned(),
                format!(" - 重新发布的任务结束，达到最大重试时间点{stop_at}"),
            ),
            // Nobody settled it, and the library has no word for that.
            _ => return false,
        };
        out.push_str(status);
        for part in [" ", &said, &more, " - "] {
            escape(part, out);
        }
        // Whoever took the view has cut it already.
        escape_whole(body.unwrap_or("null"), out);
        true
    }

    fn write_event(&self, level: Level, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = write!(out, "{level}");
        if !self.message.is_empty() {
            out.push(' ');
            escape(&self.message, out);
        }
        for (name, content) in &self.fields {
            out.push(' ');
            escape(name, out);
            out.push('=');
            match content {
                Content::Text(value) => quote_where_needed(value, out),
                Content::Json(value) => escape(value, out),
            }
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, Content::Text(value) | Content::Json(value))| value.as_str())
    }
}

/// A handler's result: none is `null`, and what is no JSON is written as a string of it.
fn as_json(result: &str) -> String {
    match serde_json::from_str::<IgnoredAny>(result) {
        _ if result.is_empty() => "null".to_owned(),
        Ok(_) => compact(result),
        Err(_) => serde_json::Value::from(result).to_string(),
    }
}

/// JSON without the white space between its tokens, as PHP's `json_encode` writes it.
pub fn compact(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let is_kept = |character: &char| {
        let kept = in_string || !character.is_ascii_whitespace();
        match character {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && *character == '\\' && !escaped;
        kept
    };
    json.chars().filter(is_kept).collect()
}

/// A body that the library takes for none: PHP's `false`, `null`, zero, and whatever is empty.
fn is_falsy(json: &str) -> bool {
    ["false", "null", "0", "0.0", "-0.0", "\"\"", "\"0\"", "[]"].contains(&json)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn noon() -> Zoned {
        "2026-11-22T12:00:00.5+08:00[Asia/Shanghai]"
            .parse()
            .expect("a date")
    }

    #[track_caller]
    fn assert_written(fields: &[(&str, &str)], data: Option<&str>, expected: &str) {
        let mut line = Line::default();
        fields.iter().for_each(|(name, value)| line.text(name, value));
        line.data(data.map(Arc::from));
        let written = line.to_php(&noon(), Level::WARN);
        assert_eq!(written, format!("[2026-11-22 12:00:00] {expected}\n"));
    }

    #[test]
    fn every_end_of_a_job_has_the_librarys_form() {
        let ended = |outcome, settled| [("outcome", outcome), ("settled", settled)];
        let data = Some(r#"{"a":1}"#);
        let with = |ended: [(&'static str, &'static str); 2], more: &[(&'static str, &'static str)]| {
            [ended.as_slice(), more].concat()
        };
        let failed = [("reason", "why"), ("error", "the disk is full")];
        let table = [
            (
                with(ended("done", "delete"), &[("result", "{ \"id\": [7, \"a b\"] }")]),
                r#"DELETE {"id":[7,"a b"]} - {"a":1}"#,
            ),
            (with(ended("done", "delete"), &[]), r#"DELETE null - {"a":1}"#),
            (
                with(ended("failed", "bury"), &failed),
                r#"BURY the disk is full - {"a":1}"#,
            ),
            (
                with(ended("failed", "release"), &[("delay", "70s"), ("reason", "why")]),
                r#"RELEASE why - 重新发布，延时70秒后重新执行 - {"a":1}"#,
            ),
            (
                with(
                    ended("failed", "delete"),
                    &[("error", "no"), ("stop_at", "2001-01-01 00:00:00")],
                ),
                r#"DELETE no - 重新发布的任务结束，达到最大重试时间点2001-01-01 00:00:00 - {"a":1}"#,
            ),
            (
                with(ended("done", "deleted_before_running"), &[("result", "true")]),
                r#"DELETED true - {"a":1}"#,
            ),
            (
                with(ended("failed", "deleted_before_running"), &failed),
                r#"DELETED the disk is full - {"a":1}"#,
            ),
            (
                with(ended("exception", "bury"), &failed),
                r#"BURYException the disk is full - {"a":1}"#,
            ),
            (
                with(ended("exception", "release"), &failed),
                r#"RELEASEException the disk is full - {"a":1}"#,
            ),
            (
                with(
                    ended("not_executed", "bury"),
                    &[("reason", "it took down 3 workers")],
                ),
                r#"BURY it took down 3 workers - {"a":1}"#,
            ),
            (with(ended("done", "lost"), &[]), "WARN outcome=done settled=lost"),
        ];
        for (fields, expected) in table {
            assert_written(&fields, data, expected);
        }
    }

    #[test]
    fn a_body_that_the_library_takes_for_none_has_its_words() {
        let fields = [("outcome", "bury"), ("settled", "bury"), ("error", "no JSON")];
        for body in [None, Some("0"), Some("[]"), Some("\"\"")] {
            assert_written(&fields, body, "Command params is not null - no JSON");
        }
    }

    #[test]
    fn other_events_say_their_level_and_text_first() {
        let mut line = Line::default();
        line.json("worker", "2");
        line.text("error", "no \"such\" host");
        line.message("connection lost");
        assert_eq!(
            line.to_php(&noon(), Level::ERROR),
            "[2026-11-22 12:00:00] ERROR connection lost worker=2 error=\"no \\\"such\\\" host\"\n"
        );
    }

    #[test]
    fn nothing_that_a_job_says_leaves_its_line() {
        let forged = "x\n[2026-01-01 00:00:00] DELETE true - {}\r\u{1b}[31m";
        let fields = [("outcome", "failed"), ("settled", "bury"), ("error", forged)];
        assert_written(
            &fields,
            Some("{\"a\":\"b\"}"),
            "BURY x\\n[2026-01-01 00:00:00] DELETE true - {}\\r\\u{1b}[31m - {\"a\":\"b\"}",
        );
    }

    #[test]
    fn white_space_goes_from_between_tokens_and_stays_in_strings() {
        let pretty = "{\n  \"a \\\" b\" : [ 1,\t\"\\\\\" , \" \" ]\r\n}";
        assert_eq!(compact(pretty), r#"{"a \" b":["#.to_owned() + r#"1,"\\"," "]}"#);
    }
}
