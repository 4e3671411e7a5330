//! Loads a real plugin, the echo of the zoo, as a host does: from a shared library, over the wire layer.
#![allow(
    unsafe_code,
    reason = "opening a library and reading its symbols is what is tested"
)]

mod built;
mod host;

use std::{
    ffi::CString,
    process::Command,
    slice,
    sync::{Barrier, OnceLock},
    thread,
};

use asynccall_abi::{
    ABI_MAJOR, ABI_MINOR,
    descriptor::{DESCRIPTOR_SYMBOL, Descriptor},
    handler::RawHandlerBox,
    manifest::MANIFEST_SYMBOL,
    outcome::{DELAY_BY_POLICY, Verdict},
    plugin::CreateFailure,
};
use host::{Plugin, TestJob, logged};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use serde_json::{Value, json};

fn built() -> &'static built::Library {
    static BUILT: OnceLock<built::Library> = OnceLock::new();
    BUILT.get_or_init(|| built::library("zoo-echo", "echo", "so"))
}

/// Opens the plugin, and leaves it open for as long as the process lives.
fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        // SAFETY: the library has been built from this workspace; it has no constructors of its own.
        unsafe { Library::open(Some(&built().file), RTLD_NOW | RTLD_LOCAL) }
            .expect("the library can be opened")
    })
}

fn symbol<T>(name: &str) -> *const T {
    let name = CString::new(name).expect("the names have no NUL");
    // SAFETY: the address is not used as `T` here; the callers say what is there.
    let symbol = unsafe { library().get::<*const T>(name.as_bytes_with_nul()) };
    *symbol.expect("every plugin exports the symbol")
}

fn echo() -> Plugin {
    // SAFETY: it is the descriptor of a plugin, whose library is never closed.
    unsafe { Plugin::accept(symbol::<Descriptor>(DESCRIPTOR_SYMBOL)) }
}

/// The manifest, a single JSON document.
fn manifest() -> Value {
    let start = symbol::<u8>(MANIFEST_SYMBOL);
    let prefix = |len| {
        // SAFETY: a prefix of a JSON document is complete only at its end, and the search below stops there.
        unsafe { slice::from_raw_parts(start, len) }
    };
    (1..1000)
        .find_map(|len| serde_json::from_slice(prefix(len)).ok())
        .expect("the manifest is JSON")
}

fn handler(config: &str) -> RawHandlerBox {
    echo().create("echo", config).expect("the configuration fits")
}

#[test]
fn descriptor_and_manifest_say_who_the_plugin_is() {
    let identity = echo().identity;
    let package = format!("{}@{}", identity.name, identity.version);
    assert!(
        built().package.ends_with(&package),
        "{package} of {}",
        built().package
    );
    assert_eq!(identity.name, "zoo-echo");
    assert_eq!(identity.abi, (ABI_MAJOR, ABI_MINOR));
    let compiler = Command::new("rustc")
        .arg("--version")
        .output()
        .expect("there is a compiler");
    let compiler = String::from_utf8(compiler.stdout).expect("its version is text");
    assert!(
        compiler.starts_with(identity.toolchain),
        "{} of {compiler}",
        identity.toolchain
    );

    let expected = json!({
        "abi": format!("{ABI_MAJOR}.{ABI_MINOR}"),
        "name": identity.name,
        "version": identity.version,
        "toolchain": identity.toolchain,
        "handlers": [{"name": "echo", "description": "Answers with its own payload"}],
    });
    assert_eq!(manifest(), expected);
}

#[test]
fn a_payload_is_answered_with_itself() {
    let handler = handler("{}");
    for payload in [
        r#"{"a":[1,2.5,{}],"b":null}"#,
        "[]",
        "[1]",
        "\"text\"",
        "7",
        "null",
    ] {
        let outcome = TestJob::new(1, payload.as_bytes()).run(&handler);
        assert_eq!(outcome.verdict, Verdict::DONE, "{payload}: {}", outcome.message);
        assert_eq!(std::str::from_utf8(&outcome.result), Ok(payload));
    }
}

