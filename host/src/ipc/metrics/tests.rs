use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn definition(kind: Kind, name: &str) -> Definition {
    Definition {
        kind,
        plugin: "zoo-echo".to_owned(),
        name: name.to_owned(),
        help: "What \"it\" is".to_owned(),
        labels: BTreeMap::from([("form".to_owned(), "html".to_owned())]),
        bounds: match kind {
            Kind::Histogram => vec![0.1, 1.0 / 3.0],
            _ => Vec::new(),
        },
    }
}

fn table() -> Table {
    Table::create().expect("a memfd")
}

/// The table as its master sees it.
fn seen(table: &Table) -> Table {
    Table::open(table.as_fd().try_clone_to_owned().expect("a descriptor")).expect("a mapping")
}

#[test]
fn a_second_mapping_reads_what_the_first_recorded() {
    let table = table();
    let counter = definition(Kind::Counter, "counted");
    let gauge = definition(Kind::Gauge, "open");
    let histogram = definition(Kind::Histogram, "seconds");
    let cell = table.publish(&counter).expect("there is room");
    cell.add(2.5);
    cell.add(0.25);
    let cell = table.publish(&gauge).expect("there is room");
    cell.set(7.0);
    cell.set(-3.0);
    let cell = table.publish(&histogram).expect("there is room");
    for (bucket, value) in [(0, 0.05), (2, 5.0), (2, 6.0)] {
        cell.observe(bucket, value);
    }
    let histogram_reading = Reading::Histogram {
        buckets: vec![1, 0, 2],
        sum: 0.05 + 5.0 + 6.0,
    };
    assert_eq!(
        seen(&table).read().collect::<Vec<_>>(),
        [
            (counter, Reading::Counter(2.75)),
            (gauge, Reading::Gauge(-3.0)),
            (histogram, histogram_reading),
        ]
    );
}

#[test]
fn the_table_has_an_end() {
    let table = table();
    for nr in 0..MOST_METRICS {
        let counter = definition(Kind::Counter, &format!("counter_{nr}"));
        table.publish(&counter).expect("there is room").add(1.0);
    }
    let refusal = table.publish(&definition(Kind::Counter, "further")).err();
    assert_eq!(refusal, Some(Refusal::Full));
    assert_eq!(table.read().count(), MOST_METRICS);
}

#[test]
fn texts_have_an_end() {
    let table = table();
    let fitting = |help: usize| Definition {
        help: "x".repeat(help),
        ..definition(Kind::Histogram, "seconds")
    };
    let around = serde_json::to_vec(&fitting(0)).expect("it is finite").len();
    let longest = fitting(MOST_TEXT - around);
    assert!(table.publish(&longest).is_ok());
    assert_eq!(
        table.read().next().map(|(definition, _)| definition),
        Some(longest)
    );
    let refusal = table.publish(&fitting(MOST_TEXT - around + 1)).err();
    assert_eq!(refusal, Some(Refusal::TooLong { found: MOST_TEXT + 1 }));
}

#[test]
fn a_metric_that_was_not_published_is_not_there() {
    let table = table();
    // As a worker leaves it that dies in the middle.
    let counter = definition(Kind::Counter, "counted");
    let text = serde_json::to_vec(&counter).expect("it is finite");
    let cell = &table.memory.cells[0];
    cell.define(&text[..text.len() / 2]);
    cell.add(5.0);
    assert_eq!(seen(&table).read().count(), 0);
}

#[test]
fn a_sum_stays_finite() {
    let table = table();
    let cell = table
        .publish(&definition(Kind::Counter, "counted"))
        .expect("there is room");
    cell.add(f64::MAX);
    cell.add(f64::MAX);
    cell.add(1.0);
    let readings: Vec<_> = table.read().map(|(_, reading)| reading).collect();
    assert_eq!(readings, [Reading::Counter(f64::MAX)]);
}

#[test]
fn threads_that_count_together_lose_nothing() {
    let table = table();
    let counter = table
        .publish(&definition(Kind::Counter, "counted"))
        .expect("there is room");
    let histogram = table
        .publish(&definition(Kind::Histogram, "seconds"))
        .expect("there is room");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    counter.add(0.5);
                    histogram.observe(1, 0.25);
                }
            });
        }
    });
    let readings: Vec<_> = seen(&table).read().map(|(_, reading)| reading).collect();
    let histogram = Reading::Histogram {
        buckets: vec![0, 4000, 0],
        sum: 1000.0,
    };
    assert_eq!(readings, [Reading::Counter(2000.0), histogram]);
}

#[test]
fn a_gauge_that_was_never_set_is_not_there() {
    let table = table();
    let gauge = definition(Kind::Gauge, "open");
    let cell = table.publish(&gauge).expect("there is room");
    assert_eq!(seen(&table).read().count(), 0);
    cell.set(0.0);
    assert_eq!(
        seen(&table).read().collect::<Vec<_>>(),
        [(gauge, Reading::Gauge(0.0))]
    );
}

#[test]
fn what_a_worker_scribbled_is_left_out() {
    let table = table();
    for name in ["first", "second", "third", "fourth"] {
        table
            .publish(&definition(Kind::Counter, name))
            .expect("there is room")
            .add(1.0);
    }
    let cells = &table.memory.cells;
    cells[0].text_length.store(u32::MAX, Ordering::Relaxed);
    cells[1].text[3].store(0xff, Ordering::Relaxed);
    cells[2].set(f64::NAN);
    cells[3].set(-1.0);
    table.memory.published.store(u32::MAX, Ordering::Relaxed);
    assert_eq!(seen(&table).read().count(), 0);
}

proptest! {
    #[test]
    fn whatever_a_worker_writes_is_read_as_metrics_that_there_can_be(
        texts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<u32>(), any::<u64>()), 1..8),
        published in any::<u32>(),
    ) {
        let table = table();
        for (cell, (text, length, value)) in table.memory.cells.iter().zip(&texts) {
            cell.define(text);
            cell.text_length.store(*length, Ordering::Relaxed);
            cell.value.store(*value, Ordering::Relaxed);
        }
        table.memory.published.store(published, Ordering::Relaxed);
        for (definition, _) in seen(&table).read() {
            prop_assert_eq!(definition.check(), Ok(()));
        }
    }

    #[test]
    fn one_scribbled_byte_never_makes_another_kind_of_thing(at in 0..200_usize, byte in any::<u8>()) {
        let table = table();
        table.publish(&definition(Kind::Histogram, "seconds")).expect("there is room");
        table.memory.cells[0].text[at].store(byte, Ordering::Relaxed);
        for (definition, reading) in seen(&table).read() {
            prop_assert_eq!(definition.check(), Ok(()));
            if let Reading::Histogram { buckets, .. } = reading {
                prop_assert_eq!(buckets.len(), definition.bounds.len() + 1);
            }
        }
    }
}
