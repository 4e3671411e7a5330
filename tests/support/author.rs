//! Somebody who writes a plugin: a directory outside every workspace, and texts whose commands are run as they stand.
//!
//! What such crates have in common is built once: their intermediate files are where the test of the example handler
//! has its own. The packages come from where this workspace has them from, in the versions of its lock file.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use super::{Beanstalkd, Directory, eventually, plugins};

/// The author, at a shell in a directory.
pub(crate) struct Author {
    directory: Directory,
    at: PathBuf,
    environment: Vec<(&'static str, OsString)>,
    /// Text that stands for something else on this machine, and what it stands for.
    stands_for: Vec<(String, String)>,
    in_other_terminals: Vec<Child>,
}

impl Author {
    /// In an empty directory, with cargo and the daemon on PATH.
    #[track_caller]
    pub(crate) fn new() -> Author {
        // By then, cargo has fetched everything that a crate of the author's may depend on.
        plugins::plugin("mailer");
        let directory = Directory::new();
        let parent = |file: &str| Path::new(file).parent().expect("it is in a directory").to_owned();
        let mut path = vec![
            parent(env!("CARGO_BIN_EXE_asynccall-host")),
            parent(env!("CARGO")),
        ];
        // Where Debian's Python modules are found, whatever other Python there is.
        path.push(PathBuf::from("/usr/bin"));
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let intermediate = Path::new(env!("CARGO_TARGET_TMPDIR")).join("handler");
        Author {
            at: directory.root().to_owned(),
            directory,
            environment: vec![
                ("PATH", env::join_paths(path).expect("no path has a colon")),
                ("CARGO_BUILD_BUILD_DIR", intermediate.into()),
                ("CARGO_NET_OFFLINE", "true".into()),
                // Nobody measures these builds.
                ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0".into()),
            ],
            stands_for: Vec::new(),
            in_other_terminals: Vec::new(),
        }
    }

    /// With a queue server on its usual port, as far as the author can tell.
    pub(crate) fn with_queue(mut self, queue: &Beanstalkd) -> Author {
        self.environment
            .push(("ASYNCCALL_PORT", queue.port().to_string().into()));
        self
    }

    /// Where a text says `text`, this machine has `meaning`.
    pub(crate) fn where_stands(mut self, text: &str, meaning: impl Into<String>) -> Author {
        self.stands_for.push((text.to_owned(), meaning.into()));
        self
    }

    /// A path in the directory that the author is in.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    /// The names in that directory.
    #[track_caller]
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.at).expect("the directory is there");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Runs the daemon's binary with these words.
    #[track_caller]
    pub(crate) fn host(&self, words: &[&str]) -> Output {
        let mut command = self.prepared(env!("CARGO_BIN_EXE_asynccall-host"));
        command.args(words).output().expect("the binary runs")
    }

    /// Begins a plugin with the plugin-api of this workspace, and answers with what the daemon's binary printed.
    #[track_caller]
    pub(crate) fn begin(&self, words: &[&str]) -> String {
        let plugin_api = repository().join("plugin-api");
        let path = plugin_api.to_str().expect("a path in UTF-8");
        let words: Vec<&str> = ["plugin", "new", "--path", path]
            .iter()
            .chain(words)
            .copied()
            .collect();
        text(&succeeded("plugin new", self.host(&words)).stdout)
    }

    /// Does what a line says, and answers with what it printed.
    #[track_caller]
    pub(crate) fn run(&mut self, line: &str) -> String {
        let line = &self.meant(line);
        if let Some(directory) = line.strip_prefix("cd ") {
            self.at.push(directory);
            // So that the packages are those of this workspace.
            let lock = repository().join("Cargo.lock");
            fs::copy(lock, self.path("Cargo.lock")).expect("the lock file is copied");
            return String::new();
        }
        if line.starts_with("asynccall-host -c ") || line.starts_with("python3 -m aiosmtpd ") {
            let mut command = self.prepared("sh");
            let terminal = File::create(
                self.directory
                    .path(format!("terminal-{}", self.in_other_terminals.len())),
            );
            let terminal = terminal.expect("a file");
            command
                .stdout(terminal.try_clone().expect("a file"))
                .stderr(terminal);
            let child = command.args(["-c", &format!("exec {line}")]).spawn();
            self.in_other_terminals.push(child.expect("a shell"));
            if let Some(address) = line.split(' ').skip_while(|word| *word != "-l").nth(1) {
                eventually("the server listens", || TcpStream::connect(address).ok());
            }
            return String::new();
        }
        let output = self.prepared("sh").args(["-c", line]).output();
        text(&succeeded(line, output.expect("a shell")).stdout)
    }

