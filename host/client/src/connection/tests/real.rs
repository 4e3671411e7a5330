//! Against a real beanstalkd.

use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};

use super::beanstalkd::{Beanstalkd, eventually};
use crate::connection::{Address, Connection, ConnectionError, PutError, Released, Reserve};
use crate::protocol::{Command, JobId, JobState, Reply};
use crate::tube::TubeName;

fn tube(name: &str) -> TubeName {
    TubeName::new(name).unwrap()
}

#[track_caller]
fn reserved(connection: &mut Connection) -> (JobId, Vec<u8>) {
    match connection.reserve_with_timeout(5).unwrap() {
        Reserve::Job(job) => (job.id, job.body.to_vec()),
        other => panic!("no job: {other:?}"),
    }
}

/// Walks a job through its whole life, with each command that belongs to it.
fn a_jobs_life(connection: &mut Connection) {
    connection.use_tube(&tube("life")).unwrap();
    assert_eq!(connection.list_tube_used().unwrap(), tube("life"));
    assert_eq!(connection.watch(&tube("life")).unwrap(), 2);
    assert_eq!(connection.ignore(&tube("default")).unwrap(), Some(1));
    assert_eq!(connection.ignore(&tube("life")).unwrap(), None);
    assert_eq!(connection.list_tubes_watched().unwrap(), [tube("life")]);
    assert!(connection.list_tubes().unwrap().contains(&tube("life")));

    let body = b"line\r\nRESERVED 1 2\r\n\0\xff";
    let id = connection.put(7, 0, 60, body).unwrap();
    assert_eq!(connection.peek(id).unwrap().unwrap().body, body);
    assert_eq!(connection.peek_ready().unwrap().unwrap().id, id);
    assert_eq!(reserved(connection), (id, body.to_vec()));
    assert!(connection.touch(id).unwrap());
    assert_eq!(connection.release(id, 8, 1000).unwrap(), Released::Released);
    assert_eq!(connection.peek_delayed().unwrap().unwrap().id, id);
    assert!(connection.kick_job(id).unwrap());
    assert_eq!(connection.reserve_job(id).unwrap().unwrap().body, body);
    assert!(connection.bury(id, 9).unwrap());
    assert_eq!(connection.peek_buried().unwrap().unwrap().id, id);

    let stats = connection.stats_job(id).unwrap().unwrap();
    assert_eq!(
        (stats.id, stats.tube, stats.state, stats.pri, stats.ttr),
        (id, "life", JobState::Buried, 9, 60)
    );
    assert_eq!(
        (stats.reserves, stats.releases, stats.buries, stats.kicks),
        (2, 1, 1, 1)
    );

    assert_eq!(connection.kick(10).unwrap(), 1);
    assert!(connection.delete(id).unwrap());
    let of_tube = connection.stats_tube(&tube("life")).unwrap().unwrap();
    assert_eq!(
        (of_tube.get("name"), of_tube.number("total-jobs")),
        (Some("life"), Some(1))
    );
    assert!(connection.pause_tube(&tube("life"), 0).unwrap());
}

/// What is not there is a result of its own, and the connection goes on.
fn nothing_there(connection: &mut Connection) {
    let none = JobId(u64::MAX);
    assert!(!connection.delete(none).unwrap());
    assert!(!connection.touch(none).unwrap());
    assert!(!connection.bury(none, 0).unwrap());
    assert!(!connection.kick_job(none).unwrap());
    assert_eq!(connection.release(none, 0, 0).unwrap(), Released::NotFound);
    assert_eq!(connection.peek(none).unwrap(), None);
    assert_eq!(connection.reserve_job(none).unwrap(), None);
    assert_eq!(connection.stats_job(none).unwrap(), None);
    assert_eq!(connection.stats_tube(&tube("nowhere")).unwrap(), None);
    assert!(!connection.pause_tube(&tube("nowhere"), 1).unwrap());
    assert_eq!(connection.kick(1).unwrap(), 0);
    assert_eq!(connection.reserve_with_timeout(0).unwrap(), Reserve::TimedOut);
}

#[test]
fn every_command_works_over_tcp() {
    let Some(server) = Beanstalkd::on_tcp(&[]) else {
        return;
    };
    let mut connection = server.connect();
    a_jobs_life(&mut connection);
    nothing_there(&mut connection);
    connection.quit().unwrap();
}

