//! Defaults, and who beats whom.

use std::time::Duration;

use asynccall_client::tube::TubeNaming;

use super::{given, given_alone};
use crate::config::settings::{SETTINGS, Section};
use crate::config::{
    Backoff, Breaker, Config, Expired, LogFormat, MemoryMeasure, PluginRef, RetrySource, Rlimits,
};

#[test]
fn the_defaults_are_those_of_the_php_library() {
    let config = given("").config();
    assert_eq!(
        (config.queue.host.as_str(), config.queue.port),
        ("127.0.0.1", 11300)
    );
    assert_eq!(config.queue.connect_timeout, Duration::from_secs(5));
    let [pool] = config.pools.as_slice() else {
        panic!("{:?}", config.pools)
    };
    assert_eq!(pool.name, "default");
    assert_eq!(pool.tubes, ["async_call_test"]);
    assert_eq!((pool.worker_num, pool.slots, pool.max_request), (1, 1, 1000));
    assert_eq!(pool.max_unavailable, 1);
    assert_eq!(pool.reserve_timeout, Duration::from_secs(2));
    assert_eq!(pool.cron, Duration::from_millis(200));
    assert_eq!(pool.min_lifetime, Duration::from_secs(60));
    assert_eq!(
        (pool.max_runtime, pool.cancel_grace),
        (Duration::from_secs(3600), Duration::from_secs(10))
    );
    assert_eq!(
        (pool.tube_naming, pool.retry, pool.retry_expired),
        (TubeNaming::Both, RetrySource::Message, Expired::Delete)
    );
    assert_eq!((pool.max_attempts, &pool.handler), (25, &None));
    assert_eq!(pool.put_limit, 0);
    let backoff = Backoff {
        first: Duration::from_secs(10),
        max: Duration::from_secs(3600),
        factor: 2.0,
        jitter: 0.2,
    };
    assert_eq!(pool.backoff, backoff);
    let breaker = Breaker {
        failures: 50,
        within: Duration::from_secs(60),
        rest: Duration::from_secs(30),
    };
    assert_eq!(pool.breaker, breaker);
    assert_eq!(
        (pool.memory_measure, pool.no_new_privs),
        (MemoryMeasure::Rss, true)
    );
    assert_eq!(pool.rlimits, Rlimits::default());
    assert!(!pool.isolation.is_given());
    assert_eq!(
        (config.daemon.daemonize, config.daemon.log_format),
        (false, LogFormat::Text)
    );
    assert_eq!(
        (&config.daemon.log_path, config.daemon.log_level.as_str()),
        (&None, "info")
    );
    assert_eq!(config.daemon.grace, Duration::from_secs(30));
    assert_eq!(config.daemon.start_timeout, Duration::from_secs(60));
    assert!(!config.plugins.allow_unsafe && !config.plugins.watch);
    assert_eq!(
        (config.plugins.require_sha256, &config.plugins.lock),
        (false, &None)
    );
    assert_eq!((&config.daemon.user, &config.daemon.group), (&None, &None));
}

#[test]
fn flags_beat_environment_beats_file_beats_default() {
    let file = "[queue]\nport = 3\n[plugins]\nload = './f.so'";
    let port = |given: super::Given| given.config().queue.port;
    assert_eq!(port(given("")), 11300);
    assert_eq!(port(given("").file(file)), 3);
    assert_eq!(
        port(given("").file(file).variables(&[("ASYNCCALL_PORT", "2")])),
        2
    );
    assert_eq!(
        port(given("--port 1").file(file).variables(&[("ASYNCCALL_PORT", "2")])),
        1
    );
}

#[test]
fn a_list_replaces_the_weaker_one_and_drop_in_directories_add_up() {
    let file = "[plugins]\nload = ['./f.so']\ndrop_in = ['f']\n[[pool]]\ntubes = ['f1', 'f2']";
    let variables = [
        ("ASYNCCALL_PLUGIN", "./e.so"),
        ("ASYNCCALL_PLUGIN_DIR", "e"),
        ("ASYNCCALL_TUBE", "e1,e2"),
    ];
    let config = given_alone("--plugin ./c.so --plugin-dir c --tube c1")
        .file(file)
        .variables(&variables)
        .config();
    assert_eq!(config.plugins.load, [PluginRef::Path("/home/me/c.so".into())]);
    assert_eq!(
        config.plugins.drop_in,
        ["/etc/f", "/home/me/e", "/home/me/c"].map(std::path::PathBuf::from)
    );
    assert_eq!(config.pools[0].tubes, ["c1"]);
    let config = given_alone("").file(file).variables(&variables).config();
    assert_eq!(config.plugins.load, [PluginRef::Path("/home/me/e.so".into())]);
    assert_eq!(config.pools[0].tubes, ["e1", "e2"]);
}

