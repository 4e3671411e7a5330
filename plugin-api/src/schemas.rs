//! What a handler says of the documents that it is given.

#[cfg(feature = "schemars")]
use serde_json::json;
use serde_json::{Map, Value};

/// The JSON Schemas of a handler's configuration and payload.
///
/// A host shows them (`asynccall-host plugin schema`) and checks the configuration against its one before the handler
/// is made, so that an operator reads everything that is wrong at once, and `asynccall-host plugin docs` makes a page of
/// both. Keys that are not in the schema are refused only where it says so, as that of a type with
/// `#[serde(deny_unknown_fields)]` does. What it does not know is refused too then: `schemars` does not see
/// `#[serde(alias)]`. Nothing is fetched that a schema refers to.
#[cfg_attr(
    feature = "schemars",
    doc = "
```
use plugin_api::prelude::*;
use plugin_api::schemars::{self, JsonSchema};
use plugin_api::Schemas;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Where mails are sent to.
    smtp: String,
    #[schemars(range(min = 1, max = 600))]
    timeout: u32,
}

#[derive(Deserialize, JsonSchema)]
struct Mail { to: String }

struct Mailer(Config);

impl Handler for Mailer {
    type Config = Config;
    type Payload = Mail;
    fn new(config: Config) -> Result<Self> { Ok(Mailer(config)) }
    fn execute(&self, _: &Job, mail: Mail) -> Result {
        debug!(server = self.0.smtp, timeout = self.0.timeout, to = mail.to, \"would send\");
        Ok(().into())
    }
    fn schemas() -> Schemas { Schemas::of::<Config, Mail>() }
}
# assert_eq!(Mailer::schemas().config().unwrap()[\"properties\"][\"timeout\"][\"maximum\"], 600);
```
"
)]
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Schemas {
    config: Option<Value>,
    payload: Option<Value>,
}

impl Schemas {
    /// The schemas of both, from their types. A handler of any bytes has only [`Schemas::of_config`].
    #[cfg(feature = "schemars")]
    pub fn of<Config: schemars::JsonSchema, Payload: schemars::JsonSchema>() -> Schemas {
        Schemas {
            payload: Some(schemars::schema_for!(Payload).into()),
            ..Schemas::of_config::<Config>()
        }
    }

    /// The schema of the configuration alone, from its type.
    #[cfg(feature = "schemars")]
    pub fn of_config<Config: schemars::JsonSchema>() -> Schemas {
        let config = match schemars::schema_for!(Config).into() {
            // A handler that wants none is given an empty table, which reads as `()`.
            Value::Object(schema) if schema.get("type") == Some(&json!("null")) => {
                json!({"type": "object", "additionalProperties": false})
            }
            config => config,
        };
        Schemas {
            config: Some(config),
            payload: None,
        }
    }

    /// Schemas that come from elsewhere, such as a file.
    pub fn new(config: Option<Value>, payload: Option<Value>) -> Schemas {
        Schemas { config, payload }
    }

    /// The schema of the configuration.
    #[must_use]
    pub fn config(&self) -> Option<&Value> {
        self.config.as_ref()
    }

    /// The schema of the payload.
    #[must_use]
    pub fn payload(&self) -> Option<&Value> {
        self.payload.as_ref()
    }

    /// As [`asynccall_abi::plugin::Plugin::describe`] answers.
    pub(crate) fn into_json(self) -> String {
        let given = [("config", self.config), ("payload", self.payload)];
        let given: Map<String, Value> = given
            .into_iter()
            .filter_map(|(name, schema)| Some((name.to_owned(), schema?)))
            .collect();
        match given.is_empty() {
            true => String::new(),
            false => Value::Object(given).to_string(),
        }
    }
}