#[test]
fn every_command_works_over_a_unix_socket() {
    let Some(server) = Beanstalkd::on_unix(&[]) else {
        return;
    };
    assert!(matches!(server.address, Address::Unix(_)));
    let mut connection = server.connect();
    a_jobs_life(&mut connection);
    nothing_there(&mut connection);
}

#[test]
fn the_extreme_numbers_and_names_are_accepted_by_the_server() {
    let Some(server) = Beanstalkd::on_tcp(&[]) else {
        return;
    };
    let mut connection = server.connect();
    let longest = tube(&"a".repeat(200));
    connection.use_tube(&longest).unwrap();
    connection.watch(&tube("A-+/;.$_()9")).unwrap();
    let id = connection.put(u32::MAX, u32::MAX, u32::MAX, b"").unwrap();
    assert_eq!(
        connection.stats_job(id).unwrap().unwrap().delay,
        u64::from(u32::MAX)
    );
    assert!(connection.pause_tube(&longest, u32::MAX).unwrap());
    assert_eq!(connection.kick(u32::MAX).unwrap(), 1);
}

#[test]
fn a_body_over_the_servers_limit_is_refused_and_the_connection_goes_on() {
    let Some(server) = Beanstalkd::on_tcp(&[]) else {
        return;
    };
    let mut connection = server.connect();
    let refused = connection.put(0, 0, 60, &vec![b'x'; 65_536]).unwrap_err();
    assert!(
        matches!(
            refused,
            PutError::JobTooBig {
                bytes: 65_536,
                limit: None
            }
        ),
        "{refused}"
    );
    assert!(connection.put(0, 0, 60, &vec![b'x'; 65_535]).is_ok());
}

#[test]
fn a_tube_is_chosen_with_the_put_and_the_limit_of_bodies_is_told() {
    let Some(server) = Beanstalkd::on_tcp(&["-z", "1234"]) else {
        return;
    };
    let mut connection = server.connect();
    let id = connection.use_and_put(&tube("u"), 3, 0, 60, b"job").unwrap();
    assert_eq!(connection.stats_job(id).unwrap().unwrap().tube, "u");
    assert_eq!(connection.list_tube_used().unwrap(), tube("u"));
    assert_eq!(connection.job_limit().unwrap(), Some(1234));
    let refused = connection.use_and_put(&tube("v"), 3, 0, 60, &[b'x'; 1235]);
    assert!(matches!(refused, Err(PutError::JobTooBig { bytes: 1235, .. })));
    assert_eq!(connection.list_tube_used().unwrap(), tube("v"), "it is in step");
}

