//! Where in a JSON document a position is: `mail.to.0` for line 1, column 24.
//!
//! Runs only where a document did not fit, so that decoding itself keeps no track.

/// Longest path that is told, in bytes; a payload's keys may have any length.
const LONGEST: usize = 120;

/// An open map or list.
enum Open<'a> {
    Map { key: &'a [u8], complete: bool },
    List { index: usize },
}

/// The path of the value that ends at a position as serde_json gives it: lines from 1, columns in bytes.
///
/// The document has been read without a syntax error up to there.
pub(super) fn at(json: &[u8], line: usize, column: usize) -> String {
    let before: usize = json
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    let end = before.saturating_add(column).min(json.len());
    render(&walk(json.get(..end).unwrap_or_default()))
}

/// What is open at the end of `json`.
fn walk(json: &[u8]) -> Vec<Open<'_>> {
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        let start = at;
        at += 1;
        match byte {
            // What a value begins with at the very end is the value that did not fit: its inside was not read.
            b'{' | b'[' if at == json.len() => {}
            b'{' => open.push(Open::Map {
                key: b"",
                complete: false,
            }),
            b'[' => open.push(Open::List { index: 0 }),
            b'}' | b']' => drop(open.pop()),
            b'"' => {
                at = string_end(json, at);
                if let Some(Open::Map { key, complete: false }) = open.last_mut() {
                    *key = json.get(start + 1..at.saturating_sub(1)).unwrap_or_default();
                }
            }
            b':' => {
                if let Some(Open::Map { complete, .. }) = open.last_mut() {
                    *complete = true;
                }
            }
            b',' => match open.last_mut() {
                Some(Open::Map { complete, .. }) => *complete = false,
                Some(Open::List { index }) => *index += 1,
                None => {}
            },
            _ => {}
        }
    }
    open
}

/// Where the string that began before `from` ends: behind its closing quote.
fn string_end(json: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

fn render(open: &[Open<'_>]) -> String {
    let mut path = String::new();
    for step in open {
        let step = match step {
            Open::Map { key, complete: true } => String::from_utf8_lossy(key),
            // Serde's sentence names the key itself.
            Open::Map { complete: false, .. } => continue,
            Open::List { index } => index.to_string().into(),
        };
        if path.len() + step.len() > LONGEST {
            path.push_str("...");
            break;
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(&step);
    }
    path
}
