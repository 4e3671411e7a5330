//! What a wrong configuration says: everything at once, each with its place.

use proptest::prelude::{any, prop_assert};

use super::{given, given_alone};
use crate::config::{ConfigErrors, Fault, Hint, Place, Problem, resolve};
use crate::exit::Exit;

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let file = r#"
colour = "red"
slots = 2
worker = 1
handler = "mailer"

[queue]
hots = "127.0.0.1"
port = "11300"
connect_timeout = 0.5
slots = 3

[plugins]
load = "mailer"

[daemon]
pidFile = "/tmp/async_task_%d.pid"
log_format = "jsno"
grace = 1979-05-27

[[pool]]
name = "Mail"
workernum = 2
tubes = []
tube_naming = "crc"
cron = 0

[pool.backoff]
first = 60
max = 30
jitter = 2.0
"#;
    let given = given_alone("--slots many")
        .file(file)
        .variables(&[("ASYNCCALL_LOG_LEVEL", "inof")]);
    insta::assert_snapshot!(given.problems(), @r#"
    /etc/host.toml:2: `colour`: unknown key
    /etc/host.toml:3: `slots`: unknown key; hint: `slots` belongs into `[[pool]]`
    /etc/host.toml:4: `worker`: unknown key; hint: did you mean `workerNum`?
    /etc/host.toml:5: `handler`: found a string, wanted a table, `[handler.NAME]`
    /etc/host.toml:8: `queue.hots`: unknown key; hint: did you mean `host`?
    /etc/host.toml:9: `queue.port`: found `"11300"`, wanted an integer from 1 to 65535; hint: write it without quotes
    /etc/host.toml:10: `queue.connect_timeout`: found `0.5`, wanted whole seconds from 1 to 300
    /etc/host.toml:11: `queue.slots`: unknown key; hint: `slots` belongs into `[[pool]]`
    /etc/host.toml:17: `daemon.pidFile`: found `"/tmp/async_task_%d.pid"`, wanted the path of a pid file; hint: `%d` is not replaced here; write the whole path, one for each daemon
    /etc/host.toml:18: `daemon.log_format`: found `"jsno"`, wanted `text` or `json` or `php`; hint: did you mean `json`?
    /etc/host.toml:19: `daemon.grace`: found a datetime, wanted whole seconds from 0 to 86400
    /etc/host.toml:22: `pool.name`: found `"Mail"`, wanted a name of the letters a-z, digits, `_` and `-`
    /etc/host.toml:23: `pool.workernum`: unknown key; hint: did you mean `worker_num`?
    /etc/host.toml:24: `pool.tubes`: found an empty list, wanted a tube's name or a list of them, at least one
    /etc/host.toml:25: `pool.tube_naming`: found `"crc"`, wanted `both` or `plain` or `crc32`; hint: did you mean `crc32`?
    /etc/host.toml:26: `pool.cron`: found `0`, wanted whole milliseconds from 1 to 86400000
    /etc/host.toml:31: `pool.backoff.jitter`: found `2.0`, wanted a number from 0 to 1
    `ASYNCCALL_LOG_LEVEL`: found `"inof"`, wanted a log level, or directives such as `info,mailer=debug`; hint: did you mean `info`?
    `--slots`: found `"many"`, wanted an integer from 1 to 1024
    /etc/host.toml:30: `pool.backoff.max`: found a longest delay of 30 s, wanted at least the first delay, 60 s
    /etc/host.toml:14: `plugins.load`: found the name `mailer`, wanted a path, as there is no directory to look names up in; hint: set `[plugins] dirs` in the file, where `libmailer.so` is looked up, or write a path such as `./mailer`
    "#);
}

