//! The JSON view of a body, or why it has none. Its forms are the table in the [module](super).

use std::fmt;

use thiserror::Error;

use super::{Format, Limits, PayloadError, detect, php};

mod forms;
mod writer;

/// A body as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// The document.
    pub json: &'a [u8],
    /// What the body is written in: [`Format::Json`] (then `json` is the body) or [`Format::Php`] (then it is the buffer).
    pub format: Format,
    /// Whether the document contains a form that stands for something JSON lacks (`__class`, `__base64`, `__float`).
    /// Always `false` for a JSON body.
    pub marked: bool,
}

/// Gives the JSON view of `body`.
///
/// A JSON body is its own view and is not parsed here: whoever deserializes it finds its faults. For a PHP body, `scratch`
/// is cleared and the document written into it; a buffer that is kept saves the allocation.
///
/// # Errors
/// The body is empty, in neither format, malformed PHP, or has no view (a cycle, a limit, keys that collide).
pub fn json_view<'a>(
    body: &'a [u8],
    limits: &Limits,
    scratch: &'a mut Vec<u8>,
) -> Result<View<'a>, PayloadError> {
    let format = detect(body);
    match format {
        Format::Json => Ok(View {
            json: body,
            format,
            marked: false,
        }),
        Format::Php => {
            let document = php::parse(body, limits)?;
            let marked = writer::write_view(&document, limits, scratch)?;
            Ok(View {
                json: scratch,
                format,
                marked,
            })
        }
        Format::Empty => Err(PayloadError::Empty),
        Format::Unknown => Err(PayloadError::unknown(body)),
    }
}

/// As [`json_view`], but a JSON body is checked too: UTF-8 and syntax.
///
/// # Errors
/// Those of [`json_view`], and malformed JSON.
pub fn validated_json_view<'a>(
    body: &'a [u8],
    limits: &Limits,
    scratch: &'a mut Vec<u8>,
) -> Result<View<'a>, PayloadError> {
    let view = json_view(body, limits, scratch)?;
    if view.format == Format::Json {
        let text = std::str::from_utf8(view.json).map_err(|error| PayloadError::NotUtf8 {
            valid_up_to: error.valid_up_to(),
        })?;
        serde_json::from_str::<serde::de::IgnoredAny>(text)?;
    }
    Ok(view)
}

/// Why a PHP value has no JSON view, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at `{path}`: {kind}")]
pub struct ViewError {
    /// Where.
    pub path: Path,
    /// Why.
    pub kind: ViewErrorKind,
}

/// Why a PHP value has no JSON view.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ViewErrorKind {
    /// The value contains itself.
    #[error("the reference leads back to a value that contains it, which JSON cannot express")]
    Cycle,
    /// The reference has no target, or `r:` has one that is no object.
    #[error("the reference to slot {slot} finds no value it could mean")]
    Reference {
        /// The slot.
        slot: u64,
    },
    /// The view nests deeper than [`Limits::depth`].
    #[error("nested deeper than {limit} levels once references are followed")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The view is longer than [`Limits::output`].
    #[error("the JSON view exceeds {limit} bytes; hint: each level of nested references doubles it")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Two properties would have the same key.
    #[error("two properties would both be `{key}`")]
    SameKey {
        /// The key, escaped.
        key: String,
    },
    /// A key repeats in a body with references.
    #[error("a key repeats, and the body has references, which would be ambiguous")]
    Repeated,
    /// An array looks like one of our forms in a body that needs one of them.
    #[error("the body's own key `{key}` could be mistaken for what the view adds elsewhere")]
    Ambiguous {
        /// The user's key, escaped.
        key: String,
    },
}

/// Where in a document a value stands, such as `$.methodParams[0].self`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// The last step first, since the path grows while an error travels outwards.
    steps: Vec<String>,
}

impl fmt::Display for Path {
    /// Leaves out the middle of a long path.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_AT_EACH_END: usize = 8;
        formatter.write_str("$")?;
        let left_out = SHOWN_AT_EACH_END..self.steps.len().saturating_sub(SHOWN_AT_EACH_END);
        for (index, step) in self.steps.iter().rev().enumerate() {
            if !left_out.contains(&index) {
                formatter.write_str(step)?;
            } else if index == left_out.start {
                formatter.write_str("…")?;
            }
        }
        Ok(())
    }
}
