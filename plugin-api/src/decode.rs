//! From a JSON document to an author's type, with the sentence to print where it does not fit.

mod empty_arrays;
mod path;

use serde::de::{DeserializeOwned, Deserializer};

use crate::error::one_line;
use empty_arrays::EmptyArrays;

/// Deserializes a JSON document. PHP has one type for lists and maps, so an empty list also reads as an
/// empty map; see [`EmptyArrays`].
///
/// The error is serde's sentence and the path of the value that it is about, in one line.
pub(crate) fn from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    // Once for all: else each string would be looked at again, and what nobody reads not at all.
    let text = str::from_utf8(json).map_err(|error| {
        let at = error.valid_up_to();
        format!("found no UTF-8 at byte {at}, and JSON is UTF-8 throughout")
    })?;
    let mut document = serde_json::Deserializer::from_str(text);
    T::deserialize(EmptyArrays(&mut document))
        .and_then(|value| document.end().map(|()| value))
        .map_err(|error| sentence(json, &error))
}

/// Has PHP's empty array read as an empty list, map, struct or `()`, at every depth, as in payloads.
///
/// For handlers that keep a part of the message as a [`serde_json::Value`] and decide at run time which type it is to
/// have.
///
/// ```
/// use std::collections::HashMap;
/// use plugin_api::{php_arrays, serde::Deserialize, serde_json::json};
///
/// let part = json!({"headers": []});
/// let read = HashMap::<String, HashMap<String, String>>::deserialize(php_arrays(part))?;
/// assert!(read["headers"].is_empty());
/// # Ok::<(), plugin_api::serde_json::Error>(())
/// ```
pub fn php_arrays<'de, D: Deserializer<'de>>(part: D) -> impl Deserializer<'de, Error = D::Error> {
    EmptyArrays(part)
}

/// Serde's sentence. The position is kept only for what is not JSON at all: elsewhere the path says more, and
/// the document may be a transcription whose columns nobody has seen.
fn sentence(json: &[u8], error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let Some(said) = text.strip_suffix(&position).filter(|_| error.is_data()) else {
        return one_line(text);
    };
    let path = path::at(json, error.line(), error.column());
    if path.is_empty() {
        one_line(said.to_owned())
    } else {
        one_line(format!("{said} (at `{path}`)"))
    }
}

#[cfg(test)]
mod tests;
