//! What an author may rely on, seen from an author's crate: this file has no `unsafe` and no type of the wire layer.
#![forbid(unsafe_code)]

use std::{
    error::Error as StdError,
    panic,
    sync::{Mutex, mpsc},
    thread,
};

use plugin_api::{
    prelude::*,
    serde_json::Value,
    testing::{Harness, Outcome, Verdict},
    tracing::{Level, info_span, instrument::Instrument},
};

/// Does what the payload names.
struct Obedient;

impl Handler for Obedient {
    type Config = ();
    type Payload = String;
    const DESCRIPTION: &'static str = "does what it is told";

    fn new((): ()) -> Result<Self> {
        Ok(Obedient)
    }

    fn execute(&self, job: &Job, wish: String) -> Result {
        match wish.as_str() {
            "facts" => Ok(json!([
                job.tube(),
                job.attempt(),
                job.remaining().map(|time| time.as_millis() as u64),
                job.age().map(|time| time.as_secs()),
                job.priority(),
                job.cancelled(),
                job.touch(),
            ])
            .into()),
            "three steps" => {
                let reports: Vec<bool> = (0..3).map(|_| job.progress()).collect();
                Ok(json!(reports).into())
            }
            "any std error" => {
                std::fs::read("/proc/self/no such file")?;
                Ok(().into())
            }
            "a boxed error" => Err(Box::<dyn StdError + Send + Sync>::from("boxed"))?,
            "a payload that panics when dropped" => panic::panic_any(Spiteful),
            "a thread of its own" => {
                let span = info_span!("outer", batch = 7);
                let inner = span.in_scope(|| info_span!("inner", part = plugin_api::tracing::field::Empty));
                inner.record("part", "first");
                inner.record("part", "second");
                thread::spawn(move || inner.in_scope(|| warn!(ratio = 0.5, "from a thread")))
                    .join()
                    .expect("the thread only logs");
                info!(parent: &span, ok = true, text = ?"quoted", "from the call");
                Ok(().into())
            }
            other => Err(Error::bury(format_args!("no idea what {other} is")).priority(9)),
        }
    }
}

struct Spiteful;

impl Drop for Spiteful {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("not even this")
        }
    }
}

/// The same on a runtime.
struct Prompt {
    runtime: tokio::runtime::Handle,
    /// What the self-check says.
    check: Option<String>,
}

impl AsyncHandler for Prompt {
    type Config = Value;
    type Payload = RawBody;

    async fn new(config: Value) -> Result<Self> {
        if config["panic"] == json!(true) {
            panic!("no such luck");
        }
        let runtime = tokio::runtime::Handle::try_current()?;
        let check = config["check"].as_str().map(str::to_owned);
        Ok(Prompt { runtime, check })
    }

    async fn self_check(&self) -> Result<()> {
        tokio::time::sleep(Duration::from_micros(1)).await;
        match &self.check {
            Some(text) if text == "panic" => panic!("not in this state"),
            Some(text) => Err(text.as_str().into()),
            None => Ok(()),
        }
    }

    async fn execute(&self, job: &Job<'_>, _: RawBody) -> Result {
        match job.body() {
            b"panic" => panic!("in the future"),
            b"task" => {
                tokio::spawn(async { warn!("from a task") }.in_current_span()).await?;
                Ok(().into())
            }
            b"panicking task" => {
                self.runtime.spawn(async { panic!("in a task") }).await?;
                Ok(().into())
            }
            other => {
                tokio::time::sleep(Duration::from_micros(1)).await;
                Done::result(&other.len())
            }
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        tokio::spawn(async {});
        panic!("at the very end");
    }
}

export_plugin!("obedient" => Obedient, "prompt" => Prompt);

fn told(wish: &str) -> Outcome {
    Harness::<Obedient>::new(json!({}))
        .expect("it needs no configuration")
        .run(json!(wish))
}

#[test]
fn a_handler_without_configuration_takes_none() {
    assert!(Harness::<Obedient>::new(json!(null)).is_ok());
    let refused = Harness::<Obedient>::new(json!({"a": 1}))
        .map(drop)
        .expect_err("it has no field");
    assert_eq!(refused.message(), "unknown field `a`, there are no fields");
}

#[test]
fn a_job_tells_its_facts_as_far_as_they_are_known() {
    let harness = || Harness::<Obedient>::new(json!({})).expect("it needs no configuration");
    let known = harness()
        .tube("mail")
        .attempt(3)
        .remaining(Duration::from_millis(10))
        .age(Duration::from_secs(5))
        .priority(0)
        .cancelled(true)
        .run(json!("facts"));
    assert_eq!(known.result, Some(json!(["mail", 3, 10, 5, 0, true, true])));
    let unknown = harness()
        .tube("-")
        .attempt(0)
        .remaining(None)
        .age(None)
        .priority(None);
    let unknown = unknown.run(json!("facts"));
    assert_eq!(
        unknown.result,
        Some(json!(["-", 0, null, null, null, false, true]))
    );
}

#[test]
fn errors_become_outcomes() {
    let outcome = told("any std error");
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert_eq!(outcome.message, "No such file or directory (os error 2)");
    assert_eq!(told("a boxed error").message, "boxed");

    let outcome = told("this");
    assert_eq!((outcome.verdict, outcome.priority), (Verdict::Bury, Some(9)));
    assert_eq!(outcome.message, "no idea what this is");

    let outcome = Harness::<Obedient>::new(json!({}))
        .expect("it needs no configuration")
        .run(json!(5));
    assert_eq!(outcome.verdict, Verdict::Bury);
    assert_eq!(
        outcome.message,
        "the payload does not fit: invalid type: integer `5`, expected a string"
    );
}

#[test]
fn a_panic_payload_that_panics_is_contained() {
    let outcome = told("a payload that panics when dropped");
    assert_eq!(outcome.verdict, Verdict::Exception);
    assert!(
        outcome.message.ends_with(": a payload that is no text"),
        "{}",
        outcome.message
    );
}

#[test]
fn a_span_takes_the_job_to_other_threads() {
    let outcome = told("a thread of its own");
    let [thread, call] = &outcome.logs[..] else {
        panic!("two events: {:?}", outcome.logs);
    };
    let fields = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    };
    assert_eq!(
        (thread.level, thread.message.as_str()),
        (Level::WARN, "from a thread")
    );
    assert_eq!(thread.target, "author");
    assert_eq!(
        thread.fields,
        fields(&[("batch", "7"), ("part", "second"), ("ratio", "0.5")])
    );
    assert_eq!(
        (call.level, call.message.as_str()),
        (Level::INFO, "from the call")
    );
    assert_eq!(
        call.fields,
        fields(&[("batch", "7"), ("ok", "true"), ("text", "\"quoted\"")])
    );
}

