//! How fast the JSON view of a PHP body is made: of the bodies that PHP wrote for the tests, and of made ones that grow.
//!
//! `cargo bench -p asynccall-client` prints bytes of the body per second. The made bodies show that no shape takes more than
//! linear time: a row's figure at 4 MB is to be read beside the one at 64 KB.

use std::fmt::{self, Display, Formatter};

use asynccall_client::payload::{Limits, json_view};
use base64::{Engine, prelude::BASE64_STANDARD};
use divan::{Bencher, counter::BytesCount};

/// Bodies by PHP itself, a JSON document in each line.
const GOLDEN: &str = include_str!("../../../tests/fixtures/php/golden.jsonl");

fn main() {
    divan::main();
}

/// All golden bodies, one after another, as jobs come.
#[divan::bench]
fn golden_bodies(bencher: Bencher<'_, '_>) {
    measure(bencher, &golden());
}

/// Those of them that are as small as most jobs are: fewer than 1,000 bytes.
#[divan::bench]
fn golden_bodies_below_1_kb(bencher: Bencher<'_, '_>) {
    let mut bodies = golden();
    bodies.retain(|body| body.len() < 1_000);
    measure(bencher, &bodies);
}

/// The golden bodies as the entries of one array, again and again, up to this many bytes.
#[divan::bench(args = [1 << 16, 1 << 20, 4 << 20])]
fn golden_bodies_in_one(bencher: Bencher<'_, '_>, size: usize) {
    // A reference counts from the beginning of its own body.
    let bodies: Vec<_> = golden().into_iter().filter(|body| !refers(body)).collect();
    let mut entries = bodies.iter().cycle();
    let body = array(size, |_| entries.next().cloned().unwrap_or_default());
    measure(bencher, &[body]);
}

#[divan::bench(args = Shape::ALL, consts = [1 << 10, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 4 << 20])]
fn made<const SIZE: usize>(bencher: Bencher<'_, '_>, shape: &Shape) {
    measure(bencher, &[shape.body(SIZE)]);
}

/// Makes the views of these bodies, into one buffer that is kept, as a slot of the host does.
fn measure(bencher: Bencher<'_, '_>, bodies: &[Vec<u8>]) {
    let limits = Limits::default();
    let mut scratch = Vec::new();
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        for body in bodies {
            let view = json_view(body, &limits, &mut scratch);
            divan::black_box(view.expect("the body has a view").json.len());
        }
    });
}

/// The golden bodies that have a view.
fn golden() -> Vec<Vec<u8>> {
    let bodies = GOLDEN.lines().map(|line| {
        let case: serde_json::Value = serde_json::from_str(line).expect("a JSON document");
        let body = case["body_base64"].as_str().expect("a text");
        BASE64_STANDARD.decode(body).expect("base64")
    });
    let has_view = |body: &Vec<u8>| json_view(body, &Limits::default(), &mut Vec::new()).is_ok();
    bodies.filter(has_view).collect()
}

/// Whether the body has something that may be a reference.
fn refers(body: &[u8]) -> bool {
    body.windows(2).any(|pair| matches!(pair, b"R:" | b"r:"))
}

/// What a made body consists of.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// One text of ASCII.
    Text,
    /// One text in which every second character takes three bytes.
    Utf8,
    /// One text in which every fourth character is escaped in JSON.
    Escapes,
    /// A list of texts of eight characters.
    Words,
    Integers,
    Floats,
    /// An array of arrays with a few keys.
    Records,
    /// One array with many keys.
    Keys,
    /// Arrays 500 inside one another, again and again.
    Nested,
    /// Objects with public, protected and private properties.
    Objects,
    /// Objects that are referred to once more.
    References,
    /// Texts that are not UTF-8.
    Binary,
}

impl Shape {
    const ALL: [Shape; 12] = [
        Shape::Text,
        Shape::Utf8,
        Shape::Escapes,
        Shape::Words,
        Shape::Integers,
        Shape::Floats,
        Shape::Records,
        Shape::Keys,
        Shape::Nested,
        Shape::Objects,
        Shape::References,
        Shape::Binary,
    ];

    /// A body of about so many bytes.
    fn body(self, size: usize) -> Vec<u8> {
        match self {
            Shape::Text => text("job ".repeat(size / 4).as_bytes()),
            Shape::Utf8 => text("a任".repeat(size / 4).as_bytes()),
            Shape::Escapes => text("a/b\"".repeat(size / 4).as_bytes()),
            Shape::Words => array(size, |_| text(b"asynchro")),
            Shape::Integers => array(size, |index| format!("i:{};", index * 7_919).into()),
            Shape::Floats => array(size, |index| format!("d:{index}.25;").into()),
            Shape::Records => array(size, |index| {
                let record = format!("a:3:{{s:2:\"id\";i:{index};s:4:\"name\";s:3:\"Ann\";s:2:\"on\";b:1;}}");
                record.into()
            }),
            Shape::Keys => {
                let count = size / 20;
                let entries: String = (0..count)
                    .map(|index| format!("s:9:\"k{index:08}\";N;"))
                    .collect();
                format!("a:{count}:{{{entries}}}").into()
            }
            Shape::Nested => array(size, |_| {
                let depth = 500.min(size / 16);
                format!("{}N;{}", "a:1:{i:0;".repeat(depth), "}".repeat(depth)).into()
            }),
            Shape::Objects => array(size, |index| {
                let object = format!(
                    "O:4:\"Mail\":3:{{s:2:\"to\";i:{index};s:5:\"\0*\0cc\";N;s:9:\"\0Mail\0bcc\";b:0;}}"
                );
                object.into()
            }),
            // Slot 1 is the array, and each entry takes one slot more: the object first, `r:` behind it.
            Shape::References => array(size, |index| match index {
                0 => b"O:4:\"Mail\":0:{}".to_vec(),
                _ => b"r:2;".to_vec(),
            }),
            Shape::Binary => array(size, |_| text(&[0xff; 24])),
        }
    }
}

impl Display for Shape {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A string as PHP serializes it.
fn text(bytes: &[u8]) -> Vec<u8> {
    let head = format!("s:{}:\"", bytes.len());
    [head.as_bytes(), bytes, b"\";"].concat()
}

/// A list of as many values as it takes for so many bytes.
fn array(size: usize, mut value: impl FnMut(usize) -> Vec<u8>) -> Vec<u8> {
    let mut entries = Vec::with_capacity(size);
    let mut count = 0;
    while entries.len() < size {
        entries.extend_from_slice(format!("i:{count};").as_bytes());
        entries.extend_from_slice(&value(count));
        count += 1;
    }
    [format!("a:{count}:{{").as_bytes(), &entries, b"}"].concat()
}
