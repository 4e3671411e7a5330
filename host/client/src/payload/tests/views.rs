//! The table in the module's documentation, row by row, and what has no view.

use super::{Format, Limits, MAX_DEPTH, RetryFields, json_view, php, view, view_within};

#[test]
fn every_kind_of_value_has_its_documented_form() {
    let forms: [(&[u8], &str); 29] = [
        (b"N;", "null"),
        (b"b:1;", "true"),
        (b"i:-5;", "-5"),
        (b"d:1;", "1"),
        (b"d:-0;", "-0"),
        (b"d:0.1;", "0.1"),
        (b"d:1.0E+25;", "1.0e+25"),
        (b"d:1.0E-7;", "1.0e-7"),
        (b"d:0.10000000000000001;", "0.10000000000000001"),
        (b"d:.5;", "0.5"),
        (b"d:007;", "7"),
        (b"d:INF;", r#"{"__float":"INF"}"#),
        (b"d:-1E999;", r#"{"__float":"-INF"}"#),
        (b"d:NAN;", r#"{"__float":"NAN"}"#),
        ("s:8:\"é\"\\\n\0/x\";".as_bytes(), r#""é\"\\\n\u0000/x""#),
        (b"s:2:\"\xff\xfe\";", r#"{"__base64":"//4="}"#),
        (b"a:0:{}", "[]"),
        (b"a:2:{i:0;N;i:1;N;}", "[null,null]"),
        (b"a:2:{i:0;N;s:1:\"1\";N;}", "[null,null]"),
        (b"a:2:{i:1;N;i:0;N;}", r#"{"1":null,"0":null}"#),
        (
            b"a:3:{i:-1;N;s:0:\"\";N;s:2:\"05\";N;}",
            r#"{"-1":null,"":null,"05":null}"#,
        ),
        (b"a:1:{s:1:\"\xff\";N;}", r#"{"__base64:/w==":null}"#),
        (b"O:8:\"stdClass\":0:{}", r#"{"__class":"stdClass"}"#),
        (
            b"O:3:\"A\\B\":3:{s:1:\"p\";i:1;s:4:\"\0*\0q\";i:2;s:6:\"\0A\\B\0r\";i:3;}",
            r#"{"__class":"A\\B","p":1,"*q":2,"A\\B::r":3}"#,
        ),
        (
            b"O:1:\"A\":1:{s:4:\"\0A\0\xff\";i:3;}",
            r#"{"__class":"A","__base64:AEEA/w==":3}"#,
        ),
        (
            b"C:1:\"A\":4:{a\xff}b}",
            r#"{"__class":"A","__serialized":{"__base64":"Yf99Yg=="}}"#,
        ),
        (b"C:1:\"A\":4:{i:1;}", r#"{"__class":"A","__serialized":"i:1;"}"#),
        (b"E:7:\"A\\B:One\";", r#""A\\B::One""#),
        (
            b"O:1:\"A\":2:{i:7;N;s:2:\"\0x\";N;}",
            r#"{"__class":"A","7":null,"\u0000x":null}"#,
        ),
    ];
    for (body, wanted) in forms {
        assert_eq!(view(body).as_deref(), Ok(wanted), "{}", body.escape_ascii());
    }
}

#[test]
fn references_are_the_values_they_refer_to() {
    let forms = [
        (r#"a:3:{i:0;s:1:"x";i:1;R:2;i:2;i:1;}"#, r#"["x","x",1]"#),
        // `r:` takes a slot, `R:` takes none.
        (
            r#"a:5:{i:0;O:1:"A":0:{}i:1;r:2;i:2;i:7;i:3;R:4;i:4;R:2;}"#,
            r#"[{"__class":"A"},{"__class":"A"},7,7,{"__class":"A"}]"#,
        ),
        (
            r#"a:3:{i:0;O:1:"A":0:{}i:1;r:2;i:2;r:3;}"#,
            r#"[{"__class":"A"},{"__class":"A"},{"__class":"A"}]"#,
        ),
        (
            r#"a:3:{i:0;E:4:"En:A";i:1;E:4:"En:B";i:2;r:2;}"#,
            r#"["En::A","En::B","En::A"]"#,
        ),
        // The slots of a payload that is a serialized value count.
        (
            r#"a:3:{i:0;C:1:"C":18:{a:1:{i:0;s:1:"x";}}i:1;s:1:"y";i:2;R:5;}"#,
            r#"[{"__class":"C","__serialized":"a:1:{i:0;s:1:\"x\";}"},"y","y"]"#,
        ),
        (
            r#"a:2:{i:0;C:1:"C":18:{a:1:{i:0;s:1:"x";}}i:1;R:4;}"#,
            r#"[{"__class":"C","__serialized":"a:1:{i:0;s:1:\"x\";}"},"x"]"#,
        ),
        // Those of any other payload do not.
        (
            r#"a:3:{i:0;C:1:"C":3:{[1]}i:1;s:1:"y";i:2;R:3;}"#,
            r#"[{"__class":"C","__serialized":"[1]"},"y","y"]"#,
        ),
    ];
    for (body, wanted) in forms {
        assert_eq!(view(body).as_deref(), Ok(wanted), "{body}");
    }
}

#[test]
fn the_last_of_repeated_keys_wins_in_the_place_of_the_first() {
    let many: String = (0..20).map(|nr| format!("s:2:\"k{}\";i:{nr};", nr % 2)).collect();
    let forms = [
        (
            r#"a:3:{s:1:"a";i:1;s:1:"b";i:2;s:1:"a";i:3;}"#.to_owned(),
            r#"{"a":3,"b":2}"#,
        ),
        (r#"a:2:{i:0;i:1;s:1:"0";i:2;}"#.to_owned(), "[2]"),
        (
            r#"O:1:"A":2:{i:5;i:1;s:1:"5";i:2;}"#.to_owned(),
            r#"{"__class":"A","5":2}"#,
        ),
        (format!("a:20:{{{many}}}"), r#"{"k0":18,"k1":19}"#),
    ];
    for (body, wanted) in forms {
        assert_eq!(view(&body).as_deref(), Ok(wanted), "{body}");
    }
}

#[test]
fn a_property_that_is_named_like_our_keys_keeps_its_name() {
    let forms = [
        (
            r#"O:1:"A":1:{s:7:"__class";i:1;}"#,
            r#"{"__class_":"A","__class":1}"#,
        ),
        (
            r#"O:1:"A":2:{s:9:"__class__";i:1;s:7:"__class";i:2;}"#,
            r#"{"__class___":"A","__class__":1,"__class":2}"#,
        ),
        (
            r#"O:1:"A":1:{s:12:"__serialized";i:1;}"#,
            r#"{"__class_":"A","__serialized":1}"#,
        ),
        (
            r#"O:1:"A":2:{s:8:"__base64";i:1;s:11:"__classroom";i:2;}"#,
            r#"{"__class":"A","__base64":1,"__classroom":2}"#,
        ),
    ];
    for (body, wanted) in forms {
        assert_eq!(view(body).as_deref(), Ok(wanted), "{body}");
    }
}

#[test]
fn an_array_may_look_like_our_forms_where_the_body_has_none_of_them() {
    let plain = [
        (r#"a:1:{s:7:"__class";s:1:"A";}"#, r#"{"__class":"A"}"#),
        (r#"a:1:{s:8:"__base64";s:4:"//4=";}"#, r#"{"__base64":"//4="}"#),
        (r#"a:1:{s:7:"__float";s:3:"NAN";}"#, r#"{"__float":"NAN"}"#),
        (r#"a:1:{s:13:"__base64:/w==";N;}"#, r#"{"__base64:/w==":null}"#),
    ];
    for (body, wanted) in plain {
        assert_eq!(view(body).as_deref(), Ok(wanted), "{body}");
        let mut scratch = Vec::new();
        assert!(
            !json_view(body.as_bytes(), &Limits::default(), &mut scratch)
                .unwrap()
                .marked
        );
        for mixed in [
            format!(r#"a:2:{{i:0;{body}i:1;d:INF;}}"#),
            format!(r#"a:2:{{i:0;d:INF;i:1;{body}}}"#),
        ] {
            let error = view(&mixed).unwrap_err();
            assert!(error.contains("could be mistaken"), "{error}");
        }
    }
    let harmless = r#"a:2:{i:0;a:2:{s:8:"__base64";N;s:1:"x";N;}i:1;d:INF;}"#;
    assert_eq!(
        view(harmless).as_deref(),
        Ok(r#"[{"__base64":null,"x":null},{"__float":"INF"}]"#)
    );
}

#[test]
fn what_has_no_view_says_where_and_why() {
    let faults = [
        ("", "the body is empty, wanted JSON or PHP serialize() text"),
        (
            "hi",
            "the body begins with `hi`, which is neither JSON nor PHP serialize() text",
        ),
        (
            "a:1:{",
            "the body is not valid PHP serialize() text: byte 5: 1 elements announced, but the 0 bytes left cannot hold them",
        ),
        (
            "{\"a\":",
            "the body is not valid JSON: EOF while parsing a value at line 1 column 5",
        ),
        (
            r#"a:1:{s:1:"k";a:1:{i:3;a:1:{i:0;R:2;}}}"#,
            "the body has no JSON view: at `$.k[3][0]`: the reference leads back to a value that contains it, which JSON cannot express",
        ),
        (
            "O:1:\"A\":1:{s:4:\"\0*\0n\";r:1;}",
            "the body has no JSON view: at `$.*n`: the reference leads back to a value that contains it, which JSON cannot express",
        ),
        (
            r#"a:2:{i:0;s:1:"x";i:1;r:2;}"#,
            "the body has no JSON view: at `$[1]`: the reference to slot 2 finds no value it could mean",
        ),
        (
            r#"a:2:{i:0;C:1:"C":1:{x}i:1;R:9;}"#,
            "the body has no JSON view: at `$[1]`: the reference to slot 9 finds no value it could mean",
        ),
        (
            "O:1:\"A\":2:{s:2:\"*n\";N;s:4:\"\0*\0n\";N;}",
            "the body has no JSON view: at `$`: two properties would both be `*n`",
        ),
        (
            r#"a:3:{i:0;N;i:0;N;i:1;R:2;}"#,
            "the body has no JSON view: at `$`: a key repeats, and the body has references, which would be ambiguous",
        ),
    ];
    for (body, wanted) in faults {
        assert_eq!(view(body).unwrap_err(), wanted, "{body}");
    }
    assert_eq!(
        view(b"{\"a\":\"\xff\"}").unwrap_err(),
        "the body is not valid JSON: it is not UTF-8 after byte 6"
    );
}

#[test]
fn a_long_path_is_shown_by_its_ends() {
    let deep: String = (0..40).map(|nr| format!("a:1:{{s:3:\"k{nr:02}\";")).collect();
    let error = view(format!("{deep}R:1;{}", "}".repeat(40))).unwrap_err();
    assert!(
        error.contains("`$.k00.k01.k02.k03.k04.k05.k06.k07….k32.k33.k34.k35.k36.k37.k38.k39`"),
        "{error}"
    );
}

#[test]
fn a_json_body_is_its_own_view_and_untouched() {
    let body = br#" {"a" : 1.0}"#;
    let mut scratch = b"kept".to_vec();
    let view = json_view(
        body,
        &Limits {
            body: 0,
            depth: 0,
            output: 0,
        },
        &mut scratch,
    )
    .unwrap();
    assert_eq!(
        (view.json, view.format, view.marked),
        (body.as_slice(), Format::Json, false)
    );
    assert_eq!(scratch, b"kept");
}

/// Each level holds the one before it twice: `[[[x,x],[x,x]],…]` by references.
fn doubling(levels: usize) -> String {
    let mut body = format!("a:{}:{{i:0;a:1:{{i:0;s:1:\"x\";}}", levels + 1);
    for level in 1..=levels {
        // Level 0 has slot 2 and one value in it; every later level takes one slot, for its references take none.
        let before = if level == 1 { 2 } else { level + 2 };
        body.push_str(&format!("i:{level};a:2:{{i:0;R:{before};i:1;R:{before};}}"));
    }
    body + "}"
}

#[test]
fn nested_references_end_at_the_output_limit() {
    assert_eq!(
        view(doubling(2)).as_deref(),
        Ok(r#"[["x"],[["x"],["x"]],[[["x"],["x"]],[["x"],["x"]]]]"#)
    );
    let limits = Limits {
        output: 10_000,
        ..Limits::default()
    };
    let error = view_within(doubling(60), &limits).unwrap_err();
    assert!(
        error.contains("exceeds 10000 bytes; hint: each level of nested references doubles it"),
        "{error}"
    );
    let mut scratch = Vec::new();
    assert!(json_view(doubling(60).as_bytes(), &limits, &mut scratch).is_err());
    assert!(scratch.len() < 10_100);
}

#[test]
fn references_cannot_nest_deeper_than_the_limit() {
    let mut body = "a:600:{i:0;a:0:{}".to_owned();
    for level in 1..600 {
        body.push_str(&format!("i:{level};a:1:{{i:0;R:{};}}", level + 1));
    }
    let error = view(body + "}").unwrap_err();
    assert!(error.contains("nested deeper than 512 levels"), "{error}");
}

#[test]
fn the_deepest_allowed_bodies_fit_a_small_stack() {
    let levels = MAX_DEPTH;
    let bodies = [
        format!("{}N;{}", "a:1:{i:0;".repeat(levels), "}".repeat(levels)),
        format!(
            "{}N;{}",
            "O:1:\"A\":1:{s:4:\"\0*\0n\";".repeat(levels),
            "}".repeat(levels)
        ),
        (0..levels).fold("i:1;".to_owned(), |inner, _| {
            format!("C:1:\"C\":{}:{{{inner}}}", inner.len())
        }),
        format!("{}r:1;{}", "O:1:\"A\":1:{i:0;".repeat(levels), "}".repeat(levels)),
    ];
    let decode = move || {
        for body in bodies {
            let document = php::parse(body.as_bytes(), &Limits::default()).unwrap();
            let mut written = Vec::new();
            php::write(document.root(), &mut written);
            assert!(written == body.as_bytes() && document.clone() == document);
            let _ = view(&body);
            assert_eq!(
                RetryFields::read(body.as_bytes(), &Limits::default()).unwrap(),
                RetryFields::default()
            );
        }
    };
    std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(decode)
        .unwrap()
        .join()
        .unwrap();
}
