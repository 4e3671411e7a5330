//! The shapes of the configuration file.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use super::{given, given_alone};
use crate::config::settings::{SETTINGS, Section};
use crate::config::{Breaker, Expired, Isolation, MemoryMeasure, Network, PluginRef, Rlimits};

/// Every key of every table, in our spelling.
const FULL: &str = r#"
[queue]
host = "unix:b.sock"
port = 1
connect_timeout = 2

[plugins]
load = ["./libmailer.so", "echo"]
dirs = ["lib"]
drop_in = "drop"
allow_unsafe = true
require_sha256 = true
lock = "lock"
watch = true

[handler.mailer]
transport = "smtp"
ports = [25, 587]

[daemon]
daemonize = true
pid_file = "/run/a.pid"
user = "shop"
group = 33
start_timeout = 4
grace = 3
log_path = "a.log"
log_format = "json"
log_level = "info,mailer=debug"

[[pool]]
name = "mail"
tubes = ["a", "b"]
tube_naming = "crc32"
handler = "mailer"
handlers = { "b" = "other" }
worker_num = 4
max_unavailable = 19
slots = 5
reserve_timeout = 6
max_request = 112111111112
min_lifetime = 8
max_age = 16
memory_soft = 17
memory_hard = 18
memory_measure = "pss"
no_new_privs = false
max_runtime = 13
cancel_grace = 14
cron = 9
retry = "pool"
retry_expired = "bury"
max_attempts = 10
max_crashes = 15
put_limit = 14

[pool.queue]
host = "other"
port = 23
connect_timeout = 24

[pool.backoff]
first = 11
max = 12
factor = 1.5
jitter = 0

[pool.breaker]
failures = 20
within = 21
rest = 22

[pool.rlimits]
nofile = 256
core = 0
as = 4096
cpu = 20
nproc = 21
fsize = 22

[[pool]]
name = "rest"
tube = "c"

[pool.isolation]
read = ["/etc/ssl", "here"]
write = "/srv/out"
execute = []
network = [25, "unix", 587]
"#;

#[test]
fn every_key_of_the_file_has_its_field() {
    let config = given_alone("").file(FULL).config();
    assert_eq!(config.queue.host, "unix:/etc/b.sock");
    assert_eq!(
        config.plugins.load,
        [
            PluginRef::Path("/etc/libmailer.so".into()),
            PluginRef::Name("echo".into())
        ]
    );
    assert_eq!(
        *config.handlers["mailer"].value(),
        json!({"transport": "smtp", "ports": [25, 587]})
    );
    assert_eq!((config.daemon.daemonize, config.daemon.private_dir), (true, None));
    let [mail, rest] = config.pools.as_slice() else {
        panic!("{:?}", config.pools)
    };
    assert_eq!((mail.name.as_str(), mail.worker_num, mail.slots), ("mail", 4, 5));
    assert_eq!((mail.max_request, mail.max_attempts), (112_111_111_112, 10));
    assert_eq!(mail.put_limit, 14);
    assert_eq!((mail.max_unavailable, rest.max_unavailable), (19, 1));
    assert_eq!(
        (mail.cron, mail.backoff.first),
        (Duration::from_millis(9), Duration::from_secs(11))
    );
    assert_eq!((mail.backoff.factor, mail.backoff.jitter), (1.5, 0.0));
    let breaker = Breaker {
        failures: 20,
        within: Duration::from_secs(21),
        rest: Duration::from_secs(22),
    };
    assert_eq!(mail.breaker, breaker);
    assert_eq!(
        mail.handlers,
        BTreeMap::from([("b".to_owned(), "other".to_owned())])
    );
    assert!(rest.handlers.is_empty());
    assert_eq!(
        (
            mail.queue.to_string().as_str(),
            mail.queue.connect_timeout.as_secs()
        ),
        ("other:23", 24)
    );
    assert_eq!(rest.queue, config.queue, "a pool without a server of its own");
    assert_eq!(
        (mail.retry_expired, rest.retry_expired),
        (Expired::Bury, Expired::Delete)
    );
    assert_eq!(
        (rest.name.as_str(), &rest.tubes, rest.worker_num),
        ("rest", &vec!["c".to_owned()], 1)
    );
    assert_eq!(
        (config.daemon.user.as_deref(), config.daemon.group.as_deref()),
        (Some("shop"), Some("33"))
    );
    assert_eq!(
        (mail.memory_measure, mail.no_new_privs),
        (MemoryMeasure::Pss, false)
    );
    let rlimits = Rlimits {
        nofile: Some(256),
        core: Some(0),
        address_space: Some(4096),
        cpu: Some(20),
        nproc: Some(21),
        fsize: Some(22),
    };
    assert_eq!((mail.rlimits, rest.rlimits), (rlimits, Rlimits::default()));
    let isolation = Isolation {
        read: Some(vec!["/etc/ssl".into(), "/etc/here".into()]),
        write: Some(vec!["/srv/out".into()]),
        execute: Some(Vec::new()),
        network: Some(Network {
            ports: vec![25, 587],
            unix: true,
            udp: false,
        }),
    };
    assert_eq!(
        (&mail.isolation, &rest.isolation),
        (&Isolation::default(), &isolation)
    );
    // Nothing of the table is missing in the sample above.
    for setting in SETTINGS
        .iter()
        .filter(|setting| setting.section != Section::Invocation)
    {
        assert!(FULL.contains(&format!("\n{} = ", setting.key)), "{}", setting.key);
    }
}

