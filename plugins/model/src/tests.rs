//! The handler in the harness, on SQLite files of the tests' own.

mod calls;
mod finding;
mod settings;
mod shop;

use plugin_api::{
    AsyncHandler,
    serde_json::{Value, json},
    testing::{Harness, Outcome, Verdict},
};
use tempfile::TempDir;

use crate::Orm;
use shop::Shop;

/// The handler of this configuration.
#[track_caller]
fn made(config: Value) -> Harness<Orm<Shop>> {
    assert_fits(Orm::<Shop>::schemas().config(), &config);
    Harness::new(config).expect("the configuration fits")
}

/// The schema takes what the handler takes.
#[track_caller]
fn assert_fits(schema: Option<&Value>, document: &Value) {
    let schema = schema.expect("the handler has a schema");
    if let Err(fault) = jsonschema::validate(schema, document) {
        panic!("{document}\nat `{}`: {fault}", fault.instance_path());
    }
}

/// A shop with a database of its own.
struct Fixture {
    harness: Harness<Orm<Shop>>,
    directory: TempDir,
}

impl Fixture {
    /// Three orders: 1 is open, 2 is sent, 3 is open and has a note.
    fn new() -> Fixture {
        Fixture::with(json!({}))
    }

    /// The same, with more configuration.
    fn with(more: Value) -> Fixture {
        let directory = TempDir::new().expect("a directory");
        let mut config =
            json!({"url": format!("sqlite://{}?mode=rwc", directory.path().join("shop.db").display())});
        let more = more.as_object().expect("an object").clone();
        config.as_object_mut().expect("an object").extend(more);
        let harness = made(config);
        let fixture = Fixture { harness, directory };
        assert_eq!(fixture.call(json!({"method": "migrate"})).verdict, Verdict::Done);
        fixture
    }

    /// Calls a method of `Order`, or of the model that the message names.
    fn call(&self, message: Value) -> Outcome {
        let mut whole = json!({"model": "Order", "modelParams": "", "methodParams": []});
        let message = message.as_object().expect("an object").clone();
        whole.as_object_mut().expect("an object").extend(message);
        let outcome = self.harness.run(whole.clone());
        if outcome.verdict == Verdict::Done {
            assert_fits(Orm::<Shop>::schemas().payload(), &whole);
        }
        outcome
    }

    /// The id of the order that is found.
    #[track_caller]
    fn found(&self, params: Value) -> Value {
        let outcome = self.call(json!({"modelParams": params, "method": "id"}));
        assert_eq!(outcome.verdict, Verdict::Done, "{params}: {}", outcome.message);
        outcome.result.expect("a result")
    }

    /// The status of an order.
    #[track_caller]
    fn status(&self, id: i64) -> Value {
        let outcome = self.call(json!({"modelParams": id, "method": "status"}));
        outcome.result.expect("a result")
    }
}