#[test]
fn a_table_of_the_wrong_shape_is_said_without_its_content() {
    let file = "queue = 'sesame'\npool = 1\n[handler]\nmailer = 'sesame'\n[daemon.pid_file]\na = 'sesame'";
    let text = given("").file(file).problems();
    assert!(!text.contains("sesame"), "{text}");
    insta::assert_snapshot!(text, @"
    /etc/host.toml:1: `queue`: found a string, wanted a table, `[queue]`
    /etc/host.toml:2: `pool`: found an integer, wanted a list of tables; hint: a pool's table is headed `[[pool]]`
    /etc/host.toml:4: `handler.mailer`: found a string, wanted a table, `[handler.NAME]`
    /etc/host.toml:5: `daemon.pid_file`: found a table, wanted the path of a pid file
    ");
    insta::assert_snapshot!(given("").file("[pool]\nname = 'a'").problems(), @"
    /etc/host.toml:1: `pool`: found a table, wanted a list of tables; hint: a pool's table is headed `[[pool]]`
    ");
    let line = given("").file("\"a\\n\\u001b\" = 1").problems();
    assert_eq!(line, r"/etc/host.toml:1: `a\n\u{1b}`: unknown key");
    insta::assert_snapshot!(given("").file("[[pool]]\nbackoff = 3").problems(), @"
    /etc/host.toml:2: `pool.backoff`: found an integer, wanted a table, `[pool.backoff]`
    ");
}

#[test]
fn what_is_no_toml_is_said_in_the_parsers_words_beside_what_else_is_wrong() {
    let given = given("--port x").file("[queue]\nhost = 'a\nport = 1\nport = 2\npassword = sesame\n");
    let text = given.problems();
    assert!(!text.contains("sesame"), "{text}");
    insta::assert_snapshot!(text, @r#"
    /etc/host.toml:2: invalid literal string, expected `'`
    /etc/host.toml:4: duplicate key
    /etc/host.toml:5: string values must be quoted, expected literal string
    `--port`: found `"x"`, wanted an integer from 1 to 65535
    "#);
}

#[test]
fn without_a_plugin_there_is_nothing_to_run() {
    insta::assert_snapshot!(given_alone("").problems(), @"
    `plugins.load`: found nothing, wanted a plugin to load; hint: `--plugin PATH`, `--plugin-dir DIR` or `[plugins] load` in the file
    ");
    insta::assert_snapshot!(given_alone("--plugin mailer").problems(), @"
    `--plugin`: found the name `mailer`, wanted a path, as there is no directory to look names up in; hint: set `[plugins] dirs` in the file, where `libmailer.so` is looked up, or write a path such as `./mailer`
    ");
    let config = given_alone("--plugin-dir /d").config();
    assert!(config.plugins.load.is_empty());
}

#[test]
fn what_an_isolation_cannot_mean_is_said_and_what_it_cannot_stand_beside() {
    let file =
        "[[pool]]\nno_new_privs = false\n[pool.isolation]\nnetwork = \"of\"\nread = 1\nwrites = \"/\"\n";
    insta::assert_snapshot!(given("").file(file).problems(), @r#"
    /etc/host.toml:4: `pool.isolation.network`: found `"of"`, wanted `off`, or a list of TCP ports, `unix` and `udp`; hint: did you mean `off`?
    /etc/host.toml:5: `pool.isolation.read`: found `1`, wanted a path or a list of paths
    /etc/host.toml:6: `pool.isolation.writes`: unknown key; hint: did you mean `write`?
    "#);
    let file = "[[pool]]\n[pool.isolation]\nnetwork = [\"off\", 25]\n";
    insta::assert_snapshot!(given("").file(file).problems(), @r#"/etc/host.toml:3: `pool.isolation.network`: found `["off",25]`, wanted `off`, or a list of TCP ports, `unix` and `udp`; hint: `off` stands alone, in no list"#);
    let file = "[[pool]]\nno_new_privs = false\n[pool.isolation]\nnetwork = \"off\"\n";
    insta::assert_snapshot!(given("").file(file).problems(), @"
    /etc/host.toml:2: `pool.no_new_privs`: found `false`, wanted `true`, as the pool has an `isolation`; hint: the kernel isolates nobody who may gain privileges
    ");
    for (file, closed) in [
        ("network = \"off\"", false),
        ("network = 25", false),
        ("execute = []", true),
    ] {
        let config = given("")
            .file(&format!("[[pool]]\n[pool.isolation]\n{file}\n"))
            .config();
        let isolation = &config.pools[0].isolation;
        assert_eq!(
            (isolation.is_given(), isolation.closes_files()),
            (true, closed),
            "{file}"
        );
    }
}

#[test]
fn an_unknown_resource_limit_names_the_near_one() {
    let file = "[[pool]]\nrlimit = 1\n[pool.rlimits]\nno_file = 64\ncore = -1\nstack = 1\n";
    insta::assert_snapshot!(given("").file(file).problems(), @"
    /etc/host.toml:2: `pool.rlimit`: unknown key; hint: did you mean `rlimits`?
    /etc/host.toml:4: `pool.rlimits.no_file`: unknown key; hint: did you mean `nofile`?
    /etc/host.toml:5: `pool.rlimits.core`: found `-1`, wanted an integer from 0 to 1048576
    /etc/host.toml:6: `pool.rlimits.stack`: unknown key
    ");
}

#[test]
fn a_daemon_that_becomes_a_user_has_a_pid_file_of_its_own() {
    insta::assert_snapshot!(given("--user shop").problems(), @"
    `daemon.pid_file`: found nothing, wanted a pid file, as there is a `user`; hint: for example `/run/asynccall-host/daemon.pid`, in a directory that the user can enter
    ");
    insta::assert_snapshot!(given("--group shop --pid-file /run/a.pid").problems(), @"
    `daemon.user`: found nothing, wanted a user, as there is a `group`; hint: `group` is the group of the user that the daemon becomes
    ");
    insta::assert_snapshot!(given("--pid-file /run/a.pid").file("[daemon]\nuser = -3\ngroup = 5000000000").problems(), @"
    /etc/host.toml:2: `daemon.user`: found `-3`, wanted a name or a number of the system's users or groups
    /etc/host.toml:3: `daemon.group`: found `5000000000`, wanted a name or a number of the system's users or groups
    ");
    let config = given("--user 33 --pid-file /run/a.pid").config();
    assert_eq!(config.daemon.user.as_deref(), Some("33"));
}

#[test]
fn the_exit_code_says_where_to_look() {
    let exit = |given: super::Given| resolve(&given.sources(), &given.texts).unwrap_err().exit();
    assert_eq!(exit(given("--port x --slots 0")), Exit::Usage);
    assert_eq!(exit(given("--port x").file("[queue]\nport = 0")), Exit::Config);
    assert_eq!(
        exit(given("").variables(&[("ASYNCCALL_PORT", "x")])),
        Exit::Config
    );
    let unreadable = Fault::Unreadable {
        message: "gone".to_owned(),
    };
    let errors = ConfigErrors::one(Place::Flag("config"), unreadable);
    assert_eq!(errors.exit(), Exit::NoInput);
    let fault = Fault::Unknown {
        what: "key",
        hint: Hint::default(),
    };
    let both = ConfigErrors::one(Place::Flag("port"), fault).after(errors.problems().to_vec());
    assert_eq!(both.exit(), Exit::Usage);
    assert_eq!(both.problems().len(), 2);
    let _: &[Problem] = both.problems();
}

#[test]
fn a_tube_that_beanstalkd_cannot_take_is_refused_under_its_plain_name_and_else_a_warning() {
    let file = "[[pool]]\ntubes = ['订单', 'mail', 'two words']\ntube_naming = 'plain'";
    insta::assert_snapshot!(given("").file(file).problems(), @"
    /etc/host.toml:2: `pool.tubes`: tube name `订单` has the character `订`, but beanstalkd takes only letters, digits and `-+/;.$_()`; hint: `tube_naming` `both` or `crc32` takes any name
    /etc/host.toml:2: `pool.tubes`: tube name `two words` has the character ` `, but beanstalkd takes only letters, digits and `-+/;.$_()`; hint: `tube_naming` `both` or `crc32` takes any name
    ");
    insta::assert_snapshot!(given("").file(&file.replace("plain", "both")).warnings(), @"
    /etc/host.toml:2: `pool.tubes`: watched under its crc32 alone: tube name `订单` has the character `订`, but beanstalkd takes only letters, digits and `-+/;.$_()`
    /etc/host.toml:2: `pool.tubes`: watched under its crc32 alone: tube name `two words` has the character ` `, but beanstalkd takes only letters, digits and `-+/;.$_()`
    ");
    assert_eq!(given("").file(&file.replace("plain", "crc32")).warnings(), "");
}

proptest::proptest! {
    #[test]
    fn no_text_of_a_file_or_variable_trips_the_resolution(
        text in r#"((host|port|tube|pool|name|backoff|handler|\[|\]|=|"|'|\{|\}|,|\.|-|[0-9]|\n|\r| )|\PC){0,40}"#,
        value in any::<String>(),
    ) {
        let given = given("").file(&text).variables(&[("ASYNCCALL_HOST", &value), ("ASYNCCALL_PLUGIN", &value)]);
        if let Err(errors) = resolve(&given.sources(), &given.texts) {
            prop_assert!(!errors.problems().is_empty());
            let one_line = |line: String| !line.contains(char::is_control);
            prop_assert!(errors.problems().iter().all(|problem| one_line(problem.to_string())), "{errors}");
        }
    }
}

#[test]
fn the_slots_of_all_pools_have_to_fit_twice() {
    let fits = given("--worker-num 1024 --slots 32");
    assert_eq!(fits.config().pools[0].slots, 32);
    insta::assert_snapshot!(
        given("--worker-num 1024 --slots 33").problems(),
        @"`--worker-num`: found 33792 slots in all workers (`worker_num` times `slots`, over all pools), wanted at most 32768"
    );
    let pools = "[[pool]]\nname = \"a\"\ntubes = \"a\"\nworker_num = 1024\nslots = 32\n[[pool]]\nname = \"b\"\ntubes = \"b\"\n";
    insta::assert_snapshot!(
        given("").file(pools).problems(),
        @"/etc/host.toml:4: `pool.worker_num`: found 32769 slots in all workers (`worker_num` times `slots`, over all pools), wanted at most 32768"
    );
}