#[test]
fn the_flat_shape_of_the_php_library_is_one_pool_in_either_spelling() {
    let php = "host = 'q'\nport = 1\ntube = ['a', 'b']\nworkerNum = 2\nreserveTimeout = 3\nmaxRequest = 4\ncron = 5\n\
        daemonize = true\npidFile = '/a.pid'\nlogPath = '/a.log'";
    let ours = "host = 'q'\nport = 1\ntubes = ['a', 'b']\nworker_num = 2\nreserve_timeout = 3\nmax_request = 4\n\
        cron = 5\ndaemonize = true\npid_file = '/a.pid'\nlog_path = '/a.log'";
    let tables = "[queue]\nhost = 'q'\nport = 1\n[daemon]\ndaemonize = true\npidFile = '/a.pid'\nlogPath = '/a.log'\n\
        [[pool]]\ntube = ['a', 'b']\nworkerNum = 2\nreserveTimeout = 3\nmaxRequest = 4\ncron = 5";
    let config = given("").file(php).config();
    assert_eq!(
        (config.pools[0].name.as_str(), config.pools[0].worker_num),
        ("default", 2)
    );
    assert_eq!(config.pools[0].tubes, ["a", "b"]);
    assert_eq!(given("").file(ours).config(), config);
    assert_eq!(given("").file(tables).config(), config);
    for option in SETTINGS.iter().filter_map(|setting| setting.php) {
        assert!(php.contains(&format!("{option} = ")), "{option}");
    }
}