#[test]
fn paths_are_completed_where_they_were_written() {
    let file = "[daemon]\npid_file = 'run/a.pid'\nlog_path = 'a.log'";
    let config = given("--log-path ./b.log").file(file).config();
    assert_eq!(config.daemon.pid_file.to_str(), Some("/etc/run/a.pid"));
    assert_eq!(config.daemon.log_path.unwrap().to_str(), Some("/home/me/b.log"));
}

#[test]
fn the_lock_file_lies_beside_the_configuration_file() {
    let lock = |given: super::Given| given.config().plugins.lock;
    assert_eq!(lock(given("").file("")), Some("/etc/plugins.lock".into()));
    let file = "[plugins]\nlock = 'locks/a.lock'";
    assert_eq!(lock(given("").file(file)), Some("/etc/locks/a.lock".into()));
    let typed = given("--plugins-lock b.lock").file(file);
    assert_eq!(lock(typed), Some("/home/me/b.lock".into()));
}

#[test]
fn every_flag_and_its_variable_mean_the_same() {
    for setting in SETTINGS
        .iter()
        .filter(|setting| setting.section != Section::Invocation)
    {
        let (Some(flag), Some(variable)) = (setting.flag, setting.variable()) else {
            continue;
        };
        let text = text_of(setting.key);
        let by_flag = given_alone(&format!("--{flag}={text}"));
        let by_variable = given_alone("").variables(&[(&variable, text)]);
        let mut file = "[plugins]\ndrop_in = '/d'\ndirs = '/d'".to_owned();
        match flag {
            "user" => file += "\n[daemon]\npid_file = '/pid'",
            "group" => file += "\n[daemon]\nuser = 'u'\npid_file = '/pid'",
            _ => {}
        }
        let file = file.as_str();
        let (by_flag, by_variable) = (by_flag.file(file).config(), by_variable.file(file).config());
        assert_eq!(by_flag, by_variable, "{flag}");
        assert_ne!(
            by_flag,
            given_alone("").file(file).config(),
            "{flag} changes nothing"
        );
    }
}

/// A value that differs from the default.
fn text_of(key: &str) -> &'static str {
    match key {
        "allow_unsafe" | "daemonize" | "require_sha256" | "watch" => "true",
        "host" | "handler" | "name" | "tubes" | "load" | "drop_in" => "other",
        "lock" | "pid_file" | "log_path" => "/other",
        "tube_naming" => "plain",
        "retry" => "pool",
        "retry_expired" => "bury",
        "log_format" => "json",
        "log_level" => "debug",
        _ => "7",
    }
}

#[test]
fn a_configuration_survives_the_way_to_a_worker() {
    let config = given("")
        .file("[handler.mailer]\npassword = 'x'\nport = 25")
        .config();
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
}

#[test]
fn a_handlers_configuration_is_never_shown() {
    let given = given("")
        .file("[handler.mailer]\npassword = 'sesame'")
        .variables(&[("ASYNCCALL_KEY", "sesame")]);
    let config = given.config();
    assert_eq!(config.handlers["mailer"].value()["password"], "sesame");
    assert!(!format!("{config:#?} {:?}", given.sources()).contains("sesame"));
}

#[test]
fn settings_that_wait_for_a_start_are_told_from_those_that_a_reload_changes() {
    let started = given("--pid-file /run/a.pid").config().daemon;
    let told = |line: &str| given(line).config().daemon.waits_for_start(&started);
    assert_eq!(told("--pid-file /run/a.pid --grace 1 --start-timeout 7"), [""; 0]);
    assert_eq!(
        told(
            "--pid-file /run/b.pid --log-level debug --log-format json --log-path /var/log/a --daemonize --user a --group b"
        ),
        [
            "daemonize",
            "pid_file",
            "user",
            "group",
            "log_path",
            "log_format",
            "log_level"
        ]
    );
}
