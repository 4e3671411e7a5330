//! The keys of a message, as lenient as PHP and JSON producers need, and no more.
//!
//! Reads types only; what an address or a header may contain is decided where the mail is composed.

use std::fmt;

use plugin_api::schemars::{self, JsonSchema};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::schema;

/// `null` is the same as an absent key. The keys of the PHP library's messages may stand beside the mail's. If no key of the mail stands there, the mail is
/// read from `methodParams`.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::messages)]
pub(crate) struct Mail {
    /// One address; overrides the configured one.
    #[schemars(extend("examples" = ["Shop <shop@example.org>"]))]
    pub(crate) from: Option<Addresses>,
    /// Who gets the mail: an address or several with commas, a list of them, or a table from address to name.
    #[schemars(extend("examples" = [["Ann <ann@example.org>", "bob@example.org"]]))]
    pub(crate) to: Option<Addresses>,
    /// Who gets a copy, likewise.
    #[schemars(extend("examples" = [{"carl@example.org": "Doe, Carl"}]))]
    pub(crate) cc: Option<Addresses>,
    /// Who gets a copy that no other receiver sees.
    #[schemars(extend("examples" = ["dora@example.org"]))]
    pub(crate) bcc: Option<Addresses>,
    /// Who gets the answers.
    #[schemars(extend("examples" = ["service@example.org"]))]
    pub(crate) reply_to: Option<Addresses>,
    /// The subject; a number is taken as text, here and wherever text is wanted.
    #[schemars(extend("examples" = ["Your order"]))]
    pub(crate) subject: Option<Text>,
    /// The body as plain text.
    #[schemars(extend("examples" = ["Thank you."]))]
    pub(crate) text: Option<Text>,
    /// The body as HTML; beside `text`, receivers choose.
    #[schemars(extend("examples" = ["<p>Thank you.</p>"]))]
    pub(crate) html: Option<Text>,
    /// Headers that no other key is for, by their names.
    #[schemars(extend("examples" = [{"Auto-Submitted": "auto-generated"}]))]
    pub(crate) headers: Option<Headers>,
    /// The files that are sent along.
    #[schemars(extend("examples" = [[{"name": "note.txt", "content_type": "text/plain", "base64": "VGhhbmtzLg=="}]]))]
    pub(crate) attachments: Option<Attachments>,
    /// A new random one for each attempt unless it is given.
    #[schemars(extend("examples" = ["<order-4711@shop.example.org>"]))]
    pub(crate) message_id: Option<Text>,
}

/// One attachment: its bytes as `base64`, or the `path` of a file under the configured root.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = schema::attachments)]
pub(crate) struct AttachmentFields {
    /// The name that receivers see; that of the file unless it is given.
    pub(crate) name: Option<Text>,
    /// `application/octet-stream` unless it is given.
    pub(crate) content_type: Option<Text>,
    /// The bytes.
    pub(crate) base64: Option<Text>,
    /// The file that has them, below the configured `attachments_root`.
    pub(crate) path: Option<Text>,
    /// The class of a PHP object in the host's JSON view.
    #[serde(default, rename = "__class")]
    #[schemars(skip)]
    _class: IgnoredAny,
}

/// The names of the keys of [`Mail`], for the errors.
const KEYS: [&str; 11] = [
    "from",
    "to",
    "cc",
    "bcc",
    "reply_to",
    "subject",
    "text",
    "html",
    "headers",
    "attachments",
    "message_id",
];

/// Keys that every message of the PHP library carries, and the class of a message that was a PHP object. They say
/// nothing about the mail.
pub(super) const NOT_OURS: [&str; 10] = [
    "__class",
    "model",
    "method",
    "modelParams",
    METHOD_PARAMS,
    "errorRetry",
    "noRetry",
    "priority",
    "retryIntervalTime",
    "retryStopAt",
];

/// Where the PHP library's client puts what its caller wants to say.
pub(super) const METHOD_PARAMS: &str = "methodParams";

impl<'de> Deserialize<'de> for Mail {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mail, D::Error> {
        let mut keys = match Value::deserialize(deserializer)? {
            Value::Object(keys) => keys,
            // What an empty PHP array looks like.
            Value::Array(list) if list.is_empty() => Map::new(),
            other => {
                let found = describe(&other);
                return Err(D::Error::custom(format_args!(
                    "the message is {found}, wanted a map with `to`"
                )));
            }
        };
        let arguments = keys.remove(METHOD_PARAMS);
        keys.retain(|key, _| !NOT_OURS.contains(&key.as_str()));
        if keys.is_empty()
            && let Some(mut inner) = arguments.and_then(only_map)
        {
            inner.retain(|key, _| key != "__class");
            keys = inner;
        }
        Mail::read(keys).map_err(D::Error::custom)
    }
}

impl Mail {
    /// Reads the keys one by one, so that an error can name the key it is about.
    fn read(keys: Map<String, Value>) -> Result<Mail, String> {
        let mut mail = Mail::default();
        for (key, value) in keys {
            match key.as_str() {
                "from" => mail.from = read(&key, value)?,
                "to" => mail.to = read(&key, value)?,
                "cc" => mail.cc = read(&key, value)?,
                "bcc" => mail.bcc = read(&key, value)?,
                "reply_to" => mail.reply_to = read(&key, value)?,
                "subject" => mail.subject = read(&key, value)?,
                "text" => mail.text = read(&key, value)?,
                "html" => mail.html = read(&key, value)?,
                "headers" => mail.headers = read(&key, value)?,
                "attachments" => mail.attachments = read(&key, value)?,
                "message_id" => mail.message_id = read(&key, value)?,
                _ => return Err(unknown(&key)),
            }
        }
        Ok(mail)
    }
}

