//! What a message may look like, as a JSON Schema: every form that its reading takes, and no other key.

use std::borrow::Cow;

use plugin_api::schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::mail::{Addresses, AttachmentFields, Attachments, Headers, METHOD_PARAMS, NOT_OURS, Text};

/// The keys of a place in a list, as PHP has them where the list has gaps.
const INDEX: &str = "^[0-9]+$";
/// Those, and addresses.
const INDEX_OR_ADDRESS: &str = "^[0-9]+$|@";

/// Adds what messages of the PHP library have beside the mail or around it, and that somebody must get the mail.
pub(super) fn messages(schema: &mut Schema) {
    ignore(schema, &NOT_OURS);
    let recipients = ["to", "cc", "bcc", METHOD_PARAMS].map(|key| json!({"required": [key]}));
    schema.insert("anyOf".to_owned(), Value::from(recipients.to_vec()));
}

/// Adds the class of an attachment that was a PHP object.
pub(super) fn attachments(schema: &mut Schema) {
    ignore(schema, &["__class"]);
}

/// Allows keys that say nothing.
fn ignore(schema: &mut Schema, keys: &[&str]) {
    let keys: Map<String, Value> = keys.iter().map(|key| (format!("^{key}$"), json!(true))).collect();
    schema.insert("patternProperties".to_owned(), Value::Object(keys));
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number"]})
    }
}

impl JsonSchema for Addresses {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Addresses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array", "object"],
            "items": {"type": "string"},
            "patternProperties": {INDEX_OR_ADDRESS: {"type": ["string", "number", "null"]}},
            "additionalProperties": false,
        })
    }
}

impl JsonSchema for Headers {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Headers".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["object", "array"],
            "additionalProperties": generator.subschema_for::<Text>(),
            // PHP's empty array.
            "items": false,
        })
    }
}

impl JsonSchema for Attachments {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Attachments".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let attachment = generator.subschema_for::<AttachmentFields>();
        json_schema!({
            "type": ["array", "object"],
            "items": attachment,
            "patternProperties": {INDEX: attachment},
            "additionalProperties": false,
        })
    }
}