#[test]
fn an_asynchronous_handler_runs_on_the_plugins_runtime() {
    let harness = Harness::<Prompt>::new(json!({})).expect("there is a runtime in `new`");
    assert_eq!(harness.run_bytes(b"\xff\0").result, Some(json!(2)));

    let panicked = harness.run_bytes(b"panic");
    assert_eq!(panicked.verdict, Verdict::Exception);
    assert!(
        panicked.message.contains("tests/author.rs:"),
        "{}",
        panicked.message
    );

    let of_task: Vec<_> = harness
        .run_bytes(b"task")
        .logs
        .into_iter()
        .map(|log| log.message)
        .collect();
    assert_eq!(of_task, ["from a task"]);

    let panicked = harness.run_bytes(b"panicking task");
    assert_eq!(panicked.verdict, Verdict::Failed);
    assert!(panicked.message.contains("in a task"), "{}", panicked.message);

    // Its `drop` wants the runtime, and panics then.
    drop(harness);
}

#[test]
fn a_panic_while_a_handler_is_made_is_an_error() {
    let error = Harness::<Prompt>::new(json!({"panic": true}))
        .map(drop)
        .expect_err("it panics");
    assert!(error.message().starts_with("panicked at "), "{error}");
    assert!(error.message().ends_with(": no such luck"), "{error}");
}

#[test]
fn a_self_check_passes_unless_the_handler_says_otherwise() {
    assert!(
        Harness::<Obedient>::new(json!({}))
            .and_then(|harness| harness.self_check())
            .is_ok()
    );
    let checked = |config| Harness::<Prompt>::new(config).and_then(|harness| harness.self_check());
    assert!(checked(json!({})).is_ok());
    let refused = checked(json!({"check": "no\nserver"})).expect_err("it refuses");
    assert_eq!(refused.message(), "no server");
    let panicked = checked(json!({"check": "panic"})).expect_err("it panics");
    assert!(panicked.message().starts_with("panicked at "), "{panicked}");
    assert!(panicked.message().ends_with(": not in this state"), "{panicked}");
}

#[test]
fn progress_is_counted_until_the_handler_is_asked_to_give_up() {
    let steps = |cancelled| {
        let harness = Harness::<Obedient>::new(json!({})).expect("it needs no configuration");
        let outcome = harness.cancelled(cancelled).run(json!("three steps"));
        (outcome.result, outcome.progress)
    };
    assert_eq!(steps(false), (Some(json!([true, true, true])), 3));
    assert_eq!(steps(true), (Some(json!([false, false, false])), 0));
}

#[test]
fn a_running_handler_can_be_cancelled() {
    struct Patient(Mutex<mpsc::Sender<()>>);

    static READY: Mutex<Option<mpsc::Sender<()>>> = Mutex::new(None);

    impl Handler for Patient {
        type Config = ();
        type Payload = RawBody;

        fn new((): ()) -> Result<Self> {
            let ready = READY.lock().map_err(|_| "poisoned")?.take();
            Ok(Patient(Mutex::new(ready.ok_or("the test gave no channel")?)))
        }

        fn execute(&self, job: &Job, _: RawBody) -> Result {
            self.0.lock().map_err(|_| "poisoned")?.send(())?;
            while !job.cancelled() {
                thread::yield_now();
            }
            Err(Error::retry_in(Duration::ZERO, "cancelled"))
        }
    }

    let (sender, running) = mpsc::channel();
    *READY.lock().expect("nothing has panicked") = Some(sender);
    let harness = Harness::<Patient>::new(json!({})).expect("the channel is there");
    thread::scope(|scope| {
        let outcome = scope.spawn(|| harness.run_bytes(b""));
        running.recv().expect("the handler runs");
        harness.cancel();
        let outcome = outcome.join().expect("the harness does not panic");
        assert_eq!(
            (outcome.verdict, outcome.delay),
            (Verdict::Retry, Some(Duration::ZERO))
        );
    });
}