fn read<T: DeserializeOwned>(key: &str, value: Value) -> Result<Option<T>, String> {
    Option::deserialize(value).map_err(|error| format!("`{key}`: {error}"))
}

/// A key that is lost silently is a mail without its subject; so it is an error, with the nearest key as a hint.
fn unknown(key: &str) -> String {
    let near = KEYS
        .iter()
        .map(|known| (strsim::damerau_levenshtein(key, known), known))
        .min();
    match near {
        Some((distance, known)) if distance <= 2 => {
            format!("unknown key `{key}`\n  hint: did you mean `{known}`?")
        }
        _ => format!("unknown key `{key}`, wanted some of `{}`", KEYS.join("`, `")),
    }
}

/// The mail inside `methodParams`: the map itself (named arguments), or the only element of a list (one argument).
fn only_map(arguments: Value) -> Option<Map<String, Value>> {
    match arguments {
        Value::Object(map) => Some(map),
        Value::Array(list) => match <[Value; 1]>::try_from(list) {
            Ok([Value::Object(map)]) => Some(map),
            _ => None,
        },
        _ => None,
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "`null`",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Text; a number is taken as its digits, since PHP producers do not always cast.
#[derive(Debug, Default)]
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text in UTF-8")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            fn visit_string<E: Error>(self, text: String) -> Result<Text, E> {
                Ok(Text(text))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// Addresses in any of the forms that producers use, not yet parsed.
///
/// A string (one address or several with commas) · a list of such strings · a map from address to display name. A
/// key of digits is a place in a list: PHP lists with gaps are maps.
#[derive(Debug, Default)]
pub(crate) struct Addresses(pub(crate) Vec<Entry>);

/// One entry of [`Addresses`].
#[derive(Debug)]
pub(crate) enum Entry {
    /// As in a mail's header: `a@example.org`, `A <a@example.org>, b@example.org`.
    Text(String),
    /// A map's entry.
    Named { address: String, name: String },
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Addresses, D::Error> {
        struct AddressesVisitor;
        impl<'de> Visitor<'de> for AddressesVisitor {
            type Value = Addresses;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, a list of addresses, or a map from address to name")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Addresses, E> {
                Ok(Addresses(vec![Entry::Text(text.to_owned())]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Addresses, A::Error> {
                let mut entries = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    entries.push(Entry::Text(text));
                }
                Ok(Addresses(entries))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Addresses, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Option<Text>>()? {
                    let Text(value) = value.unwrap_or_default();
                    if is_index(&key) {
                        entries.push(Entry::Text(value));
                    } else if key.contains('@') {
                        entries.push(Entry::Named {
                            address: key,
                            name: value,
                        });
                    } else {
                        return Err(A::Error::custom(format_args!(
                            "the key `{key}` is not an address, wanted a map from address to name"
                        )));
                    }
                }
                Ok(Addresses(entries))
            }
        }
        deserializer.deserialize_any(AddressesVisitor)
    }
}

fn is_index(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit())
}

/// Extra headers, name and value; an empty list is an empty map, as PHP writes it.
#[derive(Debug, Default)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Headers, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Array(list) if list.is_empty() => Ok(Headers::default()),
            Value::Object(map) => {
                let headers = map
                    .into_iter()
                    .map(|(name, value)| match Text::deserialize(value) {
                        Ok(Text(value)) => Ok((name, value)),
                        Err(error) => Err(D::Error::custom(format_args!("header `{name}`: {error}"))),
                    });
                headers.collect::<Result<_, _>>().map(Headers)
            }
            other => {
                let found = describe(&other);
                Err(D::Error::custom(format_args!(
                    "{found}, wanted a map from name to value"
                )))
            }
        }
    }
}

/// A list of attachments; a PHP list with gaps, which is a map, is taken for the list.
#[derive(Debug, Default)]
pub(crate) struct Attachments(pub(crate) Vec<AttachmentFields>);

impl<'de> Deserialize<'de> for Attachments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Attachments, D::Error> {
        let list = match Value::deserialize(deserializer)? {
            Value::Array(list) => list,
            Value::Object(map) if map.keys().all(|key| is_index(key)) => {
                map.into_iter().map(|(_, v)| v).collect()
            }
            other => {
                let found = describe(&other);
                return Err(D::Error::custom(format_args!("{found}, wanted a list of maps")));
            }
        };
        let mut attachments = Vec::with_capacity(list.len());
        for (index, value) in list.into_iter().enumerate() {
            let number = index + 1;
            if !value.is_object() {
                let found = describe(&value);
                return Err(D::Error::custom(format_args!(
                    "attachment {number} is {found}, wanted a map"
                )));
            }
            let attachment = AttachmentFields::deserialize(value)
                .map_err(|error| D::Error::custom(format_args!("attachment {number}: {error}")))?;
            attachments.push(attachment);
        }
        Ok(Attachments(attachments))
    }
}
