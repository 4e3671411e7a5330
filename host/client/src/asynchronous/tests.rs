//! The client on tokio: the same as the blocking one, where the two do not share their code.

use std::future::Future;
use std::io::Write;
use std::time::Duration;

use super::Client;
use crate::call::{Call, Encoding};
use crate::connection::tests::beanstalkd::Beanstalkd;
use crate::connection::tests::script::{Script, Scripted, next_command, until_closed};
use crate::connection::{Options, PutError};
use crate::producer::{CallError, Called, LocalFailure, LocalFailureKind, Put, now};
use crate::protocol::JobId;
use crate::tube::TubeName;

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

fn tube(name: &str) -> TubeName {
    TubeName::new(name).unwrap()
}

fn call() -> Call {
    Call::new("Order", "cancel").model_params(42)
}

#[test]
fn a_call_a_table_and_a_batch_arrive_over_one_connection() {
    for server in [
        Beanstalkd::on_tcp(&["-z", "1000"]),
        Beanstalkd::on_unix(&["-z", "1000"]),
    ] {
        let Some(server) = server else { return };
        run(async {
            let address = server.address.clone();
            let mut client = Client::new(address, tube("orders")).with_encoding(Encoding::Php);
            let table = call().retry_time_table([now() + 1000, now() + 2000]);
            let Called::Put(ids) = client.call(&table).await.unwrap() else {
                panic!()
            };
            assert_eq!(ids, [JobId(1), JobId(2)]);
            client.use_tube(tube("mail"));
            let big = [b'x'; 1001];
            let mut jobs = vec![Put::new("a"); 1000];
            jobs.push(Put::new(&big));
            let results = client.put_all(&jobs).await;
            assert!(results[..1000].iter().all(Result::is_ok));
            assert!(matches!(
                results[1000],
                Err(PutError::JobTooBig {
                    bytes: 1001,
                    limit: Some(1000)
                })
            ));
            let last = client.put(&Put::new("b")).await.unwrap();
            let mut connection = server.connect();
            assert_eq!(connection.stats_job(last).unwrap().unwrap().tube, "mail");
            let body = connection.peek(ids[0]).unwrap().unwrap().body.to_vec();
            assert!(body.starts_with(b"a:9:{"));
            assert_eq!(connection.stats().unwrap().number("current-producers"), Some(1));
            server.drain();
            let drained = loop {
                if let Err(error) = client.put(&Put::new("c")).await {
                    break error;
                }
            };
            assert!(matches!(drained, PutError::Draining));
        });
    }
}

#[test]
fn a_wrong_call_and_a_synchronous_one_connect_to_nobody() {
    run(async {
        let mut client = Client::new("unix:/nonexistent".parse().unwrap(), tube("orders"));
        let invalid = client.call(&call().delay(-1)).await;
        assert!(matches!(invalid, Err(CallError::Invalid(_))));
        let forced = client.call(&call().force_sync(true)).await;
        assert!(matches!(forced, Err(CallError::NoLocal)));
        let unreachable = client.call(&call()).await;
        assert!(matches!(
            unreachable,
            Err(CallError::Put(PutError::NotPut { .. }))
        ));
    });
}

#[test]
fn a_synchronous_call_is_run_here_and_its_failure_is_the_calls() {
    run(async {
        let client = Client::new("unix:/nonexistent".parse().unwrap(), tube("orders"));
        let mut count = 0;
        let mut client = client.with_local(move |body| {
            count += 1;
            match count {
                1 => Ok(body.to_vec()),
                _ => Err(LocalFailure {
                    kind: LocalFailureKind::Failed,
                    message: "twice".to_owned(),
                }),
            }
        });
        let forced = call().force_sync(true);
        let ran = client.call(&forced).await;
        let Ok(Called::Ran(result)) = ran else {
            panic!("{ran:?}")
        };
        assert!(result.starts_with(br#"{"model":"#));
        let failed = client.call(&forced).await;
        assert!(matches!(failed, Err(CallError::Local(failure)) if failure.message == "twice"));
    });
}

#[test]
fn a_lost_answer_is_unknown_and_put_again_only_where_that_was_asked_for() {
    let lose = || -> Script {
        Box::new(|mut stream| {
            next_command(&mut stream);
            stream.write_all(b"USING orders\r\n").unwrap();
            next_command(&mut stream);
        })
    };
    let keep: Script = Box::new(|mut stream| {
        for answer in ["USING orders\r\n", "INSERTED 7\r\n"] {
            next_command(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let server = Scripted::in_turn([lose(), lose(), keep]);
    run(async {
        let mut client = Client::new(server.address.clone(), tube("orders"));
        let error = client.put(&Put::new("a")).await.unwrap_err();
        assert!(matches!(error, PutError::Unknown { .. }), "{error}");
        let mut client = client.with_resends(1);
        assert_eq!(client.put(&Put::new("a")).await.unwrap(), JobId(7));
    });
    server.finish(());
}

#[test]
fn a_put_that_was_given_up_takes_its_connection_with_it() {
    let late: Script = Box::new(|mut stream| {
        next_command(&mut stream);
        stream.write_all(b"USING orders\r\n").unwrap();
        next_command(&mut stream);
        until_closed(&mut stream);
    });
    let next: Script = Box::new(|mut stream| {
        for answer in ["USING orders\r\n", "INSERTED 2\r\n"] {
            next_command(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let server = Scripted::in_turn([late, next]);
    run(async {
        let mut client = Client::new(server.address.clone(), tube("orders"));
        let given_up = tokio::time::timeout(Duration::from_millis(50), client.put(&Put::new("a"))).await;
        assert!(given_up.is_err());
        assert_eq!(client.put(&Put::new("b")).await.unwrap(), JobId(2));
    });
    server.finish(());
}

#[test]
fn a_server_that_does_not_answer_is_told_after_the_time_out() {
    let silent: Script = Box::new(|mut stream| until_closed(&mut stream));
    let server = Scripted::in_turn([silent]);
    run(async {
        let options = Options {
            reply_timeout: Duration::from_millis(50),
            ..Options::default()
        };
        let mut client = Client::new(server.address.clone(), tube("orders")).with_options(options);
        let error = client.put(&Put::new("a")).await.unwrap_err();
        // Only the tube was asked for, so there can be no job.
        assert!(matches!(error, PutError::NotPut { .. }), "{error}");
    });
    server.finish(());
}
