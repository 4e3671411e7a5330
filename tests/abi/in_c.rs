//! The promise for plugins in C: what was built against the header of any minor runs in the hosts of every minor that
//! knows such plugins, and the hosts before refuse it in words.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{released::released, run};
use crate::support::{Directory, compiler::c_zoo, plugins};

#[track_caller]
fn run_zoo(loader: &Path, body: &str, library: &Path, config: &str) -> Value {
    let mut answers = run(loader, body, &[(library, "c-zoo", config)]);
    answers.pop().expect("there is one for each plugin")
}

/// Everything that the zoo of 1.2 does.
#[track_caller]
fn assert_keeps_its_promises(loader: &Path, library: &Path) {
    let said = |message: &str| {
        let answer = run_zoo(loader, message, library, "{}");
        json!([answer["verdict"], answer["delay_ms"], answer["message"]])
    };
    for (message, expected) in [
        (r#""done""#, json!([0, null, ""])),
        (r#""retry""#, json!([1, 1500, "not yet"])),
        (r#""bury""#, json!([2, null, "a person should look"])),
        (r#""fail""#, json!([3, null, "no luck"])),
        (r#""exception""#, json!([4, null, "thrown"])),
        (r#""nothing""#, json!([3, null, "the handler gave no answer"])),
        ("", json!([2, null, "the body is empty"])),
    ] {
        assert_eq!(said(message), expected, "{message}");
    }
    let facts = run_zoo(loader, r#""facts""#, library, "{}");
    let expected =
        r#"{"attempt":1,"tube":"loader","priority":1024,"known":true,"version":"0.0.0","on":true}"#;
    assert_eq!(facts["result"], expected, "{facts}");
    assert_eq!(facts["progress"], 1, "{facts}");
    let put = run_zoo(loader, r#""put""#, library, "{}");
    assert_eq!((&put["verdict"], &put["put"]), (&json!(0), &json!([r#""done""#])));
    let counted = run_zoo(loader, r#""count""#, library, "{}");
    assert_eq!(counted["metrics"], json!([["c-zoo_counted", 2.5]]), "{counted}");
    let logged = run_zoo(loader, r#""log""#, library, "{}");
    let fields = json!({"rows": "3", "who": "a b", "forged": "1 level=ERROR"});
    assert_eq!(logged["logs"][0]["fields"], fields, "{logged}");
    assert_eq!(logged["logs"][0]["level"], 2, "{logged}");
    let ticked = run_zoo(loader, r#""done""#, library, r#"{"do":"tick"}"#);
    assert_eq!(ticked["tick_every_ms"], 20, "{ticked}");
    let messages = [0, 1].map(|line| &ticked["logs"][line]["message"]);
    assert_eq!(messages, ["tick in C", "goodbye in C"], "{ticked}");
    assert_eq!(
        ticked["described"], r#"{"payload":{"type":"string"}}"#,
        "{ticked}"
    );
    for (what, expected) in [
        ("refuse", "create 1: refused as asked"),
        ("fail", "create 2: failed \u{fffd} as asked"),
        ("silent", "create 2: it gave no reason"),
        ("check", "self-check 2: there is nobody to answer to"),
    ] {
        let config = json!({"do": what}).to_string();
        let refused = run_zoo(loader, r#""done""#, library, &config);
        assert_eq!(refused["error"], expected);
    }
}

#[test]
fn plugins_in_c_of_every_released_minor_and_of_today_run_in_every_host_that_knows_them() {
    let directory = Directory::new();
    let released = released();
    let knowing = || released.iter().filter(|released| released.in_c.is_some());
    let mut libraries: Vec<PathBuf> = knowing().filter_map(|released| released.in_c.clone()).collect();
    libraries.push(c_zoo(&directory, "zoo", "cc", &["-std=c99"]));
    let mut loaders: Vec<PathBuf> = knowing().map(|released| released.loader.clone()).collect();
    loaders.push(plugins::loader());
    for loader in &loaders {
        for library in &libraries {
            assert_keeps_its_promises(loader, library);
        }
    }
}

#[test]
fn hosts_from_before_plugins_in_c_refuse_them_in_words() {
    let directory = Directory::new();
    let library = c_zoo(&directory, "zoo", "cc", &["-std=c99"]);
    for released in released().iter().filter(|released| released.in_c.is_none()) {
        let refused = run_zoo(&released.loader, r#""done""#, &library, "{}");
        assert_eq!(
            refused["error"],
            "it is a plugin of kind 2, this host knows kind 1"
        );
    }
}
