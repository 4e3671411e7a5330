//! Against a real beanstalkd.

use super::{call, tube};
use crate::call::{Call, Encoding};
use crate::connection::tests::beanstalkd::{Beanstalkd, eventually};
use crate::connection::{PutError, Reserve};
use crate::payload::{Format, detect};
use crate::producer::{CallError, Called, Client, LocalFailure, LocalFailureKind, Put, now};
use crate::protocol::{JobId, JobState};
use crate::tube::crc32_name;

/// A server and a client of it that puts into `orders`.
#[track_caller]
fn client(arguments: &[&str]) -> Option<(Beanstalkd, Client)> {
    let server = Beanstalkd::on_tcp(arguments)?;
    let client = Client::new(server.address.clone(), tube("orders"));
    Some((server, client))
}

#[track_caller]
fn put(client: &mut Client, call: &Call) -> Vec<JobId> {
    match client.call(call).unwrap() {
        Called::Put(ids) => ids,
        ran => panic!("not put: {ran:?}"),
    }
}

#[track_caller]
fn body(server: &Beanstalkd, id: JobId) -> Vec<u8> {
    let mut connection = server.connect();
    connection
        .peek(id)
        .unwrap()
        .expect("the job is there")
        .body
        .to_vec()
}

#[test]
fn a_call_arrives_with_the_time_as_its_priority_and_its_own_delay_and_ttr() {
    let Some((server, mut client)) = client(&[]) else {
        return;
    };
    let before = now();
    let [id] = put(&mut client, &call().delay(300).ttr(7))[..] else {
        panic!()
    };
    let after = now();
    let mut connection = server.connect();
    let stats = connection.stats_job(id).unwrap().unwrap();
    assert_eq!((stats.tube, stats.state), ("orders", JobState::Delayed));
    assert_eq!((stats.delay, stats.ttr), (300, 7));
    assert!((before..=after).contains(&i64::from(stats.pri)));
    let pri = i64::from(stats.pri);
    let wanted = call().prepare(pri, Encoding::Json).unwrap();
    assert_eq!(body(&server, id), wanted.body());
}

#[test]
fn a_call_in_phps_format_goes_to_the_tube_of_the_php_library() {
    let Some(server) = Beanstalkd::on_tcp(&[]) else {
        return;
    };
    let address = server.address.clone();
    let mut client = Client::new(address, crc32_name("订单")).with_encoding(Encoding::Php);
    let [id] = put(&mut client, &call())[..] else {
        panic!()
    };
    assert_eq!(detect(&body(&server, id)), Format::Php);
    let mut connection = server.connect();
    let stats = connection.stats_job(id).unwrap().unwrap();
    assert_eq!(stats.tube, crc32_name("订单").as_str());
}

#[test]
fn each_entry_of_a_time_table_is_a_job() {
    let Some((server, mut client)) = client(&[]) else {
        return;
    };
    let moments = [now() + 1000, now() + 2000, now() + 3000];
    let ids = put(&mut client, &call().retry_time_table(moments));
    assert_eq!(ids.len(), 3);
    let mut connection = server.connect();
    for (id, most) in ids.iter().zip([1000, 2000, 3000]) {
        let delay = connection.stats_job(*id).unwrap().unwrap().delay;
        // The clock may have gone on since the moments were made.
        assert!(delay <= most && delay > most - 1000, "{delay} of {most}");
    }
    assert_eq!(body(&server, ids[0]), body(&server, ids[2]));
}

#[test]
fn a_wrong_call_opens_no_connection() {
    let Some((server, mut client)) = client(&[]) else {
        return;
    };
    let count = || {
        server
            .connect()
            .stats()
            .unwrap()
            .number("total-connections")
            .unwrap()
    };
    let before = count();
    for wrong in [
        call().delay(-1),
        call().retry_time_table([]),
        call().retry_time_table([now() + 100, 5]),
        call().ttr(0).force_sync(true),
    ] {
        assert!(matches!(client.call(&wrong), Err(CallError::Invalid(_))));
    }
    assert!(matches!(
        client.call(&call().force_sync(true)),
        Err(CallError::NoLocal)
    ));
    assert_eq!(count(), before + 1, "the one that counts");
}

