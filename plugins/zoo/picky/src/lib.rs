//! Handlers that say which documents they take: `picky` says it of its types, `frugal` wants nothing, `muddled`
//! answers with what is no schema, and `hasty` panics instead. For tests.

use serde::Serialize;

use plugin_api::{
    Schemas,
    prelude::*,
    schemars::{self, JsonSchema},
    serde_json::Value,
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Where mails are handed over.
    smtp: Smtp,
    /// Seconds between two tries.
    #[serde(default = "half_a_minute")]
    #[schemars(range(min = 1, max = 600))]
    delay: u32,
    /// Words that are refused.
    #[serde(default)]
    words: Vec<String>,
    #[serde(default)]
    mode: Mode,
}

/// A mail server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Smtp {
    /// Its name or address.
    #[schemars(length(min = 1))]
    host: String,
    port: Option<u16>,
    /// The password | in clear text.
    password: Option<String>,
}

#[derive(Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Every word counts.
    #[default]
    Strict,
    /// Only the first word counts.
    Lax,
}

fn half_a_minute() -> u32 {
    30
}

/// What it is about.
#[derive(Deserialize, JsonSchema)]
struct Payload {
    /// To whom it goes.
    to: Vec<String>,
    /// At most 78 letters.
    #[schemars(length(max = 78))]
    subject: Option<String>,
}

struct Picky(Config);

impl Handler for Picky {
    type Config = Config;
    type Payload = Payload;
    const DESCRIPTION: &'static str = "Answers with what it was given";

    fn new(config: Config) -> Result<Self> {
        Ok(Picky(config))
    }

    fn execute(&self, _: &Job, payload: Payload) -> Result {
        let Config {
            smtp,
            delay,
            words,
            mode,
        } = &self.0;
        let has_password = smtp.password.is_some();
        Ok(json!([
            smtp.host,
            smtp.port,
            has_password,
            delay,
            words,
            mode,
            payload.to,
            payload.subject
        ])
        .into())
    }

    fn schemas() -> Schemas {
        Schemas::of::<Config, Payload>()
    }
}

struct Frugal;

impl Handler for Frugal {
    type Config = ();
    type Payload = ();

    fn new((): ()) -> Result<Self> {
        Ok(Frugal)
    }

    fn execute(&self, _: &Job, (): ()) -> Result {
        Ok(().into())
    }

    fn schemas() -> Schemas {
        Schemas::of_config::<()>()
    }
}

struct Muddled;

impl Handler for Muddled {
    type Config = Value;
    type Payload = Value;

    fn new(_: Value) -> Result<Self> {
        Ok(Muddled)
    }

    fn execute(&self, _: &Job, payload: Value) -> Result {
        Ok(payload.into())
    }

    fn schemas() -> Schemas {
        Schemas::new(Some(json!({"properties": {"port": {"minimum": "one"}}})), None)
    }
}

struct Hasty;

impl Handler for Hasty {
    type Config = Value;
    type Payload = Value;

    fn new(_: Value) -> Result<Self> {
        Ok(Hasty)
    }

    fn execute(&self, _: &Job, payload: Value) -> Result {
        Ok(payload.into())
    }

    fn schemas() -> Schemas {
        panic!("the schemas are not written yet")
    }
}

export_plugin!("picky" => Picky, "frugal" => Frugal, "muddled" => Muddled, "hasty" => Hasty);
