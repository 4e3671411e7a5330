//! Copies of this workspace's plugin side with edits: other versions of the abi, built for real.
//!
//! A copy lives below the target directory and is built into the same one, so that cargo reuses what it has built
//! of other crates. What would be overwritten there has a name of its own in every copy: libraries and programs by
//! an edit, everything else since cargo tells packages apart by their path below the root of the workspace.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The members of the workspace that a copy has.
const MEMBERS: [&str; 3] = ["plugin-api/abi", "plugin-api", "plugins/zoo/echo"];

/// What a member consists of, as far as it exists.
const PARTS: [&str; 6] = [
    "Cargo.toml",
    "STABILITY.md",
    "build.rs",
    "src",
    "include",
    "examples",
];

/// One change of a file: the text, which occurs there exactly once, and what stands there instead.
pub(crate) struct Edit {
    file: &'static str,
    from: String,
    to: String,
}

/// Replaces a text that the file has exactly once.
pub(crate) fn edit(file: &'static str, from: impl Into<String>, to: impl Into<String>) -> Edit {
    Edit {
        file,
        from: from.into(),
        to: to.into(),
    }
}

/// Inserts a text behind one that the file has exactly once.
pub(crate) fn behind(file: &'static str, anchor: &str, more: impl AsRef<str>) -> Edit {
    edit(file, anchor, format!("{anchor}{}", more.as_ref()))
}

/// A copy on disk.
pub(crate) struct Tree {
    name: String,
    root: PathBuf,
}

impl Tree {
    /// Makes the copy, or brings an earlier one up to date: unchanged files keep their time, so that nothing is
    /// built again without need.
    pub(crate) fn new(name: &str, edits: &[Edit]) -> Self {
        let tree = Tree {
            name: name.to_owned(),
            root: Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("abi-{name}")),
        };
        let (library, example) = (tree.library(), tree.example());
        let mut edits: Vec<_> = edits.iter().collect();
        let named = edit(
            "plugins/zoo/echo/Cargo.toml",
            "name = \"echo\"",
            format!("name = \"{library}\""),
        );
        edits.push(&named);
        for member in MEMBERS {
            for part in PARTS {
                tree.copy(&format!("{member}/{part}"), &example, &mut edits);
            }
        }
        tree.copy("Cargo.lock", &example, &mut edits);
        tree.write(
            "Cargo.toml",
            &tree.workspace(&edited("Cargo.toml", original("Cargo.toml"), &mut edits)),
        );
        let left: Vec<_> = edits.iter().map(|edit| edit.file).collect();
        assert!(left.is_empty(), "no such files: {left:?}");
        tree
    }

    /// The plugin, a `cdylib`.
    pub(crate) fn plugin(&self) -> PathBuf {
        self.build(&["-p", "zoo-echo"], &self.library(), "filenames")
    }

    /// The host, `examples/loader.rs`.
    pub(crate) fn loader(&self) -> PathBuf {
        let example = self.example();
        self.build(
            &["-p", "asynccall-abi", "--example", &example],
            &example,
            "executable",
        )
    }

    fn library(&self) -> String {
        format!("echo_{}", self.name)
    }

    fn example(&self) -> String {
        format!("loader_{}", self.name)
    }

    fn build(&self, selection: &[&str], target: &str, key: &str) -> PathBuf {
        let target_directory = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
        let arguments = [
            "build",
            "--quiet",
            "--offline",
            "--message-format=json-render-diagnostics",
        ];
        let output = Command::new(env!("CARGO"))
            .args(arguments)
            .args(selection)
            .arg("--target-dir")
            .args(target_directory)
            .current_dir(&self.root)
            .output()
            .expect("cargo runs the tests, so it can be started");
        built(&output, target, key)
    }

    fn copy(&self, path: &str, example: &str, edits: &mut Vec<&Edit>) {
        let from = workspace_root().join(path);
        if from.is_dir() {
            for entry in fs::read_dir(&from).expect("it can be listed") {
                let name = entry.expect("it can be listed").file_name();
                self.copy(&format!("{path}/{}", name.to_string_lossy()), example, edits);
            }
        } else if from.exists() {
            let text = edited(path, original(path), edits);
            self.write(
                &path.replace("examples/loader", &format!("examples/{example}")),
                &text,
            );
        }
    }

    /// The workspace's settings, for the members of the copy.
    fn workspace(&self, manifest: &str) -> String {
        let name = &self.name;
        let members = MEMBERS.map(|member| format!("{name}/{member}"));
        let (before, rest) = manifest
            .split_once("members = [")
            .expect("a workspace has members");
        let (_, after) = rest.split_once(']').expect("the list ends");
        let after = after.replace("path = \"", &format!("path = \"{name}/"));
        format!("{before}members = {members:?}{after}")
    }

    fn write(&self, path: &str, text: &str) {
        let to = match path {
            "Cargo.toml" | "Cargo.lock" => self.root.join(path),
            of_member => self.root.join(&self.name).join(of_member),
        };
        if fs::read_to_string(&to).is_ok_and(|old| old == text) {
            return;
        }
        fs::create_dir_all(to.parent().expect("the root is above it")).expect("the directory is ours");
        fs::write(to, text).expect("the directory is ours");
    }
}

/// Where cargo says that it has put `target`.
#[track_caller]
pub(crate) fn built(output: &std::process::Output, target: &str, key: &str) -> PathBuf {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let file = messages
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == target)
        .find_map(|message| match &message[key] {
            Value::Array(files) => files.first()?.as_str().map(PathBuf::from),
            file => file.as_str().map(PathBuf::from),
        });
    file.expect("cargo tells where the file is")
}

/// The root of this workspace.
pub(crate) fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn original(path: &str) -> String {
    fs::read_to_string(workspace_root().join(path)).expect("the workspace's files are text")
}

/// Applies and removes the edits of this file.
#[track_caller]
fn edited(path: &str, mut text: String, edits: &mut Vec<&Edit>) -> String {
    edits.retain(|edit| {
        if edit.file != path {
            return true;
        }
        let found = text.matches(&edit.from).count();
        assert_eq!(found, 1, "{path} does not have this text once:\n{}", edit.from);
        text = text.replace(&edit.from, &edit.to);
        false
    });
    text
}
