//! For all answers, settings and messages.

use proptest::prelude::*;

use super::*;

/// Noon or any other time, as numbers that can be compared without a calendar.
type Clock = (i16, i8, i8, i8, i8, i8);

fn clock() -> impl Strategy<Value = Clock> {
    // Days that every month has: what runs over into the next month is the tables' matter.
    (2000_i16..2100, 1_i8..=12, 1_i8..=28, 0_i8..24, 0_i8..60, 0_i8..60)
}

fn at((year, month, day, hour, minute, second): Clock) -> Zoned {
    civil::datetime(year, month, day, hour, minute, second, 0)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .expect("a time")
}

fn written((year, month, day, hour, minute, second): Clock) -> String {
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

fn settings() -> impl Strategy<Value = Settings> {
    let source = prop_oneof![Just(RetrySource::Message), Just(RetrySource::Pool)];
    let expired = prop_oneof![Just(Expired::Delete), Just(Expired::Bury)];
    let seconds = 0_u64..100_000;
    let backoff = (seconds.clone(), seconds, 1.0..100.0_f64, 0.0..=1.0_f64);
    let all = (source, expired, backoff, 1_u32..60);
    all.prop_map(
        |(source, expired, (first, more, factor, jitter), max_attempts)| Settings {
            source,
            expired,
            backoff: Backoff {
                first: Duration::from_secs(first),
                max: Duration::from_secs(first + more),
                factor,
                jitter,
            },
            max_attempts,
        },
    )
}

fn facts() -> impl Strategy<Value = Facts> {
    let attempt = prop_oneof![4 => 0_u32..80, 1 => any::<u32>()];
    (any::<u64>(), attempt, any::<u32>()).prop_map(|(id, attempt, priority)| Facts {
        id,
        attempt,
        priority,
    })
}

fn failure() -> impl Strategy<Value = Failure> {
    let delay = prop_oneof![
        (0_u64..1_000_000).prop_map(Duration::from_millis),
        (any::<u64>(), 0_u32..1_000_000_000).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
    ];
    prop_oneof![
        Just(Failure::Bury),
        Just(Failure::Failed),
        Just(Failure::Exception),
        Just(Failure::TimedOut),
        Just(Failure::Retry(None)),
        delay.prop_map(|delay| Failure::Retry(Some(delay))),
    ]
}

fn flag() -> impl Strategy<Value = Flag> {
    prop_oneof![Just(Flag::True), Just(Flag::False), Just(Flag::Other)]
}

/// A message whose `retryStopAt` is what the strategy makes.
fn message(stop_at: impl Strategy<Value = String>) -> impl Strategy<Value = RetryFields<'static>> {
    let fields = (
        prop::option::of(flag()),
        prop::option::of(flag()),
        prop::option::of(prop_oneof![-5_i64..5, any::<i64>()]),
        prop::option::of(stop_at),
    );
    fields.prop_map(|(error_retry, no_retry, retry_interval, stop_at)| RetryFields {
        error_retry,
        no_retry,
        retry_interval,
        retry_stop_at: stop_at.map(Cow::Owned),
    })
}

/// Texts that are dates, nearly dates, and anything.
fn any_stop_at() -> impl Strategy<Value = String> {
    prop_oneof![
        clock().prop_map(written),
        "[0-9]{0,6}[-:T Z+.]{0,2}[0-9]{0,5}[-: T]{0,2}[0-9]{0,3}[ :T]?[0-9:.+-]{0,12}",
        any::<String>(),
    ]
}

/// The bounds of the pool's own delay in seconds, found by multiplying again and again.
fn delays(attempt: u32, backoff: &Backoff) -> std::ops::RangeInclusive<f64> {
    let longest = backoff.max.as_secs_f64();
    let mut grown = backoff.first.as_secs_f64();
    for _ in 1..attempt.min(2000) {
        grown = (grown * backoff.factor).min(longest);
    }
    // Rounding to whole seconds, and the last digits of a float.
    let (least, most) = (grown * (1.0 - backoff.jitter), grown * (1.0 + backoff.jitter));
    (least * 0.999_999 - 0.51)..=(most * 1.000_001 + 0.51).min(longest)
}

/// What the documentation says of a message that carries a field for this failure; nothing where it carries none.
fn by_the_book(
    failure: Failure,
    message: &RetryFields<'_>,
    stop: Option<Clock>,
    now: Clock,
    expired: Expired,
) -> Option<Action> {
    match failure {
        Failure::Exception => match message.error_retry {
            None => None,
            Some(Flag::False) => Some(Action::Bury),
            Some(Flag::True | Flag::Other) => Some(Action::Release { delay: 10 }),
        },
        Failure::Failed => match (message.retry_interval, stop) {
            (None, _) => None,
            (Some(i64::MIN..=0), _) => Some(Action::Bury),
            (Some(_), Some(stop)) if stop < now => Some(match expired {
                Expired::Delete => Action::Delete,
                Expired::Bury => Action::Bury,
            }),
            (Some(interval), _) => Some(Action::Release {
                delay: interval.min(i64::from(u32::MAX)) as u32,
            }),
        },
        _ => None,
    }
}