#[test]
fn a_forced_synchronous_call_runs_here_and_touches_no_queue() {
    let Some((server, client)) = client(&[]) else {
        return;
    };
    let mut client = client.with_local(|body| match detect(body) {
        Format::Json => Ok(body.to_vec()),
        _ => Err(LocalFailure {
            kind: LocalFailureKind::Failed,
            message: "no JSON".to_owned(),
        }),
    });
    let sync = call()
        .force_sync(true)
        .retry_time_table([now() + 100])
        .no_retry(true);
    let Called::Ran(result) = client.call(&sync).unwrap() else {
        panic!()
    };
    assert!(result.starts_with(br#"{"model":"Order""#));
    let mut client = client.with_encoding(Encoding::Php);
    let error = client.call(&sync).unwrap_err();
    assert_eq!(error.to_string(), "the handler failed: no JSON");
    let mut connection = server.connect();
    assert_eq!(connection.stats().unwrap().number("total-jobs"), Some(0));
}

#[test]
fn ten_thousand_jobs_go_out_in_one_batch_in_their_order() {
    let Some((server, mut client)) = client(&[]) else {
        return;
    };
    let bodies: Vec<String> = (0..10_000).map(|nth| format!("job {nth}")).collect();
    let jobs: Vec<Put<'_>> = bodies.iter().map(|body| Put::new(body.as_bytes())).collect();
    let results = client.put_all(&jobs);
    let ids: Vec<JobId> = results.into_iter().map(Result::unwrap).collect();
    assert!(ids.is_sorted());
    let mut connection = server.connect();
    connection.watch(&tube("orders")).unwrap();
    for (id, body) in ids.iter().zip(&bodies) {
        let Reserve::Job(job) = connection.reserve_with_timeout(5).unwrap() else {
            panic!()
        };
        assert_eq!((job.id, job.body), (*id, body.as_bytes()));
        let id = job.id;
        connection.delete(id).unwrap();
    }
    assert!(client.put_all(&[]).is_empty());
}

#[test]
fn a_job_that_is_too_big_is_told_with_the_servers_limit_and_harms_no_other() {
    let Some((_server, mut client)) = client(&["-z", "1000"]) else {
        return;
    };
    let big = vec![b'x'; 1001];
    let jobs = [Put::new("a"), Put::new(&big), Put::new("b"), Put::new(&big)];
    let results = client.put_all(&jobs);
    assert!(results[0].is_ok() && results[2].is_ok());
    for at in [1, 3] {
        let error = results[at].as_ref().unwrap_err();
        assert!(matches!(
            error,
            PutError::JobTooBig {
                bytes: 1001,
                limit: Some(1000)
            }
        ));
        assert_eq!(
            error.to_string(),
            "beanstalkd refused a job body of 1001 bytes as too big, it takes up to 1000; hint: its option `-z` sets the limit"
        );
    }
    assert!(client.put(&Put::new("c")).is_ok());
}

#[test]
fn a_server_that_drains_says_so_for_every_job() {
    let Some((server, mut client)) = client(&[]) else {
        return;
    };
    client.put(&Put::new("a")).unwrap();
    server.drain();
    eventually("the server drains", || {
        matches!(client.put(&Put::new("b")), Err(PutError::Draining))
    });
    let error = client
        .call(&call().retry_time_table([now() + 100, now() + 200]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 of 2 jobs of `retryTimeTable` are not known to be put: entry 1: beanstalkd is draining and takes no new jobs"
    );
}

#[test]
fn a_client_puts_into_one_tube_after_the_other_over_one_connection() {
    let Some((server, mut client)) = client(&[]) else {
        return;
    };
    let first = client.put(&Put::new("a")).unwrap();
    client.use_tube(tube("mail"));
    let second = client.put(&Put::new("b").priority(3)).unwrap();
    let mut connection = server.connect();
    for (id, tube) in [(first, "orders"), (second, "mail")] {
        assert_eq!(connection.stats_job(id).unwrap().unwrap().tube, tube);
    }
    assert_eq!(connection.stats_job(second).unwrap().unwrap().pri, 3);
    assert_eq!(connection.stats_job(first).unwrap().unwrap().pri, 1024);
    assert_eq!(connection.stats().unwrap().number("current-producers"), Some(1));
}

#[test]
fn a_server_that_was_restarted_is_noticed_before_anything_is_sent() {
    let Some(server) = Beanstalkd::on_unix(&[]) else {
        return;
    };
    let address = server.address.clone();
    let mut client = Client::new(address.clone(), tube("orders"));
    client.put(&Put::new("a")).unwrap();
    drop(server);
    let error = client.put(&Put::new("b")).unwrap_err();
    assert!(matches!(error, PutError::NotPut { .. }), "{error}");
    let Some(server) = Beanstalkd::on_tcp(&[]) else {
        return;
    };
    let mut client = Client::new(server.address.clone(), tube("orders"));
    let mut other = server.connect();
    client.put(&Put::new("c")).unwrap();
    assert_eq!(other.stats().unwrap().number("total-jobs"), Some(1));
}
