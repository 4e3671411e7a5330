//! Against scripted servers, which do what a real one never does.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use super::script::{Scripted, next_command, until_closed};
use crate::connection::{Connection, ConnectionError, Doing, Options, PutError, Reserve};
use crate::protocol::{Command, JobId, Reply, ServerError, Verb};
use crate::tube::TubeName;

fn impatient() -> Options {
    let short = Duration::from_millis(50);
    Options {
        reply_timeout: short,
        write_timeout: short,
        ..Options::default()
    }
}

#[track_caller]
fn is_broken_for_good(connection: &mut Connection) {
    assert!(connection.is_broken());
    assert_eq!(connection.outstanding(), 0);
    for _ in 0..2 {
        assert!(matches!(
            connection.delete(JobId(1)),
            Err(ConnectionError::Broken)
        ));
        assert!(matches!(connection.receive(), Err(ConnectionError::Broken)));
    }
}

#[test]
fn a_server_that_closes_in_the_middle_of_a_reply_breaks_the_connection() {
    for part in [
        "",
        "RESER",
        "RESERVED 1 5\r",
        "RESERVED 1 5\r\nab",
        "RESERVED 1 5\r\nabcde\r",
    ] {
        let server = Scripted::closing_after(part.as_bytes());
        let mut connection = server.connect();
        let error = connection.reserve_with_timeout(5).unwrap_err();
        let doing = Doing::AwaitingReply(Verb::ReserveWithTimeout);
        assert!(
            matches!(error, ConnectionError::Closed { doing: found } if found == doing),
            "{part:?}: {error}"
        );
        is_broken_for_good(&mut connection);
        server.finish(connection);
    }
}

