//! The plugins of this repository describe their configurations: completely, so that it can be relied on, and no
//! narrower than what their handlers take.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_json::Value;

use crate::support::{Host, plugin};

const SHIPPED: [&str; 4] = ["exec", "http", "mailer", "model"];

/// A file of the repository.
#[track_caller]
fn repository(path: &str) -> String {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What `plugin docs` or `plugin schema` prints about a handler, whose plugin has its name.
#[track_caller]
fn told(command: &str, handler: &str) -> String {
    let file = plugin(handler);
    let file = file.to_str().expect("a path");
    Host::unconnected()
        .run_bare(&["plugin", command, file, handler])
        .succeeded()
}

/// The first cells of the first table below the heading.
#[track_caller]
fn keys(page: &str) -> BTreeSet<String> {
    let (_, section) = page.split_once("\n## Configuration\n").expect("the heading");
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let mut keys = BTreeSet::new();
    for row in rows {
        let cell = row.split('|').nth(1).expect("a cell");
        let mut table = String::new();
        for name in cell.split('`').skip(1).step_by(2) {
            // `exit_codes.done`, `.bury` are two keys of one table.
            let key = match name.strip_prefix('.') {
                Some(last) => format!("{table}.{last}"),
                None => name.to_owned(),
            };
            table = key.rsplit_once('.').map_or("", |(table, _)| table).to_owned();
            keys.insert(key);
        }
    }
    keys
}

#[test]
fn the_readme_of_each_plugin_names_the_keys_of_its_schema() {
    for handler in SHIPPED {
        let mut of_schema = keys(&told("docs", handler));
        // What stands for any key, and tables whose keys are named one by one, have no row of their own.
        of_schema.retain(|key| !key.contains(".*"));
        let all = of_schema.clone();
        of_schema.retain(|key| !all.iter().any(|other| other.starts_with(&format!("{key}."))));
        let of_readme = keys(&repository(&format!("plugins/{handler}/README.md")));
        assert_eq!(of_readme, of_schema, "{handler}");
    }
}

#[test]
fn every_key_of_a_shipped_plugin_is_explained() {
    for handler in SHIPPED {
        for row in told("docs", handler)
            .lines()
            .filter(|line| line.starts_with("| `"))
        {
            let words = row.trim_end_matches(['|', ' ']).rsplit('|').next();
            assert!(
                words.is_some_and(|words| words.trim().len() > 3),
                "{handler}: {row}"
            );
        }
    }
}

/// The configurations of handlers in a text of TOML.
#[track_caller]
fn configurations(toml: &str) -> BTreeMap<String, Value> {
    let mut document: BTreeMap<String, Value> = toml::from_str(toml).expect("it is TOML");
    let handlers = document.remove("handler").unwrap_or_default();
    serde_json::from_value(handlers).expect("a table of tables")
}

#[test]
fn the_schemas_take_every_example() {
    let schemas = SHIPPED.map(|handler| {
        let schemas: Value = serde_json::from_str(&told("schema", handler)).expect("JSON");
        (handler, schemas)
    });
    let schemas = BTreeMap::from(schemas);
    let mut examples: Vec<String> = ["asynccall-host.toml", "minimal.toml", "php-names.toml"]
        .map(|name| repository(&format!("examples/config/{name}")))
        .into();
    let readmes = SHIPPED.map(|handler| repository(&format!("plugins/{handler}/README.md")));
    let readmes = readmes.into_iter().chain([
        repository("README.md"),
        repository("examples/migration/README.md"),
    ]);
    let pages = SHIPPED.map(|handler| told("docs", handler));
    for text in readmes.chain(pages) {
        let blocks = text.split("```toml\n").skip(1);
        let blocks = blocks.filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()));
        examples.extend(blocks.filter(|block| block.contains("[handler.")));
    }
    let mut seen = BTreeMap::new();
    for example in &examples {
        for (handler, config) in configurations(example) {
            let schema = &schemas.get(handler.as_str()).expect("a shipped plugin")["config"];
            if let Err(fault) = jsonschema::validate(schema, &config) {
                panic!("{example}\nat `{}`: {fault}", fault.instance_path());
            }
            *seen.entry(handler).or_insert(0) += 1;
        }
    }
    // At least the README's and the page's.
    for handler in SHIPPED {
        assert!(seen.get(handler).is_some_and(|count| *count >= 2), "{seen:?}");
    }
}

/// The errors of a start whose only handler has this configuration.
#[track_caller]
fn refused(handler: &str, config: &str) -> String {
    let ended = Host::unconnected().plugin(handler).config(config).run(&["run"]);
    assert_eq!(ended.code, Some(1), "{ended}");
    let at = ended.err.find("error: ").expect("an error");
    ended.err[at..].to_owned()
}

