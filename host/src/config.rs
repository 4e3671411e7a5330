//! What the settings mean: flags, environment and files become one validated [`Config`].
//!
//! [`resolve`] is pure and reports every problem at once, each with its place and the nearest known name. [`load`] does
//! the reading before it; nothing is opened beyond the files that hold settings, and nothing at all is started
//! before the whole is valid. The one table of settings is `config::settings`: adding one is a row there and a field
//! here. That plugins and handlers exist is not known here.
//!
//! ```text
//! flags ─────────▶ layer ─┐
//! environment ───▶ layer ─┼─▶ resolve ─▶ check ─▶ Config + warnings
//! file ──────────▶ layer ─┘                  └──▶ ConfigErrors
//! ```

mod check;
mod file;
mod layer;
mod near;
mod problem;
mod read;
mod resolve;
pub(crate) mod settings;
mod sources;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use asynccall_client::{
    connection::{Address, AddressError},
    tube::TubeNaming,
};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

pub use problem::{ConfigErrors, Fault, Hint, Place, Problem};
pub use read::{load, load_for, load_pid_file};
pub use resolve::{Resolved, resolve};
pub use sources::{Environment, FileText, Sources, Texts};

/// Who a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A daemon, which has to have a plugin.
    Daemon,
    /// A producer, which may have none.
    Producer,
}

/// The whole configuration of a daemon. Every value is within its bounds and every path is absolute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The beanstalkd server of every pool that names no other.
    pub queue: Queue,
    /// What to load.
    pub plugins: Plugins,
    /// Configurations by handler; a handler without one is not in it.
    pub handlers: BTreeMap<String, HandlerConfig>,
    /// The pools, at least one, with unique names.
    pub pools: Vec<Pool>,
    /// The master's own settings.
    pub daemon: Daemon,
}

/// `[queue]` or `[pool.queue]`: a beanstalkd server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// A host name, an address (IPv6 without brackets), or `unix:` and an absolute path.
    pub host: String,
    /// Not used with a Unix socket.
    pub port: u16,
    /// How long a connection may take to be made. Written in seconds.
    pub connect_timeout: Duration,
}

impl Queue {
    /// Where to connect to.
    ///
    /// # Errors
    /// None for a queue that was validated.
    pub fn address(&self) -> Result<Address, AddressError> {
        Address::from_host_and_port(&self.host, self.port)
    }
}

/// `host:port` or `unix:PATH`, as logs and `status` name the server.
impl fmt::Display for Queue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Ok(address) => address.fmt(out),
            Err(_) => out.write_str(&self.host),
        }
    }
}

/// `[plugins]`: what to load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plugins {
    /// Plugins by path or name.
    pub load: Vec<PluginRef>,
    /// Where names are looked up, in this order; not empty if `load` has a name.
    pub dirs: Vec<PathBuf>,
    /// Directories of which every `*.so` is loaded.
    pub drop_in: Vec<PathBuf>,
    /// Load plugins that other users could have changed.
    pub allow_unsafe: bool,
    /// Load only what the lock file has, by file name and content hash.
    pub require_sha256: bool,
    /// The lock file; by default beside the configuration file. `None`: there is neither, and none is required.
    pub lock: Option<PathBuf>,
    /// Reload when a plugin has changed.
    pub watch: bool,
}

/// How a plugin was named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginRef {
    /// An absolute path: it had a `/` or ended in `.so`.
    Path(PathBuf),
    /// A name: `lib<name>.so` in one of [`Plugins::dirs`].
    Name(String),
}

/// The configuration of one handler: a JSON object. It may hold secrets, so its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HandlerConfig(Value);

impl HandlerConfig {
    /// Wraps the object that the handler will be given.
    pub fn new(object: Value) -> Self {
        Self(object)
    }

    /// The object.
    pub fn value(&self) -> &Value {
        &self.0
    }
}

impl Default for HandlerConfig {
    /// An empty object: a handler that has no configuration takes its defaults.
    fn default() -> Self {
        Self(Value::Object(serde_json::Map::new()))
    }
}

