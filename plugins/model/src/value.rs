//! A value of a message as a bind of its column's type.
//!
//! PHP and the databases it is mostly used with turn texts into numbers and back as needed. PostgreSQL does not, so it is
//! done here, for all alike: what does not fit is refused before the database is asked.

use plugin_api::serde_json::Value;
use sea_orm::{
    ColumnTrait, ColumnType, DbBackend,
    sea_query::{Alias, Expr, ExprTrait},
};
use thiserror::Error;

use crate::criteria::kind;

/// A column, and the database that it is in.
#[derive(Clone, Copy)]
pub(crate) struct Typed<C> {
    pub(crate) column: C,
    pub(crate) backend: DbBackend,
}

/// Why a value cannot be compared with its column. The job is at fault.
#[derive(Debug, Error)]
pub(crate) enum ValueError {
    #[error("column `{column}` is compared with {found}, wanted {wanted}")]
    Type {
        column: &'static str,
        found: &'static str,
        wanted: &'static str,
    },
    #[error("column `{column}` has a type that criteria cannot ask for")]
    Unsupported { column: &'static str },
}

impl<C: ColumnTrait> Typed<C> {
    /// The value as a bind.
    pub(crate) fn bind(self, value: &Value) -> Result<Expr, ValueError> {
        use ColumnType as T;
        let definition = self.column.def();
        match definition.get_column_type() {
            T::TinyInteger
            | T::SmallInteger
            | T::Integer
            | T::BigInteger
            | T::TinyUnsigned
            | T::SmallUnsigned
            | T::Unsigned
            | T::BigUnsigned
            | T::Year => self.fitting(value, integer, "a whole number").map(Expr::val),
            T::Float | T::Double | T::Decimal(_) => self.fitting(value, decimal, "a number").map(Expr::val),
            T::Boolean => self.fitting(value, boolean, "a boolean").map(Expr::val),
            T::Char(_) | T::String(_) | T::Text | T::Enum { .. } | T::Custom(_) => {
                Ok(self.column.save_as(Expr::val(self.text(value)?)))
            }
            T::DateTime | T::Timestamp => self.read_as("timestamp", value),
            T::TimestampWithTimeZone => self.read_as("timestamptz", value),
            T::Date => self.read_as("date", value),
            T::Time => self.read_as("time", value),
            T::Uuid => self.read_as("uuid", value),
            _ => Err(ValueError::Unsupported {
                column: self.column.as_str(),
            }),
        }
    }

    /// The error for a value that is of another kind.
    pub(crate) fn mismatch(self, value: &Value, wanted: &'static str) -> ValueError {
        ValueError::Type {
            column: self.column.as_str(),
            found: kind(value),
            wanted,
        }
    }

    /// A text that the database reads as another type. Only PostgreSQL has to be told to.
    fn read_as(self, database_type: &'static str, value: &Value) -> Result<Expr, ValueError> {
        let text = Expr::val(self.text(value)?);
        Ok(match self.backend {
            DbBackend::Postgres => text.cast_as(Alias::new(database_type)),
            _ => text,
        })
    }

    fn text(self, value: &Value) -> Result<String, ValueError> {
        self.fitting(value, text, "a text")
    }

    fn fitting<T>(
        self,
        value: &Value,
        read: impl FnOnce(&Value) -> Option<T>,
        wanted: &'static str,
    ) -> Result<T, ValueError> {
        read(value).ok_or_else(|| self.mismatch(value, wanted))
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(truth) => Some((*truth).into()),
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn decimal(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.as_str() {
            "" | "0" | "false" => Some(false),
            "1" | "true" => Some(true),
            _ => None,
        },
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
