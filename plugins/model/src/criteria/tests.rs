use plugin_api::serde_json::{Value, json};
use proptest::prelude::*;

use super::{parser::Operand, *};

/// The conditions as one line, which shows how they were understood.
fn shown(conditions: &Bound) -> String {
    let joined = |parts: &[Bound], with: &str| {
        let parts: Vec<_> = parts.iter().map(shown).collect();
        format!("({})", parts.join(with))
    };
    match conditions {
        Conditions::All(parts) => joined(parts, " & "),
        Conditions::Any(parts) => joined(parts, " | "),
        Conditions::Not(part) => format!("!{}", shown(part)),
        Conditions::Column { name, negated, test } => {
            let not = if *negated { "not " } else { "" };
            format!("{name} {not}{}", shown_test(test))
        }
    }
}

fn shown_test(test: &Test<Value>) -> String {
    match test {
        Test::Compare(operator, value) => format!("{operator:?} {value}"),
        Test::Like(value) => format!("like {value}"),
        Test::In(values) => format!("in {}", Value::from(values.clone())),
        Test::Between(low, high) => format!("from {low} to {high}"),
        Test::Null => "null".to_owned(),
    }
}

fn understood(params: &Value) -> Result<String, String> {
    let criteria = match params {
        Value::String(text) => Criteria::of_text(text),
        Value::Array(list) => Criteria::of_list(list),
        Value::Object(map) => Criteria::of_map(map),
        other => panic!("no criteria: {other}"),
    };
    let criteria = criteria.map_err(|error| error.to_string())?;
    Ok(criteria.conditions.as_ref().map_or_else(String::new, shown))
}

