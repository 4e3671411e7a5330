//! Set-id programs in the configuration of a handler whose workers gain no privileges.
//!
//! The host does not know what a handler does with its configuration. But a path in it that leads to a program
//! which runs with the rights of its file's owner or group, such as the `sendmail` of some mail servers, is there to
//! be executed, and under `no_new_privs` it would run without those rights and fail in its own odd way.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::config::{HandlerConfig, Pool};

/// The bits of inode(7) that let a program run as its file's owner or group.
const SET_ID: u32 = 0o6000;
/// The permissions to execute.
const EXECUTE: u32 = 0o111;

/// A set-id program that a handler's configuration names.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "pool `{pool}`: `handler.{handler}{key}` is the set-id program `{}`, which `no_new_privs` keeps from getting its rights\n  hint: set `no_new_privs = false` in this pool, or use a program that needs no rights of its own",
    program.display()
)]
pub(super) struct SetIdProgram {
    pool: String,
    handler: String,
    /// Where it stands in the configuration, as `.sendmail.command`.
    key: String,
    /// The program, as it is written there.
    program: PathBuf,
}

/// Finds the first set-id program in the configuration of a pool's handler that the pool's workers may execute in vain.
pub(super) fn find(pool: &Pool, handler: &str, config: &HandlerConfig) -> Result<(), SetIdProgram> {
    if !pool.no_new_privs {
        return Ok(());
    }
    match search(config.value(), String::new()) {
        None => Ok(()),
        Some((key, program)) => Err(SetIdProgram {
            pool: pool.name.clone(),
            handler: handler.to_owned(),
            key,
            program,
        }),
    }
}

fn search(value: &Value, key: String) -> Option<(String, PathBuf)> {
    match value {
        Value::String(text) => Some((key, set_id_program(text)?)),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(at, item)| search(item, format!("{key}[{at}]")))
        }
        Value::Object(fields) => {
            let mut fields = fields.iter();
            fields.find_map(|(name, field)| search(field, format!("{key}.{name}")))
        }
        _ => None,
    }
}

/// The set-id program that a text names: the whole of it, or the first word of a command line.
fn set_id_program(text: &str) -> Option<PathBuf> {
    let first_word = text.split_whitespace().next()?;
    let mut paths = [text, first_word].into_iter().map(Path::new);
    let is_set_id = |path: &Path| {
        path.is_absolute()
            && fs::metadata(path).is_ok_and(|found| {
                found.is_file() && found.mode() & SET_ID != 0 && found.mode() & EXECUTE != 0
            })
    };
    paths.find(|path| is_set_id(path)).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_id_program_is_found_wherever_it_stands() {
        let directory = tempfile::tempdir().expect("a directory");
        let program = |name: &str, mode| {
            let path = directory.path().join(name);
            fs::write(&path, "").expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
            path.display().to_string()
        };
        let (set_gid, plain) = (program("mail drop", 0o2755), program("plain", 0o755));
        let data = program("data", 0o4644);
        let found = |config: Value| search(&config, String::new()).map(|(key, _)| key);
        let table = [
            (
                json!({"sendmail": {"command": set_gid}}),
                Some(".sendmail.command"),
            ),
            (json!({"a": [1, [plain, set_gid]]}), Some(".a[1][1]")),
            (json!({"a": plain, "b": data, "c": "relative", "d": ""}), None),
            (json!({"a": directory.path()}), None),
        ];
        for (config, expected) in table {
            assert_eq!(found(config.clone()).as_deref(), expected, "{config}");
        }
        let set_uid = program("mail", 0o4755);
        assert_eq!(
            found(json!({"run": format!("{set_uid} -t -i")})).as_deref(),
            Some(".run")
        );
    }
}
