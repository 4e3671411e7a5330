use super::*;

fn noon() -> Zoned {
    "2026-11-22T12:00:00+08:00[Asia/Shanghai]"
        .parse()
        .expect("a time")
}

fn settings() -> Settings {
    let backoff = Backoff {
        first: Duration::from_secs(10),
        max: Duration::from_secs(3600),
        factor: 2.0,
        jitter: 0.2,
    };
    Settings {
        source: RetrySource::Message,
        expired: Expired::Delete,
        backoff,
        max_attempts: 25,
    }
}

fn facts(attempt: u32) -> Facts {
    Facts {
        id: 901,
        attempt,
        priority: 7,
    }
}

fn interval(seconds: i64, stop_at: Option<&'static str>) -> RetryFields<'static> {
    RetryFields {
        retry_interval: Some(seconds),
        retry_stop_at: stop_at.map(Cow::Borrowed),
        ..RetryFields::default()
    }
}

fn action(failure: Failure, message: &RetryFields<'_>, attempt: u32) -> Action {
    decide(failure, facts(attempt), message, &settings(), &noon()).action
}

#[test]
fn the_handlers_own_wish_wins_over_everything() {
    let never = RetryFields {
        error_retry: Some(Flag::False),
        ..interval(0, Some(""))
    };
    assert_eq!(action(Failure::Bury, &interval(5, None), 1), Action::Bury);
    let asked = Failure::Retry(Some(Duration::from_millis(1500)));
    assert_eq!(action(asked, &never, 999), Action::Release { delay: 2 });
    assert!(matches!(
        action(Failure::Retry(None), &never, 999),
        Action::Release { delay: 2880..=3600 }
    ));
}

#[test]
fn the_messages_retry_fields_decide_as_in_the_php_library() {
    let table = [
        (Failure::Failed, interval(0, Some("")), Action::Bury),
        (Failure::Failed, interval(-3, None), Action::Bury),
        (
            Failure::Failed,
            interval(600, None),
            Action::Release { delay: 600 },
        ),
        (
            Failure::Failed,
            interval(600, Some("2026-11-22 12:00:00")),
            Action::Release { delay: 600 },
        ),
        (
            Failure::Failed,
            interval(600, Some("2026-11-22 11:59:59")),
            Action::Delete,
        ),
        (
            Failure::Failed,
            interval(600, Some("2026-11-22 12:00:01\n")),
            Action::Release { delay: 600 },
        ),
        (
            Failure::Failed,
            interval(600, Some("2030-01-02 ")),
            Action::Release { delay: 600 },
        ),
        (
            Failure::Failed,
            interval(600, Some("2026-11-22T04:00:00Z")),
            Action::Release { delay: 600 },
        ),
        (
            Failure::Failed,
            interval(600, Some("2026-11-31 00:00:00")),
            Action::Release { delay: 600 },
        ),
        (Failure::Failed, interval(600, Some("")), Action::Delete),
        (
            Failure::Failed,
            interval(600, Some("2030-99-99 99:99:99")),
            Action::Delete,
        ),
        (Failure::Failed, interval(600, Some("+2 hours")), Action::Bury),
    ];
    for (failure, message, expected) in table {
        assert_eq!(action(failure, &message, 1), expected, "{message:?}");
    }
}

#[test]
fn a_job_whose_time_for_retries_is_over_is_buried_where_the_pool_wants_that() {
    let settings = Settings {
        expired: Expired::Bury,
        ..settings()
    };
    let decided = |stop_at| {
        let message = interval(600, Some(stop_at));
        decide(Failure::Failed, facts(1), &message, &settings, &noon()).action
    };
    for over in ["2026-11-22 11:59:59", "", "2030-99-99 99:99:99"] {
        assert_eq!(decided(over), Action::Bury, "{over}");
    }
    assert_eq!(decided("2026-11-22 12:00:00"), Action::Release { delay: 600 });
}

#[test]
fn an_exception_asks_error_retry_and_only_a_real_false_buries() {
    let with = |flag| RetryFields {
        error_retry: Some(flag),
        ..interval(600, Some(""))
    };
    assert_eq!(action(Failure::Exception, &with(Flag::False), 1), Action::Bury);
    assert_eq!(
        action(Failure::Exception, &with(Flag::True), 99),
        Action::Release { delay: 10 }
    );
    assert_eq!(
        action(Failure::Exception, &with(Flag::Other), 1),
        Action::Release { delay: 10 }
    );
}

#[test]
fn without_retry_fields_the_delay_grows_until_the_attempts_are_used_up() {
    let nothing = RetryFields::default();
    let delay = |attempt| match action(Failure::Failed, &nothing, attempt) {
        Action::Release { delay } => delay,
        other => panic!("attempt {attempt}: {other:?}"),
    };
    assert!((8..=12).contains(&delay(1)));
    assert!((64..=96).contains(&delay(4)));
    assert!((2880..=3600).contains(&delay(24)));
    assert_eq!(delay(3), delay(3), "the same job and attempt give the same delay");
    assert_eq!(action(Failure::Exception, &nothing, 25), Action::Bury);
}

#[test]
fn a_job_that_nothing_is_proven_against_is_delayed_longer_each_time_and_never_buried() {
    let delays = [1, 3, 999].map(|attempt| without_proof(facts(attempt), &settings()).action);
    let ranges = [8..=12, 32..=48, 2880..=3600];
    for (action, range) in delays.into_iter().zip(ranges) {
        assert!(
            matches!(action, Action::Release { delay } if range.contains(&delay)),
            "{action:?}"
        );
    }
}

#[test]
fn no_delay_stays_none_however_often_a_job_fails() {
    let mut settings = settings();
    settings.backoff.first = Duration::ZERO;
    settings.backoff.factor = 100.0;
    settings.max_attempts = u32::MAX;
    for attempt in [1, 2, 200, 100_000] {
        let decided = decide(
            Failure::Failed,
            facts(attempt),
            &RetryFields::default(),
            &settings,
            &noon(),
        );
        assert_eq!(decided.action, Action::Release { delay: 0 });
    }
}

#[test]
fn the_reason_says_whose_wish_it_was() {
    let reason = |message| {
        decide(Failure::Failed, facts(25), &message, &settings(), &noon())
            .reason
            .into_owned()
    };
    assert_eq!(reason(RetryFields::default()), "max_attempts (25) is reached");
    assert_eq!(
        reason(interval(5, Some("2020-01-01 00:00:00"))),
        "retryStopAt `2020-01-01 00:00:00` is over"
    );
    assert_eq!(
        reason(interval(5, Some("tomorrow"))),
        "retryStopAt `tomorrow` cannot be read, wanted `Y-m-d H:i:s`"
    );
}