#[test]
fn a_body_of_a_server_with_a_larger_limit_comes_back_whole() {
    let Some(server) = Beanstalkd::on_tcp(&["-z", "8000000"]) else {
        return;
    };
    let mut connection = server.connect();
    let body: Vec<u8> = (0..8_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let id = connection.put(0, 0, 60, &body).unwrap();
    let (reserved_id, reserved_body) = reserved(&mut connection);
    assert_eq!(reserved_id, id);
    assert!(reserved_body == body, "the body came back changed");
    assert!(connection.delete(id).unwrap());
}

#[test]
fn a_held_job_near_its_deadline_is_told() {
    let Some(server) = Beanstalkd::on_tcp(&[]) else {
        return;
    };
    let mut connection = server.connect();
    connection.put(0, 0, 1, b"short").unwrap();
    reserved(&mut connection);
    assert_eq!(connection.reserve_with_timeout(5).unwrap(), Reserve::DeadlineSoon);
}

#[test]
fn delete_and_the_next_reserve_go_together_and_take_no_new_memory() {
    let Some(server) = Beanstalkd::on_unix(&[]) else {
        return;
    };
    let mut connection = server.connect();
    for number in 0..200_u32 {
        connection.put(0, 0, 60, number.to_string().as_bytes()).unwrap();
    }
    let (mut held, _) = reserved(&mut connection);
    let mut memory = None;
    for number in 1..200_u32 {
        connection.queue(&Command::Delete(held));
        connection.queue(&Command::ReserveWithTimeout { seconds: 5 });
        connection.flush().unwrap();
        assert_eq!(connection.receive().unwrap(), Reply::Deleted);
        match connection.receive().unwrap() {
            Reply::Reserved { id, body } => {
                assert_eq!(body, number.to_string().as_bytes());
                held = id;
            }
            other => panic!("no job: {other:?}"),
        }
        let now = (
            connection.output.capacity(),
            connection.outstanding.capacity(),
            connection.input.capacity(),
        );
        assert_eq!(*memory.get_or_insert(now), now);
    }
    assert_eq!(connection.outstanding(), 0);
}

#[test]
fn a_half_close_ends_a_waiting_reserve_at_once() {
    for server in [Beanstalkd::on_tcp(&[]), Beanstalkd::on_unix(&[])]
        .into_iter()
        .flatten()
    {
        let mut waiting = server.connect();
        let mut observer = server.connect();
        let waker = waiting.waker();
        let (sender, ended) = mpsc::channel();
        // Without a limit of its own: nothing but the half-close ends this reserve.
        std::thread::spawn(move || {
            let timed_out = matches!(waiting.reserve(), Ok(Reserve::TimedOut));
            let marked = waiting.is_half_closed();
            let after = waiting.delete(JobId(1)).unwrap_err().to_string();
            sender.send((timed_out, marked, after)).unwrap();
        });
        eventually("a waiting reserve", || {
            observer.stats().unwrap().number("current-waiting") == Some(1)
        });
        waker.half_close();
        let (timed_out, marked, after) = ended.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(timed_out && marked);
        assert_eq!(
            after,
            "the connection was half-closed to end a waiting reserve, nothing can be sent on it"
        );
        waker.half_close();
    }
}

#[test]
fn a_waker_does_not_keep_a_dropped_connection_and_its_job() {
    let Some(server) = Beanstalkd::on_tcp(&[]) else {
        return;
    };
    let mut observer = server.connect();
    let id = observer.put(0, 0, 600, b"held").unwrap();
    let mut holder = server.connect();
    let waker = holder.waker();
    reserved(&mut holder);
    drop(holder);
    eventually("the job is ready again", || {
        observer.stats_job(id).unwrap().unwrap().state == JobState::Ready
    });
    waker.half_close();
}

#[test]
fn a_broken_connection_gives_its_job_back_before_it_is_dropped() {
    let Some(server) = Beanstalkd::on_tcp(&[]) else {
        return;
    };
    let mut observer = server.connect();
    let id = observer.put(0, 0, 600, b"held").unwrap();
    let mut holder = server.connect();
    reserved(&mut holder);
    let error = holder.break_with(ConnectionError::Broken);
    assert!(matches!(error, ConnectionError::Broken));
    eventually("the job is ready again", || {
        observer.stats_job(id).unwrap().unwrap().state == JobState::Ready
    });
    assert!(holder.is_broken());
}

/// Deletes a job and reserves the next in one write; the id of the next.
fn next(connection: &mut Connection, id: JobId) -> Option<JobId> {
    connection.queue(&Command::Delete(id));
    connection.queue(&Command::ReserveWithTimeout { seconds: 1 });
    assert_eq!(connection.receive().unwrap(), Reply::Deleted);
    match connection.receive().unwrap() {
        Reply::Reserved { id, .. } => Some(id),
        Reply::TimedOut => None,
        other => panic!("no answer to a reserve: {other:?}"),
    }
}

#[test]
fn the_answers_to_a_delete_and_a_reserve_are_read_together_where_jobs_are_waiting() {
    for server in [Beanstalkd::on_tcp(&[]), Beanstalkd::on_unix(&[])] {
        let Some(server) = server else { return };
        let mut connection = server.connect();
        for streak in 1..=2 {
            let ids: Vec<_> = (0..1000)
                .map(|_| connection.put(0, 0, 60, b"{}").unwrap())
                .collect();
            let mut gathered = 0;
            let mut id = reserved(&mut connection).0;
            for (pair, expected) in ids[1..].iter().enumerate() {
                id = next(&mut connection, id).unwrap();
                assert_eq!(id, *expected);
                assert!(
                    pair >= 64 || connection.low_water == 1,
                    "it is tried again too soon in streak {streak}"
                );
                gathered += usize::from(connection.low_water > 1);
                if id.0.is_multiple_of(10) {
                    // Its answer is shorter than what a pair waits for.
                    assert!(connection.touch(id).unwrap());
                    assert_eq!(connection.low_water, 1);
                }
            }
            assert!(gathered > 0, "in streak {streak}");
            assert_eq!(
                next(&mut connection, id),
                None,
                "the delete is answered although no job comes"
            );
        }
    }
}

/// Waits for replies by the connection's descriptor; the oldest, where it has come as a whole.
fn outside(connection: &mut Connection) -> Result<Option<Reply<'_>>, ConnectionError> {
    let mut waited = [PollFd::new(connection.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut waited, 10_000_u16).unwrap(), 1, "nothing comes");
    connection.receive_now()
}

