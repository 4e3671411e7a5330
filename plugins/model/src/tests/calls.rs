//! Methods: how they are called, and what becomes of their answers.

use std::time::Duration;

use super::*;

#[test]
fn an_order_is_cancelled() {
    let shop = Fixture::new();
    for (id, given) in [(1, json!(["late", 7])), (3, json!({"by": 7, "reason": "late"}))] {
        let outcome = shop.call(json!({"modelParams": id, "method": "cancel", "methodParams": given}));
        assert_eq!(
            (outcome.verdict, outcome.result),
            (Verdict::Done, Some(json!("late by Some(7)")))
        );
        assert_eq!(shop.status(id), "cancelled");
    }
    let again = shop.call(json!({"modelParams": 1, "method": "cancel"}));
    assert_eq!(
        (again.verdict, &*again.message),
        (Verdict::Failed, "the order is already sent")
    );
}

#[test]
fn models_are_found_with_and_without_their_namespace() {
    let shop = Fixture::new();
    for model in ["Order", "\\Order", "App\\Models\\Order", "\\App\\Models\\Order"] {
        let outcome = shop.call(json!({"model": model, "method": "ISNEW"}));
        assert_eq!(outcome.verdict, Verdict::Done, "{model}: {}", outcome.message);
    }
    // A registered namespace is part of the name.
    for (model, verdict) in [("\\Shop\\Line", Verdict::Failed), ("Line", Verdict::Failed)] {
        assert_eq!(
            shop.call(json!({"model": model, "method": "exists"})).verdict,
            verdict,
            "{model}"
        );
    }
    let shop = Fixture::with(json!({"namespaces": ["\\App\\Models"]}));
    for (model, verdict) in [
        ("Order", Verdict::Done),
        ("\\App\\Models\\Order", Verdict::Done),
        ("App\\Order", Verdict::Failed),
        ("App\\Models\\", Verdict::Failed),
    ] {
        assert_eq!(
            shop.call(json!({"model": model, "method": "isNew"})).verdict,
            verdict,
            "{model}"
        );
    }
}

#[test]
fn an_answer_that_php_takes_for_false_fails_and_changes_nothing() {
    let shop = Fixture::new();
    for falsy in [
        json!(false),
        json!(null),
        json!(0),
        json!("0"),
        json!([]),
        json!(""),
    ] {
        let message = json!({"modelParams": 1, "method": "answerAfterCancel", "methodParams": [falsy]});
        let outcome = shop.call(message);
        assert_eq!(outcome.verdict, Verdict::Failed, "{falsy}");
        assert_eq!(
            outcome.message,
            format!("`Order::answerAfterCancel` answered {falsy}")
        );
        assert_eq!(shop.status(1), "open", "{falsy}");
    }
    for truthy in [json!(true), json!({"id": 7}), json!("0.0"), json!([0])] {
        let outcome = shop.call(json!({"method": "answer", "methodParams": [truthy]}));
        assert_eq!(
            (outcome.verdict, outcome.result.as_ref()),
            (Verdict::Done, Some(&truthy))
        );
    }
}

#[test]
fn every_failure_rolls_back_and_has_its_outcome() {
    let shop = Fixture::new();
    let call = |method: &str| shop.call(json!({"modelParams": 1, "method": method}));

    let later = call("later");
    assert_eq!(
        (later.verdict, later.delay),
        (Verdict::Retry, Some(Duration::from_secs(7)))
    );
    let panicked = call("panic");
    assert_eq!(panicked.verdict, Verdict::Exception);
    assert!(panicked.message.contains("as asked"), "{}", panicked.message);
    let broken = call("broken");
    assert_eq!(broken.verdict, Verdict::Exception);
    assert!(broken.message.contains("no such table"), "{}", broken.message);
    let duplicate = call("duplicate");
    assert_eq!(duplicate.verdict, Verdict::Failed);
    assert!(
        duplicate.message.contains("UNIQUE constraint failed"),
        "{}",
        duplicate.message
    );

    assert_eq!(shop.status(1), "open");
}

#[test]
fn without_transactions_what_a_failing_method_did_stays() {
    let shop = Fixture::with(json!({"transaction": false}));
    let message = json!({"modelParams": 1, "method": "answerAfterCancel", "methodParams": [false]});
    assert_eq!(shop.call(message).verdict, Verdict::Failed);
    assert_eq!(shop.status(1), "cancelled");
}

#[test]
fn arguments_that_do_not_fit_bury_the_job() {
    let shop = Fixture::new();
    for (given, wanted) in [
        (json!(["late", "x"]), "(at `by`)"),
        (
            json!({"raeson": "late"}),
            "no parameter takes the argument `raeson`",
        ),
        (json!(7), "`methodParams` is a number, wanted an array"),
    ] {
        let outcome = shop.call(json!({"modelParams": 1, "method": "cancel", "methodParams": given}));
        assert_eq!(outcome.verdict, Verdict::Bury);
        assert!(outcome.message.contains(wanted), "{}", outcome.message);
    }
}

#[test]
fn a_database_that_is_away_means_a_retry() {
    let url = "sqlite:///nowhere/at/all.db";
    let harness = made(json!({"url": url, "retry_s": 3}));
    assert!(harness.self_check().is_err());
    let outcome = harness.run(json!({"model": "Order", "method": "isNew"}));
    assert_eq!(
        (outcome.verdict, outcome.delay),
        (Verdict::Retry, Some(Duration::from_secs(3))),
        "{}",
        outcome.message
    );
}
