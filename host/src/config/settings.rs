//! The table of settings: one row says where a setting may stand, what it takes, and its default.
//!
//! The flags of [`crate::cli`], the environment variables, the keys of the file, the aliases of the PHP library and the
//! near names in errors all come from here. A new setting is one row here and one field in the struct
//! of its section. What a kind of value means in detail is [`super::value`]'s.

use Kind::{
    Account, Duration, Grants, HandlerFiles, Host, Integer, LogFilter, Name, Network, Number, OneOf, Path,
    PathList, PidFile, PluginList, Switch, Text, TubeHandlers, TubeList,
};
use Section::{Backoff, Breaker, Daemon, Invocation, Isolation, Plugins, Pool, PoolQueue, Queue, Rlimits};
use Unit::{Milliseconds, Seconds};

/// Which table of the file, and which struct of [`super::Config`], a setting belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    /// Not in the file: names the files to read.
    Invocation,
    /// `[queue]`
    Queue,
    /// `[plugins]`
    Plugins,
    /// `[[pool]]`
    Pool,
    /// `[pool.queue]`
    PoolQueue,
    /// `[pool.backoff]`
    Backoff,
    /// `[pool.breaker]`
    Breaker,
    /// `[pool.rlimits]`
    Rlimits,
    /// `[pool.isolation]`
    Isolation,
    /// `[daemon]`
    Daemon,
}

impl Section {
    /// The path of the table in the file, without brackets.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Invocation => "",
            Queue => "queue",
            Plugins => "plugins",
            Pool => "pool",
            PoolQueue => "pool.queue",
            Backoff => "pool.backoff",
            Breaker => "pool.breaker",
            Rlimits => "pool.rlimits",
            Isolation => "pool.isolation",
            Daemon => "daemon",
        }
    }

    /// The table's header as written in the file.
    pub(crate) fn header(self) -> String {
        match self {
            Pool => "[[pool]]".to_owned(),
            other => format!("[{}]", other.path()),
        }
    }

    /// The heading above the section's flags in `--help`.
    pub(crate) const fn heading(self) -> &'static str {
        match self {
            Invocation => "Configuration",
            Queue => "Queue",
            Plugins => "Plugins",
            Pool | PoolQueue | Backoff | Breaker | Rlimits | Isolation => "Pool",
            Daemon => "Daemon",
        }
    }

    /// Whether the setting belongs to one pool, of which the file may have several.
    pub(crate) const fn is_of_a_pool(self) -> bool {
        matches!(self, Pool | PoolQueue | Backoff | Breaker | Rlimits | Isolation)
    }
}

/// The tables inside of a pool's, by their key there.
pub(crate) const TABLES_OF_A_POOL: [(&str, Section); 5] = [
    ("queue", PoolQueue),
    ("backoff", Backoff),
    ("breaker", Breaker),
    ("rlimits", Rlimits),
    ("isolation", Isolation),
];

/// The unit in which a duration is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Whole seconds.
    Seconds,
    /// Whole milliseconds.
    Milliseconds,
}

/// What a setting takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// A whole number within bounds, both included.
    Integer { min: u64, max: u64 },
    /// A number within bounds, both included.
    Number { min: f64, max: f64 },
    /// A whole number of `unit`.
    Duration { unit: Unit, min: u64, max: u64 },
    /// `true` or `false`; a flag alone means `true`.
    Switch,
    /// One word of a list.
    OneOf(&'static [&'static str]),
    /// Any text that is not empty and has no control characters.
    Text,
    /// A name of `[a-z0-9_-]+`.
    Name,
    /// A user or group of the system: its name, or its number.
    Account,
    /// A host name, an address, or `unix:PATH`.
    Host,
    /// Directives as `info,mailer=debug`.
    LogFilter,
    /// A path.
    Path,
    /// The path of a pid file.
    PidFile,
    /// One path or several.
    PathList,
    /// Paths that something is allowed for. That none is given differs from an empty list.
    Grants,
    /// What is left of a closed network: `"off"`, or a list of TCP ports, `"unix"` and `"udp"`.
    Network,
    /// One plugin or several, each a path or a name.
    PluginList,
    /// One tube or several.
    TubeList,
    /// A table of handlers by tube.
    TubeHandlers,
    /// Pairs `NAME=PATH`.
    HandlerFiles,
}

