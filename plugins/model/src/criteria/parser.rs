//! The grammar of conditions.
//!
//! ```text
//! any     = all { OR all }
//! all     = not { AND not }
//! not     = NOT not | "(" any ")" | test
//! test    = column compare value
//!         | column [NOT] LIKE value
//!         | column [NOT] IN "(" value { "," value } ")"
//!         | column [NOT] BETWEEN value AND value
//!         | column IS [NOT] NULL
//! compare = "=" | "<>" | "!=" | "<" | "<=" | ">" | ">="
//! column  = name | "[" name "]"
//! value   = "?0" | ":name:" | "{name}" | "{name:type}" | text | number | TRUE | FALSE
//! ```
//!
//! Keywords are read in any case. There are no functions, no columns on the right and no second query, so nothing can be
//! said here but which rows of the model's own table are meant.

use plugin_api::serde_json::Value;

use super::{
    CriteriaError,
    lexer::{self, Kind, Token},
};

/// Longer conditions are refused.
const LONGEST: usize = 16 * 1024;
/// Parentheses and `NOT`s inside each other.
const DEEPEST: usize = 32;

/// Conditions over values `V`: [`Operand`]s as parsed, and JSON values once they are bound.
#[derive(Debug, PartialEq)]
pub(crate) enum Conditions<V> {
    All(Vec<Conditions<V>>),
    Any(Vec<Conditions<V>>),
    Not(Box<Conditions<V>>),
    Column {
        name: String,
        negated: bool,
        test: Test<V>,
    },
}

