//! `modelParams`: what is found, and what is refused.

use super::*;

#[test]
fn a_row_is_found_by_every_form_of_model_params() {
    let shop = Fixture::new();
    let table = [
        (json!(2), 2),
        (json!("2"), 2),
        (json!("number = 'A2'"), 2),
        (json!(["status = 'sent'"]), 2),
        (json!({"0": "number = ?0", "bind": ["B'3"]}), 3),
        (
            json!({"conditions": "number = :n: AND paid = :p:", "bind": {"n": "B'3", "p": true}}),
            3,
        ),
        (json!({"conditions": "status = 'open'", "order": "id DESC"}), 3),
        (json!({"order": "id DESC", "limit": 1}), 3),
        (json!({"order": "[placed_at] ASC", "offset": 1}), 2),
        (json!("NOT status = 'open'"), 2),
        (json!("NOT (status = 'open' OR id = 1)"), 2),
        (json!("status <> 'open'"), 2),
        (json!("number LIKE 'B%'"), 3),
        (json!("number NOT LIKE 'A%'"), 3),
        (json!("id IN (7, 3)"), 3),
        (json!("id NOT IN (1, 2)"), 3),
        (
            json!({"conditions": "id IN ({ids:array})", "bind": {"ids": ["3"]}}),
            3,
        ),
        (json!("weight BETWEEN 2 AND '3'"), 2),
        (json!("weight NOT BETWEEN 1 AND 3"), 3),
        (json!("note IS NOT NULL"), 3),
        (json!("note IS NULL AND paid = 1"), 2),
        (json!("placed_at >= '2026-02-15'"), 3),
        (
            json!("id > 1 AND id < 3 AND id <> 9 AND weight <= 2.5 AND weight >= 2.5"),
            2,
        ),
    ];
    for (params, id) in table {
        assert_eq!(shop.found(params.clone()), json!(id), "{params}");
    }
}

#[test]
fn falsy_model_params_are_a_new_instance() {
    let shop = Fixture::new();
    for params in [
        json!(""),
        json!(null),
        json!(0),
        json!("0"),
        json!([]),
        json!(false),
    ] {
        let outcome = shop.call(json!({"modelParams": params, "method": "isNew"}));
        assert_eq!(outcome.result, Some(json!(true)), "{params}: {}", outcome.message);
    }
    let absent = shop.harness.run(json!({"model": "Order", "method": "isNew"}));
    assert_eq!(absent.result, Some(json!(true)));
}

#[test]
fn what_is_not_there_fails_with_the_words_of_the_php_library() {
    let shop = Fixture::new();
    let table = [
        (json!({"modelParams": 9, "method": "id"}), "Model not exist"),
        (
            json!({"modelParams": "status = 'lost'", "method": "id"}),
            "Model not exist",
        ),
        (json!({"model": "Invoice", "method": "id"}), "Model not exist"),
        (json!({"model": null, "method": "id"}), "Model not exist"),
        (json!({"modelParams": 1, "method": "explode"}), "Method not exist"),
        (json!({"modelParams": 1, "method": null}), "Method not exist"),
    ];
    for (message, wanted) in table {
        let outcome = shop.call(message.clone());
        assert_eq!(
            (outcome.verdict, &*outcome.message),
            (Verdict::Failed, wanted),
            "{message}"
        );
    }
    let empty = shop.harness.run(json!([]));
    assert_eq!(
        (empty.verdict, &*empty.message),
        (Verdict::Failed, "Model not exist")
    );
}

#[test]
fn what_cannot_be_asked_for_is_buried_with_the_reason() {
    let shop = Fixture::new();
    let table = [
        (
            json!(true),
            "`modelParams` is a boolean, wanted a primary key, conditions or criteria",
        ),
        (
            json!(1.5),
            "column `id` is compared with a number, wanted a whole number",
        ),
        (
            json!("statsu = 'open'"),
            "the model has no column `statsu`; hint: did you mean `status`?",
        ),
        (json!({"order": "xyz"}), "the model has no column `xyz`"),
        (
            json!("id = 'one'"),
            "column `id` is compared with a text, wanted a whole number",
        ),
        (
            json!("paid = 2"),
            "column `paid` is compared with a number, wanted a boolean",
        ),
        (
            json!("number LIKE 1"),
            "column `number` is compared with a number, wanted a text",
        ),
        (
            json!("scan = 'x'"),
            "column `scan` has a type that criteria cannot ask for",
        ),
        (
            json!({"columns": "id"}),
            "criteria in `modelParams`: `columns` is not supported: a method needs the whole row",
        ),
    ];
    for (params, wanted) in table {
        let outcome = shop.call(json!({"modelParams": params, "method": "id"}));
        assert_eq!(
            (outcome.verdict, &*outcome.message),
            (Verdict::Bury, wanted),
            "{params}"
        );
    }
    let key = shop.call(json!({"model": "Shop\\Line", "modelParams": 1, "method": "exists"}));
    assert_eq!(key.verdict, Verdict::Bury);
    assert!(
        key.message.contains("primary key has 2 columns"),
        "{}",
        key.message
    );
    let key =
        json!({"model": "Shop\\Line", "modelParams": "order_id = 1 AND position = 1", "method": "exists"});
    assert_eq!(shop.call(key).result, Some(json!(true)));
}

#[test]
fn an_injection_finds_nothing_and_changes_nothing() {
    let shop = Fixture::new();
    let evil = "x' OR 1 = 1; DROP TABLE orders; --";
    for params in [
        json!({"conditions": "number = ?0", "bind": [evil]}),
        json!({"conditions": "number IN ({all})", "bind": {"all": [evil]}}),
        json!({"conditions": "number LIKE :n:", "bind": {"n": evil}}),
        json!("number = 'x'' OR 1 = 1; DROP TABLE orders; --'"),
    ] {
        let outcome = shop.call(json!({"modelParams": params, "method": "id"}));
        assert_eq!(
            (outcome.verdict, &*outcome.message),
            (Verdict::Failed, "Model not exist"),
            "{params}"
        );
    }
    for params in [
        json!("id = 1; DROP TABLE orders"),
        json!("id = 1 OR 1 = 1"),
        json!("id = 1 UNION SELECT * FROM orders"),
        json!({"conditions": "number = 'x' OR 1 = 1; DROP TABLE orders; --"}),
        json!({"order": "id; DROP TABLE orders"}),
        json!({"order": "(SELECT 1)"}),
        json!({"order": "id\"--"}),
        json!({"conditions": "[id\" = 1 --] = 1"}),
        json!({"limit": "1; DROP TABLE orders"}),
    ] {
        let outcome = shop.call(json!({"modelParams": params, "method": "cancel"}));
        assert_eq!(outcome.verdict, Verdict::Bury, "{params}: {}", outcome.message);
    }
    assert_eq!([1, 2, 3].map(|id| shop.status(id)), ["open", "sent", "open"]);
}
