//! Where a request may come to mean other files: the directories to watch, and what counts in them.
//!
//! It follows every path as the kernel does and remembers each directory in which a name decides: the one of the file
//! itself, the one of every symbolic link on the way, and where something is missing, the last one that is there. It
//! opens no file.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

use super::{
    nearby::{is_library, libraries_in},
    registry::{Asked, Request},
};

/// How many links are followed on the way of one path, as the kernel does (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// What decides about the meaning of a request, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The directories to watch, without links in their paths.
    pub directories: BTreeSet<PathBuf>,
    /// Single names in them that count.
    entries: BTreeSet<PathBuf>,
    /// Those of which every library counts.
    drop_in: BTreeSet<PathBuf>,
}

impl Places {
    /// The places of a request whose paths are absolute.
    pub fn of(request: &Request) -> Places {
        let mut places = Places::default();
        for asked in &request.load {
            match asked {
                Asked::Path(path) => places.add_file(path),
                Asked::Name(name) => {
                    for dir in &request.dirs {
                        places.add_file(&dir.join(format!("lib{name}.so")));
                    }
                }
            }
        }
        for dir in &request.drop_in {
            places.add_drop_in(dir);
        }
        if let Some(lock) = &request.lock {
            places.add_file(lock);
        }
        places
    }

    /// Whether a change at `path`, which is in one of the directories or one of them, may change what is loaded.
    pub fn concern(&self, path: &Path) -> bool {
        let is_dropped_in = || {
            path.parent().is_some_and(|dir| self.drop_in.contains(dir))
                && path.file_name().is_some_and(is_library)
        };
        self.directories.contains(path) || self.entries.contains(path) || is_dropped_in()
    }

    fn add_file(&mut self, path: &Path) {
        if let Some(file) = self.follow(path) {
            self.add_entry(file);
        }
    }

    fn add_drop_in(&mut self, dir: &Path) {
        let Some(dir) = self.follow(dir) else { return };
        // A directory that cannot be read has no libraries, which loading reports.
        for name in libraries_in(&dir).unwrap_or_default() {
            self.add_file(&dir.join(name));
        }
        self.directories.insert(dir.clone());
        self.drop_in.insert(dir);
    }

    /// Where a path leads to, if anywhere. Remembers the links on the way and what is missing.
    fn follow(&mut self, path: &Path) -> Option<PathBuf> {
        let mut here = PathBuf::from("/");
        // The next component is the last one.
        let mut rest = components_reversed(path);
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                here.pop();
                continue;
            }
            let entry = here.join(name);
            let Ok(metadata) = fs::symlink_metadata(&entry) else {
                self.add_entry(entry);
                return None;
            };
            if !metadata.is_symlink() {
                here = entry;
                continue;
            }
            links += 1;
            let target = fs::read_link(&entry).unwrap_or_default();
            self.add_entry(entry);
            if links > MAX_LINKS {
                return None;
            }
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            rest.extend(components_reversed(&target));
        }
        Some(here)
    }

    fn add_entry(&mut self, entry: PathBuf) {
        if let Some(directory) = entry.parent() {
            self.directories.insert(directory.to_owned());
        }
        self.entries.insert(entry);
    }
}

