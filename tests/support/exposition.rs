//! A strict reader of Prometheus' text format 0.0.4: what a scraper would take, and nothing beyond.

use std::collections::{BTreeMap, BTreeSet};

/// One line with a number.
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// A page that follows the format.
pub(crate) struct Page {
    kinds: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

impl Page {
    /// Reads a page. Panics at the first line that breaks a rule.
    #[track_caller]
    pub(crate) fn read(text: &str) -> Page {
        assert!(text.ends_with('\n'), "the last line ends");
        let mut page = Page {
            kinds: BTreeMap::new(),
            samples: Vec::new(),
        };
        let mut family: Option<(String, String)> = None;
        let mut helped = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("name and text");
                assert!(helped.insert(name.to_owned()), "one help: {line}");
                assert!(
                    !page.kinds.contains_key(name),
                    "help stands before the type: {line}"
                );
                assert_escaped(help, &['\\', 'n']);
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("name and kind");
                assert!(is_name(name), "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                let before = page.kinds.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "a metric stands in one place: {line}");
                family = Some((name.to_owned(), kind.to_owned()));
            } else {
                let sample = sample(line);
                let (name, kind) = family.as_ref().expect("the type stands before the numbers");
                let suffix = sample.name.strip_prefix(name.as_str());
                match kind.as_str() {
                    "histogram" => assert!(
                        matches!(suffix, Some("_bucket" | "_sum" | "_count")),
                        "{line} is of {name}"
                    ),
                    _ => assert_eq!(suffix, Some(""), "{line} is of {name}"),
                }
                if kind == "counter" {
                    assert!(sample.value >= 0.0, "{line}");
                }
                let key = (sample.name.clone(), sample.labels.clone());
                assert!(seen.insert(key), "one number for each set of labels: {line}");
                page.samples.push(sample);
            }
        }
        page.check_histograms();
        page
    }

    /// Buckets are cumulative, and the last one holds everything.
    #[track_caller]
    fn check_histograms(&self) {
        for (name, _) in self.kinds.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut last: BTreeMap<_, (f64, f64)> = BTreeMap::new();
            for bucket in self.samples(&format!("{name}_bucket")) {
                let mut labels = bucket.labels.clone();
                let bound = labels.remove("le").expect("a bucket has a bound");
                let bound = match bound.as_str() {
                    "+Inf" => f64::INFINITY,
                    finite => finite.parse().expect("a number"),
                };
                if let Some((before, count)) = last.insert(labels, (bound, bucket.value)) {
                    assert!(before < bound && count <= bucket.value, "{name} ascends");
                }
            }
            let counts: BTreeMap<_, _> = self
                .samples(&format!("{name}_count"))
                .map(|sample| (sample.labels.clone(), (f64::INFINITY, sample.value)))
                .collect();
            assert_eq!(last, counts, "the last bucket of {name} is its count");
        }
    }

    /// The numbers of that name.
    pub(crate) fn samples(&self, name: &str) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }

    /// The number of that name with exactly these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: BTreeMap<String, String> = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.samples(name)
            .find(|sample| sample.labels == labels)
            .map(|sample| sample.value)
    }

    /// What a metric counts.
    pub(crate) fn kind(&self, name: &str) -> Option<&str> {
        self.kinds.get(name).map(String::as_str)
    }
}

#[track_caller]
fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect("a name and a number");
    let (name, rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    if let Some(mut inner) = rest.strip_prefix('{') {
        loop {
            let (name, quoted) = inner.split_once("=\"").expect("a label");
            assert!(is_name(name), "{line}");
            let (value, behind) = unquote(quoted);
            assert_eq!(labels.insert(name.to_owned(), value), None, "{line}");
            match behind.strip_prefix(',') {
                Some(next) => inner = next,
                None => {
                    rest = behind.strip_prefix('}').expect("the labels end");
                    break;
                }
            }
        }
    }
    let number = rest.strip_prefix(' ').expect("a space before the number");
    let digits = |byte: u8| byte.is_ascii_digit() || b"+-.e".contains(&byte);
    assert!(number.bytes().all(digits), "{line}");
    Sample {
        name: name.to_owned(),
        labels,
        value: number.parse().expect("a number"),
    }
}

/// The text up to the closing quote, and what is behind it.
#[track_caller]
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, other @ ('\\' | '"'))) => value.push(other),
                other => panic!("no escape: {other:?}"),
            },
            other => value.push(other),
        }
    }
    panic!("the value does not end: {text}")
}

#[track_caller]
fn assert_escaped(text: &str, escapes: &[char]) {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            let next = characters.next();
            assert!(next.is_some_and(|next| escapes.contains(&next)), "{text}");
        }
    }
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    bytes.next().is_some_and(letter) && bytes.all(|byte| letter(byte) || byte.is_ascii_digit())
}