    /// Does what a line says until it shows what it should. Only for what changes nothing.
    #[track_caller]
    fn run_until_shown(&mut self, line: &str, shown: &[&str]) {
        let line = self.meant(line);
        eventually(&format!("`{line}` shows {shown:?}"), || {
            let output = self.prepared("sh").args(["-c", &line]).output().expect("a shell");
            let text = text(&output.stdout);
            // In this order, with whatever else between them.
            let mut lines = text.lines();
            let found = shown.iter().all(|wanted| lines.any(|line| line == *wanted));
            found.then_some(())
        });
    }

    /// Waits until a file has this text.
    #[track_caller]
    pub(crate) fn wait_for_file(&self, name: &str, text: &str) {
        eventually(&format!("`{name}` is {text:?}"), || {
            let found = fs::read_to_string(self.path(name)).ok()?;
            (found == text).then_some(())
        });
    }

    /// Follows a text in Markdown: runs its commands, checks the output that it shows, and writes its files. Answers
    /// with the number of commands.
    ///
    /// A command is a line of a `console` block behind `$ `. Lines below it are what it shows, after a while. Any other
    /// block is the file whose name is the last thing in backticks before it.
    #[track_caller]
    pub(crate) fn follow(&mut self, markdown: &str) -> usize {
        let mut commands = 0;
        let mut parts = markdown.split("```");
        while let (Some(before), Some(block)) = (parts.next(), parts.next()) {
            let (language, content) = block.split_once('\n').expect("a block of several lines");
            if language != "console" {
                let name = before.rsplit('`').nth(1).expect("the block has a name");
                fs::write(self.path(name), self.meant(content)).expect("the file is written");
                continue;
            }
            for step in format!("\n{content}").split("\n$ ").skip(1) {
                let (line, shown) = step.split_once('\n').unwrap_or((step, ""));
                let shown: Vec<&str> = shown.lines().collect();
                if shown.is_empty() {
                    self.run(line);
                } else {
                    self.run_until_shown(line, &shown);
                }
                commands += 1;
            }
        }
        commands
    }

    /// Waits until what runs in the other terminals has ended by itself, well.
    #[track_caller]
    pub(crate) fn wait_for_other_terminals(&mut self) {
        for mut child in self.in_other_terminals.drain(..) {
            let ended = eventually("it ends", || child.try_wait().expect("it is our child"));
            assert!(ended.success(), "{ended}");
        }
    }

    fn meant(&self, text: &str) -> String {
        let replaced = |text: String, (said, meant): &(String, String)| text.replace(said, meant);
        self.stands_for.iter().fold(text.to_owned(), replaced)
    }

    /// A program in the author's directory and environment.
    fn prepared(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (variable, _) in env::vars_os() {
            // What is meant for the tests and the workspace around them.
            let name = variable.to_string_lossy();
            if name.starts_with("CARGO_") && name != "CARGO_HOME" || name.starts_with("ASYNCCALL_") {
                command.env_remove(&variable);
            }
        }
        command
            .current_dir(&self.at)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Author {
    fn drop(&mut self) {
        for mut child in self.in_other_terminals.drain(..) {
            let _ended = child.kill();
            let _status = child.wait();
        }
        // The crate's path is never seen again, nor what was built of it in the directory that others share.
        if self.at != self.directory.root() {
            let package = self.at.file_name().unwrap_or_default().to_owned();
            let _cleaned = self
                .prepared("cargo")
                .args(["clean", "--quiet", "--package"])
                .arg(package)
                .status();
        }
    }
}

/// The top of this repository.
pub(crate) fn repository() -> &'static Path {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    host.parent().expect("it is in the repository")
}

#[track_caller]
fn succeeded(line: &str, output: Output) -> Output {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{line}: {}\n{out}{err}", output.status);
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