#[test]
fn a_mailer_is_refused_with_every_fault_at_once_and_without_the_password() {
    let config = "[handler.mailer]\nform = \"a@example.org\"\nattachments_root = \"mails\"\n[handler.mailer.smtp]\n\
                  hots = \"localhost\"\nport = 70000\ntls = \"ssl\"\ntimeout_s = 0\nuser = \"shop\"\n\
                  password = [\"s3cret\"]\n[handler.mailer.file]\ndir = \"/tmp\"\n";
    let told = refused("mailer", config);
    assert!(!told.contains("s3cret"), "{told}");
    insta::assert_snapshot!(told, @"
    error: cannot configure handler `mailer`: 9 faults
      `handler.mailer`: found `smtp` and `file`, wanted only one of them
      `handler.mailer.attachments_root`: found a string, wanted one that matches `^/`
      `handler.mailer.form`: unknown key; hint: did you mean `from`?
      `handler.mailer.smtp.host`: found nothing, wanted a string
      `handler.mailer.smtp.hots`: unknown key; hint: did you mean `host`?
      `handler.mailer.smtp.password`: found a list, wanted a string
      `handler.mailer.smtp.port`: found `70000`, wanted at most 65535
      `handler.mailer.smtp.timeout_s`: found `0`, wanted at least 1
      `handler.mailer.smtp.tls`: found a string, wanted `none`, `opportunistic`, `starttls` or `implicit`
      hint: `asynccall-host plugin docs PLUGINS/libmailer.so mailer` explains every key
    ");
    let number = refused(
        "mailer",
        "[handler.mailer.smtp]\nhost = \"a\"\nuser = \"u\"\npassword = 86421357\n",
    );
    insta::assert_snapshot!(number, @"
    error: cannot configure handler `mailer`: `handler.mailer.smtp.password`: found a number, wanted a string
      hint: `asynccall-host plugin docs PLUGINS/libmailer.so mailer` explains every key
    ");
    insta::assert_snapshot!(refused("mailer", "[handler.mailer]\n"), @"
    error: cannot configure handler `mailer`: `handler.mailer`: found none of the keys `smtp`, `sendmail` and `file`, wanted one of them
      hint: `asynccall-host plugin docs PLUGINS/libmailer.so mailer` explains every key
    ");
}

#[test]
fn the_other_plugins_are_refused_with_every_fault_at_once() {
    let exec = "[handler.exec]\ncommand = \"php worker.php\"\nmode = \"one-shot\"\nkill_grace = -1\nexit_codes.burry = [1]\n\
                exit_codes.done = [256]\n";
    insta::assert_snapshot!(refused("exec", exec), @"
    error: cannot configure handler `exec`: 5 faults
      `handler.exec.command`: found a string, wanted a list
      `handler.exec.exit_codes.burry`: unknown key; hint: did you mean `bury`?
      `handler.exec.exit_codes.done[0]`: found `256`, wanted at most 255
      `handler.exec.kill_grace`: found `-1`, wanted at least 0
      `handler.exec.mode`: found a string, wanted `oneshot` or `persistent`; hint: did you mean `oneshot`?
      hint: `asynccall-host plugin docs PLUGINS/libexec.so exec` explains every key
    ");
    let http = "[handler.http]\nurl = \"http://localhost\"\nurl_from = \"callback\"\ntimeout = 0\nsecret = 86421357\n\
                [handler.http.headers]\nA = { fiel = \"/a\" }\nB = 1\n[handler.http.status]\n409 = \"delete\"\n";
    insta::assert_snapshot!(refused("http", http), @"
    error: cannot configure handler `http`: 7 faults
      `handler.http`: found `url` and `url_from`, wanted only one of them
      `handler.http.headers.A`: found none of the keys `file` and `env`, wanted one of them
      `handler.http.headers.B`: found a number, wanted a string or a table
      `handler.http.secret`: found a number, wanted a string
      `handler.http.status.409`: found a string, wanted `done`, `retry`, `bury` or `failed`
      `handler.http.timeout`: found `0`, wanted more than 0
      `handler.http.url_from`: found a string, wanted one that matches `^/`
      hint: `asynccall-host plugin docs PLUGINS/libhttp.so http` explains every key
    ");
    let model = "[handler.model]\nmax_connections = 0\nnamespaces = \"App\"\nretry = 5\n";
    insta::assert_snapshot!(refused("model", model), @"
    error: cannot configure handler `model`: 4 faults
      `handler.model`: found none of the keys `url_env`, `url_file` and `url`, wanted one of them
      `handler.model.max_connections`: found `0`, wanted at least 1
      `handler.model.namespaces`: found a string, wanted a list
      `handler.model.retry`: unknown key; hint: did you mean `retry_s`?
      hint: `asynccall-host plugin docs PLUGINS/libmodel.so model` explains every key
    ");
}