impl fmt::Debug for HandlerConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("…")
    }
}

/// `[[pool]]`: workers that consume the same tubes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Unique, of `[a-z0-9_-]+`.
    pub name: String,
    /// Tubes by the name that producers give, each once, at least one.
    pub tubes: Vec<String>,
    /// The beanstalkd server that they are on.
    pub queue: Queue,
    /// Under which names the tubes are watched; fit for each of them.
    #[serde(serialize_with = "as_text")]
    pub tube_naming: TubeNaming,
    /// The handler of all jobs whose tube is not in `handlers`; `None`: the only one that is loaded.
    pub handler: Option<String>,
    /// Handlers by tube; only tubes of the pool are in it.
    pub handlers: BTreeMap<String, String>,
    /// Worker processes.
    pub worker_num: u32,
    /// How many workers are replaced at one time, at least 1; each goes on until its successor is ready.
    pub max_unavailable: u32,
    /// Jobs at once, each with a connection, in one worker.
    pub slots: u32,
    /// The longest wait of one reserve, in whole seconds.
    pub reserve_timeout: Duration,
    /// Jobs after which a worker is replaced; 0 = never.
    pub max_request: u64,
    /// The age before which `max_request` replaces no worker. Written in seconds.
    pub min_lifetime: Duration,
    /// The age at which a worker is replaced; zero = never. Written in seconds.
    pub max_age: Duration,
    /// Resident memory in MiB at which a worker is replaced after its job; 0 = never.
    pub memory_soft: u64,
    /// Resident memory in MiB at which a worker is ended and its jobs given back; 0 = never.
    pub memory_hard: u64,
    /// What counts for the two memory limits.
    pub memory_measure: MemoryMeasure,
    /// Whether workers, and what they start, gain no rights by set-id programs (PR_SET_NO_NEW_PRIVS(2const)).
    pub no_new_privs: bool,
    /// How long a job may run; zero = without limit. Written in seconds.
    pub max_runtime: Duration,
    /// Time between asking a job past `max_runtime` to give up and giving it back. Written in seconds.
    pub cancel_grace: Duration,
    /// How many workers one job may take down before it is buried.
    pub max_crashes: u32,
    /// How many jobs a handler may put while it runs one; 0 = none.
    pub put_limit: u32,
    /// The period of a worker's periodic work. Written in milliseconds.
    pub cron: Duration,
    /// Who decides about the retry of a failed job.
    pub retry: RetrySource,
    /// What becomes of a failed job whose message says that the time for retries is over.
    pub retry_expired: Expired,
    /// Attempts after which a failing job is buried, at least 1.
    pub max_attempts: u32,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// When its tubes rest because its handler fails.
    pub breaker: Breaker,
    /// Limits that the kernel enforces on each worker.
    pub rlimits: Rlimits,
    /// What is closed to each worker.
    pub isolation: Isolation,
}

/// What counts for the memory limits of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryMeasure {
    /// Every resident page counts whole, also one that other processes share.
    Rss,
    /// A page that several processes share counts in equal parts for each of them.
    Pss,
}

/// Who decides about the retry of a failed job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetrySource {
    /// The job's message where it carries retry wishes, else the pool.
    Message,
    /// The pool's back-off alone.
    Pool,
}

/// What becomes of a failed job whose message says that the time for retries is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expired {
    /// It is deleted with a warning, as the PHP library does it.
    Delete,
    /// It is buried, for a person to look at.
    Bury,
}

/// `[pool.backoff]`: the delay before each new attempt, `first × factor^n` up to `max`, less a random part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// After the first failure. Written in seconds.
    pub first: Duration,
    /// At most; never less than `first`. Written in seconds.
    pub max: Duration,
    /// Growth with each failure, 1 to 100.
    pub factor: f64,
    /// The random part of the delay, 0 to 1.
    pub jitter: f64,
}

