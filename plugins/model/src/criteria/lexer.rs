//! The words of conditions.

use super::CriteriaError;

/// One word, and the byte it begins at.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) at: usize,
    pub(super) kind: Kind<'a>,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind<'a> {
    /// A keyword or a column, as written.
    Word(&'a str),
    /// A column in `[…]`, which is never a keyword.
    Bracketed(&'a str),
    /// `'…'` or `"…"`, where a doubled quote is one quote and a backslash is a backslash.
    Text(String),
    Integer(i64),
    Decimal(f64),
    /// `?0`, `:name:`, `{name}` or `{name:type}`: the key in `bind`.
    Placeholder(&'a str),
    /// `=`, `<>`, `!=`, `<`, `<=`, `>`, `>=`, `(`, `)` or `,`.
    Symbol(&'static str),
    End,
}

impl Kind<'_> {
    /// The word as an error shows it. Texts and numbers are values, so they are not repeated.
    pub(super) fn shown(&self) -> String {
        match self {
            Kind::Word(word) | Kind::Bracketed(word) => format!("`{word}`"),
            Kind::Text(_) => "a text".to_owned(),
            Kind::Integer(_) | Kind::Decimal(_) => "a number".to_owned(),
            Kind::Placeholder(name) => format!("the placeholder `{name}`"),
            Kind::Symbol(symbol) => format!("`{symbol}`"),
            Kind::End => "the end".to_owned(),
        }
    }
}

/// Longer ones first.
const SYMBOLS: [&str; 11] = ["<>", "!=", "<=", ">=", "==", "=", "<", ">", "(", ")", ","];

/// Splits conditions into words; the last one is [`Kind::End`].
pub(super) fn split(text: &str) -> Result<Vec<Token<'_>>, CriteriaError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        let (kind, length) = word(trimmed, at)?;
        let ended = kind == Kind::End;
        tokens.push(Token { at, kind });
        if ended {
            return Ok(tokens);
        }
        at += length;
    }
}

/// The first word of `text`, and its length in bytes.
fn word(text: &str, at: usize) -> Result<(Kind<'_>, usize), CriteriaError> {
    let Some(first) = text.chars().next() else {
        return Ok((Kind::End, 0));
    };
    if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| text.starts_with(symbol)) {
        return Ok((Kind::Symbol(symbol), symbol.len()));
    }
    match first {
        '\'' | '"' => quoted(text, first, at),
        '?' => {
            let digits = text[1..].find(|c: char| !c.is_ascii_digit());
            named(text, 1, digits.unwrap_or(text.len() - 1), 0, at)
        }
        ':' => named(text, 1, name_length(&text[1..]), 1, at).and_then(|found| closed(text, found, ':', at)),
        '[' => {
            let (kind, length) = named(text, 1, name_length(&text[1..]), 1, at)?;
            let (kind, length) = closed(text, (kind, length), ']', at)?;
            match kind {
                Kind::Placeholder(name) => Ok((Kind::Bracketed(name), length)),
                kind => Ok((kind, length)),
            }
        }
        '{' => braced(text, at),
        '0'..='9' | '-' | '+' | '.' => number(text, at),
        _ if name_length(text) > 0 => {
            let length = name_length(text);
            Ok((Kind::Word(&text[..length]), length))
        }
        other => Err(unexpected(
            at,
            format!("`{other}`"),
            "a column, a value or an operator",
        )),
    }
}

/// The bytes of a name at the start of `text`.
fn name_length(text: &str) -> usize {
    let end = text.find(|c: char| c != '_' && !c.is_alphanumeric());
    end.unwrap_or(text.len())
}

/// A name of `length` bytes after `before` bytes and before `after` more.
fn named(
    text: &str,
    before: usize,
    length: usize,
    after: usize,
    at: usize,
) -> Result<(Kind<'_>, usize), CriteriaError> {
    if length == 0 {
        return Err(unexpected(
            at,
            "no name".to_owned(),
            "`?0`, `:name:` or `[column]`",
        ));
    }
    Ok((
        Kind::Placeholder(&text[before..before + length]),
        before + length + after,
    ))
}

/// The same, if the last byte is `end`.
fn closed<'a>(
    text: &str,
    found: (Kind<'a>, usize),
    end: char,
    at: usize,
) -> Result<(Kind<'a>, usize), CriteriaError> {
    if text.get(..found.1).is_some_and(|text| text.ends_with(end)) {
        return Ok(found);
    }
    let wanted = if end == ']' { "`[column]`" } else { "`:name:`" };
    Err(unexpected(at, "no end of the name".to_owned(), wanted))
}

/// `{name}` and `{name:type}`; the type says nothing that the value does not.
fn braced(text: &str, at: usize) -> Result<(Kind<'_>, usize), CriteriaError> {
    let refused = || unexpected(at, "`{`".to_owned(), "`{name}` or `{name:type}`");
    let inside = text[1..].split_once('}').ok_or_else(refused)?.0;
    let name = inside.split(':').next().unwrap_or_default();
    let plain = !name.is_empty() && name_length(name) == name.len();
    plain.then_some(()).ok_or_else(refused)?;
    Ok((Kind::Placeholder(name), inside.len() + 2))
}

/// A text in quotes; a doubled quote inside is one quote.
fn quoted(text: &str, quote: char, at: usize) -> Result<(Kind<'_>, usize), CriteriaError> {
    let mut content = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((position, character)) = characters.next() {
        if character != quote {
            content.push(character);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            content.push(quote);
        } else {
            return Ok((Kind::Text(content), position + 1));
        }
    }
    Err(unexpected(
        at,
        "a text without an end".to_owned(),
        "the closing quote",
    ))
}

fn number(text: &str, at: usize) -> Result<(Kind<'_>, usize), CriteriaError> {
    let sign = usize::from(text.starts_with(['-', '+']));
    let end = text[sign..].find(|c: char| c != '.' && c != '_' && !c.is_alphanumeric());
    let length = end.map_or(text.len(), |end| sign + end);
    let digits = &text[..length];
    if let Ok(integer) = digits.parse() {
        return Ok((Kind::Integer(integer), length));
    }
    // Rust also reads `inf` and `nan`, which are no literals.
    let plain = digits[sign..]
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    match digits.parse::<f64>() {
        Ok(decimal) if plain && decimal.is_finite() && digits.contains('.') => {
            Ok((Kind::Decimal(decimal), length))
        }
        _ => Err(unexpected(
            at,
            "what is no number".to_owned(),
            "a number such as `12` or `1.5`",
        )),
    }
}

fn unexpected(at: usize, found: String, wanted: &'static str) -> CriteriaError {
    CriteriaError::Unexpected { at, found, wanted }
}
