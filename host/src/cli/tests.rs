//! Command lines and what they mean to clap; what their values mean is tested with the configuration.

use clap::CommandFactory;

use super::{
    Command, Flags, Input, Linked, List, Lock, New, Payload, Plugin, Reload, Search, Status, Target, Trial,
    Typed, parse,
};
use crate::config::settings::SETTINGS;

#[track_caller]
fn typed(line: &str) -> Command {
    let args = std::iter::once("asynccall-host").chain(line.split_whitespace());
    parse(args).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[track_caller]
fn refused(line: &str) -> String {
    let args = std::iter::once("asynccall-host").chain(line.split_whitespace());
    parse(args).expect_err("this line is wrong").to_string()
}

fn flags(pairs: &[(&str, &str)]) -> Flags {
    pairs
        .iter()
        .fold(Flags::default(), |flags, (flag, text)| flags.with(flag, *text))
}

#[test]
fn claps_own_checks_pass() {
    Typed::command().debug_assert();
}

#[test]
fn flags_without_a_command_mean_run() {
    assert_eq!(typed(""), Command::Run(Flags::default()));
    assert_eq!(typed("--port 1"), Command::Run(flags(&[("port", "1")])));
    assert_eq!(typed("run --port 1"), Command::Run(flags(&[("port", "1")])));
    assert_eq!(typed("start --port=1"), Command::Start(flags(&[("port", "1")])));
    assert_eq!(
        typed("check -c a.toml"),
        Command::Check(flags(&[("config", "a.toml")]))
    );
}

#[test]
fn a_list_may_be_repeated_and_a_single_value_may_not() {
    let Command::Run(flags) = typed("--tube a --plugin x --tube b") else {
        panic!("not a run")
    };
    assert_eq!(
        flags.typed("tube"),
        Some(["a".to_owned(), "b".to_owned()].as_slice())
    );
    assert!(refused("--port 1 --port 2").contains("cannot be used multiple times"));
}

#[test]
fn a_switch_may_be_turned_off_to_overrule_the_file() {
    assert_eq!(
        typed("--daemonize"),
        Command::Run(flags(&[("daemonize", "true")]))
    );
    assert_eq!(
        typed("--daemonize=false"),
        Command::Run(flags(&[("daemonize", "false")]))
    );
}

#[test]
fn a_wrong_number_is_left_to_the_configuration() {
    assert_eq!(typed("--port -1"), Command::Run(flags(&[("port", "-1")])));
    assert_eq!(typed("--port x"), Command::Run(flags(&[("port", "x")])));
}

#[test]
fn every_option_of_the_php_library_is_a_hidden_alias() {
    for setting in SETTINGS {
        let (Some(flag), Some(php)) = (setting.flag, setting.php) else {
            continue;
        };
        assert_eq!(
            typed(&format!("--{php}=1")),
            Command::Run(flags(&[(flag, "1")])),
            "{php}"
        );
    }
    let help = refused("--help");
    assert!(
        help.contains("--worker-num") && !help.contains("workerNum"),
        "{help}"
    );
}

#[test]
fn commands_to_a_daemon_take_what_finds_it() {
    let target = || Target(flags(&[("pid-file", "a.pid")]));
    assert_eq!(typed("stop --pid-file a.pid"), Command::Stop(target()));
    assert_eq!(typed("restart --pidFile a.pid"), Command::Restart(target()));
    assert_eq!(
        typed("stop -c a.toml"),
        Command::Stop(Target(flags(&[("config", "a.toml")])))
    );
    assert_eq!(
        typed("reload --wait --pid-file a.pid"),
        Command::Reload(Reload {
            target: target(),
            wait: true
        })
    );
    assert_eq!(
        typed("status --json --pid-file a.pid"),
        Command::Status(Status {
            target: target(),
            json: true,
            metrics: false
        })
    );
    assert!(refused("stop --port 1").contains("unexpected argument '--port'"));
}

#[test]
fn flags_before_a_command_are_refused_instead_of_dropped() {
    assert!(
        refused("--port 1 start").contains("cannot be used with"),
        "{}",
        refused("--port 1 start")
    );
}

#[test]
fn a_body_comes_from_a_file_or_from_standard_input() {
    let decode = |file| Command::Payload(Payload::Decode { file });
    assert_eq!(typed("payload decode"), decode(None));
    assert_eq!(typed("payload decode -"), decode(Some(Input::Stdin)));
    assert_eq!(
        typed("payload decode a.bin"),
        decode(Some(Input::File("a.bin".into())))
    );
}

#[test]
fn the_search_of_plugins_takes_its_own_flags_and_no_others() {
    let list = |flags, json| {
        let search = Search(flags);
        Command::Plugin(Plugin::List(List { search, json }))
    };
    assert_eq!(typed("plugin list"), list(Flags::default(), false));
    assert_eq!(
        typed("plugin list --plugin-dir d --json"),
        list(flags(&[("plugin-dir", "d")]), true)
    );
    let search = Search(flags(&[("plugins-lock", "l")]));
    assert_eq!(
        typed("plugin lock --plugins-lock l"),
        Command::Plugin(Plugin::Lock(Lock { search }))
    );
    assert!(refused("plugin list --tube t").contains("--tube"));
}

#[test]
fn a_new_plugin_has_a_name_and_may_have_a_kind_and_a_path() {
    let new = |asynchronous, path: Option<&str>| {
        let (name, path) = ("courier".to_owned(), path.map(Into::into));
        Command::Plugin(Plugin::New(New {
            name,
            asynchronous,
            path,
        }))
    };
    assert_eq!(typed("plugin new courier"), new(false, None));
    assert_eq!(typed("plugin new --async courier --path d"), new(true, Some("d")));
    assert!(refused("plugin new").contains("<NAME>"));
}

#[test]
fn a_trial_names_a_plugin_and_may_leave_out_the_rest() {
    for empty in [
        "plugin run x --tube=",
        "plugin run x --repeat=0",
        "plugin run x --attempt=0",
    ] {
        assert!(refused(empty).starts_with("error: "), "{empty}");
    }
    let Command::Plugin(Plugin::Run(run)) = typed("plugin run ./libx.so") else {
        panic!("not a run")
    };
    assert_eq!((run.plugin.as_str(), run.handler.as_deref()), ("./libx.so", None));
    assert_eq!((run.body, run.repeat, run.attempt), (None, 1, 1));
    assert_eq!((run.tube.as_str(), run.timeout), ("default", None));
    let Command::Plugin(Plugin::Run(run)) = typed("plugin run x left --body - --repeat 7 -c a.toml") else {
        panic!("not a run")
    };
    assert_eq!(
        (run.handler.as_deref(), run.body),
        (Some("left"), Some(Input::Stdin))
    );
    assert_eq!(
        (run.repeat, run.settings),
        (7, Trial(flags(&[("config", "a.toml")])))
    );
    let Command::Plugin(Plugin::Check(check)) = typed("plugin check x --handler left --start-timeout 1")
    else {
        panic!("not a check")
    };
    assert_eq!(check.handler.as_deref(), Some("left"));
    assert_eq!(check.settings, Trial(flags(&[("start-timeout", "1")])));
    let Command::Plugin(Plugin::Schema(schema)) = typed("plugin schema x left --only payload") else {
        panic!("not a schema")
    };
    assert_eq!(
        (schema.handler.as_deref(), schema.only),
        (Some("left"), Some(super::plugin::Document::Payload))
    );
    let Command::Plugin(Plugin::Docs(docs)) = typed("plugin docs x --output pages") else {
        panic!("no docs")
    };
    assert_eq!((docs.handler, docs.output), (None, Some("pages".into())));
    assert_eq!(typed("plugin header"), Command::Plugin(Plugin::Header));
    for line in [
        "plugin run",
        "plugin check",
        "plugin run x --repeat 0",
        "plugin run x --timeout 0",
        "plugin schema",
        "plugin schema x --only both",
        "plugin docs",
        "plugin header x",
    ] {
        refused(line);
    }
}

#[test]
fn the_internal_commands_are_hidden() {
    assert_eq!(
        typed("worker --link-fd 5"),
        Command::Worker(Linked { link_fd: 5 })
    );
    assert_eq!(typed("trial --link-fd 5"), Command::Trial(Linked { link_fd: 5 }));
    assert!(!refused("--help").contains("worker  ") && !refused("--help").contains("trial  "));
    assert!(refused("worker --link-fd -5").contains("-5"));
}

#[test]
fn a_typo_names_the_near_flag() {
    assert!(refused("--worker-nums 2").contains("--worker-num"));
    assert!(
        refused("--workernum 2").contains("--worker-num"),
        "{}",
        refused("--workernum 2")
    );
}

#[test]
fn the_help_shows_default_and_unit_of_every_flag() {
    insta::assert_snapshot!(refused("--help"), @"
    Runs beanstalkd jobs through handlers that live in plugins

    Usage: asynccall-host [OPTIONS]
           asynccall-host <COMMAND>

    Commands:
      run       Run in the foreground (the default)
      start     Run in the background; return when workers are ready, or with the error
      stop      Let running jobs end, then end the daemon; wait for it
      restart   Execute the binary anew with the same pid while the workers work on; wait for the new ones
      reload    Replace the workers by ones with newly read plugins and configuration
      rollback  Replace the workers by ones with the plugins and configuration before the last reload; wait for it
      pause     Reserve nothing more for now; running jobs end
      resume    Reserve again
      scale     Run another number of workers, until the next reload
      status    Show the daemon's workers, plugins and counters
      check     Check the configuration and the plugins' manifests, and start nothing
      call      Put a job as the PHP library's client does, or any body
      payload   Look into job bodies
      plugin    Begin, list, check and try plugins
      help      Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Configuration:
      -c, --config <FILE>
              configuration file (TOML)
          --handler-config <NAME=FILE.json>
              configuration of handler NAME, in place of the file's `[handler.NAME]`; repeatable

    Plugins:
          --plugin <PATH|NAME>
              plugin to load: a path, or a name looked up in the file's `[plugins] dirs`; repeatable
          --plugin-dir <DIR>
              load every `*.so` in this directory, besides those of the file; repeatable
          --allow-unsafe-plugins[=<true|false>]
              load plugins that other users could have changed
          --require-sha256[=<true|false>]
              load only plugins that the lock file has, as they are there
          --plugins-lock <FILE>
              lock file, which `plugin lock` writes [default: plugins.lock beside the configuration file]
          --watch[=<true|false>]
              reload when a plugin has changed

    Queue:
          --host <HOST>  beanstalkd's host, or unix:PATH [default: 127.0.0.1]
          --port <N>     beanstalkd's port [default: 11300]

    Pool:
          --tube <NAME>           tube to consume; repeatable [default: async_call_test]
          --tube-naming <WORD>    names to watch a tube under, its own (plain) or the PHP client's: both, plain, crc32 [default: both]
          --handler <NAME>        handler of the jobs; needed if several are loaded
          --worker-num <N>        worker processes [default: 1]
          --max-unavailable <N>   workers that are replaced at one time, each going on until its successor is ready [default: 1]
          --slots <N>             jobs at once in one worker [default: 1]
          --reserve-timeout <N>   longest wait of one reserve [default: 2 s]
          --max-request <N>       jobs after which a worker is replaced; 0 = never [default: 1000]
          --min-lifetime <N>      age before which `max-request` replaces no worker [default: 60 s]
          --max-age <N>           age at which a worker is replaced; 0 = never [default: 0 s]
          --memory-soft <N>       resident MiB at which a worker is replaced after its job; 0 = never [default: 0]
          --memory-hard <N>       resident MiB at which a worker is ended and its jobs given back; 0 = never [default: 0]
          --max-runtime <N>       how long a job may run, from its last reported progress on; 0 = without limit [default: 3600 s]
          --cancel-grace <N>      time between asking a job past `max-runtime` to give up and giving it back [default: 10 s]
          --cron <N>              period of each worker's periodic work [default: 200 ms]
          --retry <WORD>          who decides on a retry, the job's message before the pool or the pool alone: message, pool [default: message]
          --retry-expired <WORD>  what becomes of a failed job whose message's `retryStopAt` is over: delete, bury [default: delete]
          --max-attempts <N>      attempts after which a failing job is buried [default: 25]
          --max-crashes <N>       workers that one job may take down before it is buried [default: 3]
          --put-limit <N>         jobs that a handler may put while it runs one; 0 = none [default: 0]

    Daemon:
          --daemonize[=<true|false>]  run in the background
          --pid-file <FILE>           pid file, which also names the control socket [default: asynccall-host/default.pid in $XDG_RUNTIME_DIR, else in a private directory in /tmp]
          --user <NAME>               become this user for good when pid file and log are made; only root can
          --group <NAME>              become this group, instead of the user's own
          --start-timeout <N>         how long a worker may take to load its plugins, make its handler and have it check itself [default: 60 s]
          --grace <N>                 how long running jobs may take to end at stop, and handlers to say goodbye when a worker leaves [default: 30 s]
          --log-path <FILE>           log to this file instead of standard error
          --log-format <WORD>         form of a log line: text, json, php [default: text]
          --log-level <LEVEL>         off, error, warn, info, debug or trace; by target as `info,mailer=debug` [default: info]

    Every option is also an environment variable: ASYNCCALL_WORKER_NUM for --worker-num, and so on, with commas in lists. Flags beat the environment, the environment beats the file, and the file beats the defaults.
    ");
}

#[test]
fn the_flags_survive_the_way_to_the_next_process() {
    let flags = flags(&[("port", "1"), ("tube", "订单")]);
    let text = serde_json::to_string(&flags).unwrap();
    assert_eq!(serde_json::from_str::<Flags>(&text).unwrap(), flags);
}