/// The job of a reserve that is waited for so, in as many pieces as the server writes.
fn reserved_outside(connection: &mut Connection) -> (JobId, Vec<u8>) {
    loop {
        match outside(connection).unwrap() {
            Some(Reply::Reserved { id, body }) => return (id, body.to_vec()),
            None => {}
            Some(other) => panic!("no job: {other:?}"),
        }
    }
}

#[test]
fn replies_can_be_waited_for_by_the_descriptor() {
    for server in [Beanstalkd::on_tcp(&[]), Beanstalkd::on_unix(&[])] {
        let Some(server) = server else { return };
        let mut connection = server.connect();
        assert!(matches!(
            connection.receive_now(),
            Err(ConnectionError::OutOfTurn { outstanding: 0 })
        ));
        connection.queue(&Command::ReserveWithTimeout { seconds: 600 });
        assert_eq!(connection.receive_now().unwrap(), None, "there is no job");
        let body = vec![b'x'; 60_000];
        let id = server.connect().put(0, 0, 60, &body).unwrap();
        connection.wait_outside().unwrap();
        assert_eq!(reserved_outside(&mut connection), (id, body));
        drop(server);
        connection.queue(&Command::Delete(id));
        let closed = loop {
            match outside(&mut connection) {
                Ok(reply) => assert_eq!(reply, None),
                Err(error) => break error,
            }
        };
        assert!(matches!(closed, ConnectionError::Closed { .. }), "{closed:?}");
        assert!(connection.is_broken());
    }
}

#[test]
fn the_answers_to_a_delete_and_a_reserve_can_be_waited_for_together() {
    let Some(server) = Beanstalkd::on_tcp(&[]) else {
        return;
    };
    let mut connection = server.connect();
    let mut producer = server.connect();
    let mut ids = (0..200).map(|_| producer.put(0, 0, 60, b"{}").unwrap());
    let first = ids.next().unwrap();
    let last = ids.last().unwrap();
    let mut id = reserved(&mut connection).0;
    assert_eq!(id, first);
    let mut together = 0;
    let tell = |connection: &mut Connection, id| {
        connection.queue(&Command::Delete(id));
        connection.queue(&Command::ReserveWithTimeout { seconds: 600 });
        connection.flush().unwrap();
        connection.wait_outside().unwrap();
    };
    while id != last {
        tell(&mut connection, id);
        let waits_for_both = connection.low_water > 1;
        // The server writes an answer of one line as a whole.
        assert_eq!(outside(&mut connection).unwrap(), Some(Reply::Deleted));
        let next = match connection.receive_now().unwrap() {
            Some(Reply::Reserved { id, .. }) => Some(id),
            None => None,
            Some(other) => panic!("no job: {other:?}"),
        };
        assert!(next.is_some() || !waits_for_both, "one came without the other");
        together += u32::from(waits_for_both);
        id = next.unwrap_or_else(|| reserved_outside(&mut connection).0);
    }
    assert!(together > 0);
    // No job is left: the answer to the delete comes alone, to whoever waits no longer for both.
    tell(&mut connection, id);
    assert!(connection.low_water > 1);
    connection.wait_no_longer().unwrap();
    assert_eq!(outside(&mut connection).unwrap(), Some(Reply::Deleted));
    assert_eq!(connection.receive_now().unwrap(), None);
    assert!(!connection.gather.is_due(), "it was in vain");
}