#[test]
fn the_flat_shape_may_stand_beside_tables_but_a_pools_option_not_beside_pools() {
    let config = given("")
        .file("host = 'q'\npidFile = '/a.pid'\n[[pool]]\ntube = 'a'")
        .config();
    assert_eq!(
        (config.queue.host.as_str(), config.pools[0].tubes[0].as_str()),
        ("q", "a")
    );
    let file = "host = 'q'\ntube = 'a'\nworkerNum = 2\n[[pool]]\nname = 'mail'";
    insta::assert_snapshot!(given("").file(file).problems(), @"
    /etc/host.toml:2: `tube`: cannot stand beside the `[[pool]]` of /etc/host.toml:4; hint: move it into the pool it is meant for
    /etc/host.toml:3: `workerNum`: cannot stand beside the `[[pool]]` of /etc/host.toml:4; hint: move it into the pool it is meant for
    ");
}

#[test]
fn both_spellings_of_one_key_are_one_too_many() {
    let file = "host = 'a'\npidFile = '/a'\n[queue]\nhost = 'b'\n[daemon]\npid_file = '/b'\n\
        [[pool]]\nworker_num = 1\nworkerNum = 1\ntube = 'a'\ntubes = ['a']";
    insta::assert_snapshot!(given("").file(file).problems(), @"
    /etc/host.toml:4: `queue.host`: the same setting as /etc/host.toml:1: `host`; hint: keep one of them
    /etc/host.toml:6: `daemon.pid_file`: the same setting as /etc/host.toml:2: `pidFile`; hint: keep one of them
    /etc/host.toml:9: `pool.workerNum`: the same setting as /etc/host.toml:8: `pool.worker_num`; hint: keep one of them
    /etc/host.toml:11: `pool.tubes`: the same setting as /etc/host.toml:10: `pool.tube`; hint: keep one of them
    ");
}

#[test]
fn flags_and_environment_speak_of_the_one_pool_and_of_none_of_several() {
    let one = "[[pool]]\nname = 'mail'\nworker_num = 3\nslots = 4";
    let pool = given("--worker-num 5").file(one).config().pools.remove(0);
    assert_eq!((pool.name.as_str(), pool.worker_num, pool.slots), ("mail", 5, 4));
    let several =
        given("--worker-num 5 --port 1 --tube a").file("[[pool]]\nname = 'a'\n[[pool]]\nname = 'b'");
    insta::assert_snapshot!(several.variables(&[("ASYNCCALL_SLOTS", "2")]).problems(), @"
    `ASYNCCALL_SLOTS`: means the only pool, but /etc/host.toml:3 has a second one; hint: set it in the file, in its `[[pool]]`
    `--tube`: means the only pool, but /etc/host.toml:3 has a second one; hint: set it in the file, in its `[[pool]]`
    `--worker-num`: means the only pool, but /etc/host.toml:3 has a second one; hint: set it in the file, in its `[[pool]]`
    ");
}

#[test]
fn several_pools_have_names_of_their_own() {
    let file = "[[pool]]\nname = 'a'\n[[pool]]\ntube = 'b'\n[[pool]]\nname = 'a'\n[[pool]]\nname = 'B'";
    insta::assert_snapshot!(given("").file(file).problems(), @r#"
    /etc/host.toml:8: `pool.name`: found `"B"`, wanted a name of the letters a-z, digits, `_` and `-`
    /etc/host.toml:3: `pool`: found nothing, wanted a `name`, as there are several pools
    /etc/host.toml:6: `pool.name`: found `a`, wanted a name that is not that of /etc/host.toml:2: `pool.name`
    "#);
}

#[test]
fn a_pools_queue_takes_from_the_shared_one_what_it_leaves_open() {
    let file = "[queue]\nhost = 'a'\nport = 1\nconnect_timeout = 9\n\
        [[pool]]\nname = 'one'\n[pool.queue]\nport = 2\n[[pool]]\nname = 'two'\n[pool.queue]\nhost = 'b'";
    let servers = |given: super::Given| {
        let pools = given.config().pools.into_iter();
        pools
            .map(|pool| format!("{} {}", pool.queue, pool.queue.connect_timeout.as_secs()))
            .collect::<Vec<_>>()
    };
    assert_eq!(servers(given("").file(file)), ["a:2 9", "b:1 9"]);
    assert_eq!(
        servers(given("--host c --port 3").file(file)),
        ["c:2 9", "b:3 9"],
        "flags and variables mean the shared one"
    );
    let wrong = "[[pool]]\n[pool.queue]\nport = 0\nhots = 'a'";
    insta::assert_snapshot!(given("").file(wrong).problems(), @"
    /etc/host.toml:3: `pool.queue.port`: found `0`, wanted an integer from 1 to 65535
    /etc/host.toml:4: `pool.queue.hots`: unknown key; hint: did you mean `host`?
    ");
}

#[test]
fn a_handler_is_given_to_tubes_of_the_pool_alone() {
    let file = "[[pool]]\ntubes = ['mail', 'sms']\n[pool.handlers]\nmial = 'mailer'\nfax = 'printer'";
    insta::assert_snapshot!(given("").file(file).problems(), @"
    /etc/host.toml:3: `pool.handlers`: found the tube `fax`, wanted one of the pool's `tubes`
    /etc/host.toml:3: `pool.handlers`: found the tube `mial`, wanted one of the pool's `tubes`; hint: did you mean `mail`?
    ");
    let file = "[[pool]]\nhandlers = { async_call_test = 7 }\n[[pool]]\nname = 'b'\nhandlers = 'mailer'";
    insta::assert_snapshot!(given("").file(file).problems(), @r#"
    /etc/host.toml:2: `pool.handlers`: found a table, wanted a table of handlers' names by tube, such as `mail = "mailer"`; hint: look at `async_call_test`
    /etc/host.toml:5: `pool.handlers`: found `"mailer"`, wanted a table of handlers' names by tube, such as `mail = "mailer"`
    /etc/host.toml:1: `pool`: found nothing, wanted a `name`, as there are several pools
    "#);
}

#[test]
fn a_handlers_json_file_takes_the_place_of_its_table() {
    let given = given("").file("[handler.a]\nx = 1\ny = 2\n[handler.b]\nz = 1979-05-27\n");
    let text = given.problems();
    insta::assert_snapshot!(text, @"
    /etc/host.toml:5: `handler.b`: found a datetime, wanted a value that JSON has too; hint: write it as a string
    ");
    let given = super::given("")
        .file("[handler.a]\nx = 1\ny = 2")
        .handler("a", "{\"x\": 3}");
    assert_eq!(*given.config().handlers["a"].value(), json!({"x": 3}));
}

#[test]
fn a_handlers_json_file_must_be_an_object() {
    let line = "--handler-config a=/etc/a.json --handler-config a=/etc/b.json";
    let given = given(line)
        .handler("a", "[\"sesame\"]")
        .handler("b", "{\n\"password\": sesame}");
    let text = given.problems();
    assert!(!text.contains("sesame"), "{text}");
    insta::assert_snapshot!(text, @"
    `--handler-config`: found two files for handler `a`, wanted one for each handler
    /etc/a.json: found another JSON value, wanted an object, the configuration of handler `a`
    /etc/b.json:2: not JSON: expected value at line 2 column 13
    ");
}
