#![allow(unsafe_code, reason = "a counting allocator")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell as ThreadCell,
};

use asynccall_abi::{
    abi_stable::std_types::{RSlice, RStr},
    host::{MetricKind, MetricLabel},
};

use super::*;
use crate::ipc::metrics::Reading;

struct Counting;

thread_local! {
    static ALLOCATIONS: ThreadCell<usize> = const { ThreadCell::new(0) };
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

fn book() -> Book {
    let table = Table::create().expect("a memfd");
    Book::new(Box::leak(Box::new(table)))
}

fn wished<'a>(kind: MetricKind, name: &'a str, bounds: &'a [f64]) -> MetricDefinition<'a> {
    MetricDefinition {
        kind,
        plugin: RStr::from_str("zoo-echo"),
        name: RStr::from_str(name),
        help: RStr::from_str(""),
        labels: RSlice::from_slice(&[]),
        bounds: RSlice::from_slice(bounds),
    }
}

fn label<'a>(name: &'a str, value: &'a str) -> MetricLabel<'a> {
    MetricLabel {
        name: RStr::from_str(name),
        value: RStr::from_str(value),
    }
}

fn readings(book: &Book) -> Vec<Reading> {
    book.table.read().map(|(_, reading)| reading).collect()
}

#[test]
fn the_same_name_and_labels_are_the_same_metric() {
    let book = book();
    let labels = [label("form", "html"), label("size", "big")];
    let turned = [labels[1], labels[0]];
    let other = [label("form", "plain"), label("size", "big")];
    let with = |labels| MetricDefinition {
        labels: RSlice::from_slice(labels),
        ..wished(MetricKind::COUNTER, "mails", &[])
    };
    let number = book.make_known(&with(&labels));
    assert_ne!(number, NO_METRIC);
    assert_eq!(book.make_known(&with(&turned)), number);
    assert_ne!(book.make_known(&with(&other)), number);
    assert_eq!(readings(&book).len(), 2);
}

#[test]
fn what_cannot_be_kept_is_no_metric() {
    let book = book();
    let twice = [label("form", "html"), label("form", "plain")];
    let long = "x".repeat(MOST_TEXT + 1);
    let labelled_twice = MetricDefinition {
        labels: RSlice::from_slice(&twice),
        ..wished(MetricKind::COUNTER, "mails", &[])
    };
    let many = [0.0; MOST_BOUNDS + 1];
    for (refused, reason) in [
        (
            wished(MetricKind(3), "mails", &[]),
            Refusal::UnknownKind { found: 3 },
        ),
        (
            labelled_twice,
            Refusal::LabelTwice {
                found: "form".to_owned(),
            },
        ),
        (
            wished(MetricKind::COUNTER, &long, &[]),
            Refusal::TooLong {
                found: MOST_TEXT + 1 + "zoo-echo".len(),
            },
        ),
        (
            wished(MetricKind::HISTOGRAM, "seconds", &many),
            Refusal::TooManyBounds {
                found: MOST_BOUNDS + 1,
            },
        ),
    ] {
        assert_eq!(definition(&refused), Err(reason));
        assert_eq!(book.make_known(&refused), NO_METRIC);
    }
    assert_eq!(readings(&book), []);
}

#[test]
fn a_metric_of_another_form_is_refused_and_the_first_one_goes_on() {
    let book = book();
    let number = book.make_known(&wished(MetricKind::COUNTER, "mails", &[]));
    assert_eq!(
        book.make_known(&wished(MetricKind::GAUGE, "mails", &[])),
        NO_METRIC
    );
    book.record(number, 1.0);
    assert_eq!(readings(&book), [Reading::Counter(1.0)]);
}

#[test]
fn each_kind_makes_its_own_of_a_value() {
    let book = book();
    let counter = book.make_known(&wished(MetricKind::COUNTER, "mails", &[]));
    let gauge = book.make_known(&wished(MetricKind::GAUGE, "open", &[]));
    let histogram = book.make_known(&wished(MetricKind::HISTOGRAM, "seconds", &[0.0, 1.0]));
    for value in [2.5, -1.0, 0.0, 1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for number in [counter, gauge, histogram, NO_METRIC, histogram + 1, u64::MAX] {
            book.record(number, value);
        }
    }
    let seen = Reading::Histogram {
        // Bounds belong to the bucket below them.
        buckets: vec![2, 1, 1],
        sum: 2.5,
    };
    assert_eq!(
        readings(&book),
        [Reading::Counter(3.5), Reading::Gauge(1.0), seen]
    );
}

#[test]
fn a_refusal_is_told_once_and_the_end_of_the_table_once_for_all() {
    let book = book();
    let name = Refusal::Name {
        found: "a-b".to_owned(),
    };
    assert!(book.is_news("zoo-echo", "a-b", &name));
    assert!(!book.is_news("zoo-echo", "a-b", &name));
    assert!(book.is_news("zoo-echo", "one", &Refusal::Full));
    assert!(!book.is_news("zoo-echo", "other", &Refusal::Full));
    let told = (0..1000)
        .filter(|nr| book.is_news("zoo-echo", &format!("a-{nr}"), &name))
        .count();
    assert_eq!(told, MOST_TOLD - 1);
}

#[test]
fn recording_allocates_nothing() {
    let book = book();
    let numbers = [
        book.make_known(&wished(MetricKind::COUNTER, "mails", &[])),
        book.make_known(&wished(MetricKind::GAUGE, "open", &[])),
        book.make_known(&wished(MetricKind::HISTOGRAM, "seconds", &[0.1, 1.0])),
        NO_METRIC,
    ];
    let before = ALLOCATIONS.get();
    for value in [0.5, 2.0, -1.0, f64::NAN] {
        for number in numbers {
            book.record(number, value);
        }
    }
    assert_eq!(ALLOCATIONS.get(), before);
    let known = book.make_known(&wished(MetricKind::COUNTER, "further", &[]));
    assert_ne!(known, NO_METRIC);
    assert!(ALLOCATIONS.get() > before, "the allocator counts");
}