/// The names of a path, and `..` where it stands, the last one first.
fn components_reversed(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory with `lib/libmailer.so`, its path without links.
    fn directory() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let path = dir.path().canonicalize().expect("it exists");
        fs::create_dir(path.join("lib")).expect("the directory is ours");
        fs::write(path.join("lib/libmailer.so"), "").expect("the directory is ours");
        (dir, path)
    }

    fn of_file(path: PathBuf) -> Places {
        Places::of(&Request {
            load: vec![Asked::Path(path)],
            ..Request::default()
        })
    }

    #[track_caller]
    fn assert_watches(places: &Places, dir: &Path, wanted: &[&str]) {
        let wanted: BTreeSet<PathBuf> = wanted
            .iter()
            .map(|name| match *name {
                "" => dir.to_owned(),
                name => dir.join(name),
            })
            .collect();
        assert_eq!(places.directories, wanted);
    }

    #[test]
    fn of_a_file_its_own_directory_is_watched_and_no_other_name_counts() {
        let (_dir, dir) = directory();
        let places = of_file(dir.join("./lib/../lib/libmailer.so"));
        assert_watches(&places, &dir, &["lib"]);
        assert!(places.concern(&dir.join("lib/libmailer.so")));
        assert!(places.concern(&dir.join("lib")), "the directory itself may go");
        assert!(!places.concern(&dir.join("lib/libother.so")));
    }

    #[test]
    fn of_a_drop_in_directory_every_library_counts() {
        let (_dir, dir) = directory();
        let places = Places::of(&Request {
            drop_in: vec![dir.join("lib")],
            ..Request::default()
        });
        assert_watches(&places, &dir, &["lib"]);
        for name in ["libmailer.so", "libnew.so"] {
            assert!(places.concern(&dir.join("lib").join(name)), "{name}");
        }
        for name in [".libnew.so.a8s7d", "libnew.so.tmp", "README"] {
            assert!(!places.concern(&dir.join("lib").join(name)), "{name}");
        }
    }

    #[test]
    fn every_link_on_the_way_counts_where_it_lies() {
        let (_dir, dir) = directory();
        fs::create_dir_all(dir.join("links/deep")).expect("the directory is ours");
        symlink("../../lib", dir.join("links/deep/current")).expect("the directory is ours");
        symlink(dir.join("links/deep/current"), dir.join("plugins")).expect("the directory is ours");
        symlink("libmailer.so", dir.join("lib/mailer")).expect("the directory is ours");
        let places = of_file(dir.join("plugins/mailer"));
        assert_watches(&places, &dir, &["", "links/deep", "lib"]);
        for name in ["plugins", "links/deep/current", "lib/mailer", "lib/libmailer.so"] {
            assert!(places.concern(&dir.join(name)), "{name}");
        }
        assert!(!places.concern(&dir.join("links/deep/other")));
    }

    #[test]
    fn a_link_in_a_drop_in_directory_is_followed_to_its_file() {
        let (_dir, dir) = directory();
        fs::create_dir(dir.join("drop")).expect("the directory is ours");
        symlink("../lib/libmailer.so", dir.join("drop/libmailer.so")).expect("the directory is ours");
        let places = Places::of(&Request {
            drop_in: vec![dir.join("drop")],
            ..Request::default()
        });
        assert_watches(&places, &dir, &["drop", "lib"]);
        assert!(places.concern(&dir.join("lib/libmailer.so")));
        assert!(!places.concern(&dir.join("lib/libother.so")));
    }

    #[test]
    fn what_is_missing_counts_in_the_last_directory_that_is_there() {
        let (_dir, dir) = directory();
        let places = of_file(dir.join("gone/deep/libmailer.so"));
        assert_watches(&places, &dir, &[""]);
        assert!(places.concern(&dir.join("gone")));
        assert!(!places.concern(&dir.join("gone2")));
        symlink("nowhere/at/all", dir.join("dangling")).expect("the directory is ours");
        let places = of_file(dir.join("dangling"));
        assert_watches(&places, &dir, &[""]);
        assert!(places.concern(&dir.join("nowhere")));
    }

    #[test]
    fn a_name_counts_in_every_directory_of_the_search_path() {
        let (_dir, dir) = directory();
        fs::create_dir(dir.join("first")).expect("the directory is ours");
        let places = Places::of(&Request {
            load: vec![Asked::Name("mailer".to_owned())],
            dirs: vec![dir.join("first"), dir.join("none"), dir.join("lib")],
            ..Request::default()
        });
        assert_watches(&places, &dir, &["", "first", "lib"]);
        assert!(places.concern(&dir.join("first/libmailer.so")));
        assert!(places.concern(&dir.join("none")));
    }

    #[test]
    fn the_lock_file_counts_where_one_is_asked_for() {
        let (_dir, dir) = directory();
        let places = Places::of(&Request {
            lock: Some(dir.join("plugins.lock")),
            ..Request::default()
        });
        assert_watches(&places, &dir, &[""]);
        assert!(places.concern(&dir.join("plugins.lock")));
        assert!(!places.concern(&dir.join(".plugins.lock.4711.asynccall-draft")));
        assert!(!places.concern(&dir.join("host.toml")));
    }

    #[test]
    fn a_loop_of_links_ends() {
        let (_dir, dir) = directory();
        symlink("b", dir.join("a")).expect("the directory is ours");
        symlink("a", dir.join("b")).expect("the directory is ours");
        let places = of_file(dir.join("a"));
        assert_watches(&places, &dir, &[""]);
    }
}
