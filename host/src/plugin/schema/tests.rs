use serde_json::{Value, json};

use super::*;

/// What is told of a configuration, as an operator reads it.
#[track_caller]
fn told(schema: &Value, config: &Value) -> String {
    let schema = Schema::read(schema).expect("it is a schema");
    match schema.check("handler.mailer", config) {
        Ok(()) => String::new(),
        Err(faults) => faults.to_string(),
    }
}

fn mailer() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["smtp", "from"],
        "properties": {
            "from": {"type": "string", "minLength": 3, "maxLength": 12, "pattern": "@"},
            "smtp": {"$ref": "#/$defs/Smtp"},
            "servers": {"type": "array", "maxItems": 2, "uniqueItems": true, "items": {"$ref": "#/$defs/Smtp"}},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 2},
            "delay": {"type": "number", "exclusiveMinimum": 0},
            "batch": {"type": "integer", "multipleOf": 10},
        },
        "$defs": {
            "Smtp": {
                "type": "object", "additionalProperties": false, "required": ["host", "tls"],
                "properties": {
                    "host": {"type": "string"},
                    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                    "password": {"type": ["string", "null"], "maxLength": 5},
                    "tls": {"oneOf": [{"const": "none", "description": "plain"}, {"enum": ["starttls", "wrapped"]}]},
                    "auth": {"anyOf": [{"$ref": "#/$defs/Auth"}, {"type": "null"}]},
                },
            },
            "Auth": {"oneOf": [
                {"type": "object", "required": ["kind", "user"],
                 "properties": {"kind": {"const": "plain"}, "user": {"type": "string"}}},
                {"type": "object", "required": ["kind", "token"],
                 "properties": {"kind": {"const": "token"}, "token": {"type": "string"}}},
            ]},
        },
    })
}

#[test]
fn a_configuration_that_fits_has_no_faults() {
    let config =
        json!({"from": "a@b", "smtp": {"host": "h", "tls": "none", "auth": {"kind": "plain", "user": "u"}}});
    assert_eq!(told(&mailer(), &config), "");
    assert_eq!(told(&json!(true), &json!({"any": 1})), "");
}

