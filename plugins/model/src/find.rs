//! From criteria to a query: names become columns of the entity, values become binds of the column's type.

use plugin_api::serde_json::Value;
use sea_orm::{
    ColumnTrait, Condition, DbBackend, EntityTrait, IdenStatic, Iterable, Order as Direction,
    PrimaryKeyToColumn, QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::{Expr, ExprTrait},
};
use thiserror::Error;

use crate::{
    criteria::{Bound, Conditions, Criteria, CriteriaError, Operator, Test, kind},
    value::{Typed, ValueError},
};

/// Why `modelParams` finds nothing that could be asked for. The job is at fault.
#[derive(Debug, Error)]
pub(crate) enum FindError {
    #[error("`modelParams` is {found}, wanted a primary key, conditions or criteria")]
    Shape { found: &'static str },
    #[error("criteria in `modelParams`: {0}")]
    Criteria(#[from] CriteriaError),
    #[error("the model has no column `{column}`{hint}")]
    Column { column: String, hint: String },
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error("the model's primary key has {columns} columns; hint: ask for them in `conditions`")]
    CompositeKey { columns: usize },
}

/// The query for truthy `modelParams`: its first row is the model.
pub(crate) fn query<E: EntityTrait>(params: &Value, backend: DbBackend) -> Result<Select<E>, FindError> {
    match params {
        Value::Number(_) => by_key(params, backend),
        Value::String(text) if is_numeric(text) => by_key(params, backend),
        Value::String(text) => by_criteria(Criteria::of_text(text)?, backend),
        Value::Object(map) => by_criteria(Criteria::of_map(map)?, backend),
        Value::Array(list) => by_criteria(Criteria::of_list(list)?, backend),
        Value::Null | Value::Bool(_) => Err(FindError::Shape { found: kind(params) }),
    }
}

/// A whole number in digits, as PHP has ids that came from a form or a database.
fn is_numeric(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn by_key<E: EntityTrait>(key: &Value, backend: DbBackend) -> Result<Select<E>, FindError> {
    let mut columns = E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column);
    match (columns.next(), columns.count()) {
        (Some(column), 0) => {
            let column = Typed { column, backend };
            Ok(E::find().filter(comparison(column, Operator::Equal, key)?))
        }
        (_, more) => Err(FindError::CompositeKey { columns: 1 + more }),
    }
}

fn by_criteria<E: EntityTrait>(criteria: Criteria, backend: DbBackend) -> Result<Select<E>, FindError> {
    let mut query = E::find();
    if let Some(conditions) = &criteria.conditions {
        query = query.filter(condition::<E>(conditions, backend)?);
    }
    for order in &criteria.order {
        let direction = if order.descending {
            Direction::Desc
        } else {
            Direction::Asc
        };
        query = query.order_by(column::<E>(&order.column)?, direction);
    }
    if criteria.offset > 0 {
        query = query.offset(criteria.offset);
    }
    Ok(query)
}

/// The recursion is as deep as the parser has let the conditions be.
fn condition<E: EntityTrait>(conditions: &Bound, backend: DbBackend) -> Result<Condition, FindError> {
    let joined = |start: Condition, parts: &[Bound]| {
        let mut parts = parts.iter();
        parts.try_fold(start, |joined, part| {
            Ok(joined.add(condition::<E>(part, backend)?))
        })
    };
    match conditions {
        Conditions::All(parts) => joined(Condition::all(), parts),
        Conditions::Any(parts) => joined(Condition::any(), parts),
        Conditions::Not(part) => Ok(condition::<E>(part, backend)?.not()),
        Conditions::Column { name, negated, test } => {
            let column = column::<E>(name)?;
            let found = self::test(Typed { column, backend }, test)?;
            // Around a condition of its own, so that `NOT` is about the test alone.
            let only = Condition::all().add(found);
            Ok(if *negated { only.not() } else { only })
        }
    }
}

fn test<C: ColumnTrait>(column: Typed<C>, test: &Test<Value>) -> Result<Expr, ValueError> {
    let place = || Expr::col(column.column.as_column_ref());
    Ok(match test {
        Test::Compare(operator, value) => comparison(column, *operator, value)?,
        Test::Like(Value::String(pattern)) => place().like(pattern.as_str()),
        Test::Like(other) => return Err(column.mismatch(other, "a text")),
        Test::In(values) => {
            let values = values.iter().map(|value| column.bind(value));
            place().is_in(values.collect::<Result<Vec<_>, _>>()?)
        }
        Test::Between(low, high) => place().between(column.bind(low)?, column.bind(high)?),
        Test::Null => place().is_null(),
    })
}

fn comparison<C: ColumnTrait>(
    column: Typed<C>,
    operator: Operator,
    value: &Value,
) -> Result<Expr, ValueError> {
    let (place, value) = (Expr::col(column.column.as_column_ref()), column.bind(value)?);
    Ok(match operator {
        Operator::Equal => place.eq(value),
        Operator::Unequal => place.ne(value),
        Operator::Less => place.lt(value),
        Operator::AtMost => place.lte(value),
        Operator::Greater => place.gt(value),
        Operator::AtLeast => place.gte(value),
    })
}

/// The column of this name, spelt as in the database.
fn column<E: EntityTrait>(name: &str) -> Result<E::Column, FindError> {
    if let Some(column) = E::Column::iter().find(|column| column.as_str() == name) {
        return Ok(column);
    }
    let near = E::Column::iter().map(|column| (strsim::jaro(name, column.as_str()), column));
    let near = near.max_by(|(a, _), (b, _)| a.total_cmp(b));
    let hint = near.filter(|(likeness, _)| *likeness > 0.8);
    Err(FindError::Column {
        column: name.to_owned(),
        hint: hint.map_or_else(String::new, |(_, column)| {
            format!("; hint: did you mean `{}`?", column.as_str())
        }),
    })
}
