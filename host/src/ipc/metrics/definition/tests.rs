use proptest::prelude::*;

use super::*;

fn counter(plugin: &str, name: &str) -> Definition {
    Definition {
        kind: Kind::Counter,
        plugin: plugin.to_owned(),
        name: name.to_owned(),
        help: String::new(),
        labels: BTreeMap::new(),
        bounds: Vec::new(),
    }
}

fn histogram(name: &str, bounds: &[f64]) -> Definition {
    Definition {
        kind: Kind::Histogram,
        bounds: bounds.to_vec(),
        ..counter("zoo-echo", name)
    }
}

fn labelled(name: &str, value: &str) -> Definition {
    Definition {
        labels: BTreeMap::from([(name.to_owned(), value.to_owned())]),
        ..counter("zoo-echo", "counted")
    }
}

#[test]
fn the_plugin_stands_before_the_name() {
    assert_eq!(counter("zoo-echo", "counted").full_name(), "zoo_echo_counted");
}

#[test]
fn good_definitions_pass() {
    let most: Vec<f64> = (0..MOST_BOUNDS).map(|bound| bound as f64).collect();
    for good in [
        counter("zoo-echo", "counted"),
        counter("mailer", "_2"),
        labelled("form", "any \"text\" \\ ü"),
        labelled("_form", ""),
        histogram("seconds", &[]),
        histogram("seconds", &[-1.5, 0.0, 1e300]),
        histogram("seconds", &most),
    ] {
        assert_eq!(good.check(), Ok(()), "{good:?}");
    }
}

#[test]
fn bad_definitions_are_refused_with_the_reason() {
    let many = vec![0.0; MOST_BOUNDS + 1];
    let with_help = Definition {
        help: "two\nlines".to_owned(),
        ..counter("zoo-echo", "counted")
    };
    let gauge_with_bounds = Definition {
        kind: Kind::Gauge,
        ..histogram("size", &[1.0])
    };
    let cases = [
        (
            counter("zoo-echo", ""),
            "`` is no name of a metric\n  hint: letters, digits and `_`, no digit first",
        ),
        (
            counter("zoo-echo", "a-b"),
            "`a-b` is no name of a metric\n  hint: letters, digits and `_`, no digit first",
        ),
        (
            counter("zoo-echo", "2nd"),
            "`2nd` is no name of a metric\n  hint: letters, digits and `_`, no digit first",
        ),
        (
            counter("zoo-echo", "größe"),
            "`größe` is no name of a metric\n  hint: letters, digits and `_`, no digit first",
        ),
        (
            counter("7up", "sold"),
            "`7up_sold` is no name of a metric\n  hint: letters, digits and `_`, no digit first",
        ),
        (
            counter("asynccall-host", "jobs"),
            "names with `asynccall_host_` are the host's own",
        ),
        (
            Definition {
                plugin: "asynccall".to_owned(),
                ..histogram("host", &[])
            },
            "names with `asynccall_host_` are the host's own",
        ),
        (
            labelled("a b", ""),
            "`a b` is no name of a label\n  hint: letters, digits and `_`, no digit and no `__` first",
        ),
        (
            labelled("__name__", ""),
            "`__name__` is no name of a label\n  hint: letters, digits and `_`, no digit and no `__` first",
        ),
        (labelled("pool", "mail"), "the label `pool` is the host's own"),
        (labelled("le", "1"), "the label `le` is the host's own"),
        (
            labelled("form", "\u{1b}[2J"),
            "the value of a label has control characters: \"\\u{1b}[2J\"",
        ),
        (with_help, "its help has control characters: \"two\\nlines\""),
        (gauge_with_bounds, "a gauge has no bounds, this one has 1"),
        (
            histogram("seconds", &many),
            "it has 33 bounds, at most 32 are kept",
        ),
        (
            histogram("seconds", &[2.0, 1.0]),
            "its bounds are not finite and ascending: [2.0, 1.0]",
        ),
        (
            histogram("seconds", &[1.0, 1.0]),
            "its bounds are not finite and ascending: [1.0, 1.0]",
        ),
        (
            histogram("seconds", &[1.0, f64::INFINITY]),
            "its bounds are not finite and ascending: [1.0, inf]",
        ),
        (
            histogram("seconds", &[f64::NAN]),
            "its bounds are not finite and ascending: [NaN]",
        ),
    ];
    for (bad, reason) in cases {
        let refusal = bad.check().expect_err(reason);
        assert_eq!(refusal.to_string(), reason, "{bad:?}");
    }
}

#[test]
fn sets_of_labels_of_one_metric_stand_beside_each_other() {
    assert_eq!(labelled("form", "html").agree(&labelled("form", "plain")), Ok(()));
    assert_eq!(
        counter("zoo-echo", "counted").agree(&counter("zoo-echo", "other")),
        Ok(())
    );
}

#[test]
fn one_name_has_one_form() {
    let seconds = histogram("seconds", &[1.0]);
    let gauge = Definition {
        kind: Kind::Gauge,
        ..counter("zoo-echo", "counted")
    };
    let cases = [
        (
            gauge,
            counter("zoo-echo", "counted"),
            "there is one of that name a counter of `zoo-echo`, this one is a gauge of `zoo-echo`",
        ),
        (
            histogram("seconds", &[2.0]),
            seconds.clone(),
            "there is one of that name a histogram of `zoo-echo` with the bounds [1.0], this one is a histogram of \
             `zoo-echo` with the bounds [2.0]",
        ),
        (
            counter("zoo-echo", "counted"),
            labelled("form", "html"),
            "there is one of that name a counter of `zoo-echo` with the labels `form`, this one is a counter of `zoo-echo`",
        ),
        (
            counter("zoo", "echo_counted"),
            counter("zoo-echo", "counted"),
            "there is one of that name a counter of `zoo-echo`, this one is a counter of `zoo`",
        ),
        (
            counter("zoo-echo", "seconds_sum"),
            seconds.clone(),
            "its numbers would be called as those of `zoo_echo_seconds` are",
        ),
        (
            seconds,
            counter("zoo-echo", "seconds_count"),
            "its numbers would be called as those of `zoo_echo_seconds_count` are",
        ),
    ];
    for (found, known, reason) in cases {
        let refusal = found.agree(&known).expect_err(reason);
        assert_eq!(refusal.to_string(), reason);
    }
}

proptest! {
    #[test]
    fn a_name_that_passes_is_one_of_prometheus(name in ".{0,6}") {
        if counter("p", &name).check().is_ok() {
            let first = name.chars().next().expect("it is not empty");
            prop_assert!(!first.is_ascii_digit());
            prop_assert!(name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_'));
        }
    }

    #[test]
    fn two_metrics_agree_both_ways_or_not_at_all(
        (one, other) in ("[ab](_sum|_count|_bucket)?", "[ab](_sum|_count|_bucket)?"),
        (left, right) in (any::<bool>(), any::<bool>()),
    ) {
        let of = |name: &str, counts: bool| match counts {
            true => counter("zoo-echo", name),
            false => histogram(name, &[1.0]),
        };
        let (one, other) = (of(&one, left), of(&other, right));
        prop_assert_eq!(one.agree(&other).is_ok(), other.agree(&one).is_ok());
    }
}
