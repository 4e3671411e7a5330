//! A place in a schema: references followed, and the ways in which derives write an optional value put aside.
//!
//! A short schema may describe a document without end, since several references may lead to one place. How deep and how
//! long a schema is looked into has an end, therefore, beyond which a place seems to have nothing in it.

use std::{cell::Cell, rc::Rc};

use serde_json::{Map, Value};

/// How many references are followed on the way to a place.
const MOST_FOLLOWED: usize = 32;
/// How many places of a schema are looked into, each as often as the page asks for it.
const MOST_LOOKS: usize = 50_000;

/// A schema within the whole document.
#[derive(Clone)]
pub(super) struct Node<'a> {
    root: &'a Value,
    /// The schema, no reference.
    pub(super) schema: &'a Value,
    /// The first description on the way to it.
    pub(super) description: Option<&'a str>,
    /// The first default on the way to it.
    pub(super) default: Option<&'a Value>,
    /// The references that were followed from the root on.
    followed: Vec<&'a str>,
    /// What is in the schema is not looked at: it is known by then, as the last of the references had been followed
    /// before, or it is too much.
    is_closed: bool,
    /// How many further places of the whole document are looked into.
    looks: Rc<Cell<usize>>,
}

impl<'a> Node<'a> {
    pub(super) fn root(root: &'a Value) -> Node<'a> {
        let above = Node {
            root,
            schema: root,
            description: None,
            default: None,
            followed: Vec::new(),
            is_closed: false,
            looks: Rc::new(Cell::new(MOST_LOOKS)),
        };
        above.within(root)
    }

    /// A schema within this one.
    fn within(&self, schema: &'a Value) -> Node<'a> {
        let mut node = Node {
            schema,
            description: None,
            default: None,
            ..self.clone()
        };
        let looks = node.looks.get();
        node.looks.set(looks.saturating_sub(1));
        node.is_closed |= looks == 0;
        loop {
            let words = node.schema.get("description").and_then(Value::as_str);
            node.description = node.description.or(words);
            node.default = node.default.or(node.schema.get("default"));
            let Some(next) = node.behind() else { break };
            if let Some(reference) = node.reference() {
                let is_known = node.followed.contains(&reference);
                node.is_closed |= is_known || node.followed.len() == MOST_FOLLOWED;
                node.followed.push(reference);
            }
            node.schema = next;
            if node.is_closed {
                break;
            }
        }
        node
    }

    fn reference(&self) -> Option<&'a str> {
        self.schema.get("$ref").and_then(Value::as_str)
    }

    /// What the schema stands for: the one that it refers to, or the only form that is not null.
    fn behind(&self) -> Option<&'a Value> {
        if let Some(reference) = self.reference() {
            return self.root.pointer(reference.strip_prefix('#')?);
        }
        let mut forms = self
            .listed()
            .filter(|form| form.get("type") != Some(&Value::from("null")));
        match (forms.next(), forms.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    fn listed(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let is_closed = self.is_closed;
        let lists = ["oneOf", "anyOf", "allOf"].map(|keyword| self.schema.get(keyword));
        let lists = lists.into_iter().flatten().filter(move |_| !is_closed);
        lists.filter_map(Value::as_array).flatten()
    }

    /// The forms of which one or all are wanted, without null.
    pub(super) fn forms(&self) -> impl Iterator<Item = Node<'a>> {
        self.listed()
            .map(|form| self.within(form))
            .filter(|form| form.types() != ["null"])
    }

    pub(super) fn get(&self, keyword: &str) -> Option<&'a Value> {
        self.schema.get(keyword)
    }

    /// The schema that a keyword holds.
    pub(super) fn below(&self, keyword: &str) -> Option<Node<'a>> {
        let schema = self
            .get(keyword)
            .filter(|schema| schema.is_object() && !self.is_closed)?;
        Some(self.within(schema))
    }

    /// The keys of a table, with their schemas, and whether each is required.
    pub(super) fn properties(&self) -> impl Iterator<Item = (&'a str, bool, Node<'a>)> {
        let required = self.get("required").and_then(Value::as_array);
        let is_required = move |key: &str| {
            required.is_some_and(|keys| keys.iter().any(|required| required.as_str() == Some(key)))
        };
        let properties = self.get("properties").and_then(Value::as_object);
        let properties = properties.filter(|_| !self.is_closed);
        properties
            .into_iter()
            .flat_map(Map::iter)
            .map(move |(key, schema)| (key.as_str(), is_required(key), self.within(schema)))
    }

    /// The types that it may have, without null where there are others.
    pub(super) fn types(&self) -> Vec<&'a str> {
        match self.get("type") {
            Some(Value::String(kind)) => vec![kind],
            Some(Value::Array(kinds)) => {
                let kinds = kinds.iter().filter_map(Value::as_str);
                kinds.filter(|kind| *kind != "null").collect()
            }
            _ => Vec::new(),
        }
    }

    /// The values that it may have, each with what is said of it; none where there are others.
    pub(super) fn values(&self) -> Vec<(&'a Value, Option<&'a str>)> {
        if let Some(value) = self.get("const") {
            return vec![(value, None)];
        }
        if let Some(Value::Array(values)) = self.get("enum") {
            return values.iter().map(|value| (value, None)).collect();
        }
        let mut all = Vec::new();
        for form in self.forms() {
            let values = form.values();
            if values.is_empty() {
                return Vec::new();
            }
            all.extend(
                values
                    .into_iter()
                    .map(|(value, words)| (value, words.or(form.description))),
            );
        }
        all
    }
}