#[test]
fn a_payload_gets_the_outcome_that_it_asks_for() {
    let handler = handler("{}");
    let table = [
        (
            json!({"fail": true}),
            Verdict::FAILED,
            DELAY_BY_POLICY,
            "the payload asked for a failure",
        ),
        (
            json!({"fail": "no luck"}),
            Verdict::FAILED,
            DELAY_BY_POLICY,
            "no luck",
        ),
        (json!({"fail": false}), Verdict::DONE, DELAY_BY_POLICY, ""),
        (
            json!({"retry_in": 1.5}),
            Verdict::RETRY,
            1500,
            "the payload asked for a retry",
        ),
        (
            json!({"bury": "broken"}),
            Verdict::BURY,
            DELAY_BY_POLICY,
            "broken",
        ),
        (
            json!({"sleep_ms": "long"}),
            Verdict::BURY,
            DELAY_BY_POLICY,
            "invalid type: string \"long\", expected u64",
        ),
    ];
    for (payload, verdict, delay, message) in table {
        let outcome = TestJob::new(1, payload.to_string().as_bytes()).run(&handler);
        let answer = (outcome.verdict, outcome.delay_ms, outcome.message.as_str());
        assert_eq!(answer, (verdict, delay, message), "{payload}");
    }
}

#[test]
fn a_body_that_cannot_be_decoded_is_buried_with_the_reason() {
    let handler = handler("{}");
    let empty = TestJob::new(1, b"").run(&handler);
    assert_eq!(
        (empty.verdict, empty.message.as_str()),
        (Verdict::BURY, "the body is empty")
    );
    let broken = TestJob::new(1, b"{\"a\"").run(&handler);
    assert_eq!(broken.verdict, Verdict::BURY);
    assert_eq!(
        broken.message,
        "the payload does not fit: EOF while parsing an object at line 1 column 4"
    );
}

#[test]
fn a_panic_stays_inside_the_plugin_and_says_where_it_was() {
    let handler = handler("{}");
    let outcome = TestJob::new(1, br#"{"panic": "on\npurpose"}"#).run(&handler);
    assert_eq!(outcome.verdict, Verdict::EXCEPTION);
    let message = outcome.message.as_str();
    assert!(message.starts_with("panicked at "), "{message}");
    assert!(message.contains("echo/src/lib.rs:"), "{message}");
    assert!(message.ends_with(": on purpose"), "{message}");
    let next = TestJob::new(2, b"1").run(&handler);
    assert_eq!(next.verdict, Verdict::DONE, "the handler lives on");
}

#[test]
fn two_threads_run_one_handler_at_once() {
    let handler = handler("{}");
    let both = Barrier::new(2);
    let meet = || {
        both.wait();
    };
    thread::scope(|scope| {
        for id in [1, 2] {
            let (handler, meet) = (&handler, &meet);
            scope.spawn(move || {
                let body = id.to_string();
                let job = TestJob {
                    on_json: meet,
                    ..TestJob::new(id, body.as_bytes())
                };
                let outcome = job.run(handler);
                assert_eq!(outcome.result.as_slice(), body.as_bytes());
            });
        }
    });
}

#[test]
fn log_events_arrive_with_the_job_and_their_fields() {
    let handler = handler(r#"{"tag": "blue"}"#);
    TestJob::new(901, b"[1]").run(&handler);
    let [event] = &logged(901)[..] else {
        panic!("one event per job: {:?}", logged(901));
    };
    assert_eq!(
        (event.level, event.target.as_str(), event.message.as_str()),
        (4, "echo", "echo")
    );
    assert!(event.file.ends_with("echo/src/lib.rs"), "{}", event.file);
    let fields: Vec<_> = event
        .fields
        .iter()
        .map(|(n, v, json)| (n.as_str(), v.as_str(), *json))
        .collect();
    assert_eq!(fields, [("tag", "blue", false), ("bytes", "3", true)]);
}

#[test]
fn a_handler_that_cannot_be_made_says_why() {
    let refused = |name, config| {
        let error = echo()
            .create(name, config)
            .map(drop)
            .expect_err("it cannot be made");
        (error.failure, error.message.into_string())
    };
    assert_eq!(
        refused("ecko", "{}"),
        (
            CreateFailure::UNKNOWN_HANDLER,
            "no handler is called `ecko`, the plugin has `echo`".to_owned()
        )
    );
    // Which other fields there are is the echo's affair.
    let (failure, message) = refused("echo", r#"{"tga": "x"}"#);
    assert_eq!(failure, CreateFailure::CONFIG);
    let expected = "unknown field `tga`, expected one of `tag`, `self_check`, ";
    assert!(message.starts_with(expected), "{message}");
}
