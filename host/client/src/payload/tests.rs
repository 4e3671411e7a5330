//! Detection, the view's forms and errors, and the retry fields.

use std::error::Error as _;
use std::fmt::Write as _;

use super::*;

mod retry_fields;
mod views;

#[test]
fn formats_are_told_apart_by_how_a_body_begins() {
    let bodies: [(&[u8], Format); 44] = [
        (b"", Format::Empty),
        (b"{}", Format::Json),
        (b" \r\n\t[1]", Format::Json),
        (b"{\"broken", Format::Json),
        (b"\"text\"", Format::Json),
        (b"-1.5e3 ", Format::Json),
        (b"0", Format::Json),
        (b"true", Format::Json),
        (b"false\n", Format::Json),
        (b" null", Format::Json),
        (b"N;", Format::Php),
        (b"b:0;", Format::Php),
        (b"i:-5;", Format::Php),
        (b"i:5", Format::Php),
        (b"d:.5;", Format::Php),
        (b"d:INF;", Format::Php),
        (b"d:NAN;", Format::Php),
        (b"d:-INF;", Format::Php),
        (b"s:0:\"\";", Format::Php),
        (b"S:1:\"a\";", Format::Php),
        (b"a:0:{}", Format::Php),
        (b"O:8:\"stdClass\":0:{}", Format::Php),
        (b"C:1:\"C\":0:{}", Format::Php),
        (b"E:4:\"En:A\";", Format::Php),
        (b"R:1;", Format::Php),
        (b"r:1;", Format::Php),
        (b" ", Format::Unknown),
        (b" a:0:{}", Format::Unknown),
        (b"a:", Format::Unknown),
        (b"a:b", Format::Unknown),
        (b"b:2;", Format::Unknown),
        (b"i:x", Format::Unknown),
        (b"s:\"a\"", Format::Unknown),
        (b"o:1:", Format::Unknown),
        (b"N", Format::Unknown),
        (b"hi", Format::Unknown),
        (b"nullable", Format::Unknown),
        (b"12 monkeys", Format::Unknown),
        (b"2026-01-02", Format::Json),
        (b"truefalse", Format::Unknown),
        (b"<xml/>", Format::Unknown),
        (b"\xef\xbb\xbf{}", Format::Unknown),
        (b"\x00\x01", Format::Unknown),
        (b"\x80\x04\x95", Format::Unknown),
    ];
    for (body, wanted) in bodies {
        assert_eq!(detect(body), wanted, "{}", body.escape_ascii());
    }
}

/// The view as text, or the whole chain of errors.
fn view(body: impl AsRef<[u8]>) -> Result<String, String> {
    view_within(body, &Limits::default())
}

fn view_within(body: impl AsRef<[u8]>, limits: &Limits) -> Result<String, String> {
    let mut scratch = b"left over".to_vec();
    match validated_json_view(body.as_ref(), limits, &mut scratch) {
        Ok(view) => Ok(std::str::from_utf8(view.json).unwrap().to_owned()),
        Err(error) => Err(chain(&error)),
    }
}

fn chain(error: &PayloadError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
