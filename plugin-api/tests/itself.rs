//! A plugin whose host is in the same binary: what the adapter allocates, and what becomes of panics outside of it.
#![allow(
    unsafe_code,
    reason = "a counting allocator, and the descriptor of this very binary"
)]

mod host;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    thread,
};

use asynccall_abi::{descriptor::Descriptor, outcome::Verdict};
use host::{Plugin, TestJob, logged};
use plugin_api::{prelude::*, tracing::error_span};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, allocation: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(allocation, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Raw;

impl Handler for Raw {
    type Config = ();
    type Payload = RawBody;

    fn new((): ()) -> Result<Self> {
        Ok(Raw)
    }

    fn execute(&self, job: &Job, _: RawBody) -> Result {
        trace!(bytes = job.body().len(), "a level that the host drops");
        if job.body() == b"log" {
            debug!("a level that the host keeps");
        }
        if job.body() == b"spawn" {
            let span = error_span!("batch", nr = 3);
            let thread = thread::Builder::new().name("aside".to_owned());
            let thread = thread.spawn(move || span.in_scope(|| panic!("far away")))?;
            return thread.join().map_err(|_| "the thread panicked".into());
        }
        Ok(().into())
    }
}

export_plugin!(Raw);

unsafe extern "C" {
    /// What `export_plugin!` has put into this binary.
    #[link_name = "asynccall_plugin"]
    static DESCRIPTOR: Descriptor;
}

fn plugin() -> Plugin {
    // SAFETY: it is a plugin's descriptor, in the binary itself.
    unsafe { Plugin::accept(&raw const DESCRIPTOR) }
}

#[test]
fn a_panic_of_another_thread_reaches_the_hosts_log_with_its_job() {
    let raw = plugin().create("raw", "").expect("it needs no configuration");
    let outcome = TestJob::new(6, b"spawn").run(&raw);
    assert_eq!(
        (outcome.verdict, outcome.message.as_str()),
        (Verdict::FAILED, "the thread panicked")
    );
    let [event] = &logged(6)[..] else {
        panic!("one event: {:?}", logged(6));
    };
    assert_eq!((event.level, event.target.as_str()), (1, "panic"));
    assert!(event.message.starts_with("panicked at "), "{}", event.message);
    assert!(event.message.ends_with(": far away"), "{}", event.message);
    assert_eq!(
        event.fields.first(),
        Some(&("thread".to_owned(), "aside".to_owned(), false))
    );
}

#[test]
fn a_successful_raw_job_allocates_nothing() {
    let raw = plugin().create("raw", "null").expect("it needs no configuration");
    let run = |body| {
        let before = ALLOCATIONS.get();
        assert_eq!(TestJob::new(5, body).run(&raw).verdict, Verdict::DONE);
        ALLOCATIONS.get() - before
    };
    // The first job registers the callsites.
    run(b"");
    assert_eq!(run(b"\xff\xfe"), 0);
    assert_ne!(run(b"log"), 0, "the count works");
    assert_eq!(logged(5).len(), 1, "the level that was dropped did not arrive");
}
