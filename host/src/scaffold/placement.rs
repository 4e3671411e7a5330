//! Makes a directory with files in it, whole or not at all, and never in the place of something.
//!
//! The files are written into a directory beside, which is then renamed. rename(2) puts a directory in the place of an
//! empty one, and of nothing else.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::File;
use crate::draft;

/// Why the directory was not made.
#[derive(Debug, Error)]
pub enum NotPlaced {
    /// Something is there already.
    #[error("`{}` is there already, and nothing of it is overwritten", .path.display())]
    Occupied {
        /// The place.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot write `{}`: {error}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

/// The directory that is being filled; what is left of it goes with this value.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // After the renaming there is nothing to remove, and a failure has been told already.
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// Makes the directory `name` in `parent`.
///
/// # Errors
/// Something other than an empty directory is there, or the system refuses. Then nothing has changed.
pub fn place(parent: &Path, name: &str, files: &[File]) -> Result<(), NotPlaced> {
    let place = parent.join(name);
    // Told before anything is written, where it can be; what decides is the renaming.
    if is_occupied(&place) {
        return Err(NotPlaced::Occupied { path: place });
    }
    let draft = draft::beside(&place);
    fs::create_dir(&draft).map_err(io_error(&place))?;
    let draft = Draft(draft);
    for file in files {
        let path = draft.0.join(file.path);
        write(&path, &file.text).map_err(io_error(&place.join(file.path)))?;
    }
    fs::rename(&draft.0, &place).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            NotPlaced::Occupied { path: place.clone() }
        }
        _ => io_error(&place)(error),
    })
}

/// Whether there is something that is no empty directory.
fn is_occupied(place: &Path) -> bool {
    match fs::symlink_metadata(place) {
        Ok(found) if found.is_dir() => fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_some()),
        Ok(_) => true,
        Err(_) => false,
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, text)
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> NotPlaced {
    let path = path.to_owned();
    |error| NotPlaced::Io { path, error }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("it is a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
        let mut names: Vec<String> = names.map(|name| name.expect("UTF-8")).collect();
        names.sort();
        names
    }

    fn files(paths: &[&'static str]) -> Vec<File> {
        let file = |path: &&'static str| File {
            path,
            text: format!("{path}\n"),
        };
        paths.iter().map(file).collect()
    }

    #[test]
    fn the_files_appear_where_there_was_nothing_or_an_empty_directory() {
        let parent = tempfile::tempdir().expect("a directory");
        fs::create_dir(parent.path().join("empty")).expect("a directory");
        for name in ["new", "empty"] {
            place(parent.path(), name, &files(&["a", "src/b"])).expect("there is room");
            let text = fs::read_to_string(parent.path().join(name).join("src/b"));
            assert_eq!(text.expect("it is there"), "src/b\n");
        }
        assert_eq!(names(parent.path()), ["empty", "new"]);
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let parent = tempfile::tempdir().expect("a directory");
        let full = parent.path().join("full");
        fs::create_dir(&full).expect("a directory");
        fs::write(full.join("mine"), "mine").expect("a file");
        fs::write(parent.path().join("file"), "mine").expect("a file");
        fs::create_dir(parent.path().join("empty")).expect("a directory");
        symlink("empty", parent.path().join("link")).expect("a link");
        symlink("nowhere", parent.path().join("dangling")).expect("a link");
        for name in ["full", "file", "link", "dangling"] {
            let refused = place(parent.path(), name, &files(&["a"])).expect_err("it is occupied");
            assert!(matches!(refused, NotPlaced::Occupied { .. }), "{refused}");
        }
        let left = names(parent.path());
        assert_eq!(left, ["dangling", "empty", "file", "full", "link"]);
        assert_eq!(names(&full), ["mine"]);
        assert!(names(&parent.path().join("empty")).is_empty());
    }

    #[test]
    fn a_failure_half_way_leaves_nothing_behind() {
        let parent = tempfile::tempdir().expect("a directory");
        // The second file would have to lie in the first.
        let refused = place(parent.path(), "new", &files(&["a", "a/b"])).expect_err("no such file");
        assert!(matches!(refused, NotPlaced::Io { .. }), "{refused}");
        assert!(names(parent.path()).is_empty());
    }
}