impl Kind {
    /// Whether a flag of this kind may be repeated, and its variable is split at commas.
    pub(crate) const fn is_list(self) -> bool {
        matches!(self, PathList | PluginList | TubeList | HandlerFiles)
    }
}

/// One setting.
#[derive(Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) section: Section,
    /// The key in the file, and the name of the field in the section's struct.
    pub(crate) key: &'static str,
    /// The long flag, without dashes. A setting without one stands in the file only.
    pub(crate) flag: Option<&'static str>,
    /// The name in the PHP library.
    pub(crate) php: Option<&'static str>,
    pub(crate) kind: Kind,
    /// The default as one would type it. Empty: no value, or one that depends on the surroundings.
    pub(crate) default: &'static str,
    /// What `--help` says, without default and unit.
    pub(crate) help: &'static str,
    /// Whether a list adds to the ones that it would otherwise replace.
    pub(crate) adds: bool,
}

impl Setting {
    const fn new(
        section: Section,
        key: &'static str,
        kind: Kind,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            section,
            key,
            flag: None,
            php: None,
            kind,
            default,
            help,
            adds: false,
        }
    }

    const fn flag(mut self, name: &'static str) -> Self {
        self.flag = Some(name);
        self
    }

    const fn php(mut self, name: &'static str) -> Self {
        self.php = Some(name);
        self
    }

    const fn adds(mut self) -> Self {
        self.adds = true;
        self
    }

    /// The environment variable: `ASYNCCALL_` and the flag in upper case.
    pub(crate) fn variable(&self) -> Option<String> {
        let flag = self.flag?;
        Some(format!(
            "{VARIABLE_PREFIX}{}",
            flag.replace('-', "_").to_uppercase()
        ))
    }

    /// Whether `name` is how the file may call this setting.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.key == name || self.php == Some(name)
    }

    /// The unit of the plain number that is written, for help texts.
    pub(crate) const fn unit(&self) -> &'static str {
        match self.kind {
            Duration { unit: Seconds, .. } => " s",
            Duration {
                unit: Milliseconds, ..
            } => " ms",
            _ => "",
        }
    }
}

/// What the name of every environment variable of the daemon begins with.
pub(crate) const VARIABLE_PREFIX: &str = "ASYNCCALL_";

/// One day in seconds: the bound of time spans that no one needs longer.
const DAY: u64 = 24 * 60 * 60;

/// The row of `key` in `section`.
pub(crate) fn find(section: Section, key: &str) -> Option<&'static Setting> {
    SETTINGS
        .iter()
        .find(|setting| setting.section == section && setting.is_called(key))
}