#[test]
fn a_server_that_is_no_beanstalkd_is_told_with_what_it_said() {
    let server = Scripted::answering(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let mut connection = server.connect();
    let error = connection.delete(JobId(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "protocol violation while waiting for the reply to `delete`; hint: is this server a beanstalkd?"
    );
    assert_eq!(
        error.source().unwrap().to_string(),
        "found `HTTP/1.1 400 Bad Request`, which is no reply of the beanstalkd protocol"
    );
    is_broken_for_good(&mut connection);
    server.finish(connection);
}

#[test]
fn an_endless_line_is_an_error_after_its_longest_length() {
    let server = Scripted::answering(&[b'a'; 10_000]);
    let mut connection = server.connect();
    let error = connection.delete(JobId(1)).unwrap_err();
    assert!(matches!(error, ConnectionError::Protocol { .. }), "{error}");
    is_broken_for_good(&mut connection);
    server.finish(connection);
}

#[test]
fn a_length_over_the_limit_is_refused_before_its_body() {
    let server = Scripted::answering(b"RESERVED 1 1001\r\n");
    let mut connection = server.connect_with(&Options {
        body_limit: 1000,
        ..Options::default()
    });
    let error = connection.reserve().unwrap_err();
    assert_eq!(
        error.source().unwrap().to_string(),
        "found a body of 1001 bytes announced, the limit is 1000"
    );
    is_broken_for_good(&mut connection);
    server.finish(connection);
}

#[test]
fn a_lying_length_takes_no_memory() {
    let server = Scripted::closing_after(b"RESERVED 1 1073741824\r\nshort");
    let mut connection = server.connect();
    assert!(matches!(
        connection.reserve(),
        Err(ConnectionError::Closed { .. })
    ));
    assert!(connection.input.capacity() <= 256 * 1024);
    server.finish(connection);
}

#[test]
fn a_silent_server_is_told_by_the_command_that_waited() {
    let server = Scripted::answering(b"");
    let mut connection = server.connect_with(&impatient());
    let error = connection.delete(JobId(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "timed out after 50ms while waiting for the reply to `delete`"
    );
    is_broken_for_good(&mut connection);
    server.finish(connection);
}

#[test]
fn a_server_that_sends_a_byte_at_a_time_does_not_hold_the_client_for_ever() {
    let server = Scripted::start(|mut stream| {
        next_command(&mut stream);
        stream.write_all(b"RESERVED 1 60000\r\n").unwrap();
        // Ends when the client gives up and shuts the socket.
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let mut connection = server.connect_with(&impatient());
    let error = connection.reserve_with_timeout(0).unwrap_err();
    assert!(matches!(error, ConnectionError::TimedOut { .. }), "{error}");
    server.finish(connection);
}

#[test]
fn a_server_that_does_not_read_is_told_as_a_stuck_write() {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let server = Scripted::start(move |_stream| assert!(wait.recv().is_err()));
    let mut connection = server.connect_with(&impatient());
    let error = connection.put(0, 0, 60, &vec![b'x'; 64 << 20]).unwrap_err();
    let PutError::Unknown { source } = error else {
        panic!("{error}");
    };
    let doing = Doing::Sending;
    assert!(
        matches!(*source, ConnectionError::TimedOut { doing: found, .. } if found == doing),
        "{source}"
    );
    is_broken_for_good(&mut connection);
    drop(done);
    server.finish(connection);
}

#[test]
fn a_reply_to_another_command_breaks_the_connection() {
    let server = Scripted::answering(b"DELETED\r\n");
    let mut connection = server.connect();
    let error = connection.reserve_with_timeout(5).unwrap_err();
    let text = "beanstalkd answered `DELETED` to `reserve-with-timeout`, which has no such reply";
    assert_eq!(error.to_string(), text);
    is_broken_for_good(&mut connection);
    server.finish(connection);
}

#[test]
fn bytes_that_nobody_asked_for_are_not_taken_for_the_next_reply() {
    let server = Scripted::answering(b"DELETED\r\nDELETED\r\n");
    let mut connection = server.connect();
    assert!(connection.delete(JobId(1)).unwrap());
    let error = connection.delete(JobId(2)).unwrap_err();
    let text = r"found `DELETED\r\n` from the server where no command was waiting for a reply";
    assert_eq!(error.source().unwrap().to_string(), text);
    is_broken_for_good(&mut connection);
    server.finish(connection);
}

#[test]
fn a_put_behind_a_tube_that_the_server_does_not_take_is_unknown() {
    let put = |replies: &'static [u8]| {
        let server = Scripted::answering(replies);
        let mut connection = server.connect();
        let tube = TubeName::new("u").unwrap();
        let put = connection.use_and_put(&tube, 0, 0, 60, b"job");
        let left = (connection.is_broken(), connection.outstanding());
        server.finish(connection);
        (put, left)
    };
    let (put_well, left) = put(b"USING u\r\nINSERTED 7\r\n");
    assert_eq!((put_well.unwrap(), left), (JobId(7), (false, 0)));
    for behind in [
        b"OUT_OF_MEMORY\r\nINSERTED 7\r\n".as_slice(),
        b"OUT_OF_MEMORY\r\nDRAINING\r\n",
    ] {
        let (put, left) = put(behind);
        assert!(matches!(put, Err(PutError::Unknown { .. })), "{put:?}");
        assert_eq!(left, (false, 0), "both replies were read");
    }
    let (put, left) = put(b"USING u\r\nDRAINING\r\n");
    assert!(matches!(put, Err(PutError::Draining)), "{put:?}");
    assert_eq!(left, (false, 0));
}

#[test]
fn each_refusal_of_a_put_is_its_own_error() {
    let put = |reply: &'static [u8]| {
        let server = Scripted::answering(reply);
        let mut connection = server.connect();
        let error = connection.put(0, 0, 60, b"job").unwrap_err();
        let broken = connection.is_broken();
        server.finish(connection);
        (error, broken)
    };
    assert!(matches!(
        put(b"JOB_TOO_BIG\r\n"),
        (
            PutError::JobTooBig {
                bytes: 3,
                limit: None
            },
            false
        )
    ));
    assert!(matches!(put(b"DRAINING\r\n"), (PutError::Draining, false)));
    assert!(matches!(
        put(b"OUT_OF_MEMORY\r\n"),
        (PutError::OutOfMemory, false)
    ));
    assert!(matches!(
        put(b"BURIED 9\r\n"),
        (PutError::Buried { id: JobId(9) }, false)
    ));
    assert!(matches!(
        put(b"EXPECTED_CRLF\r\n"),
        (PutError::ExpectedCrlf, true)
    ));
    let (error, broken) = put(b"BAD_FORMAT\r\n");
    let source = error.source().unwrap().to_string();
    assert_eq!(
        (error.to_string().as_str(), source.as_str(), broken),
        (
            "the job was not put",
            "beanstalkd answered `BAD_FORMAT` to `put`",
            true
        )
    );
}

#[test]
fn an_error_reply_to_a_line_command_leaves_the_connection_usable() {
    let server = Scripted::start(|mut stream| {
        for reply in [b"UNKNOWN_COMMAND\r\n".as_slice(), b"DELETED\r\n"] {
            next_command(&mut stream);
            stream.write_all(reply).unwrap();
        }
    });
    let mut connection = server.connect();
    let error = connection.reserve_job(JobId(1)).unwrap_err();
    let wanted = ServerError::UnknownCommand;
    assert!(matches!(error, ConnectionError::Server { command: Verb::ReserveJob, reply } if reply == wanted));
    assert!(connection.delete(JobId(1)).unwrap());
    server.finish(connection);
}

#[test]
fn delete_and_reserve_arrive_in_one_piece_and_are_answered_in_order() {
    let server = Scripted::start(|mut stream| {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece).unwrap();
        assert_eq!(&piece[..count], b"delete 7\r\nreserve-with-timeout 3\r\n");
        // One byte a write: wherever the pieces end, the replies are the same.
        for byte in b"DELETED\r\nRESERVED 8 4\r\n\r\n\r\n\r\n" {
            stream.write_all(&[*byte]).unwrap();
        }
    });
    let mut connection = server.connect();
    connection.queue(&Command::Delete(JobId(7)));
    connection.queue(&Command::ReserveWithTimeout { seconds: 3 });
    connection.flush().unwrap();
    assert_eq!(connection.receive().unwrap(), Reply::Deleted);
    assert_eq!(
        connection.receive().unwrap(),
        Reply::Reserved {
            id: JobId(8),
            body: b"\r\n\r\n"
        }
    );
    server.finish(connection);
}

#[test]
fn a_reserve_is_waited_for_longer_than_its_own_time_and_a_pair_needs_one_time_out() {
    let server = Scripted::answering(b"DELETED\r\nTIMED_OUT\r\n");
    let mut connection = server.connect();
    let reply = Options::default().reply_timeout;
    connection.queue(&Command::Delete(JobId(1)));
    assert_eq!(connection.longest_wait(), Some(reply));
    connection.queue(&Command::ReserveWithTimeout { seconds: 30 });
    assert_eq!(connection.longest_wait(), Some(reply + Duration::from_secs(30)));
    assert_eq!(connection.receive().unwrap(), Reply::Deleted);
    assert_eq!(connection.read_timeout, Some(reply + Duration::from_secs(30)));
    assert_eq!(connection.receive().unwrap(), Reply::TimedOut);
    connection.queue(&Command::Reserve);
    assert_eq!(connection.longest_wait(), None);
    server.finish(connection);
}

#[test]
fn a_call_out_of_turn_is_refused_and_harms_nothing() {
    let server = Scripted::answering(b"DELETED\r\n");
    let mut connection = server.connect();
    assert!(matches!(
        connection.receive(),
        Err(ConnectionError::OutOfTurn { outstanding: 0 })
    ));
    connection.queue(&Command::Delete(JobId(1)));
    assert!(matches!(
        connection.stats(),
        Err(ConnectionError::OutOfTurn { outstanding: 1 })
    ));
    assert_eq!(connection.receive().unwrap(), Reply::Deleted);
    assert!(!connection.is_broken());
    server.finish(connection);
}

#[test]
fn a_job_that_crosses_the_half_close_is_marked() {
    let (go, half_closed) = std::sync::mpsc::channel::<()>();
    let server = Scripted::start(move |mut stream| {
        next_command(&mut stream);
        half_closed.recv().unwrap();
        stream.write_all(b"RESERVED 1 1\r\nx\r\n").unwrap();
        until_closed(&mut stream);
    });
    let mut connection = server.connect();
    connection.queue(&Command::Reserve);
    connection.flush().unwrap();
    connection.waker().half_close();
    go.send(()).unwrap();
    assert!(matches!(connection.receive(), Ok(Reply::Reserved { .. })));
    assert!(connection.is_half_closed());
    assert!(matches!(
        connection.delete(JobId(1)),
        Err(ConnectionError::HalfClosed)
    ));
    is_broken_for_good(&mut connection);
    server.finish(connection);
}

#[test]
fn a_reply_that_has_come_with_an_earlier_one_is_there_without_reading() {
    let (go, is_read) = std::sync::mpsc::channel::<()>();
    let server = Scripted::start(move |mut stream| {
        (0..3).for_each(|_| next_command(&mut stream));
        stream
            .write_all(b"DELETED\r\nRESERVED 2 1\r\nx\r\nTIMED")
            .unwrap();
        is_read.recv().unwrap();
        stream.write_all(b"_OUT\r\n").unwrap();
        until_closed(&mut stream);
    });
    let mut connection = server.connect();
    connection.queue(&Command::Delete(JobId(1)));
    connection.queue(&Command::Reserve);
    connection.queue(&Command::ReserveWithTimeout { seconds: 0 });
    assert_eq!(connection.receive_read().unwrap(), None, "nothing was read");
    assert_eq!(connection.receive().unwrap(), Reply::Deleted);
    let (id, body) = (JobId(2), b"x".as_slice());
    assert_eq!(
        connection.receive_read().unwrap(),
        Some(Reply::Reserved { id, body })
    );
    assert_eq!(connection.receive_read().unwrap(), None, "it is not whole");
    go.send(()).unwrap();
    assert_eq!(connection.receive().unwrap(), Reply::TimedOut);
    server.finish(connection);
}

#[test]
fn statistics_that_cannot_be_read_leave_the_connection_in_step() {
    let server = Scripted::start(|mut stream| {
        for reply in [b"OK 3\r\nabc\r\n".as_slice(), b"TIMED_OUT\r\n"] {
            next_command(&mut stream);
            stream.write_all(reply).unwrap();
        }
    });
    let mut connection = server.connect();
    let error = connection.stats_job(JobId(1)).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the reply to `stats-job`");
    assert_eq!(connection.reserve_with_timeout(0).unwrap(), Reserve::TimedOut);
    server.finish(connection);
}

#[test]
fn a_server_that_is_not_there_is_told_by_its_address() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for (address, kind) in [
        (format!("127.0.0.1:{free}"), std::io::ErrorKind::ConnectionRefused),
        (
            "unix:/nonexistent/b.sock".to_owned(),
            std::io::ErrorKind::NotFound,
        ),
    ] {
        let error = Connection::connect(&address.parse().unwrap(), &Options::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot connect to beanstalkd at `{address}`")
        );
        assert!(matches!(error, ConnectionError::Connect { source, .. } if source.kind() == kind));
    }
}

#[test]
fn time_outs_of_nothing_and_of_ages_are_taken() {
    for extreme in [Duration::ZERO, Duration::MAX] {
        let server = Scripted::closing_after(b"");
        let options = Options {
            connect_timeout: extreme.max(Duration::from_secs(5)),
            reply_timeout: extreme,
            write_timeout: extreme,
            keepalive: Some(extreme),
            body_limit: usize::MAX,
        };
        let mut connection = server.connect_with(&options);
        assert!(connection.reserve_with_timeout(u32::MAX).is_err());
        server.finish(connection);
    }
}
