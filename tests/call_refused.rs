//! `call` with what is wrong: nothing is put, and the reason is said.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use crate::{
    call::{call, run},
    support::{Beanstalkd, Ended, Host, plugin, queue::free_port},
};

/// What each of these command lines, behind `call --model Order --method cancel`, ends with.
#[track_caller]
fn each(queue: &Beanstalkd, lines: &[&[&str]]) -> String {
    let calls = lines.iter().map(|more| {
        let words = [&["--model", "Order", "--method", "cancel"], *more].concat();
        call(queue, &words).to_string()
    });
    calls.collect::<Vec<_>>().concat()
}

#[test]
fn parameters_that_break_a_rule_are_refused_before_anything_is_sent() {
    let Some(queue) = Beanstalkd::start() else { return };
    let end = "2030-01-02 03:04:05";
    insta::assert_snapshot!(
        each(
            &queue,
            &[
                &["--delay", "-5"],
                &["--delay", "4294967296"],
                &["--ttr", "0"],
                &["--ttr", "-1"],
                &["--retry-time-table", ""],
                &["--retry-time-table", "99999999999,5"],
                &["--retry-time-table", "now"],
                &["--retry-time-table", "9999999999", "--retry-interval-time", "0"],
                &["--retry-time-table", "9999999999", "--retry-stop-at", end],
                &["--retry-interval-time", "5"],
                &["--retry-interval-time", "-5", "--retry-stop-at", end],
                &["--retry-stop-at", "2030-99-99 99:99:99"],
                &["--retry-stop-at", "+2 hours"],
                &["--method-params", "not JSON"],
                &["--method-params", r#""a string""#],
                &["--model-params", "{conditions: 1}"],
            ]
        ),
        @"
        exit 64
        error: `delay` is -5, wanted 0 to 4294967295 seconds
        exit 64
        error: `delay` is 4294967296, wanted 0 to 4294967295 seconds
        exit 64
        error: `ttr` is 0, wanted 1 to 4294967295 seconds
        exit 64
        error: `ttr` is -1, wanted 1 to 4294967295 seconds
        exit 64
        error: `retryTimeTable` has no entry, so no job would be put; hint: leave it out to put one
        exit 64
        error: `retryTimeTable` has the moment 99999999999, which is more than 4294967295 s ahead; hint: wanted Unix seconds
        exit 64
        error: `--retry-time-table` has `now`, wanted Unix seconds with commas between
        exit 64
        error: `retryTimeTable` and `retryIntervalTime` exclude each other
        exit 64
        error: `retryTimeTable` and `retryStopAt` exclude each other
        exit 64
        error: `retryIntervalTime` is set without `retryStopAt`; hint: say when to try no more
        exit 64
        error: `retryIntervalTime` is -5, wanted 0 to 4294967295 seconds
        exit 64
        error: `retryStopAt` is `2030-99-99 99:99:99`, wanted a date and time that exist, as `Y-m-d H:i:s`, such as `2030-01-02 03:04:05`
        exit 64
        error: `retryStopAt` is `+2 hours`, wanted a date and time that exist, as `Y-m-d H:i:s`, such as `2030-01-02 03:04:05`
        exit 64
        error: `--method-params` is no JSON: expected ident at line 1 column 2
        exit 64
        error: `methodParams` is a string, wanted a list or a map of arguments
        exit 64
        error: `--model-params` is no JSON: key must be a string at line 1 column 2
        "
    );
    let past = each(&queue, &[&["--retry-time-table", "99,4000000000"]]);
    assert!(
        past.starts_with("exit 64\nerror: `retryTimeTable` has the moment 99, which was "),
        "{past}"
    );
    let words = [
        "call",
        "--model=Order",
        "--method=cancel",
        "--tube=订单",
        "--tube-naming=plain",
    ];
    insta::assert_snapshot!(Host::unconnected().run_bare(&words), @"
    exit 64
    error: tube `订单` cannot be used under its plain name; hint: tube naming `crc32` or `both` takes any name: tube name `订单` has the character `订`, but beanstalkd takes only letters, digits and `-+/;.$_()`
    ");
    insta::assert_snapshot!(call(&queue, &["--model", "", "--method", "cancel"]), @"
    exit 64
    error: `model` is empty, wanted the name of a model
    ");
    insta::assert_snapshot!(call(&queue, &["--model", "Order", "--method", ""]), @"
    exit 64
    error: `method` is empty, wanted the name of a method
    ");
    insta::assert_snapshot!(call(&queue, &["--body=-", "--delay=-5"]), @"
    exit 64
    error: `delay` is -5, wanted 0 to 4294967295 seconds
    ");
    insta::assert_snapshot!(call(&queue, &["--body=-", "--ttr=0"]), @"
    exit 64
    error: `ttr` is 0, wanted 1 to 4294967295 seconds
    ");
    assert_eq!(queue.stat("total-jobs"), 0);
    assert_eq!(queue.stat("cmd-use"), 0);
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    let Some(queue) = Beanstalkd::start() else { return };
    for words in [
        &["--model", "Order"][..],
        &["--method", "cancel"],
        &["--model", "Order", "--method", "cancel", "--body", "-"],
        &["--body", "-", "--retry-time-table", "5"],
        &["--body", "-", "--force-sync"],
        &["--model", "Order", "--method", "cancel", "--priority", "5"],
        &["--model", "Order", "--method", "cancel", "--handler", "echo"],
        &["--model", "Order", "--method", "cancel", "--encoding", "xml"],
        &["--model", "Order", "--method", "cancel", "--tube-naming", "both"],
        &["--model", "Order", "--method", "cancel", "--delay", "soon"],
    ] {
        let error = call(&queue, words).failed(64);
        assert!(error.starts_with("error: "), "{words:?}: {error}");
    }
}

#[test]
fn a_pool_or_a_tube_that_is_not_clear_is_asked_for() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::unconnected();
    let text = "[[pool]]\nname = \"a\"\ntubes = [\"x\", \"y\"]\n[[pool]]\nname = \"b\"\ntubes = [\"z\"]\n";
    let file = host.directory().write("host.toml", text);
    let file = file.to_str().expect("a path");
    let with = |more: &[&str]| {
        let words = ["call", "-c", file, "--model", "Order", "--method", "cancel"];
        host.run_bare(&[&words, more].concat()).to_string()
    };
    let all = [with(&[]), with(&["--pool", "a"]), with(&["--pool", "c"])];
    insta::assert_snapshot!(all.concat(), @"
    exit 64
    error: there are several pools: `a`, `b`
      hint: choose one with `--pool`, or a tube with `--tube`
    exit 64
    error: the pool has several tubes: `x`, `y`
      hint: choose one with `--tube`
    exit 64
    error: there is no pool `c`, there is `a`, `b`
    ");
    assert_eq!(queue.stat("total-jobs"), 0);
}

#[test]
fn a_server_that_takes_no_job_is_told_by_its_own_exit_code() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::unconnected();
    let big = host.directory().write("big", "x".repeat(65_536));
    let big = big.to_str().expect("a path");
    insta::assert_snapshot!(run(&host, &queue, &["--body", big]), @"
    exit 65
    error: beanstalkd refused a job body of 65536 bytes as too big, it takes up to 65535; hint: its option `-z` sets the limit
    ");
    insta::assert_snapshot!(run(&host, &queue, &["--body", "/nowhere/body"]), @"
    exit 66
    error: cannot read `/nowhere/body`: No such file or directory (os error 2)
    ");
    let port = free_port();
    let told = host
        .run_bare(&["call", "--model", "A", "--method", "b", &format!("--port={port}")])
        .to_string();
    insta::assert_snapshot!(told.replace(&port.to_string(), "PORT"), @"
    exit 69
    error: the job was not put: cannot connect to beanstalkd at `127.0.0.1:PORT`: Connection refused (os error 111)
    ");
    queue.drain();
    insta::assert_snapshot!(each(&queue, &[&[], &["--retry-time-table", "4000000000,4000000001"]]), @"
    exit 69
    error: beanstalkd is draining and takes no new jobs
    exit 69
    error: not every job of `--retry-time-table` is known to be put
      entry 1: beanstalkd is draining and takes no new jobs
      entry 2: beanstalkd is draining and takes no new jobs
    ");
}

/// A server that takes one put and closes, then one that answers.
fn losing_server() -> (u16, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serve = move || {
        for answers in [&["USING orders\r\n"][..], &["USING orders\r\n", "INSERTED 5\r\n"]] {
            let (mut client, _) = listener.accept().expect("a client");
            let mut room = [0; 4096];
            for answer in answers {
                assert!(client.read(&mut room).expect("a command") > 0);
                client.write_all(answer.as_bytes()).expect("it is read");
            }
            assert!(answers.len() > 1 || client.read(&mut room).expect("a command") > 0);
        }
    };
    (port, thread::spawn(serve))
}

fn call_at(port: u16, more: &[&str]) -> Ended {
    let port = format!("--port={port}");
    let words = ["call", "--tube=orders", &port, "--model=Order", "--method=cancel"];
    Host::unconnected().run_bare(&[&words, more].concat())
}

#[test]
fn a_job_that_may_be_there_is_not_put_again_unless_that_was_asked_for() {
    let (port, server) = losing_server();
    insta::assert_snapshot!(call_at(port, &[]), @"
    exit 1
    error: it is unknown whether the job was put: beanstalkd closed the connection while waiting for the reply to `put`
      hint: look into the tube; put again, as `--resend` does, it may be there twice
    ");
    assert_eq!(call_at(port, &[]).succeeded(), "INSERTED 5\n");
    server.join().expect("it was asked twice");
    let (port, server) = losing_server();
    assert_eq!(call_at(port, &["--resend", "1"]).succeeded(), "INSERTED 5\n");
    server.join().expect("it was asked twice");
}

#[test]
fn force_sync_without_a_handler_that_can_be_loaded_is_refused() {
    let Some(queue) = Beanstalkd::start() else { return };
    let pair = plugin("pair");
    let pair = pair.to_str().expect("a path");
    insta::assert_snapshot!(
        each(
            &queue,
            &[
                &["--force-sync"],
                &["--force-sync", "--plugin", "/nowhere/libecho.so"],
                &["--force-sync", "--plugin", pair],
                &["--force-sync", "--plugin", pair, "--handler", "echo"],
                &["--force-sync", "--plugin", "/nowhere/libecho.so", "--delay", "-1"],
            ]
        ),
        @"
        exit 66
        error: no plugin to load
          hint: name one with `--plugin ./libmailer.so`
        exit 66
        error: cannot open plugin `/nowhere/libecho.so`: no such file
          hint: cargo leaves a plugin in `target/release/`, as `lib<name>.so`
        exit 78
        error: no handler is chosen; there are `left`, `right`
          hint: choose one with `--handler NAME`, or with `handler` in the file's `[[pool]]`
        exit 78
        error: no plugin has a handler `echo`; there are `left`, `right`
        exit 64
        error: `delay` is -1, wanted 0 to 4294967295 seconds
        "
    );
}
