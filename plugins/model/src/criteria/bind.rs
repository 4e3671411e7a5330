//! Puts a value in the place of every placeholder.

use std::collections::HashSet;

use plugin_api::serde_json::{Map, Value};

use super::{
    CriteriaError, kind,
    parser::{Conditions, Operand, Test},
};

/// Conditions whose values are texts, numbers and booleans.
pub(crate) type Bound = Conditions<Value>;

/// A list of values as PHP numbers it.
pub(super) fn positions(values: &[Value]) -> Map<String, Value> {
    let numbered = values.iter().enumerate();
    numbered
        .map(|(position, value)| (position.to_string(), value.clone()))
        .collect()
}

/// Binds every placeholder; none may be without a value and no value without one.
pub(super) fn bind(
    conditions: Conditions<Operand>,
    values: Map<String, Value>,
) -> Result<Bound, CriteriaError> {
    let mut binder = Binder {
        values: &values,
        used: HashSet::new(),
    };
    let bound = binder.conditions(conditions)?;
    let used = binder.used;
    match values.keys().find(|name| !used.contains(*name)) {
        Some(name) => Err(CriteriaError::Unused { name: name.clone() }),
        None => Ok(bound),
    }
}

struct Binder<'a> {
    values: &'a Map<String, Value>,
    used: HashSet<String>,
}

impl Binder<'_> {
    /// The recursion is as deep as the parser has let the conditions be.
    fn conditions(&mut self, conditions: Conditions<Operand>) -> Result<Bound, CriteriaError> {
        Ok(match conditions {
            Conditions::All(parts) => Conditions::All(self.each(parts)?),
            Conditions::Any(parts) => Conditions::Any(self.each(parts)?),
            Conditions::Not(part) => Conditions::Not(Box::new(self.conditions(*part)?)),
            Conditions::Column { name, negated, test } => Conditions::Column {
                name,
                negated,
                test: self.test(test)?,
            },
        })
    }

    fn each(&mut self, parts: Vec<Conditions<Operand>>) -> Result<Vec<Bound>, CriteriaError> {
        parts.into_iter().map(|part| self.conditions(part)).collect()
    }

    fn test(&mut self, test: Test<Operand>) -> Result<Test<Value>, CriteriaError> {
        Ok(match test {
            Test::Compare(operator, value) => Test::Compare(operator, self.one(value)?),
            Test::Like(value) => Test::Like(self.one(value)?),
            Test::Between(low, high) => Test::Between(self.one(low)?, self.one(high)?),
            Test::Null => Test::Null,
            Test::In(values) => {
                let mut bound = Vec::new();
                for value in values {
                    self.several(value, &mut bound)?;
                }
                Test::In(bound)
            }
        })
    }

    fn one(&mut self, operand: Operand) -> Result<Value, CriteriaError> {
        match operand {
            Operand::Literal(value) => Ok(value),
            Operand::Placeholder(name) => scalar(&name, self.value(&name)?),
        }
    }

    /// In `IN (…)` a placeholder may stand for a list.
    fn several(&mut self, operand: Operand, bound: &mut Vec<Value>) -> Result<(), CriteriaError> {
        if let Operand::Placeholder(name) = &operand
            && let Value::Array(values) = self.value(name)?
        {
            for value in values {
                bound.push(scalar(name, value)?);
            }
            return Ok(());
        }
        bound.push(self.one(operand)?);
        Ok(())
    }

    fn value(&mut self, name: &str) -> Result<Value, CriteriaError> {
        let value = self.values.get(name).ok_or_else(|| CriteriaError::Unbound {
            placeholder: name.to_owned(),
        })?;
        self.used.insert(name.to_owned());
        Ok(value.clone())
    }
}

fn scalar(placeholder: &str, value: Value) -> Result<Value, CriteriaError> {
    let wanted = match value {
        Value::Bool(_) | Value::Number(_) | Value::String(_) => return Ok(value),
        Value::Null => "a value; nothing equals `NULL`, ask `IS NULL`",
        Value::Array(_) => "one value; a list only inside `IN (…)`",
        Value::Object(_) => "one value",
    };
    Err(CriteriaError::Value {
        placeholder: placeholder.to_owned(),
        found: kind(&value),
        wanted,
    })
}