#[test]
fn every_fault_is_told_at_once_with_its_place_and_what_was_wanted() {
    let config = json!({
        "form": "x", "from": "nobody", "batch": 15, "delay": 0,
        "smtp": {"host": 25, "port": 70000, "tls": "startls", "password": "hunter22"},
        "servers": [
            {"hots": "h", "tls": true, "auth": "hunter22"},
            {"host": "h", "tls": "none", "auth": {"kind": "plan", "user": "u"}},
            {"host": "h", "tls": "none", "auth": {"kind": "token", "token": 7}},
        ],
        "headers": {"X-Mail er": 1, "a.b": false, "ok": "x"},
    });
    insta::assert_snapshot!(told(&mailer(), &config), @r#"
    18 faults
      `handler.mailer.batch`: found `15`, wanted a multiple of 10
      `handler.mailer.delay`: found `0`, wanted more than 0
      `handler.mailer.form`: unknown key; hint: did you mean `from`?
      `handler.mailer.from`: found a string, wanted one that matches `@`
      `handler.mailer.headers`: found a table with 3 keys, wanted at most 2
      `handler.mailer.headers."X-Mail er"`: found a number, wanted a string
      `handler.mailer.headers."a.b"`: found `false`, wanted a string
      `handler.mailer.servers`: found a list of length 3, wanted at most 2
      `handler.mailer.servers[0].auth`: found a string, wanted a table
      `handler.mailer.servers[0].host`: found nothing, wanted a string
      `handler.mailer.servers[0].hots`: unknown key; hint: did you mean `host`?
      `handler.mailer.servers[0].tls`: found `true`, wanted `none`, `starttls` or `wrapped`
      `handler.mailer.servers[1].auth.kind`: found a string, wanted `plain` or `token`; hint: did you mean `plain`?
      `handler.mailer.servers[2].auth.token`: found a number, wanted a string
      `handler.mailer.smtp.host`: found a number, wanted a string
      `handler.mailer.smtp.password`: found a string of length 8, wanted at most 5
      `handler.mailer.smtp.port`: found `70000`, wanted at most 65535
      `handler.mailer.smtp.tls`: found a string, wanted `none`, `starttls` or `wrapped`; hint: did you mean `starttls`?
    "#);
}

#[test]
fn one_fault_is_one_line() {
    let config = json!({"from": "a@b", "smtp": {"tls": "none"}});
    insta::assert_snapshot!(told(&mailer(), &config), @"`handler.mailer.smtp.host`: found nothing, wanted a string");
    insta::assert_snapshot!(told(&mailer(), &json!({"from": "a@b"})), @"`handler.mailer.smtp`: found nothing, wanted a table");
}

#[test]
fn the_text_of_a_string_is_never_told() {
    let secret = "hunter22";
    let keywords = [
        json!({"type": "integer"}),
        json!({"type": ["integer", "boolean"]}),
        json!({"enum": ["a", "b"]}),
        json!({"const": "a"}),
        json!({"minLength": 20}),
        json!({"maxLength": 2}),
        json!({"pattern": "^a"}),
        json!({"not": {"type": "string"}}),
        json!({"anyOf": [{"const": "a"}, {"type": "integer"}]}),
        json!({"oneOf": [{"type": "string"}, {"minLength": 1}]}),
        json!({"allOf": [{"maxLength": 3}, {"minLength": 9}]}),
        json!({"if": {"type": "string"}, "then": {"maxLength": 1}}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "format": "ipv4", "contentEncoding": "base64"}),
        json!(false),
    ];
    for keyword in keywords {
        let mut schema =
            json!({"properties": {"password": keyword, "list": {"items": keyword, "uniqueItems": true}}});
        schema["$schema"] = keyword.get("$schema").cloned().unwrap_or(Value::Null);
        schema
            .as_object_mut()
            .expect("it is one")
            .retain(|_, value| !value.is_null());
        let told = told(&schema, &json!({"password": secret, "list": [secret, secret]}));
        assert!(told.contains("`handler.mailer.password`: "), "{keyword}: {told}");
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn the_faults_that_are_told_are_bounded_in_number_and_length() {
    let schema = json!({"additionalProperties": {"type": "string"}});
    let long = "k".repeat(1000);
    let keys = (0..50).map(|nr| (format!("{nr:02}\n{long}"), json!(nr)));
    let told = told(&schema, &Value::Object(keys.collect()));
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        (lines.len(), lines[0], lines[21]),
        (22, "50 faults", "  and 30 more")
    );
    assert!(lines.iter().all(|line| line.chars().count() < 300), "{told}");
}

#[test]
fn an_empty_list_stands_for_an_empty_table() {
    let schema = json!({"properties": {"headers": {"type": "object"}}});
    assert_eq!(told(&schema, &json!({"headers": []})), "");
    assert_ne!(told(&schema, &json!({"headers": [1]})), "");
}

#[test]
fn a_schema_that_refers_to_itself_ends() {
    let tree =
        json!({"type": "object", "properties": {"left": {"$ref": "#"}}, "additionalProperties": false});
    let config = json!({"left": {"left": {"right": 1}}});
    insta::assert_snapshot!(told(&tree, &config), @"`handler.mailer.left.left.right`: unknown key, wanted `left`");
    assert_eq!(told(&json!({"$ref": "#"}), &json!({})), "");
}

#[test]
fn of_keys_that_exclude_each_other_those_are_told_that_are_there_or_could_be() {
    let form = |key: &str| json!({"required": [key], "properties": {key: {"type": "object"}}});
    let schema = json!({"oneOf": [form("smtp"), form("sendmail"), form("file")]});
    for (config, wanted) in [
        (json!({"smtp": {}}), ""),
        (json!({"smtp": {}, "file": null}), ""),
        (
            json!({}),
            "`handler.mailer`: found none of the keys `smtp`, `sendmail` and `file`, wanted one of them",
        ),
        (
            json!({"smtp": {}, "file": {}}),
            "`handler.mailer`: found `smtp` and `file`, wanted only one of them",
        ),
        (
            json!({"smtp": null}),
            "`handler.mailer.smtp`: found null, wanted a table",
        ),
    ] {
        assert_eq!(told(&schema, &config), wanted, "{config}");
    }

    let closed = |key: &str| json!({"type": "object", "required": [key], "properties": {key: {"type": "string"}}, "additionalProperties": false});
    let schema = json!({"anyOf": [{"type": "string"}, closed("file"), closed("env")]});
    assert_eq!(
        told(&schema, &json!({"fiel": "s3cret"})),
        "`handler.mailer`: found none of the keys `file` and `env`, wanted one of them"
    );
}
