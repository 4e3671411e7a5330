//! Against scripted servers: lost connections, and a server that cannot write its answers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use super::{call, tube};
use crate::connection::tests::script::{Script, Scripted, next_command, until_closed};
use crate::connection::{Options, PutError};
use crate::producer::{CallError, Called, Client, Put};
use crate::protocol::{Command, JobId, Parsed, parse_command};

/// Answers one command with each of `answers`, then closes.
fn answering(answers: &'static [&'static [u8]]) -> Script {
    Box::new(move |mut stream: TcpStream| {
        for answer in answers {
            next_command(&mut stream);
            stream.write_all(answer).unwrap();
        }
    })
}

const USING: &[u8] = b"USING orders\r\n";

fn client(server: &Scripted) -> Client {
    Client::new(server.address.clone(), tube("orders"))
}

#[test]
fn a_put_whose_answer_is_lost_is_unknown_and_not_put_again() {
    // It takes the put and closes.
    let take_it: Script = Box::new(|mut stream| {
        next_command(&mut stream);
        stream.write_all(USING).unwrap();
        next_command(&mut stream);
    });
    let server = Scripted::in_turn([take_it]);
    let mut client = client(&server);
    let error = client.put(&Put::new("a")).unwrap_err();
    assert!(matches!(error, PutError::Unknown { .. }), "{error}");
    assert_eq!(error.to_string(), "it is unknown whether the job was put");
    server.finish(client);
}

#[test]
fn the_next_call_makes_a_new_connection() {
    let server = Scripted::in_turn([
        answering(&[USING, b"INSERTED 1\r\n", b""]),
        answering(&[USING, b"INSERTED 2\r\n"]),
    ]);
    let mut client = client(&server);
    assert_eq!(client.put(&Put::new("a")).unwrap(), JobId(1));
    assert!(matches!(
        client.put(&Put::new("b")),
        Err(PutError::Unknown { .. })
    ));
    assert_eq!(client.put(&Put::new("c")).unwrap(), JobId(2));
    server.finish(client);
}

#[test]
fn a_connection_that_was_closed_while_idle_is_replaced_before_anything_is_sent() {
    let (closed, wait) = std::sync::mpsc::channel::<()>();
    let close: Script = Box::new(move |mut stream| {
        for answer in [USING, b"INSERTED 1\r\n"] {
            next_command(&mut stream);
            stream.write_all(answer).unwrap();
        }
        drop(stream);
        closed.send(()).unwrap();
    });
    let server = Scripted::in_turn([close, answering(&[USING, b"INSERTED 2\r\n"])]);
    let mut client = client(&server);
    client.put(&Put::new("a")).unwrap();
    wait.recv().unwrap();
    assert_eq!(client.put(&Put::new("b")).unwrap(), JobId(2));
    server.finish(client);
}

#[test]
fn a_client_that_may_puts_again_what_has_no_answer_and_nothing_else() {
    let server = Scripted::in_turn([
        answering(&[USING, b"INSERTED 1\r\n", b""]),
        answering(&[USING, b"INSERTED 2\r\n", b"INSERTED 3\r\n"]),
    ]);
    let mut client = client(&server).with_resends(1);
    let results = client.put_all(&[Put::new("a"), Put::new("b"), Put::new("c")]);
    let ids: Vec<JobId> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(ids, [JobId(1), JobId(2), JobId(3)]);
    server.finish(client);
}

#[test]
fn a_job_that_may_be_there_stays_unknown_whatever_comes_of_putting_it_again() {
    for second in [
        answering(&[USING, b"DRAINING\r\n"]),
        answering(&[USING, b""]),
        answering(&[]),
    ] {
        let server = Scripted::in_turn([answering(&[USING, b""]), second]);
        let mut client = client(&server).with_resends(1);
        let error = client.put(&Put::new("a")).unwrap_err();
        assert!(matches!(error, PutError::Unknown { .. }), "{error}");
        server.finish(client);
    }
}

#[test]
fn a_batch_tells_the_jobs_that_were_sent_from_those_that_were_not() {
    // 128 puts are sent before the first answer is needed, and the server closes after that one.
    let one: Script = Box::new(|mut stream| {
        next_command(&mut stream);
        stream.write_all(USING).unwrap();
        next_command(&mut stream);
        stream.write_all(b"INSERTED 1\r\n").unwrap();
        for _ in 1..128 {
            next_command(&mut stream);
        }
    });
    let server = Scripted::in_turn([one]);
    let mut client = client(&server);
    let jobs = vec![Put::new("a"); 300];
    let results = client.put_all(&jobs);
    let count = |is: fn(&Result<JobId, PutError>) -> bool| results.iter().filter(|result| is(result)).count();
    assert_eq!(count(|result| result.is_ok()), 1);
    assert_eq!(
        count(|result| matches!(result, Err(PutError::Unknown { .. }))),
        127
    );
    assert_eq!(
        count(|result| matches!(result, Err(PutError::NotPut { .. }))),
        172
    );
    server.finish(client);
}

