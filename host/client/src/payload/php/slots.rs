//! Which value a reference means: the body's values by slot number.

use super::value::{Document, Entries, Value};

/// The values of a document in the order of their slots, the first at index 0.
#[derive(Debug)]
pub(in crate::payload) struct Slots<'d, 'a> {
    targets: Vec<Option<&'d Value<'a>>>,
}

/// A reference to a slot that does not exist, or `r:` to a slot that holds no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::payload) struct BadReference {
    pub(in crate::payload) slot: u64,
}

impl<'d, 'a> Slots<'d, 'a> {
    pub(in crate::payload) fn of(document: &'d Document<'a>) -> Slots<'d, 'a> {
        let mut slots = Slots { targets: Vec::new() };
        slots.number(&document.root);
        slots
    }

    fn number(&mut self, value: &'d Value<'a>) {
        match value {
            Value::Reference(_) => return,
            // An object that is referred to through another `r:` is found in one step, however long the chain.
            Value::SameObject(_) => self.targets.push(self.resolve(value).ok()),
            _ => self.targets.push(Some(value)),
        }
        match value {
            Value::Array(entries) => self.number_all(entries),
            Value::Object(object) => self.number_all(&object.properties),
            Value::Custom(custom) => custom.inner.iter().for_each(|inner| self.number(inner)),
            _ => {}
        }
    }

    fn number_all(&mut self, entries: &'d Entries<'a>) {
        for (_, value) in entries {
            self.number(value);
        }
    }

    /// The value itself, or what it refers to; never a reference.
    pub(in crate::payload) fn resolve(&self, value: &'d Value<'a>) -> Result<&'d Value<'a>, BadReference> {
        let (slot, wants_object) = match value {
            Value::Reference(slot) => (*slot, false),
            Value::SameObject(slot) => (*slot, true),
            _ => return Ok(value),
        };
        let index = usize::try_from(slot).ok().and_then(|slot| slot.checked_sub(1));
        let target = index
            .and_then(|index| *self.targets.get(index)?)
            .ok_or(BadReference { slot })?;
        let is_object = matches!(target, Value::Object(_) | Value::Custom(_) | Value::Enum(_));
        if wants_object && !is_object {
            Err(BadReference { slot })
        } else {
            Ok(target)
        }
    }
}
