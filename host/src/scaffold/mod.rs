//! The crate that `plugin new` writes: a plugin in a directory of its own, outside every workspace.
//!
//! - [`name`]: what a plugin may be called, and what its handler and its type are called then,
//! - [`dependency`]: where the new crate finds plugin-api,
//! - [`placement`]: the directory appears whole or not at all,
//! - this module: the files.
//!
//! The files are those below `template/`, of a plugin called `plugin-name`; each of its three spellings stands for that
//! spelling of the new name. Nothing else in them is replaced but the version of plugin-api where a path was given.
//! `examples/handler` is what comes of them for `notes`, where they are formatted, linted and tested. They lie here, since
//! a published package has no files of another directory, and have other names where cargo would take them for its own.

pub mod dependency;
pub mod name;
pub mod placement;

use asynccall_abi::ABI_MAJOR;

use self::{dependency::Dependency, name::Name};

/// Which of the two traits the handler implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `Handler`.
    Blocking,
    /// `AsyncHandler`, on tokio.
    Async,
}

/// One file of the crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path in the crate.
    pub path: &'static str,
    /// All of it.
    pub text: String,
}

/// The files of a new plugin.
pub fn files(name: &Name, kind: Kind, dependency: &Dependency) -> Vec<File> {
    let (manifest, code) = match kind {
        Kind::Blocking => (
            include_str!("template/blocking/manifest.toml"),
            include_str!("template/blocking/lib.rs"),
        ),
        Kind::Async => (
            include_str!("template/async/manifest.toml"),
            include_str!("template/async/lib.rs"),
        ),
    };
    let named = |path, text: &str| File {
        path,
        text: named(text, name),
    };
    let mut manifest = named("Cargo.toml", manifest);
    // After the names: a path is nobody's name.
    manifest.text = manifest.text.replacen(&registry(), &in_toml(dependency), 1);
    vec![
        manifest,
        named("src/lib.rs", code),
        named("src/tests.rs", include_str!("template/tests.rs")),
        named("README.md", include_str!("template/README.md")),
        named(
            "asynccall-host.toml",
            include_str!("template/asynccall-host.toml"),
        ),
        named("job.json", include_str!("template/job.json")),
        named(".gitignore", include_str!("template/gitignore")),
    ]
}

/// The template's text with the names of the new plugin. In this order a name that was put in is not read again.
fn named(template: &str, name: &Name) -> String {
    template
        .replace("PluginName", name.of_type())
        .replace("plugin_name", name.of_handler())
        .replace("plugin-name", name.of_package())
}

/// How the templates ask for plugin-api. A plugin of an ABI's major version loads in every host of that version.
fn registry() -> String {
    in_toml(&Dependency::Registry)
}

fn in_toml(dependency: &Dependency) -> String {
    match dependency {
        Dependency::Registry => format!("asynccall-plugin-api = {{ version = \"{ABI_MAJOR}\""),
        Dependency::Path(path) => format!("asynccall-plugin-api = {{ path = {}", path.in_toml()),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::{dependency::LocalPath, *};

    const KINDS: [Kind; 2] = [Kind::Blocking, Kind::Async];

    fn text(path: &str, name: &str, kind: Kind, dependency: &Dependency) -> String {
        let name = Name::parse(name).expect("a name");
        let files = files(&name, kind, dependency);
        let file = files.into_iter().find(|file| file.path == path);
        file.expect("there is such a file").text
    }

    /// The capitalised words of a Rust source that stand alone, outside of comments and literals, as far as the templates
    /// need it.
    fn types(code: &str) -> BTreeSet<String> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let lines = code.lines().filter_map(|line| line.split("//").next());
        let outside_of_literals = lines.flat_map(|line| line.split('"').step_by(2));
        let mut types = BTreeSet::new();
        for text in outside_of_literals {
            // What follows `::` belongs to something else.
            for (nth, part) in text.split("::").enumerate() {
                let part = if nth == 0 {
                    part
                } else {
                    part.trim_start_matches(is_part)
                };
                let words = part.split(|c| !is_part(c)).map(str::to_owned);
                types.extend(words.filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase())));
            }
        }
        types
    }

    #[test]
    fn no_spelling_of_the_templates_name_is_left() {
        for kind in KINDS {
            let name = Name::parse("sms-gateway2").expect("a name");
            for File { path, text } in files(&name, kind, &Dependency::Registry) {
                for spelling in ["PluginName", "plugin_name", "plugin-name"] {
                    assert!(!text.contains(spelling), "{path}: {text}");
                }
                assert!(text.ends_with('\n'), "{path}");
            }
        }
    }

    #[test]
    fn plugin_api_comes_from_the_registry_or_from_a_path() {
        for (kind, features) in [(Kind::Blocking, ""), (Kind::Async, ", features = [\"tokio\"]")] {
            let registry = text("Cargo.toml", "courier", kind, &Dependency::Registry);
            let wanted = format!("\nasynccall-plugin-api = {{ version = \"1\"{features} }}\n");
            assert!(registry.contains(&wanted), "{registry}");
            let path = LocalPath::new(Path::new("../a \"b\"/plugin-api")).expect("a path for TOML");
            let local = text("Cargo.toml", "courier", kind, &Dependency::Path(path));
            let wanted =
                format!("\nasynccall-plugin-api = {{ path = \"../a \\\"b\\\"/plugin-api\"{features} }}\n");
            assert!(local.contains(&wanted), "{local}");
            toml::from_str::<toml::Table>(&local).expect("it is TOML");
        }
    }

    #[test]
    fn no_name_is_taken_that_the_code_uses_for_something_else() {
        let mut used = BTreeSet::new();
        for kind in KINDS {
            for path in ["src/lib.rs", "src/tests.rs"] {
                used.append(&mut types(&text(path, "courier", kind, &Dependency::Registry)));
            }
        }
        assert!(used.remove("Courier") && used.len() > 10, "{used:?}");
        let free: Vec<&String> = used.iter().filter(|word| !name::is_taken_type(word)).collect();
        assert!(free.is_empty(), "{free:?}");
    }

    #[test]
    fn the_example_handler_is_what_is_written_for_its_name() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/handler");
        let path = LocalPath::new(Path::new("../../plugin-api")).expect("a path for TOML");
        let name = Name::parse("notes").expect("a name");
        for File { path, text } in files(&name, Kind::Blocking, &Dependency::Path(path)) {
            let found = fs::read_to_string(example.join(path)).expect(path);
            assert_eq!(
                found, text,
                "{path}; write it anew with `plugin new notes --path …`"
            );
        }
    }
}