/// Every setting, in the order of `--help`.
#[rustfmt::skip]
pub(crate) static SETTINGS: &[Setting] = &[
    Setting::new(Invocation, "config", Path, "", "configuration file (TOML)").flag("config"),
    Setting::new(Invocation, "handler_config", HandlerFiles, "",
        "configuration of handler NAME, in place of the file's `[handler.NAME]`; repeatable").flag("handler-config"),

    Setting::new(Plugins, "load", PluginList, "",
        "plugin to load: a path, or a name looked up in the file's `[plugins] dirs`; repeatable").flag("plugin"),
    Setting::new(Plugins, "drop_in", PathList, "",
        "load every `*.so` in this directory, besides those of the file; repeatable").flag("plugin-dir").adds(),
    Setting::new(Plugins, "dirs", PathList, "", "where plugins are looked up by name"),
    Setting::new(Plugins, "allow_unsafe", Switch, "false",
        "load plugins that other users could have changed").flag("allow-unsafe-plugins"),
    Setting::new(Plugins, "require_sha256", Switch, "false",
        "load only plugins that the lock file has, as they are there").flag("require-sha256"),
    Setting::new(Plugins, "lock", Path, "",
        "lock file, which `plugin lock` writes [default: plugins.lock beside the configuration file]").flag("plugins-lock"),
    Setting::new(Plugins, "watch", Switch, "false", "reload when a plugin has changed").flag("watch"),

    Setting::new(Queue, "host", Host, "127.0.0.1", "beanstalkd's host, or unix:PATH").flag("host").php("host"),
    Setting::new(Queue, "port", Integer { min: 1, max: 65535 }, "11300", "beanstalkd's port")
        .flag("port").php("port"),
    Setting::new(Queue, "connect_timeout", Duration { unit: Seconds, min: 1, max: 300 }, "5",
        "how long a connection may take to be made"),

    Setting::new(Pool, "name", Name, "default", "the pool's name"),
    Setting::new(Pool, "tubes", TubeList, "async_call_test", "tube to consume; repeatable").flag("tube").php("tube"),
    Setting::new(Pool, "tube_naming", OneOf(&["both", "plain", "crc32"]), "both",
        "names to watch a tube under, its own (plain) or the PHP client's").flag("tube-naming"),
    Setting::new(Pool, "handler", Text, "", "handler of the jobs; needed if several are loaded").flag("handler"),
    Setting::new(Pool, "handlers", TubeHandlers, "", "handlers by tube; the other tubes have `handler`"),
    Setting::new(Pool, "worker_num", Integer { min: 1, max: 1024 }, "1", "worker processes")
        .flag("worker-num").php("workerNum"),
    Setting::new(Pool, "max_unavailable", Integer { min: 1, max: 1024 }, "1",
        "workers that are replaced at one time, each going on until its successor is ready").flag("max-unavailable"),
    Setting::new(Pool, "slots", Integer { min: 1, max: 1024 }, "1", "jobs at once in one worker").flag("slots"),
    Setting::new(Pool, "reserve_timeout", Duration { unit: Seconds, min: 0, max: u32::MAX as u64 }, "2",
        "longest wait of one reserve").flag("reserve-timeout").php("reserveTimeout"),
    Setting::new(Pool, "max_request", Integer { min: 0, max: i64::MAX as u64 }, "1000",
        "jobs after which a worker is replaced; 0 = never").flag("max-request").php("maxRequest"),
    Setting::new(Pool, "min_lifetime", Duration { unit: Seconds, min: 0, max: 365 * DAY }, "60",
        "age before which `max-request` replaces no worker").flag("min-lifetime"),
    Setting::new(Pool, "max_age", Duration { unit: Seconds, min: 0, max: 365 * DAY }, "0",
        "age at which a worker is replaced; 0 = never").flag("max-age"),
    Setting::new(Pool, "memory_soft", Integer { min: 0, max: 1 << 20 }, "0",
        "resident MiB at which a worker is replaced after its job; 0 = never").flag("memory-soft"),
    Setting::new(Pool, "memory_hard", Integer { min: 0, max: 1 << 20 }, "0",
        "resident MiB at which a worker is ended and its jobs given back; 0 = never").flag("memory-hard"),
    Setting::new(Pool, "memory_measure", OneOf(&["rss", "pss"]), "rss",
        "what counts for the memory limits, all resident pages or shared ones in part"),
    Setting::new(Pool, "no_new_privs", Switch, "true",
        "deny workers and what they start the rights of set-id programs"),
    Setting::new(Pool, "max_runtime", Duration { unit: Seconds, min: 0, max: 365 * DAY }, "3600",
        "how long a job may run, from its last reported progress on; 0 = without limit").flag("max-runtime"),
    Setting::new(Pool, "cancel_grace", Duration { unit: Seconds, min: 0, max: DAY }, "10",
        "time between asking a job past `max-runtime` to give up and giving it back").flag("cancel-grace"),
    Setting::new(Pool, "cron", Duration { unit: Milliseconds, min: 1, max: 1000 * DAY }, "200",
        "period of each worker's periodic work").flag("cron").php("cron"),
    Setting::new(Pool, "retry", OneOf(&["message", "pool"]), "message",
        "who decides on a retry, the job's message before the pool or the pool alone").flag("retry"),
    Setting::new(Pool, "retry_expired", OneOf(&["delete", "bury"]), "delete",
        "what becomes of a failed job whose message's `retryStopAt` is over").flag("retry-expired"),
    Setting::new(Pool, "max_attempts", Integer { min: 1, max: u32::MAX as u64 }, "25",
        "attempts after which a failing job is buried").flag("max-attempts"),

    Setting::new(Pool, "max_crashes", Integer { min: 1, max: u32::MAX as u64 }, "3",
        "workers that one job may take down before it is buried").flag("max-crashes"),
    Setting::new(Pool, "put_limit", Integer { min: 0, max: u32::MAX as u64 }, "0",
        "jobs that a handler may put while it runs one; 0 = none").flag("put-limit"),

    Setting::new(PoolQueue, "host", Host, "", "another beanstalkd for this pool; what is not set here is as in `[queue]`"),
    Setting::new(PoolQueue, "port", Integer { min: 1, max: 65535 }, "", "its port"),
    Setting::new(PoolQueue, "connect_timeout", Duration { unit: Seconds, min: 1, max: 300 }, "",
        "how long a connection to it may take to be made"),

    Setting::new(Backoff, "first", Duration { unit: Seconds, min: 0, max: 365 * DAY }, "10",
        "delay after a job's first failure"),
    Setting::new(Backoff, "factor", Number { min: 1.0, max: 100.0 }, "2", "growth of the delay with each failure"),
    Setting::new(Backoff, "max", Duration { unit: Seconds, min: 0, max: 365 * DAY }, "3600", "longest delay"),
    Setting::new(Backoff, "jitter", Number { min: 0.0, max: 1.0 }, "0.2", "random part of the delay"),

    Setting::new(Breaker, "failures", Integer { min: 0, max: u32::MAX as u64 }, "50",
        "failures in a row after which the pool's tubes rest; 0 = never"),
    Setting::new(Breaker, "within", Duration { unit: Seconds, min: 1, max: 365 * DAY }, "60",
        "time in which they have to happen"),
    Setting::new(Breaker, "rest", Duration { unit: Seconds, min: 1, max: DAY }, "30",
        "time until one job is tried; doubled when that fails, up to eightfold"),

    Setting::new(Rlimits, "nofile", Integer { min: 64, max: 1 << 30 }, "", "most open files"),
    Setting::new(Rlimits, "core", Integer { min: 0, max: 1 << 20 }, "", "largest core file, MiB"),
    Setting::new(Rlimits, "as", Integer { min: 1, max: 1 << 30 }, "", "largest address space, MiB"),
    Setting::new(Rlimits, "cpu", Integer { min: 1, max: 365 * DAY }, "", "processor time, seconds"),
    Setting::new(Rlimits, "nproc", Integer { min: 1, max: 1 << 22 }, "", "most processes and threads of the user"),
    Setting::new(Rlimits, "fsize", Integer { min: 0, max: 1 << 30 }, "", "largest file that is written, MiB"),

    Setting::new(Isolation, "read", Grants, "", "the only paths, with all beneath, that may be read"),
    Setting::new(Isolation, "write", Grants, "", "the only ones that may be changed, and read"),
    Setting::new(Isolation, "execute", Grants, "", "the only ones that may be executed, and read"),
    Setting::new(Isolation, "network", Network, "",
        "the only ways out besides the queue server: `off` for none, or TCP ports, `unix` and `udp`"),

    Setting::new(Daemon, "daemonize", Switch, "false", "run in the background").flag("daemonize").php("daemonize"),
    Setting::new(Daemon, "pid_file", PidFile, "", "pid file, which also names the control socket")
        .flag("pid-file").php("pidFile"),
    Setting::new(Daemon, "user", Account, "",
        "become this user for good when pid file and log are made; only root can").flag("user"),
    Setting::new(Daemon, "group", Account, "", "become this group, instead of the user's own").flag("group"),
    Setting::new(Daemon, "start_timeout", Duration { unit: Seconds, min: 1, max: DAY }, "60",
        "how long a worker may take to load its plugins, make its handler and have it check itself").flag("start-timeout"),
    Setting::new(Daemon, "grace", Duration { unit: Seconds, min: 0, max: DAY }, "30",
        "how long running jobs may take to end at stop, and handlers to say goodbye when a worker leaves").flag("grace"),
    Setting::new(Daemon, "log_path", Path, "", "log to this file instead of standard error")
        .flag("log-path").php("logPath"),
    Setting::new(Daemon, "log_format", OneOf(&["text", "json", "php"]), "text", "form of a log line").flag("log-format"),
    Setting::new(Daemon, "log_level", LogFilter, "info",
        "off, error, warn, info, debug or trace; by target as `info,mailer=debug`").flag("log-level"),
];