#[test]
fn each_refusal_of_the_server_has_its_variant_and_a_body_that_may_have_run_ends_the_connection() {
    let server = Scripted::in_turn([
        answering(&[
            USING,
            b"OUT_OF_MEMORY\r\n",
            b"DRAINING\r\n",
            b"BURIED 9\r\n",
            b"INTERNAL_ERROR\r\n",
            b"EXPECTED_CRLF\r\n",
        ]),
        answering(&[USING, b"BAD_FORMAT\r\n"]),
    ]);
    let mut client = client(&server);
    let mut put = || client.put(&Put::new("a")).unwrap_err();
    assert!(matches!(put(), PutError::OutOfMemory));
    assert!(matches!(put(), PutError::Draining));
    assert!(matches!(put(), PutError::Buried { id: JobId(9) }));
    assert!(matches!(put(), PutError::NotPut { .. }));
    assert!(matches!(put(), PutError::ExpectedCrlf));
    assert!(matches!(put(), PutError::NotPut { .. }));
    server.finish(client);
}

#[test]
fn a_time_table_that_was_put_in_part_says_what_became_of_each_entry() {
    let server = Scripted::in_turn([answering(&[
        USING,
        b"INSERTED 1\r\n",
        b"OUT_OF_MEMORY\r\n",
        b"INSERTED 3\r\n",
    ])]);
    let mut client = client(&server);
    let far = crate::producer::now() + 1000;
    let error = client
        .call(&call().retry_time_table([far, far, far]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 of 3 jobs of `retryTimeTable` are not known to be put: entry 2: beanstalkd is out of memory, try again later"
    );
    let CallError::Table { results } = error else {
        panic!()
    };
    assert!(matches!(
        results[..],
        [Ok(JobId(1)), Err(PutError::OutOfMemory), Ok(JobId(3))]
    ));
    server.finish(client);
}

#[test]
fn a_server_that_does_not_answer_is_told_after_the_time_out() {
    let silent: Script = Box::new(|mut stream| {
        next_command(&mut stream);
        stream.write_all(USING).unwrap();
        until_closed(&mut stream);
    });
    let server = Scripted::in_turn([silent]);
    let options = Options {
        reply_timeout: Duration::from_millis(50),
        ..Options::default()
    };
    let mut client = client(&server).with_options(options);
    let error = client.put(&Put::new("a")).unwrap_err();
    assert!(matches!(error, PutError::Unknown { .. }), "{error}");
    server.finish(client);
}

/// As beanstalkd does: it takes no further command before the answer to the last one is written. It can do so only while
/// somebody reads the answers.
#[test]
fn a_batch_gets_through_to_a_server_that_can_hold_no_answer_back() {
    const JOBS: u64 = 40_000;
    let narrow: Script = Box::new(|mut stream| {
        stream.set_nodelay(true).unwrap();
        let socket = SockRef::from(&stream);
        socket.set_send_buffer_size(1).unwrap();
        // Set, it does not grow: what is more than the client's own buffer holds waits for the answers to be read.
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let (mut input, mut room) = (Vec::new(), [0; 64 * 1024]);
        let mut id = 0;
        while id < JOBS {
            let mut start = 0;
            while let Ok(Parsed::Complete { value, consumed }) = parse_command(&input[start..], 1000) {
                start += consumed;
                let answer = match value {
                    Command::Put { .. } => {
                        id += 1;
                        format!("INSERTED {id}\r\n")
                    }
                    _ => "USING orders\r\n".to_owned(),
                };
                stream.write_all(answer.as_bytes()).unwrap();
            }
            input.drain(..start);
            if id < JOBS {
                let count = stream.read(&mut room).unwrap();
                assert!(count > 0, "the client has given up");
                input.extend_from_slice(&room[..count]);
            }
        }
    });
    let server = Scripted::in_turn([narrow]);
    let mut client = client(&server);
    let body = [b'x'; 250];
    let jobs = vec![Put::new(&body); JOBS as usize];
    let results = client.put_all(&jobs);
    for (result, id) in results.into_iter().zip(1..) {
        assert_eq!(result.unwrap(), JobId(id));
    }
    server.finish(client);
}

#[test]
fn a_call_without_a_server_is_not_put() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    let mut client = Client::new(address, tube("orders")).with_resends(2);
    match client.call(&call()) {
        Err(CallError::Put(PutError::NotPut { source })) => {
            assert!(source.to_string().starts_with("cannot connect"), "{source}");
        }
        other => panic!("{:?}", other.map(|called| matches!(called, Called::Put(_)))),
    }
}
