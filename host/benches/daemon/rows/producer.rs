//! How fast jobs are put: the client's batches, beside a producer that writes the same bytes and nothing else.

use std::{
    io::{BufReader, Read, Write},
    net::TcpStream,
    time::Instant,
};

use asynccall_client::{Client, producer::Put};

use super::{Options, Tell};
use crate::{
    drain, load,
    process::cpu_ns,
    support::{Beanstalkd, queue::Listen},
    table::{Row, Target},
};

/// The size of a job's body, in bytes.
const SIZE: usize = 256;
/// How many jobs one batch has.
const BATCH: usize = 1_000;
/// What the raw producer writes before it reads the answers, in jobs: many, and less than what the server's answers need of
/// the sockets' buffers.
const AT_ONCE: usize = 500;

pub(super) fn rows(options: &Options, tell: Tell<'_>) {
    let Some(queue) = Beanstalkd::start_in_memory(Listen::Tcp) else {
        return;
    };
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..options.rounds {
        for (run, put) in runs.iter_mut().zip([by_client, by_hand]) {
            let tube = drain::tube(&queue);
            let body = load::body(0, SIZE, "");
            let own = || cpu_ns(&[std::process::id()]);
            let (begun, cpu) = (Instant::now(), own());
            put(&queue, &tube, &body, options.jobs as usize);
            let seconds = begun.elapsed().as_secs_f64();
            run.push((
                options.jobs as f64 / seconds,
                (own() - cpu) as f64 / 1000.0 / options.jobs as f64,
            ));
            load::clear(&queue, &tube);
        }
    }
    let [ours, theirs] = [0, 1].map(|who| runs[who].iter().map(|run| run.0).collect::<Vec<f64>>());
    tell(Row::pairs(
        "put in batches of 1,000",
        "jobs/s",
        &ours,
        "raw producer",
        &theirs,
        Target::AtLeast(0.9),
    ));
    let [ours, theirs] = [0, 1].map(|who| runs[who].iter().map(|run| run.1).collect::<Vec<f64>>());
    tell(Row::pairs(
        "put in batches of 1,000",
        "CPU µs/job",
        &ours,
        "raw producer",
        &theirs,
        Target::None,
    ));
}

fn by_client(queue: &Beanstalkd, tube: &str, body: &[u8], jobs: usize) {
    let mut client = Client::new(queue.address().clone(), load::name(tube));
    let batch: Vec<Put<'_>> = (0..BATCH).map(|_| Put::new(body)).collect();
    for begun in (0..jobs).step_by(BATCH) {
        let results = client.put_all(&batch[..BATCH.min(jobs - begun)]);
        assert!(results.iter().all(Result::is_ok), "all are put");
    }
}

fn by_hand(queue: &Beanstalkd, tube: &str, body: &[u8], jobs: usize) {
    let socket = TcpStream::connect(("127.0.0.1", queue.port())).expect("the queue server answers");
    socket.set_nodelay(true).expect("an option of TCP");
    let mut answers = BufReader::with_capacity(64 * 1024, &socket);
    (&socket)
        .write_all(format!("use {tube}\r\n").as_bytes())
        .expect("it takes it");
    lines(&mut answers, 1);
    let mut put = format!("put 1024 0 60 {}\r\n", body.len()).into_bytes();
    put.extend_from_slice(body);
    put.extend_from_slice(b"\r\n");
    let many = put.repeat(AT_ONCE);
    for begun in (0..jobs).step_by(AT_ONCE) {
        let count = AT_ONCE.min(jobs - begun);
        (&socket)
            .write_all(&many[..count * put.len()])
            .expect("it takes it");
        lines(&mut answers, count);
    }
}

fn lines(answers: &mut impl Read, count: usize) {
    let mut seen = 0;
    let mut some = [0; 4096];
    while seen < count {
        let read = answers.read(&mut some).expect("the queue server answers");
        assert_ne!(read, 0, "the queue server has gone");
        seen += some[..read].iter().filter(|byte| **byte == b'\n').count();
    }
}
