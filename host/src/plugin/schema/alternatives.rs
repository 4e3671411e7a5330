//! Of several forms that a value may have and has none of: which one was meant.

use jsonschema::{ValidationError, error::ValidationErrorKind};
use serde_json::Value;

use super::words;

/// How far a value is from a form, the nearest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    /// Something within it is wrong.
    Within,
    /// It lacks a key of the form, or has one that the form does not have.
    Keys,
    /// The word that tells the forms apart is another one.
    Word,
    /// It has another type.
    Type,
}

/// What is wanted where no single form was meant.
pub(super) enum Wanted<'a> {
    /// One of these words, at that pointer.
    Word(String, Vec<&'a Value>),
    /// One of these types.
    Type(Vec<&'static str>),
    /// One of these keys, none of which is there.
    Key(Vec<&'a str>),
    /// A form out of that many.
    Form(usize),
}

/// What is wrong with the form that the value at the pointer `at` is nearest to; each form has its list of errors.
pub(super) fn closest<'a>(
    at: &str,
    forms: &'a [Vec<ValidationError<'static>>],
) -> Result<&'a [ValidationError<'static>], Wanted<'a>> {
    let distance = |form: &[ValidationError<'_>]| form.iter().map(|error| distance(at, error)).max();
    let Some(least) = forms.iter().filter_map(|form| distance(form)).min() else {
        return Err(Wanted::Form(forms.len()));
    };
    let mut near = forms.iter().filter(|form| distance(form) == Some(least));
    match (near.next(), near.next(), least) {
        (Some(only), None, Distance::Within | Distance::Keys) => Ok(only),
        // A word is wanted together with the types that other forms have only where there are such forms.
        (_, _, Distance::Word) => Err(word(at, forms)),
        (_, _, Distance::Type) => Err(Wanted::Type(types(at, forms))),
        _ => {
            let near = forms.iter().filter(|form| distance(form) == Some(least));
            Err(keys(at, near).map_or(Wanted::Form(forms.len()), Wanted::Key))
        }
    }
}

fn distance(at: &str, error: &ValidationError<'_>) -> Distance {
    let path = error.instance_path().as_str();
    // The word is the value itself, or one of its keys.
    let below = path.strip_prefix(at).unwrap_or(path).matches('/').count();
    match error.kind() {
        ValidationErrorKind::Type { .. } if below == 0 => Distance::Type,
        ValidationErrorKind::Constant { .. } | ValidationErrorKind::Enum { .. } if below <= 1 => {
            Distance::Word
        }
        ValidationErrorKind::Required { .. }
        | ValidationErrorKind::AdditionalProperties { .. }
        | ValidationErrorKind::UnevaluatedProperties { .. }
            if below == 0 =>
        {
            Distance::Keys
        }
        _ => Distance::Within,
    }
}

/// The words that tell the forms apart, where they all have one at the same pointer.
fn word<'a>(at: &str, forms: &'a [Vec<ValidationError<'static>>]) -> Wanted<'a> {
    let mut pointer = None;
    let mut words: Vec<&Value> = Vec::new();
    for error in forms.iter().flatten() {
        if distance(at, error) != Distance::Word {
            continue;
        }
        let path = error.instance_path().as_str();
        if *pointer.get_or_insert(path) != path {
            return Wanted::Form(forms.len());
        }
        match error.kind() {
            ValidationErrorKind::Constant { expected_value } => words.push(expected_value),
            ValidationErrorKind::Enum { options } => words.extend(options.as_array().into_iter().flatten()),
            _ => {}
        }
    }
    Wanted::Word(pointer.unwrap_or(at).to_owned(), words)
}

/// The keys that tell the forms apart, where each of those lacks one.
fn keys<'a>(
    at: &str,
    forms: impl Iterator<Item = &'a Vec<ValidationError<'static>>>,
) -> Option<Vec<&'a str>> {
    let key = |form: &'a Vec<ValidationError<'static>>| {
        let mut missing = form.iter().filter_map(|error| match error.kind() {
            ValidationErrorKind::Required { property } if distance(at, error) == Distance::Keys => {
                property.as_str()
            }
            _ => None,
        });
        missing.next().filter(|_| missing.next().is_none())
    };
    forms.map(key).collect()
}

fn types(at: &str, forms: &[Vec<ValidationError<'static>>]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for error in forms.iter().flatten() {
        if let ValidationErrorKind::Type { kind } = error.kind()
            && distance(at, error) == Distance::Type
        {
            for name in words::type_names(kind) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    names
}

impl Wanted<'_> {
    /// Where the fault is, as a pointer, and its text.
    pub(super) fn text(self, at: &str, config: &Value) -> (String, String) {
        let found = |pointer: &str| config.pointer(pointer).unwrap_or(&Value::Null);
        match self {
            Wanted::Word(pointer, options) => {
                let text = words::none_of(found(&pointer), &options);
                (pointer, text)
            }
            Wanted::Type(names) => {
                let wanted = words::either(names.into_iter().map(str::to_owned).collect());
                let text = format!("found {}, wanted {wanted}", words::found(found(at)));
                (at.to_owned(), text)
            }
            Wanted::Key(keys) => {
                let keys = words::all(keys.into_iter().map(words::name).collect());
                let text = format!("found none of the keys {keys}, wanted one of them");
                (at.to_owned(), text)
            }
            Wanted::Form(count) => {
                let text = format!("found {}, wanted one of {count} forms", words::found(found(at)));
                (at.to_owned(), text)
            }
        }
    }
}
