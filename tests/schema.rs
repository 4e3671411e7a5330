//! What handlers say of the documents that they take, and what the daemon makes of it: configurations are checked
//! before a handler is made.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Beanstalkd, Ended, Host, plugin};

/// Everything is wrong with it that can be.
const WRONG: &str = r#"
[handler.picky]
mode = "strickt"
dealy = 5
delay = 0
words = ["one", 2]
[handler.picky.smtp]
hots = "localhost"
port = 70000
password = 12345678
"#;

/// What a pool of `picky` needs.
const RIGHT: &str = "[handler.picky.smtp]\nhost = \"localhost\"\npassword = \"hunter22\"\n";

fn with_picky(handler: &str) -> String {
    format!(
        "[plugins]\nload = [\"{}\"]\n[[pool]]\ntubes = [\"t\"]\nhandler = \"{handler}\"\n",
        plugin("picky").display()
    )
}

/// The errors of a start that failed, without what the log says of it before.
#[track_caller]
fn start_refused(config: &str) -> String {
    let ended = Host::unconnected().config(config).run(&["run"]);
    assert_eq!(ended.code, Some(1), "{ended}");
    let at = ended.err.find("error: ").expect("an error");
    ended.err[at..].to_owned()
}

#[test]
fn a_start_is_refused_with_every_fault_of_the_configuration_at_once() {
    insta::assert_snapshot!(start_refused(&(with_picky("picky") + WRONG)), @"
    error: cannot configure handler `picky`: 8 faults
      `handler.picky.dealy`: unknown key; hint: did you mean `delay`?
      `handler.picky.delay`: found `0`, wanted at least 1
      `handler.picky.mode`: found a string, wanted `strict` or `lax`; hint: did you mean `strict`?
      `handler.picky.smtp.host`: found nothing, wanted a string
      `handler.picky.smtp.hots`: unknown key; hint: did you mean `host`?
      `handler.picky.smtp.password`: found a number, wanted a string
      `handler.picky.smtp.port`: found `70000`, wanted at most 65535
      `handler.picky.words[1]`: found a number, wanted a string
      hint: `asynccall-host plugin docs PLUGINS/libpicky.so picky` explains every key
    ");
}

#[test]
fn all_handlers_of_a_pool_are_checked_before_any_is_made() {
    let handlers = "[pool.handlers]\nt = \"picky\"\nu = \"frugal\"\n";
    let pool = with_picky("muddled").replace("[\"t\"]", "[\"t\", \"u\", \"v\"]");
    let config = format!("{pool}{handlers}{RIGHT}user = \"me\"\n[handler.frugal]\nx = 1\n");
    insta::assert_snapshot!(start_refused(&config), @r#"
    error: cannot configure handler `frugal`: `handler.frugal.x`: unknown key
      hint: `asynccall-host plugin docs PLUGINS/libpicky.so frugal` explains every key
    cannot use handler `muddled` of libpicky.so: its schema of the configuration is no JSON Schema: at `/properties/port/minimum`: "one" is not of type "number"
      hint: its author has to mend the plugin
    cannot configure handler `picky`: `handler.picky.smtp.user`: unknown key, wanted `host`, `password` or `port`
      hint: `asynccall-host plugin docs PLUGINS/libpicky.so picky` explains every key
    "#);
}

#[test]
fn a_reload_with_a_configuration_that_does_not_fit_changes_nothing() {
    let Some(queue) = Beanstalkd::start() else { return };
    let config = with_picky("picky");
    let host = Host::new(&queue).workers(2).config(&(config.clone() + RIGHT));
    let daemon = host.start();
    let pids = daemon.workers();
    daemon
        .host()
        .directory()
        .write("host.toml", config.clone() + WRONG);
    let refused = daemon.run(&["reload", "--wait"]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(
        refused
            .err
            .contains("cannot configure handler `picky`: 8 faults\n"),
        "{refused}"
    );
    let job = queue.put("t", r#"{"to": ["ada"]}"#);
    let settled = daemon.wait_for_settled(job);
    assert!(
        settled.contains(r#"true,30,[],\"strict\",[\"ada\"],null]"#),
        "{settled}"
    );
    assert_eq!(daemon.workers(), pids, "nobody was replaced");
    daemon
        .host()
        .directory()
        .write("host.toml", config + RIGHT + "port = 25\n");
    daemon.run(&["reload", "--wait"]).succeeded();
    let job = queue.put("t", r#"{"to": ["ada"]}"#);
    let settled = daemon.wait_for_settled(job);
    assert!(settled.contains(r#"[\"localhost\",25,true"#), "{settled}");
}

/// `plugin check` of one handler.
#[track_caller]
fn check(handler: &str, config: &Value) -> Ended {
    let host = Host::unconnected();
    let file = plugin("picky");
    let config = host.directory().write("handler.json", config.to_string());
    let config = format!("--handler-config={handler}={}", config.display());
    let file = file.to_str().expect("a path");
    host.run_bare(&["plugin", "check", file, "--handler", handler, &config])
}

/// The last steps of a check.
fn steps(ended: &Ended) -> String {
    let text = ended.to_string();
    let at = text.find("ok      load").unwrap_or_default();
    format!(
        "{}{}",
        &text[..text.find('\n').map_or(0, |at| at + 1)],
        &text[at..]
    )
}

#[test]
fn a_check_of_a_plugin_checks_the_configuration() {
    let right = json!({"smtp": {"host": "localhost"}});
    insta::assert_snapshot!(steps(&check("picky", &right)), @"
    exit 0
    ok      load
    ok      picky: configuration
    ok      picky: create
    ok      picky: self-check
    ok      picky: exit
    ");
    insta::assert_snapshot!(steps(&check("picky", &json!({"smtp": {"host": "", "user": 1}}))), @"
    exit 78
    ok      load
    FAILED  picky: configuration
              cannot configure handler `picky`: 2 faults
                `handler.picky.smtp.host`: found a string of length 0, wanted at least 1
                `handler.picky.smtp.user`: unknown key, wanted `host`, `password` or `port`
                hint: `asynccall-host plugin docs PLUGINS/libpicky.so picky` explains every key
    error: `PLUGINS/libpicky.so` does not pass, failed steps: 1
    ");
    insta::assert_snapshot!(steps(&check("picky", &json!({}))), @"
    exit 78
    ok      load
    FAILED  picky: configuration
              cannot configure handler `picky`: `handler.picky.smtp`: found nothing, wanted a table
                hint: `asynccall-host plugin docs PLUGINS/libpicky.so picky` explains every key
    error: `PLUGINS/libpicky.so` does not pass, failed steps: 1
    ");
    insta::assert_snapshot!(steps(&check("frugal", &json!({}))), @"
    exit 0
    ok      load
    ok      frugal: configuration
    ok      frugal: create
    ok      frugal: self-check
    ok      frugal: exit
    ");
}

#[test]
fn a_plugin_whose_schema_is_none_is_refused() {
    insta::assert_snapshot!(start_refused(&with_picky("muddled")), @r#"
    error: cannot use handler `muddled` of libpicky.so: its schema of the configuration is no JSON Schema: at `/properties/port/minimum`: "one" is not of type "number"
      hint: its author has to mend the plugin
    "#);
    insta::assert_snapshot!(steps(&check("muddled", &json!({}))), @r#"
    exit 65
    ok      load
    FAILED  muddled: configuration
              cannot use handler `muddled` of libpicky.so: its schema of the configuration is no JSON Schema: at `/properties/port/minimum`: "one" is not of type "number"
                hint: its author has to mend the plugin
    error: `PLUGINS/libpicky.so` does not pass, failed steps: 1
    "#);
}

#[test]
fn a_panic_in_the_place_of_schemas_is_told_in_its_own_words() {
    let told = "cannot use handler `hasty` of libpicky.so: its description is not JSON but \
                `panicked: the schemas are not written yet`";
    let refused = start_refused(&with_picky("hasty"));
    assert!(refused.contains(told), "{refused}");
    let step = steps(&check("hasty", &json!({})));
    assert!(step.contains(told), "{step}");
}

/// `plugin …` with these words behind the built plugin.
#[track_caller]
fn of_picky(command: &str, words: &[&str]) -> Ended {
    let file = plugin("picky");
    let mut all = vec!["plugin", command, file.to_str().expect("a path")];
    all.extend(words);
    Host::unconnected().run_bare(&all)
}

#[test]
fn the_schemas_of_a_handler_are_printed() {
    let both = of_picky("schema", &["picky"]).succeeded();
    let both: Value = serde_json::from_str(&both).expect("JSON");
    assert_eq!(both["config"]["properties"]["delay"]["maximum"], 600);
    assert_eq!(both["payload"]["required"], json!(["to"]));
    for (only, document) in [("config", &both["config"]), ("payload", &both["payload"])] {
        let one = of_picky("schema", &["picky", "--only", only]).succeeded();
        assert_eq!(&serde_json::from_str::<Value>(&one).expect("JSON"), document);
    }
}

#[test]
fn a_schema_that_is_not_there_is_an_error() {
    let told = [
        of_picky("schema", &["frugal", "--only", "payload"]),
        of_picky("schema", &["muddled"]),
        of_picky("schema", &[]),
        of_picky("docs", &["piky"]),
    ];
    insta::assert_snapshot!(told.map(|ended| ended.to_string()).join("\n"), @r#"
    exit 1
    error: the plugin gives no schema of the payload of handler `frugal`

    exit 65
    error: cannot use handler `muddled` of libpicky.so: its schema of the configuration is no JSON Schema: at `/properties/port/minimum`: "one" is not of type "number"
      hint: its author has to mend the plugin

    exit 64
    error: no handler is chosen; there are `frugal`, `hasty`, `muddled`, `picky`
      hint: name one of them behind the plugin

    exit 78
    error: no plugin has a handler `piky`; there are `frugal`, `hasty`, `muddled`, `picky`
      hint: did you mean `picky`?
    "#);
}

#[test]
fn the_pages_of_a_plugin_are_printed_or_written() {
    let page = of_picky("docs", &["picky"]).succeeded();
    let page = page.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!(page, @r#"
    # `picky`

    Answers with what it was given

    A handler of the plugin `zoo-picky` VERSION, built for plugin abi 1.2.

    ## Configuration

    In the configuration file below `[handler.picky]`, or in a JSON file by `--handler-config picky=FILE`.

    | Key | Type | Required | Default | |
    |---|---|---|---|---|
    | `delay` | whole number, 1 to 600 | | `30` | Seconds between two tries. |
    | `mode` | `"strict"` or `"lax"` | | `"strict"` | `"strict"`: Every word counts. `"lax"`: Only the first word counts. |
    | `smtp` | table | yes | | Where mails are handed over. |
    | `smtp.host` | string, length at least 1 | yes | | Its name or address. |
    | `smtp.password` | string | | | The password \| in clear text. |
    | `smtp.port` | whole number, 0 to 65535 | | | |
    | `words` | list; each: string | | `[]` | Words that are refused. |

    An example; what begins with `#` may be left out:

    ```toml
    [handler.picky]
    # delay = 30
    # mode = "strict"
    # words = []

    [handler.picky.smtp]
    host = "…"
    # password = "…"
    # port = 0
    ```

    ## Payload

    What it is about.

    | Key | Type | Required | Default | |
    |---|---|---|---|---|
    | `subject` | string, length at most 78 | | | At most 78 letters. |
    | `to` | list; each: string | yes | | To whom it goes. |

    An example:

    ```json
    {
      "subject": "…",
      "to": [
        "…"
      ]
    }
    ```

    ## Outcomes

    The handler answers each job with done, with a wish for another try, with a failure, or that it is to be buried; a panic
    is a failure too. When it is tried again, and how often, the job's message and the pool decide (`retry`, `[pool.backoff]`,
    `max_attempts`). A job runs at least once: after a crash or a lost connection it may run again.
    "#);

    let host = Host::unconnected();
    let pair = plugin("pair");
    let pages = host.path("pages/of/pair");
    let (pair, directory) = (pair.to_str().expect("a path"), pages.to_str().expect("a path"));
    insta::assert_snapshot!(host.run_bare(&["plugin", "docs", pair, "--output", directory]), @"
    exit 0
    wrote `DIR/pages/of/pair/left.md`
    wrote `DIR/pages/of/pair/right.md`
    ");
    let page = fs::read_to_string(pages.join("left.md")).expect("it is written");
    assert!(
        page.contains("The plugin gives no schema of the configuration."),
        "{page}"
    );
    assert_eq!(page, host.run_bare(&["plugin", "docs", pair, "left"]).succeeded());
}

#[test]
fn the_example_on_a_page_configures_the_handler() {
    let page = of_picky("docs", &["picky"]).succeeded();
    let example = page
        .split("```")
        .find_map(|part| part.strip_prefix("toml\n"))
        .expect("an example");
    for example in [example.to_owned(), example.replace("# ", "")] {
        let host = Host::unconnected();
        let config = host.directory().write("host.toml", &example);
        let file = plugin("picky");
        let words = [
            "plugin",
            "check",
            file.to_str().expect("a path"),
            "--handler",
            "picky",
            "-c",
        ];
        let ended = host.run_bare(&[&words[..], &[config.to_str().expect("a path")]].concat());
        assert_eq!(ended.code, Some(0), "{example}\n{ended}");
    }
}
