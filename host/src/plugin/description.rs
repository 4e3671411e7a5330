//! What a plugin says of the documents that its handlers take: the answer of
//! [`Plugin::describe`](asynccall_abi::plugin::Plugin::describe), since abi 1.2.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{
    observe::line::escape,
    plugin::schema::{Faults, Schema, json_type},
};

/// The JSON Schemas of a handler's configuration and payload. A plugin before abi 1.2 gives none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Of the configuration.
    pub config: Option<Value>,
    /// Of the payload.
    pub payload: Option<Value>,
}

/// What is wrong with a description: a fault of the plugin, which no configuration mends.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DescriptionError {
    /// The answer cannot be read.
    #[error("its description is not JSON but `{found}`: {message}")]
    Syntax {
        /// The answer, or its beginning, in one line.
        found: String,
        /// The parser's words.
        message: String,
    },
    /// The answer is something else.
    #[error("its description is {found}, wanted an object")]
    NotAnObject {
        /// What it is, such as `a list`.
        found: &'static str,
    },
    /// One of the schemas breaks the rules for schemas, or refers to what it does not hold.
    #[error("its schema of the {document} is no JSON Schema: {reason}")]
    Schema {
        /// `configuration` or `payload`.
        document: &'static str,
        /// Why, in one line.
        reason: String,
    },
}

impl Description {
    /// Reads an answer; an empty one says nothing. Keys that only later hosts know are left aside.
    ///
    /// # Errors
    /// It is no JSON object. The schemas in it are not looked at.
    pub(super) fn read(answer: &str) -> Result<Description, DescriptionError> {
        if answer.trim().is_empty() {
            return Ok(Description::default());
        }
        let answer = serde_json::from_str(answer).map_err(|error| {
            let mut found = String::new();
            escape(answer, &mut found);
            DescriptionError::Syntax {
                found,
                message: error.to_string(),
            }
        })?;
        let Value::Object(mut answer) = answer else {
            return Err(DescriptionError::NotAnObject {
                found: json_type(&answer),
            });
        };
        let mut take = |name| answer.remove(name).filter(|schema| !schema.is_null());
        Ok(Description {
            config: take("config"),
            payload: take("payload"),
        })
    }

    /// Whether both are schemas.
    ///
    /// # Errors
    /// The first that is none.
    pub fn check(&self) -> Result<(), DescriptionError> {
        let schemas = [("configuration", &self.config), ("payload", &self.payload)];
        for (document, source) in schemas {
            source
                .as_ref()
                .map(|source| schema(document, source))
                .transpose()?;
        }
        Ok(())
    }

    /// What is wrong with a configuration by its schema, if there is one; `root` is its own place.
    ///
    /// # Errors
    /// The schema of the configuration is none.
    pub(super) fn faults(&self, root: &str, config: &Value) -> Result<Option<Faults>, DescriptionError> {
        let Some(source) = &self.config else {
            return Ok(None);
        };
        Ok(schema("configuration", source)?.check(root, config).err())
    }
}

fn schema(document: &'static str, source: &Value) -> Result<Schema, DescriptionError> {
    Schema::read(source).map_err(|reason| DescriptionError::Schema { document, reason })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_read_and_what_it_does_not_say_is_nothing() {
        assert_eq!(Description::read(" "), Ok(Description::default()));
        let read = Description::read(r#"{"config": {"type": "object"}, "payload": null, "later": 1}"#);
        let wanted = Description {
            config: Some(json!({"type": "object"})),
            payload: None,
        };
        assert_eq!(read, Ok(wanted));
    }

    #[test]
    fn an_answer_that_is_none_and_a_schema_that_is_none_are_told_in_one_line() {
        let schemas = [
            json!({"config": 7}),
            json!({"config": {"type": "strin"}}),
            json!({"config": {"properties": {"port": {"minimum": "1"}}}}),
            json!({"payload": {"$ref": "#/$defs/Mail"}}),
            json!({"payload": {"$ref": "https://example.org/mail.json"}}),
            json!({"payload": {"$ref": "file:///etc/hostname"}}),
            json!({"config": {"pattern": "("}}),
        ];
        let read =
            ["{", "panicked:\na\tword", "[]", "\"text\""].map(|answer| Description::read(answer).map(drop));
        let checked = schemas.map(|schemas| Description::read(&schemas.to_string())?.check());
        let told: Vec<String> = read
            .into_iter()
            .chain(checked)
            .map(|result| result.expect_err("all of them are wrong").to_string())
            .collect();
        assert!(told.iter().all(|line| !line.contains('\n')));
        insta::assert_snapshot!(told.join("\n"), @r#"
        its description is not JSON but `{`: EOF while parsing an object at line 1 column 1
        its description is not JSON but `panicked:\na\tword`: expected value at line 1 column 1
        its description is a list, wanted an object
        its description is a string, wanted an object
        its schema of the configuration is no JSON Schema: it is a number, wanted an object
        its schema of the configuration is no JSON Schema: at `/type`: "strin" is not valid under any of the schemas listed in the 'anyOf' keyword
        its schema of the configuration is no JSON Schema: at `/properties/port/minimum`: "1" is not of type "number"
        its schema of the payload is no JSON Schema: it refers to `/$defs/Mail`, which it does not have
        its schema of the payload is no JSON Schema: it refers to `https://example.org/mail.json`, and nothing is ever fetched
        its schema of the payload is no JSON Schema: it refers to `file:///etc/hostname`, and nothing is ever fetched
        its schema of the configuration is no JSON Schema: at `/pattern`: "(" is not a "regex"
        "#);
    }
}