/// What is asked of a column.
#[derive(Debug, PartialEq)]
pub(crate) enum Test<V> {
    Compare(Operator, V),
    Like(V),
    In(Vec<V>),
    Between(V, V),
    Null,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// A value before it is bound.
#[derive(Debug, PartialEq)]
pub(crate) enum Operand {
    /// The key in `bind`.
    Placeholder(String),
    Literal(Value),
}

/// Parses conditions.
pub(super) fn parse(text: &str) -> Result<Conditions<Operand>, CriteriaError> {
    if text.len() > LONGEST {
        return Err(CriteriaError::TooLong {
            length: text.len(),
            limit: LONGEST,
        });
    }
    let mut parser = Parser {
        tokens: lexer::split(text)?,
        next: 0,
        depth: 0,
    };
    let conditions = parser.any()?;
    if parser.peek().kind != Kind::End {
        return Err(parser.unexpected("`AND`, `OR` or the end"));
    }
    Ok(conditions)
}

struct Parser<'a> {
    /// Never empty: the last is the end.
    tokens: Vec<Token<'a>>,
    next: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Conditions<Operand>, CriteriaError> {
        let mut parts = vec![self.all()?];
        while self.keyword("OR") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Conditions::Any))
    }

    fn all(&mut self) -> Result<Conditions<Operand>, CriteriaError> {
        let mut parts = vec![self.not()?];
        while self.keyword("AND") {
            parts.push(self.not()?);
        }
        Ok(one_or(parts, Conditions::All))
    }

    fn not(&mut self) -> Result<Conditions<Operand>, CriteriaError> {
        if self.depth >= DEEPEST {
            return Err(CriteriaError::TooDeep { limit: DEEPEST });
        }
        self.depth += 1;
        let found = if self.keyword("NOT") {
            Conditions::Not(Box::new(self.not()?))
        } else if self.symbol("(") {
            let inside = self.any()?;
            self.expect(")", "`)`")?;
            inside
        } else {
            self.column()?
        };
        self.depth -= 1;
        Ok(found)
    }

    fn column(&mut self) -> Result<Conditions<Operand>, CriteriaError> {
        let name = match self.peek().kind {
            Kind::Word(word) if !is_reserved(word) => word,
            Kind::Bracketed(name) => name,
            _ => return Err(self.unexpected("a column, `NOT` or `(`")),
        };
        self.next += 1;
        let (negated, test) = self.test()?;
        Ok(Conditions::Column {
            name: name.to_owned(),
            negated,
            test,
        })
    }

    fn test(&mut self) -> Result<(bool, Test<Operand>), CriteriaError> {
        if self.keyword("IS") {
            let negated = self.keyword("NOT");
            if !self.keyword("NULL") {
                return Err(self.unexpected("`NULL` or `NOT NULL`"));
            }
            return Ok((negated, Test::Null));
        }
        if let Some(operator) = self.operator() {
            return Ok((false, Test::Compare(operator, self.value()?)));
        }
        let negated = self.keyword("NOT");
        let test = if self.keyword("LIKE") {
            Test::Like(self.value()?)
        } else if self.keyword("IN") {
            self.expect("(", "`(`")?;
            let mut values = vec![self.value()?];
            while self.symbol(",") {
                values.push(self.value()?);
            }
            self.expect(")", "`,` or `)`")?;
            Test::In(values)
        } else if self.keyword("BETWEEN") {
            let low = self.value()?;
            if !self.keyword("AND") {
                return Err(self.unexpected("`AND`"));
            }
            Test::Between(low, self.value()?)
        } else {
            return Err(self.unexpected("a comparison, `LIKE`, `IN`, `BETWEEN` or `IS`"));
        };
        Ok((negated, test))
    }

    fn operator(&mut self) -> Option<Operator> {
        let Kind::Symbol(symbol) = self.peek().kind else {
            return None;
        };
        let operator = match symbol {
            "=" => Operator::Equal,
            "<>" | "!=" => Operator::Unequal,
            "<" => Operator::Less,
            "<=" => Operator::AtMost,
            ">" => Operator::Greater,
            ">=" => Operator::AtLeast,
            _ => return None,
        };
        self.next += 1;
        Some(operator)
    }

    fn value(&mut self) -> Result<Operand, CriteriaError> {
        let value = match &self.peek().kind {
            Kind::Placeholder(name) => Operand::Placeholder((*name).to_owned()),
            Kind::Text(text) => Operand::Literal(text.as_str().into()),
            Kind::Integer(number) => Operand::Literal((*number).into()),
            Kind::Decimal(number) => Operand::Literal((*number).into()),
            Kind::Word(word) if word.eq_ignore_ascii_case("TRUE") => Operand::Literal(true.into()),
            Kind::Word(word) if word.eq_ignore_ascii_case("FALSE") => Operand::Literal(false.into()),
            Kind::Word(word) if word.eq_ignore_ascii_case("NULL") => {
                return Err(self.unexpected("a value; nothing equals `NULL`, ask `IS NULL`"));
            }
            _ => return Err(self.unexpected("a placeholder, a text in quotes, a number, `TRUE` or `FALSE`")),
        };
        self.next += 1;
        Ok(value)
    }

    fn peek(&self) -> &Token<'a> {
        const END: &Token<'static> = &Token {
            at: 0,
            kind: Kind::End,
        };
        self.tokens.get(self.next).or(self.tokens.last()).unwrap_or(END)
    }

    /// Takes the keyword if it comes next.
    fn keyword(&mut self, keyword: &str) -> bool {
        let comes = matches!(self.peek().kind, Kind::Word(word) if word.eq_ignore_ascii_case(keyword));
        self.next += usize::from(comes);
        comes
    }

    /// Takes the symbol if it comes next.
    fn symbol(&mut self, symbol: &str) -> bool {
        let comes = matches!(self.peek().kind, Kind::Symbol(next) if next == symbol);
        self.next += usize::from(comes);
        comes
    }

    fn expect(&mut self, symbol: &str, wanted: &'static str) -> Result<(), CriteriaError> {
        self.symbol(symbol)
            .then_some(())
            .ok_or_else(|| self.unexpected(wanted))
    }

    fn unexpected(&self, wanted: &'static str) -> CriteriaError {
        let Token { at, kind } = self.peek();
        CriteriaError::Unexpected {
            at: *at,
            found: kind.shown(),
            wanted,
        }
    }
}

/// A column of such a name is written in brackets.
fn is_reserved(word: &str) -> bool {
    const RESERVED: [&str; 10] = [
        "AND", "OR", "NOT", "IS", "NULL", "IN", "LIKE", "BETWEEN", "TRUE", "FALSE",
    ];
    RESERVED
        .iter()
        .any(|reserved| word.eq_ignore_ascii_case(reserved))
}

/// The only part, or all of them joined.
fn one_or(
    mut parts: Vec<Conditions<Operand>>,
    join: impl FnOnce(Vec<Conditions<Operand>>) -> Conditions<Operand>,
) -> Conditions<Operand> {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            parts.extend(last);
            join(parts)
        }
    }
}
