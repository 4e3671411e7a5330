//! What the jobs are, and how they come into a tube, rest there, and leave it.

use asynccall_client::{
    connection::{Connection, ConnectionError, Reserve},
    protocol::{Body, Command, JobId, Reply},
    tube::TubeName,
};

use crate::support::Beanstalkd;

/// How many jobs are put before their answers are read.
const AT_ONCE: usize = 256;
/// Long enough for every row: no job is to come back by itself, in seconds.
const TTR: u32 = 600;

/// A JSON payload of exactly that many bytes, at least 128; `more` are further members.
pub(crate) fn body(id: u64, size: usize, more: &str) -> Vec<u8> {
    let mut body = format!(r#"{{"id":{id},"to":"a@example.org"{more},"text":""#).into_bytes();
    body.resize(size - 2, b'x');
    body.extend_from_slice(b"\"}");
    body
}

/// Puts jobs into a tube, many in one write.
pub(crate) fn put(queue: &Beanstalkd, tube: &str, bodies: impl IntoIterator<Item = Vec<u8>>) {
    let mut client = queue.client();
    client.use_tube(&name(tube)).expect("the tube is used");
    let mut bodies = bodies.into_iter().peekable();
    while bodies.peek().is_some() {
        put_some(&mut client, bodies.by_ref().take(AT_ONCE)).expect("the jobs are put");
    }
}

/// Puts a few jobs into the used tube, in one write.
pub(crate) fn put_some(
    client: &mut Connection,
    bodies: impl Iterator<Item = Vec<u8>>,
) -> Result<Vec<JobId>, ConnectionError> {
    let mut count = 0;
    for body in bodies {
        client.queue(&Command::Put {
            pri: 0,
            delay: 0,
            ttr: TTR,
            body: Body::new(&body).expect("a body of ordinary size"),
        });
        count += 1;
    }
    let inserted = |_| match client.receive()? {
        Reply::Inserted(id) => Ok(id),
        other => panic!("{other:?}"),
    };
    (0..count).map(inserted).collect()
}

/// Has these tubes rest for so many seconds, or go on; at once, so that the last goes on hardly later than the first.
pub(crate) fn pause(queue: &Beanstalkd, tubes: &[String], seconds: u32) {
    let mut client = queue.client();
    for tube in tubes {
        client.queue(&Command::PauseTube {
            tube: name(tube),
            delay: seconds,
        });
    }
    for _ in tubes {
        let reply = client.receive().expect("beanstalkd answers");
        assert!(matches!(reply, Reply::Paused), "{reply:?}");
    }
}

/// Deletes what is ready in a tube, so that it is gone.
pub(crate) fn clear(queue: &Beanstalkd, tube: &str) {
    let mut client = queue.client();
    client.watch(&name(tube)).expect("the tube is watched");
    client.ignore(&name("default")).expect("the tube is ignored");
    while let Reserve::Job(job) = client.reserve_with_timeout(0).expect("beanstalkd answers") {
        let id = job.id;
        client.delete(id).expect("beanstalkd answers");
    }
}

/// A tube of that name.
pub(crate) fn name(tube: &str) -> TubeName {
    TubeName::new(tube).expect("a tube that beanstalkd takes")
}
