//! The README's examples are what the handler takes and says.

use plugin_api::serde_json::{self, Value, json};

use super::assert_fits;
use crate::{
    config::Config,
    message::{self, Greeting},
};

/// The code blocks of one language in the README.
fn blocks(language: &str) -> Vec<&'static str> {
    let text = include_str!("../../README.md");
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1);
    blocks
        .filter_map(|rest| rest.split_once("```"))
        .map(|(block, _)| block)
        .collect()
}

/// The message of this type whose document has `part`.
#[track_caller]
fn message(kind: &str, part: &str) -> &'static str {
    let mut found = blocks("json").into_iter().filter(|block| {
        let document: Value = serde_json::from_str(block).expect("the block is JSON");
        document["type"] == kind && block.contains(part)
    });
    found.next().expect("the README has such a message")
}

#[test]
fn the_configurations_have_only_known_keys() {
    let configurations = blocks("toml");
    assert_eq!(configurations.len(), 2);
    for block in configurations {
        let file: Value = toml::from_str(block).expect("the block is TOML");
        let config = file["handler"]["exec"].clone();
        assert_fits(&config);
        serde_json::from_value::<Config>(config).expect("the keys are known");
    }
}

#[test]
fn the_hellos_are_those_of_this_version() {
    let options = json!({"autoload": "/srv/vendor/autoload.php"});
    let greeting = Greeting::new(Some("\\Core\\Mailler"), options.as_object().expect("an object"));
    let told: Value = serde_json::from_str(message("hello", "class")).expect("JSON");
    assert_eq!(serde_json::to_value(greeting).expect("JSON"), told);

    let default = message::read_hello(br#"{"type": "hello", "version": 1}"#);
    assert_eq!(message::read_hello(message("hello", "wants").as_bytes()), default);
}

#[test]
fn the_cancel_message_and_the_result_are_about_the_same_job() {
    let mut cancel = Vec::new();
    message::write_cancel(&mut cancel, 4711);
    let told: Value = serde_json::from_str(message("cancel", "id")).expect("JSON");
    assert_eq!(serde_json::from_slice::<Value>(&cancel).expect("JSON"), told);

    let answer = message::read_answer(message("result", "done").as_bytes(), 4711).expect("it is an answer");
    let result = answer.outcome.expect("the job is done");
    assert_eq!(result, Some(json!({"message_id": "<7@example.org>"})));
}