#[test]
fn every_form_of_conditions_is_understood() {
    let table = [
        (json!("id = 1"), "id Equal 1"),
        (json!("[order] <> -1.5"), r"order Unequal -1.5"),
        (
            json!("a = 1 AND b = 2 or c = 3"),
            "((a Equal 1 & b Equal 2) | c Equal 3)",
        ),
        (
            json!("a = 1 AND (b = 2 OR c = 3)"),
            "(a Equal 1 & (b Equal 2 | c Equal 3))",
        ),
        (json!("NOT a = 1 AND NOT (b = 2)"), "(!a Equal 1 & !b Equal 2)"),
        (
            json!("a<1 and b<=1 and c>1 and d>=1 and e!=1"),
            "(a Less 1 & b AtMost 1 & c Greater 1 & d AtLeast 1 & e Unequal 1)",
        ),
        (json!("name LIKE 'An%'"), r#"name like "An%""#),
        (json!("name NOT LIKE \"An%\""), r#"name not like "An%""#),
        (json!("a IN (1, 'x', TRUE)"), r#"a in [1,"x",true]"#),
        (json!("a NOT IN (1)"), "a not in [1]"),
        (
            json!("a BETWEEN 1 AND 2 AND b = 3"),
            "(a from 1 to 2 & b Equal 3)",
        ),
        (json!("a IS NULL OR a IS NOT NULL"), "(a null | a not null)"),
        (json!("a = 'it''s \\ \"here\"'"), r#"a Equal "it's \\ \"here\"""#),
        (json!(["a = 1"]), "a Equal 1"),
        (json!({"0": "a = ?0", "bind": [7]}), "a Equal 7"),
        (
            json!({"conditions": "a = ?1", "bind": {"1": "x"}}),
            r#"a Equal "x""#,
        ),
        (
            json!({"conditions": "a = :x: AND b = :x:", "bind": {"x": 7}}),
            "(a Equal 7 & b Equal 7)",
        ),
        (
            json!({"conditions": "a = {x} AND b = {y:int}", "bind": {"x": 7, "y": 8}}),
            "(a Equal 7 & b Equal 8)",
        ),
        (
            json!({"conditions": "a IN ({ids:array}, 9)", "bind": {"ids": [7, 8]}}),
            "a in [7,8,9]",
        ),
        (
            json!({"conditions": "a IN (:ids:)", "bind": {"ids": []}}),
            "a in []",
        ),
        (json!({"conditions": "", "limit": 1, "order": null}), ""),
    ];
    for (params, wanted) in table {
        assert_eq!(understood(&params).as_deref(), Ok(wanted), "{params}");
    }
}

#[test]
fn what_is_no_criteria_is_refused_with_the_reason() {
    let table = [
        (
            json!("1 = 1"),
            "byte 0 of the conditions: found a number, wanted a column, `NOT` or `(`",
        ),
        (
            json!("a = b"),
            "byte 4 of the conditions: found `b`, wanted a placeholder, a text in quotes, a number, `TRUE` or `FALSE`",
        ),
        (
            json!("a = NULL"),
            "byte 4 of the conditions: found `NULL`, wanted a value; nothing equals `NULL`, ask `IS NULL`",
        ),
        (
            json!("id = 1; DROP TABLE orders"),
            "byte 6 of the conditions: found `;`, wanted a column, a value or an operator",
        ),
        (
            json!("id = 1 -- x"),
            "byte 7 of the conditions: found what is no number, wanted a number such as `12` or `1.5`",
        ),
        (
            json!("id = 1 UNION SELECT 1"),
            "byte 7 of the conditions: found `UNION`, wanted `AND`, `OR` or the end",
        ),
        (
            json!("id = (SELECT 1)"),
            "byte 5 of the conditions: found `(`, wanted a placeholder, a text in quotes, a number, `TRUE` or `FALSE`",
        ),
        (
            json!("sleep(9) = 0"),
            "byte 5 of the conditions: found `(`, wanted a comparison, `LIKE`, `IN`, `BETWEEN` or `IS`",
        ),
        (
            json!("a = 'x"),
            "byte 4 of the conditions: found a text without an end, wanted the closing quote",
        ),
        (
            json!("a = :x"),
            "byte 4 of the conditions: found no end of the name, wanted `:name:`",
        ),
        (
            json!("a = ?"),
            "byte 4 of the conditions: found no name, wanted `?0`, `:name:` or `[column]`",
        ),
        (
            json!("a = 1e5"),
            "byte 4 of the conditions: found what is no number, wanted a number such as `12` or `1.5`",
        ),
        (json!("a = ?0"), "the placeholder `0` has no value in `bind`"),
        (
            json!({"conditions": "a = 1", "bind": [7]}),
            "`bind` has a value for `0`, which the conditions do not mention",
        ),
        (
            json!({"bind": {"x": 7}}),
            "`bind` has a value for `x`, which the conditions do not mention",
        ),
        (
            json!({"conditions": "a = ?0", "bind": [null]}),
            "the value of `0` is null, wanted a value; nothing equals `NULL`, ask `IS NULL`",
        ),
        (
            json!({"conditions": "a = ?0", "bind": [[1]]}),
            "the value of `0` is a list, wanted one value; a list only inside `IN (…)`",
        ),
        (
            json!({"condition": "a = 1"}),
            "unknown key `condition`, wanted one of `conditions`, `bind`, `order`, `limit`, `offset`; hint: did you mean `conditions`?",
        ),
        (
            json!({"columns": "id"}),
            "`columns` is not supported: a method needs the whole row",
        ),
        (
            json!({"order": "id SIDEWAYS"}),
            "`order` has `id SIDEWAYS`, wanted a column, then `ASC` or `DESC` or nothing",
        ),
        (
            json!({"order": "id, "}),
            "`order` has ``, wanted a column, then `ASC` or `DESC` or nothing",
        ),
        (
            json!({"limit": 0}),
            "`limit` is a number, wanted a whole number above 0",
        ),
        (
            json!({"offset": "x"}),
            "`offset` is a text, wanted a whole number",
        ),
        (
            json!({"conditions": ["a"]}),
            "`conditions` is a list, wanted a text",
        ),
    ];
    for (params, wanted) in table {
        assert_eq!(understood(&params), Err(wanted.to_owned()), "{params}");
    }
}

#[test]
fn conditions_have_limits() {
    let nested = |depth: usize| format!("{}a = 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Criteria::of_text(&nested(31)).is_ok());
    assert_eq!(
        Criteria::of_text(&nested(32)),
        Err(CriteriaError::TooDeep { limit: 32 })
    );
    assert!(matches!(
        Criteria::of_text(&"NOT ".repeat(1000)),
        Err(CriteriaError::TooDeep { .. })
    ));
    let long = format!("a = '{}'", "x".repeat(20_000));
    assert!(matches!(
        Criteria::of_text(&long),
        Err(CriteriaError::TooLong { .. })
    ));
}

#[test]
fn an_order_names_columns_and_directions() {
    let order = |value: Value| {
        let map = json!({"order": value, "offset": "2"});
        Criteria::of_map(map.as_object().expect("an object"))
    };
    let both = order(json!("created_at desc, [id]")).expect("it is an order");
    assert_eq!(order(json!(["created_at DESC", "id ASC"])).as_ref(), Ok(&both));
    assert_eq!(both.offset, 2);
    let columns: Vec<_> = both
        .order
        .iter()
        .map(|order| (&*order.column, order.descending))
        .collect();
    assert_eq!(columns, [("created_at", true), ("id", false)]);
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = Criteria::of_text(&text);
    }

    #[test]
    fn no_sequence_of_words_makes_the_parser_panic(words in proptest::collection::vec(
        prop::sample::select(vec![
            "a", "[b", "[b]", "=", "<>", "<", "(", ")", ",", "AND", "OR", "NOT", "IS", "NULL", "IN", "LIKE",
            "BETWEEN", "?0", "?", ":x:", ":x", "{x:", "{x}", "'t'", "'", "\"", "1", "-", "1.5", "é", "TRUE",
        ]),
        0..40,
    )) {
        let _ = Criteria::of_text(&words.join(" "));
        let _ = Criteria::of_text(&words.concat());
    }

    /// Whatever is in quotes comes out as a value, and as nothing else.
    #[test]
    fn a_text_in_quotes_is_a_value_whatever_it_says(text in "\\PC{0,40}") {
        let conditions = format!("a = '{}'", text.replace('\'', "''"));
        let parsed = parser::parse(&conditions);
        let wanted = Conditions::Column {
            name: "a".to_owned(),
            negated: false,
            test: Test::Compare(Operator::Equal, Operand::Literal(text.into())),
        };
        prop_assert_eq!(parsed, Ok(wanted));
    }
}
