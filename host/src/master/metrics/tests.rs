use proptest::prelude::*;

use super::*;

fn definition(kind: Kind, name: &str) -> Definition {
    Definition {
        kind,
        plugin: "zoo-echo".to_owned(),
        name: name.to_owned(),
        help: String::new(),
        labels: BTreeMap::new(),
        bounds: match kind {
            Kind::Histogram => vec![1.0, 2.0],
            _ => Vec::new(),
        },
    }
}

fn counter(worker: u64, pool: &str, name: &str, value: f64) -> Recorded {
    Recorded::new(
        worker,
        pool,
        definition(Kind::Counter, name),
        Reading::Counter(value),
    )
}

fn gauge(worker: u64, pool: &str, name: &str, value: f64) -> Recorded {
    Recorded::new(worker, pool, definition(Kind::Gauge, name), Reading::Gauge(value))
}

fn histogram(worker: u64, name: &str, buckets: [u64; 3], sum: f64) -> Recorded {
    let reading = Reading::Histogram {
        buckets: buckets.to_vec(),
        sum,
    };
    Recorded::new(worker, "p", definition(Kind::Histogram, name), reading)
}

/// Name, pool and value of what is shown of counters and gauges.
fn values(legacy: &Legacy, living: &[Recorded]) -> Vec<(String, String, f64)> {
    let metrics = legacy.shown(living).into_iter();
    let series = metrics.flat_map(|metric| {
        let name = metric.name;
        metric
            .series
            .into_iter()
            .map(move |series| (name.clone(), series))
    });
    series
        .map(|(name, series)| match series.numbers {
            status::Numbers::Value { value } => (name, series.pool, value),
            other => panic!("no value: {other:?}"),
        })
        .collect()
}

fn row(name: &str, pool: &str, value: f64) -> (String, String, f64) {
    (format!("zoo_echo_{name}"), pool.to_owned(), value)
}

#[test]
fn counters_are_summed_up_by_pool_and_outlive_their_workers() {
    let mut legacy = Legacy::default();
    legacy.keep([counter(1, "a", "counted", 0.1)]);
    legacy.keep([counter(2, "a", "counted", 0.2), counter(3, "b", "counted", 5.0)]);
    let living = [counter(4, "a", "counted", 0.3)];
    assert_eq!(
        values(&legacy, &living),
        [row("counted", "a", 0.6), row("counted", "b", 5.0)]
    );
}

#[test]
fn gauges_end_with_their_workers() {
    let mut legacy = Legacy::default();
    legacy.keep([gauge(1, "p", "open", 7.0)]);
    let living = [gauge(2, "p", "open", 2.0), gauge(3, "p", "open", 3.0)];
    assert_eq!(values(&legacy, &living), [row("open", "p", 5.0)]);
    assert_eq!(values(&legacy, &[]), []);
}

#[test]
fn histograms_are_summed_up_and_shown_by_bound() {
    let mut legacy = Legacy::default();
    legacy.keep([histogram(1, "seconds", [1, 0, 2], 9.0)]);
    let shown = legacy.shown(&[histogram(2, "seconds", [1, 1, u64::MAX], 0.5)]);
    assert_eq!(shown.len(), 1);
    assert_eq!(
        shown[0].series[0].numbers,
        status::Numbers::Histogram {
            // A worker may have scribbled any number.
            count: u64::MAX,
            sum: 9.5,
            buckets: vec![
                status::Bucket { le: 1.0, count: 2 },
                status::Bucket { le: 2.0, count: 3 }
            ],
        }
    );
}

#[test]
fn the_newest_worker_tells_what_a_name_stands_for() {
    let mut legacy = Legacy::default();
    legacy.keep([counter(1, "p", "open", 40.0)]);
    let living = [gauge(3, "p", "open", 2.0), counter(2, "p", "open", 1.0)];
    assert_eq!(values(&legacy, &living), [row("open", "p", 2.0)]);
    // What was kept is not lost where the plugin goes back.
    let living = [gauge(3, "p", "open", 2.0), counter(4, "p", "open", 1.0)];
    assert_eq!(values(&legacy, &living), [row("open", "p", 41.0)]);
}

#[test]
fn a_name_stays_a_gauges_when_its_workers_are_gone() {
    let mut legacy = Legacy::default();
    legacy.keep([gauge(3, "p", "open", 2.0)]);
    // Of the generation before, and the last one to go.
    legacy.keep([counter(1, "p", "open", 40.0)]);
    assert_eq!(values(&legacy, &[]), []);
    assert_eq!(
        values(&legacy, &[gauge(4, "p", "open", 7.0)]),
        [row("open", "p", 7.0)]
    );
    let text = serde_json::to_string(&legacy).expect("it is finite");
    let next: Legacy = serde_json::from_str(&text).expect("it was kept so");
    assert_eq!(values(&next, &[]), []);
    assert_eq!(
        values(&legacy, &[counter(4, "p", "open", 1.0)]),
        [row("open", "p", 41.0)]
    );
}

#[test]
fn no_number_is_listed_by_a_name_of_another_metric() {
    let older = counter(1, "p", "seconds_sum", 1.0);
    let newer = histogram(2, "seconds", [0, 0, 1], 3.0);
    let shown = Legacy::default().shown(&[older, newer]);
    let names: Vec<&str> = shown.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["zoo_echo_seconds"]);
}

#[test]
fn what_is_kept_has_an_end_and_what_is_known_goes_on() {
    let mut legacy = Legacy::default();
    legacy.keep((0..MOST_KEPT + 10).map(|nr| counter(1, "p", &format!("counter_{nr}"), 1.0)));
    legacy.keep([counter(2, "p", "counter_0", 1.0), counter(2, "p", "further", 1.0)]);
    assert_eq!(legacy.all.len(), MOST_KEPT);
    assert!(legacy.was_full);
    assert!(values(&legacy, &[]).contains(&row("counter_0", "p", 2.0)));
}

#[test]
fn what_is_kept_survives_being_handed_over() {
    let mut legacy = Legacy::default();
    legacy.keep([
        counter(1, "p", "counted", 0.1),
        counter(2, "p", "counted", 0.2),
        histogram(1, "seconds", [1, 0, 2], 0.3),
    ]);
    let text = serde_json::to_string(&legacy).expect("it is finite");
    let next: Legacy = serde_json::from_str(&text).expect("it was kept so");
    assert_eq!(next.shown(&[]), legacy.shown(&[]));
}

proptest! {
    #[test]
    fn no_counter_goes_back_when_workers_leave(
        amounts in prop::collection::vec(0.0..10.0_f64, 1..8),
        order in prop::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let of = |nr: usize, value: &f64| counter(nr as u64, "p", "counted", *value);
        let mut living: Vec<_> = amounts.iter().enumerate().map(|(nr, value)| of(nr, value)).collect();
        let mut legacy = Legacy::default();
        let all = values(&legacy, &living);
        for leaving in order {
            if !living.is_empty() {
                legacy.keep([living.remove(leaving.index(living.len()))]);
            }
            prop_assert_eq!(values(&legacy, &living), all.clone());
        }
    }
}