proptest! {
    #[test]
    fn a_decision_is_made_whatever_comes(
        failure in failure(),
        facts in facts(),
        message in message(any_stop_at()),
        settings in settings(),
        now in clock(),
    ) {
        let decided = decide(failure, facts, &message, &settings, &at(now));
        prop_assert!(!decided.reason.is_empty());
        // Only an end that the message names makes a failed job disappear.
        let names_its_end = failure == Failure::Failed && message.retry_stop_at.is_some();
        prop_assert!(decided.action != Action::Delete || names_its_end);
        let nothing = RetryFields::default();
        if !needs_message(failure, &Settings { source: RetrySource::Message, ..settings }) {
            let without = decide(failure, facts, &nothing, &settings, &at(now));
            prop_assert_eq!(&without, &decided, "the message was not to be read");
        }
        if !needs_attempt(failure) {
            let other = Facts { attempt: facts.attempt.wrapping_add(1), ..facts };
            let other = decide(failure, other, &nothing, &settings, &at(now));
            prop_assert_eq!(other.action, decided.action, "the attempt was not to be asked for");
        }
    }

    #[test]
    fn a_delay_that_was_asked_for_is_kept_to_the_second(
        secs in 0_u64..u64::from(u32::MAX),
        nanos in 0_u32..1_000_000_000,
        facts in facts(),
        message in message(any_stop_at()),
        settings in settings(),
        now in clock(),
    ) {
        let asked = Failure::Retry(Some(Duration::new(secs, nanos)));
        let decided = decide(asked, facts, &message, &settings, &at(now));
        let Action::Release { delay } = decided.action else {
            return Err(TestCaseError::fail(format!("{decided:?}")));
        };
        let (delay, asked) = (u128::from(delay) * 1_000_000_000, Duration::new(secs, nanos).as_nanos());
        prop_assert!(delay >= asked && delay - asked < 1_000_000_000, "{} ns of {}", delay, asked);
    }

    #[test]
    fn the_pools_delays_stay_within_their_bounds_and_end_with_the_attempts(
        failure in prop_oneof![Just(Failure::Failed), Just(Failure::Exception), Just(Failure::TimedOut)],
        facts in facts(),
        settings in settings(),
        now in clock(),
    ) {
        let decided = decide(failure, facts, &RetryFields::default(), &settings, &at(now));
        let used_up = facts.attempt >= settings.max_attempts;
        match decided.action {
            Action::Bury => prop_assert!(used_up),
            Action::Release { delay } => {
                let bounds = delays(facts.attempt, &settings.backoff);
                prop_assert!(!used_up, "attempt {} of {}", facts.attempt, settings.max_attempts);
                prop_assert!(bounds.contains(&f64::from(delay)), "{} s, not {:?}", delay, bounds);
            }
            Action::Delete => prop_assert!(false, "nobody asked for that"),
        }
    }

    #[test]
    fn a_job_that_takes_workers_down_waits_by_its_deaths_and_is_buried_when_condemned(
        deaths in 1_u32..100,
        condemned in any::<bool>(),
        facts in facts(),
        settings in settings(),
    ) {
        let decided = after_deaths(deaths, condemned, facts, &settings);
        match decided.action {
            Action::Bury => prop_assert!(condemned),
            Action::Release { delay } => {
                let bounds = delays(deaths, &settings.backoff);
                prop_assert!(!condemned && bounds.contains(&f64::from(delay)), "{} s, not {:?}", delay, bounds);
            }
            Action::Delete => prop_assert!(false, "nobody asked for that"),
        }
    }

    #[test]
    fn the_message_decides_by_the_book(
        failure in prop_oneof![Just(Failure::Failed), Just(Failure::Exception), Just(Failure::TimedOut)],
        facts in facts(),
        message in message(Just(String::new())),
        (stop, now) in prop_oneof![
            (prop::option::of(clock()), clock()),
            // The same second.
            clock().prop_map(|now| (Some(now), now)),
        ],
        settings in settings(),
    ) {
        let message = RetryFields { retry_stop_at: stop.map(written).map(Cow::Owned), ..message };
        let decided = decide(failure, facts, &message, &settings, &at(now)).action;
        let expected = by_the_book(failure, &message, stop, now, settings.expired).unwrap_or_else(|| {
            let nothing = RetryFields::default();
            decide(Failure::TimedOut, facts, &nothing, &settings, &at(now)).action
        });
        prop_assert_eq!(decided, expected, "{:?}", message);
    }
}
