//! `plugin schema`: the JSON Schemas that a plugin gives of a handler's documents.

use serde_json::{Map, Value};

use crate::{
    cli::{self, Document},
    exit::Exit,
    local::LoadError,
    master::Failure,
    plugin::description::Description,
};

/// `plugin schema`: an object with those that there are, or the one that was asked for.
pub(super) fn schema(typed: cli::Schema) -> Result<String, Failure> {
    let config = super::settings(typed.settings.0.clone())?;
    let catalog = super::stage(&config, &typed.plugin)
        .map_err(|errors| super::not_loaded(LoadError::Plugins(errors)))?;
    let handler = super::only(&catalog, typed.handler.as_deref())?;
    let Description { config, payload } = super::describe(&config, &catalog, handler)?;
    let (given, of) = match typed.only {
        Some(Document::Config) => (config, "the configuration"),
        Some(Document::Payload) => (payload, "the payload"),
        None => (both(config, payload), "any document"),
    };
    match given {
        Some(given) => super::pretty(&given),
        None => Err(Failure::new(
            Exit::Failed,
            format!("the plugin gives no schema of {of} of handler `{handler}`"),
        )),
    }
}

fn both(config: Option<Value>, payload: Option<Value>) -> Option<Value> {
    let schemas = [("config", config), ("payload", payload)];
    let given: Map<String, Value> = schemas
        .into_iter()
        .filter_map(|(name, schema)| Some((name.to_owned(), schema?)))
        .collect();
    (!given.is_empty()).then_some(Value::Object(given))
}
