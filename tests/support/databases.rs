//! Databases with a shop's orders: a SQLite file, and a PostgreSQL server that ends with the test.
//!
//! Both are set up and asked by programs of their own, so that what a handler did is seen from outside.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use nix::{sys::signal::Signal, unistd::geteuid};

use super::{Directory, eventually, have, processes, queue::free_port, skip};

/// Three orders: 1 is open, 2 is sent, 3 is open.
const ROWS: &str = "INSERT INTO orders (number, status, reason, total) VALUES
    ('A1', 'open', '', 10), ('A2', 'sent', '', 20), ('B3', 'open', '', 30);";

/// The table but for its key, which each database numbers in its own way.
const COLUMNS: &str =
    "number TEXT NOT NULL UNIQUE, status TEXT NOT NULL, reason TEXT NOT NULL, total BIGINT NOT NULL";

/// Runs SQL in the file and prints each row with `|` between its columns.
const SQLITE: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
cursor = database.cursor()
if sys.argv[2].startswith('SELECT'):
    for row in cursor.execute(sys.argv[2]): print('|'.join(map(str, row)))
else:
    cursor.executescript(sys.argv[2])
database.commit()
";

/// A SQLite file in a directory of its own.
pub(crate) struct Sqlite(Directory);

impl Sqlite {
    /// A new one; `None`, said aloud, where there is no Python to set it up.
    #[track_caller]
    pub(crate) fn new() -> Option<Sqlite> {
        let advice = "Debian: apt-get install python3";
        if !have("/usr/bin/python3", &["-c", "import sqlite3"], advice) {
            return None;
        }
        let sqlite = Sqlite(Directory::new());
        sqlite.sql(&format!(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, {COLUMNS}); {ROWS}"
        ));
        Some(sqlite)
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.0.path("shop.db").display())
    }

    /// Runs a statement; of a `SELECT`, the rows as lines.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", SQLITE]).arg(self.0.path("shop.db")).arg(sql);
        text(python.output().expect("python runs"))
    }
}

/// A PostgreSQL server on a free loopback port, with its data in a directory of its own.
pub(crate) struct Postgres {
    binaries: PathBuf,
    directory: Directory,
    port: u16,
    child: Option<Child>,
}

impl Postgres {
    /// A server; `None`, said aloud, where PostgreSQL is not installed.
    #[track_caller]
    pub(crate) fn start() -> Option<Postgres> {
        let Some(binaries) = binaries() else {
            skip("PostgreSQL is not installed (Debian: apt-get install postgresql)");
            return None;
        };
        let directory = Directory::new();
        if geteuid().is_root() {
            // The server refuses to run as root, and its own user has to reach the data.
            let given = Command::new("chown")
                .arg("postgres")
                .arg(directory.root())
                .status();
            assert!(given.expect("chown runs").success());
        }
        let mut server = Postgres {
            binaries,
            directory,
            port: 0,
            child: None,
        };
        let mut initdb = server.command("initdb");
        initdb.args([
            "--no-sync",
            "--auth",
            "trust",
            "--username",
            "shop",
            "--encoding",
            "UTF8",
            "--pgdata",
        ]);
        text(initdb.arg(server.data()).output().expect("initdb runs"));
        // Another process may take a port between our look and the server's bind.
        let listens = (0..20).any(|_| {
            server.port = free_port();
            server.resume()
        });
        assert!(listens, "PostgreSQL listens on one of 20 ports");
        server.sql(&format!(
            "CREATE TABLE orders (id BIGSERIAL PRIMARY KEY, {COLUMNS}); {ROWS}"
        ));
        Some(server)
    }

    /// The URL of its database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://shop@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs statements; of a `SELECT`, the rows as lines.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        text(self.psql(sql))
    }

    /// Starts the server, anew where it was halted. `false` where its port is taken.
    #[track_caller]
    pub(crate) fn resume(&mut self) -> bool {
        let log = fs::File::create(self.directory.path("postgres.log")).expect("a file");
        let mut command = self.command("postgres");
        command
            .arg("-F")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-D"]);
        command.arg(self.data()).arg("-k").arg(self.directory.root());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = child.spawn().expect("postgres runs");
        let serves = eventually("PostgreSQL serves or ends", || {
            let ended = child.try_wait().expect("it is our child").is_some();
            let serves = !ended && self.psql("SELECT 1").status.success();
            (serves || ended).then_some(serves)
        });
        self.child = Some(child);
        serves
    }

    /// Ends the server and every connection to it; its data stay.
    pub(crate) fn halt(&mut self) {
        if let Some(mut child) = self.child.take() {
            processes::signal(child.id(), Signal::SIGINT);
            child.wait().expect("it is our child");
        }
    }

    fn psql(&self, sql: &str) -> Output {
        let mut psql = Command::new(self.binaries.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .arg(self.url());
        psql.output().expect("psql runs")
    }

    fn data(&self) -> PathBuf {
        self.directory.path("data")
    }

    /// A program of the server's, as a user that it accepts.
    fn command(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Where the newest PostgreSQL has its programs, by Debian's layout.
fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let versions = versions.filter_map(|version| version.ok()?.file_name().into_string().ok()?.parse().ok());
    let newest = versions.max()?;
    let newest: u32 = newest;
    let binaries = Path::new("/usr/lib/postgresql")
        .join(newest.to_string())
        .join("bin");
    binaries.join("postgres").exists().then_some(binaries)
}

/// What a program has printed.
#[track_caller]
fn text(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
