//! The handler as the host sees it, before receivers on real sockets.
//!
//! - `server`: a receiver that follows a script and keeps what it was sent.
//! - `requests`, `outcomes`, `redirects`, `private_addresses`, `connections`: one side of the handler each.
//! - `receiver`: a receiver in Python that goes by the README, also over TLS; `readme`: its other examples.

mod connections;
mod outcomes;
mod private_addresses;
mod readme;
mod receiver;
mod redirects;
mod requests;
mod server;

use plugin_api::{
    Handler,
    serde_json::{Value, json},
    testing::Harness,
};

use crate::Http;

/// A handler that posts to `url`, with more configuration.
#[track_caller]
fn posting_to(url: impl Into<String>, more: Value) -> Harness<Http> {
    let mut config = json!({"url": url.into()});
    let keys = config.as_object_mut().expect("an object");
    keys.extend(more.as_object().expect("an object").clone());
    made(config)
}

/// The handler of this configuration.
#[track_caller]
fn made(config: Value) -> Harness<Http> {
    assert_fits(&config);
    Harness::new(config).expect("the configuration is accepted")
}

/// The schema takes what the handler takes.
#[track_caller]
pub(crate) fn assert_fits(config: &Value) {
    let schemas = Http::schemas();
    let schema = schemas.config().expect("the handler has a schema");
    if let Err(fault) = jsonschema::validate(schema, config) {
        panic!("{config}\nat `{}`: {fault}", fault.instance_path());
    }
}
