//! The handler `http`: jobs of a real queue server become requests, and answers become settlements.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use asynccall_client::protocol::JobState;
use serde_json::{Value, json};

use crate::support::{Beanstalkd, Daemon, Host, eventually, php, queue::PRIORITY};

/// What a receiver was sent.
#[derive(Clone, Debug)]
struct Request {
    /// In lower case, one header each, behind the request line.
    head: Vec<String>,
    body: Value,
}

impl Request {
    /// A header's value; empty where it is missing.
    fn header(&self, name: &str) -> &str {
        let mut headers = self.head.iter().filter_map(|line| line.split_once(": "));
        headers
            .find(|(found, _)| *found == name)
            .map_or("", |(_, value)| value)
    }
}

/// A receiver that answers with the head that a job carries as `answer`; it ends when this is dropped.
struct Receiver {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let stopped = Arc::<AtomicBool>::default();
        let (of_thread, ends) = (Arc::clone(&requests), Arc::clone(&stopped));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                answer(&stream.expect("a connection"), &of_thread);
            }
        });
        Receiver {
            port,
            requests,
            stopped,
            thread: Some(thread),
        }
    }

    /// The requests for a job so far.
    fn requests_for(&self, job: u64) -> Vec<Request> {
        let requests = self.requests.lock().expect("nobody panicked");
        let of_job = requests
            .iter()
            .filter(|request| request.header("x-job-id") == job.to_string());
        of_job.cloned().collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(
            thread::panicking() || !matches!(ended, Some(Err(_))),
            "the receiver has panicked"
        );
    }
}

/// Serves one request, and closes.
fn answer(mut stream: &TcpStream, requests: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream);
    let lines = reader.by_ref().lines().map(|line| line.expect("a line"));
    let head: Vec<String> = lines
        .take_while(|line| !line.is_empty())
        .map(|line| line.to_lowercase())
        .collect();
    let mut request = Request {
        head,
        body: Value::Null,
    };
    let length = request.header("content-length").parse().expect("a length");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the whole body comes");
    request.body = serde_json::from_slice(&body).expect("the body is JSON");
    let head = request.body["answer"].as_str().unwrap_or("200 OK").to_owned();
    requests.lock().expect("nobody panicked").push(request);
    write!(
        stream,
        "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: 4\r\n\r\nsaid"
    )
    .expect("it listens");
}

/// A daemon that posts the jobs of tube `t`.
#[track_caller]
fn daemon(queue: &Beanstalkd, receiver: &Receiver, more: &str) -> Daemon {
    let port = receiver.port;
    let config = format!("[handler.http]\nurl = \"http://127.0.0.1:{port}/jobs\"\n{more}\n");
    Host::new(queue).plugin("http").tube("t").config(&config).start()
}

#[test]
fn a_job_is_posted_with_its_facts_and_deleted_when_the_receiver_has_taken_it() {
    let Some(queue) = Beanstalkd::start() else { return };
    let receiver = Receiver::start();
    let daemon = daemon(&queue, &receiver, "secret = \"shared\"");
    let job = queue.put("t", r#"{"order":7}"#);
    let line = daemon.wait_for_settled(job);
    assert!(line.contains(" outcome=done settled=delete"), "{line}");
    assert!(
        line.contains(r#"result="{\"body\":\"said\",\"status\":200}""#),
        "{line}"
    );
    queue.wait_until_gone(job);

    let requests = receiver.requests_for(job);
    let [request] = requests.as_slice() else {
        panic!("one request, not {requests:?}");
    };
    assert_eq!(request.head[0], "post /jobs http/1.1");
    assert_eq!(request.body, json!({"order": 7}));
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("x-job-tube"), "t");
    assert_eq!(request.header("x-job-attempt"), "1");
    assert_eq!(request.header("x-job-priority"), PRIORITY.to_string());
    assert!(
        request
            .header("idempotency-key")
            .starts_with(&format!("t-{job}-"))
    );
    assert!(request.header("x-signature").starts_with("t="));
    assert!(!daemon.log().contains("shared"));
}

#[test]
fn a_job_that_the_receiver_refuses_is_buried_with_its_words() {
    let Some(queue) = Beanstalkd::start() else { return };
    let receiver = Receiver::start();
    let daemon = daemon(&queue, &receiver, "");
    let job = queue.put("t", r#"{"answer":"404 Not Found"}"#);
    let line = daemon.wait_for_settled(job);
    assert!(line.contains(" outcome=bury settled=bury"), "{line}");
    assert!(line.contains("answered 404 Not Found: said"), "{line}");
    queue.wait_for(job, JobState::Buried);
}

#[test]
fn the_receiver_says_when_a_job_comes_again_and_the_pool_where_it_does_not() {
    let Some(queue) = Beanstalkd::start() else { return };
    let receiver = Receiver::start();
    let daemon = daemon(
        &queue,
        &receiver,
        "[[pool]]\nname = 'default'\n[pool.backoff]\nfirst = 33\njitter = 0",
    );
    let asked = queue.put("t", r#"{"answer":"503 Service Unavailable\r\nRetry-After: 77"}"#);
    let line = daemon.wait_for_settled(asked);
    assert!(
        line.contains(" outcome=retry settled=release delay=77s"),
        "{line}"
    );
    assert_eq!(queue.wait_for(asked, JobState::Delayed).delay, 77);
    let left = queue.put("t", r#"{"answer":"500 Internal Server Error"}"#);
    let line = daemon.wait_for_settled(left);
    assert!(
        line.contains(" outcome=failed settled=release delay=33s"),
        "{line}"
    );

    queue.kick(asked);
    let requests = eventually("the job is posted again", || {
        Some(receiver.requests_for(asked)).filter(|requests| requests.len() == 2)
    });
    let keys = [0, 1].map(|number| requests[number].header("idempotency-key").to_owned());
    assert_eq!(keys[0], keys[1]);
    let attempts = [0, 1].map(|number| requests[number].header("x-job-attempt").to_owned());
    assert_eq!(attempts, ["1", "2"]);
}

#[test]
fn a_job_of_the_php_library_is_posted_as_json() {
    let Some(queue) = Beanstalkd::start() else { return };
    if !php::installed() {
        return;
    }
    let receiver = Receiver::start();
    let daemon = daemon(&queue, &receiver, "");
    let job = php::put(&queue, "t", &json!({"call": {"methodParams": {"text": "grün"}}}));
    let line = daemon.wait_for_settled(job);
    assert!(line.contains(" outcome=done settled=delete"), "{line}");
    let requests = receiver.requests_for(job);
    assert_eq!(requests[0].body["methodParams"], json!({"text": "grün"}));
}
