use serde_json::json;

use super::*;
use crate::plugin::{fixtures, schema::Schema};

fn manifest() -> Manifest {
    serde_json::from_str(&fixtures::manifest(&["mailer"])).expect("it is one")
}

#[track_caller]
fn page_of(description: &Description) -> String {
    let mut handler = manifest().handlers.remove(0);
    handler.description = "Sends the message\nas an e-mail".to_owned();
    page(&manifest(), &handler, description)
}

/// As derives write it.
fn config() -> Value {
    json!({
        "title": "Config", "type": "object", "additionalProperties": false, "required": ["smtp"],
        "properties": {
            "from": {"type": ["string", "null"], "description": "The sender | of mails\nwithout one.", "minLength": 3},
            "smtp": {"$ref": "#/$defs/Smtp"},
            "servers": {"type": "array", "items": {"$ref": "#/$defs/Smtp"}, "maxItems": 3, "default": []},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "delay": {"type": "number", "exclusiveMinimum": 0, "maximum": 2.5},
            "a.b": {"type": "string", "pattern": "^`", "examples": ["`x"]},
        },
        "$defs": {
            "Smtp": {
                "description": "A mail server.", "type": "object", "required": ["host"],
                "properties": {
                    "host": {"type": "string", "examples": ["localhost"]},
                    "port": {"type": "integer", "format": "uint16", "minimum": 0, "maximum": 65535, "default": 25},
                    "tls": {"$ref": "#/$defs/Tls", "default": "none"},
                    "auth": {"anyOf": [{"$ref": "#/$defs/Auth"}, {"type": "null"}]},
                },
            },
            "Tls": {"oneOf": [
                {"const": "none", "description": "In the clear.", "type": "string"},
                {"const": "starttls", "type": "string"},
            ]},
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
fn a_page_tells_every_key_and_gives_examples() {
    let payload = json!({
        "type": "object", "required": ["to"],
        "properties": {
            "to": {"type": "array", "items": {"type": "string", "format": "email"}},
            "urgent": {"type": "boolean", "default": false},
        },
    });
    insta::assert_snapshot!(page_of(&Description { config: Some(config()), payload: Some(payload) }), @r#"
    # `mailer`

    Sends the message as an e-mail

    A handler of the plugin `stub` 0.1.0, built for plugin abi 1.0.

    ## Configuration

    In the configuration file below `[handler.mailer]`, or in a JSON file by `--handler-config mailer=FILE`.

    | Key | Type | Required | Default | |
    |---|---|---|---|---|
    | `a.b` | string, matching `` ^` `` | | | |
    | `delay` | number, at most 2.5, more than 0 | | | |
    | `from` | string, length at least 3 | | | The sender \| of mails without one. |
    | `headers` | table of any keys; each: string | | | |
    | `servers` | list, length at most 3; each: table | | `[]` | |
    | `servers[].auth` | table | | | |
    | `servers[].auth.kind` | `"plain"` or `"token"` | yes | | |
    | `servers[].auth.user` | string | | | |
    | `servers[].auth.token` | string | | | |
    | `servers[].host` | string | yes | | |
    | `servers[].port` | whole number, 0 to 65535 | | `25` | |
    | `servers[].tls` | `"none"` or `"starttls"` | | `"none"` | `"none"`: In the clear. |
    | `smtp` | table | yes | | A mail server. |
    | `smtp.auth` | table | | | |
    | `smtp.auth.kind` | `"plain"` or `"token"` | yes | | |
    | `smtp.auth.user` | string | | | |
    | `smtp.auth.token` | string | | | |
    | `smtp.host` | string | yes | | |
    | `smtp.port` | whole number, 0 to 65535 | | `25` | |
    | `smtp.tls` | `"none"` or `"starttls"` | | `"none"` | `"none"`: In the clear. |

    An example; what begins with `#` may be left out:

    ```toml
    [handler.mailer]
    # "a.b" = "`x"
    # delay = 1
    # from = "………"
    # headers = {}
    # servers = []

    [handler.mailer.smtp]
    # auth = { kind = "plain", user = "…" }
    host = "localhost"
    # port = 25
    # tls = "none"
    ```

    ## Payload

    | Key | Type | Required | Default | |
    |---|---|---|---|---|
    | `to` | list; each: string, format `email` | yes | | |
    | `urgent` | `true` or `false` | | `false` | |

    An example:

    ```json
    {
      "to": [
        "…"
      ],
      "urgent": false
    }
    ```

    ## Outcomes

    The handler answers each job with done, with a wish for another try, with a failure, or that it is to be buried; a panic
    is a failure too. When it is tried again, and how often, the job's message and the pool decide (`retry`, `[pool.backoff]`,
    `max_attempts`). A job runs at least once: after a crash or a lost connection it may run again.
    "#);
}

#[test]
fn a_page_without_schemas_says_so() {
    insta::assert_snapshot!(page_of(&Description::default()), @"
    # `mailer`

    Sends the message as an e-mail

    A handler of the plugin `stub` 0.1.0, built for plugin abi 1.0.

    ## Configuration

    The plugin gives no schema of the configuration.

    ## Payload

    The plugin gives no schema of the payload.

    ## Outcomes

    The handler answers each job with done, with a wish for another try, with a failure, or that it is to be buried; a panic
    is a failure too. When it is tried again, and how often, the job's message and the pool decide (`retry`, `[pool.backoff]`,
    `max_attempts`). A job runs at least once: after a crash or a lost connection it may run again.
    ");
}

#[test]
fn a_handler_that_wants_nothing_has_nothing_to_configure() {
    let description = Description {
        config: Some(json!({"type": "object", "additionalProperties": false})),
        payload: Some(json!({"type": ["string", "null"], "maxLength": 9})),
    };
    let page = page_of(&description);
    assert!(page.contains("\nThere is nothing to configure.\n"), "{page}");
    assert!(page.contains("\nString, length at most 9.\n"), "{page}");
}

#[test]
fn a_schema_that_refers_to_itself_has_a_page() {
    let mut config = config();
    config["$defs"]["Smtp"]["properties"]["next"] =
        json!({"anyOf": [{"$ref": "#/$defs/Smtp"}, {"type": "null"}]});
    let page = page_of(&Description {
        config: Some(config),
        payload: Some(json!({"$ref": "#"})),
    });
    assert!(page.contains("| `smtp.next` | table |"), "{page}");
    for payload in [
        json!({"type": "array", "items": {"$ref": "#"}}),
        json!({"oneOf": [{"$ref": "#"}, {"$ref": "#"}]}),
        json!({"type": "object", "additionalProperties": {"$ref": "#"}}),
    ] {
        let page = page_of(&Description {
            config: None,
            payload: Some(payload),
        });
        assert!(page.contains("## Payload"), "{page}");
    }
}

#[test]
fn the_example_of_a_configuration_fits_its_schema() {
    let schema = config();
    let text = example::configuration("mailer", &schema);
    for uncommented in [text.clone(), text.replace("# ", "")] {
        let document: toml::Value = toml::from_str(&uncommented).expect("it is TOML");
        let given = serde_json::to_value(&document["handler"]["mailer"]).expect("JSON has it too");
        let checked = Schema::read(&schema)
            .expect("it is a schema")
            .check("handler.mailer", &given);
        assert_eq!(checked, Ok(()), "{uncommented}");
    }
}

#[test]
fn a_short_schema_of_an_endless_document_has_a_page() {
    // Each of them leads to the next in two or more ways, so there are more ways to the last than anybody could go.
    let chain = |length: usize, link: &dyn Fn(Value) -> Value| {
        let mut schema = json!({"$ref": "#/$defs/0", "$defs": {}});
        for nr in 0..length {
            let next = json!({"$ref": format!("#/$defs/{}", nr + 1)});
            schema["$defs"][nr.to_string()] = link(next);
        }
        schema["$defs"][length.to_string()] = json!({"type": "string"});
        schema
    };
    for schema in [
        chain(60, &|next| json!({"anyOf": [next, next]})),
        chain(
            60,
            &|next| json!({"properties": {"a": {"oneOf": [next, next]}, "b": next}}),
        ),
        chain(8, &|next| json!({"allOf": vec![next; 40]})),
        chain(20_000, &|next| json!({"type": "array", "items": next})),
        chain(20_000, &|next| next),
    ] {
        let page = page_of(&Description {
            config: Some(schema.clone()),
            payload: Some(schema),
        });
        assert!(page.contains("## Outcomes"), "{page}");
    }
}

#[test]
fn a_page_steers_no_terminal() {
    let schema = json!({"properties": {"a\u{1b}[31m": {
        "type": "string", "description": "red\u{1b}[0m\u{7f}\u{9b}1m\n# no title", "default": "\u{1b}\u{7f}", "pattern": "\u{1b}",
    }}});
    let page = page_of(&Description {
        config: Some(schema.clone()),
        payload: Some(schema),
    });
    let steers = |c: char| c.is_control() && c != '\n';
    assert!(!page.contains(steers), "{page:?}");
}

#[test]
fn an_example_has_no_null_which_toml_cannot_write() {
    let schema = json!({"required": ["mode", "none"], "properties": {
        "mode": {"enum": [null, "strict"]},
        "none": {"const": null},
        "list": {"examples": [null, [1, null]]},
        "table": {"examples": [{"a": null, "b": {"c": null}}]},
        "\u{7f}": {"default": "\u{7f}"},
    }});
    insta::assert_snapshot!(example::configuration("mailer", &schema), @r#"
    [handler.mailer]
    # list = [1]
    mode = "strict"
    # table = { b = {} }
    # "\u007F" = "\u007F"
    "#);
}

#[test]
fn a_page_says_what_the_document_is_and_has_a_key_of_several_forms_once() {
    let form = |key: &str| json!({"required": [key], "properties": {key: {"type": "string"}}});
    let schema = json!({
        "description": "Exactly one\nof `url` and `file`.", "type": "object",
        "properties": {
            "file": {"type": ["string", "null"], "description": "A file."},
            "url": {"type": ["string", "null"], "description": "A place."},
        },
        "oneOf": [form("url"), form("file")],
    });
    let page = page_of(&Description {
        config: Some(schema.clone()),
        payload: Some(schema),
    });
    for part in [
        "## Configuration\n\nExactly one of `url` and `file`.\n\nIn the",
        "|---|---|---|---|---|\n| `file` | string | | | A file. |\n| `url` | string | | | A place. |\n\n",
        "[handler.mailer]\n# file = \"…\"\nurl = \"…\"\n",
        "## Payload\n\nExactly one of `url` and `file`.\n\n|",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}
