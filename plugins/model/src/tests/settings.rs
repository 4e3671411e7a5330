//! The configuration.

use std::fs;

use super::*;

fn refused(config: Value) -> String {
    let made = Harness::<Orm<Shop>>::new(config);
    made.map(drop)
        .expect_err("it is no configuration")
        .message()
        .to_owned()
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_with_the_reason() {
    let table = [
        (
            json!({}),
            "found 0 of `url`, `url_file` and `url_env`, wanted exactly one",
        ),
        (
            json!({"url": "sqlite:x", "url_env": "X"}),
            "found 2 of `url`, `url_file` and `url_env`, wanted exactly one",
        ),
        (
            json!({"url": "sqlite:x", "max_connections": 0}),
            "`max_connections` is 0, wanted at least 1",
        ),
        (
            json!({"url": "sqlite:x", "min_connections": 5}),
            "`min_connections` is 5, wanted at most `max_connections`, 4",
        ),
        (
            json!({"url_env": "NOT_SET_ANYWHERE"}),
            "`url_env` names the environment variable `NOT_SET_ANYWHERE`, which is not set to a text",
        ),
    ];
    for (config, wanted) in table {
        assert_eq!(refused(config.clone()), wanted, "{config}");
    }
    assert!(refused(json!({"uri": "sqlite:x"})).starts_with("unknown field `uri`"));
    assert!(refused(json!({"url_file": "/nowhere"})).starts_with("cannot read `url_file` `/nowhere`"));
}

#[test]
fn no_error_repeats_a_password() {
    for url in [
        "oracle://shop:sesame@host/shop",
        "sesame",
        "sqlite://x?mode=sesame",
        "postgres://shop:sesame@[host/shop",
    ] {
        let text = refused(json!({"url": url}));
        assert!(!text.contains("sesame"), "{text}");
    }
}

#[test]
fn a_url_comes_from_a_file_without_its_line_end() {
    let shop = Fixture::new();
    let file = shop.directory.path().join("url");
    let database = shop.directory.path().join("shop.db");
    fs::write(&file, format!("sqlite://{}\n", database.display())).expect("it is ours");
    let other = made(json!({"url_file": file}));
    assert!(other.self_check().is_ok());
    let outcome = other.run(json!({"model": "Order", "modelParams": 2, "method": "id"}));
    assert_eq!(outcome.result, Some(json!(2)));
}