/// `[pool.breaker]`: when a pool's tubes rest because its handler fails again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// Failures in a row; 0 = never.
    pub failures: u32,
    /// The time in which they have to happen. Written in seconds.
    pub within: Duration,
    /// The first rest; it doubles with each job that fails after one. Written in seconds.
    pub rest: Duration,
}

/// `[pool.rlimits]`: limits of getrlimit(2) for each worker, soft and hard; `None`: what the daemon was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rlimits {
    /// Open files.
    pub nofile: Option<u64>,
    /// The largest core file. Written in MiB.
    pub core: Option<u64>,
    /// The address space. Written in MiB.
    #[serde(rename = "as")]
    pub address_space: Option<u64>,
    /// Processor time. Written in seconds.
    pub cpu: Option<u64>,
    /// Processes and threads of the user.
    pub nproc: Option<u64>,
    /// The largest file that is written. Written in MiB.
    pub fsize: Option<u64>,
}

/// `[pool.isolation]`: what the kernel closes to each worker and to what it starts. The daemon adds what a worker
/// needs for itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Isolation {
    /// Paths that may be read, with all beneath; `None` for all three: files are open.
    pub read: Option<Vec<PathBuf>>,
    /// Paths that may be read and changed.
    pub write: Option<Vec<PathBuf>>,
    /// Paths that may be read and executed.
    pub execute: Option<Vec<PathBuf>>,
    /// The ways out besides the queue server; `None`: the network is open.
    pub network: Option<Network>,
}

impl Isolation {
    /// Whether all paths are closed but for those that are given.
    pub fn closes_files(&self) -> bool {
        self.read.is_some() || self.write.is_some() || self.execute.is_some()
    }

    /// Whether anything is closed.
    pub fn is_given(&self) -> bool {
        self.closes_files() || self.network.is_some()
    }
}

/// What is left of a closed network, besides the queue server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// TCP ports of other hosts, and of this one.
    pub ports: Vec<u16>,
    /// All Unix sockets.
    pub unix: bool,
    /// All of UDP, as the resolution of names by DNS needs it.
    pub udp: bool,
}

/// Writes `value` as its `Display`, which its `Deserialize` reads.
fn as_text<S: Serializer>(value: &impl fmt::Display, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(value)
}

/// `[daemon]`: the master's own settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Daemon {
    /// Run in the background.
    pub daemonize: bool,
    /// Held under a lock by the master; the control socket is beside it.
    pub pid_file: PathBuf,
    /// The directory of the default pid file, to be made with mode 0700 and its owner checked before use;
    /// `None` where a pid file was named.
    #[serde(default)]
    pub private_dir: Option<PathBuf>,
    /// Whom the master becomes for good, by name or number; `None`: it stays who started it.
    pub user: Option<String>,
    /// The group, in place of the user's own. Given with a user only.
    pub group: Option<String>,
    /// How long a worker may take to load its plugins and make its handlers. Written in seconds.
    pub start_timeout: Duration,
    /// How long running jobs may take to end at stop, and handlers to say goodbye when a worker leaves. Written in seconds.
    pub grace: Duration,
    /// The log file; `None`: standard error.
    pub log_path: Option<PathBuf>,
    /// The form of a log line.
    pub log_format: LogFormat,
    /// Directives that `tracing_subscriber::filter::Targets` can parse.
    pub log_level: String,
}

impl Daemon {
    /// The keys whose values differ from those that a daemon was `started` with, and that a reload does not change.
    pub fn waits_for_start(&self, started: &Daemon) -> Vec<&'static str> {
        let differs = [
            ("daemonize", self.daemonize != started.daemonize),
            ("pid_file", self.pid_file != started.pid_file),
            ("user", self.user != started.user),
            ("group", self.group != started.group),
            ("log_path", self.log_path != started.log_path),
            ("log_format", self.log_format != started.log_format),
            ("log_level", self.log_level != started.log_level),
        ];
        let differing = differs.into_iter().filter(|(_, differs)| *differs);
        differing.map(|(key, _)| key).collect()
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
    /// The lines of the PHP library.
    Php,
}
