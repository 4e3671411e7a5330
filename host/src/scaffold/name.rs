//! What a plugin may be called: its package, its handler and its type at once.

use thiserror::Error;

/// The longest name, in bytes, that a handler may have.
const LONGEST: usize = 64;

/// Words of the language, which no crate can be called. (Those with a capital cannot be typed here.)
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while", "yield",
];

/// Crates that cargo, the compiler or the new crate itself knows under this name.
const CRATES: [&str; 10] = [
    "alloc",
    "asynccall_plugin_api",
    "core",
    "plugin_api",
    "proc_macro",
    "serde",
    "std",
    "tempfile",
    "test",
    "tokio",
];

/// Types that the new code, or a macro in it, uses under their bare names.
const TYPES: [&str; 21] = [
    "AsyncHandler",
    "AsyncWriteExt",
    "Config",
    "Deserialize",
    "Duration",
    "Err",
    "Error",
    "File",
    "Handler",
    "Harness",
    "Job",
    "Library",
    "Ok",
    "Path",
    "PathBuf",
    "Payload",
    "Result",
    "Some",
    "String",
    "Verdict",
    "Write",
];

/// A name that cargo, the compiler, the host and the queue server take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    package: String,
    handler: String,
    of_type: String,
}

/// Why a plugin cannot be called so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidName {
    /// It has other characters than those, or begins with another one than a letter.
    #[error(
        "`{}` is no name for a plugin: wanted a lower-case letter, and then a-z, 0-9, `-` and `_`{}",
        .name.escape_debug(),
        .near.as_ref().map(|near| format!("\n  hint: did you mean `{near}`?")).unwrap_or_default()
    )]
    Spelling {
        /// What was typed.
        name: String,
        /// The same in characters that are allowed, where that gives a name.
        near: Option<String>,
    },
    /// It is too long.
    #[error("`{name}` has {} bytes, and a handler's name at most {LONGEST}", .name.len())]
    Long {
        /// What was typed.
        name: String,
    },
    /// It means something else already.
    #[error("a plugin cannot be called `{name}`: that is {what}\n  hint: `my-{name}` would do")]
    Taken {
        /// What was typed.
        name: String,
        /// What it means.
        what: String,
    },
}

impl Name {
    /// Checks a name that was typed.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(typed: &str) -> Result<Self, InvalidName> {
        let name = typed.to_owned();
        if !is_spelt_well(typed) {
            let near = near(typed);
            return Err(InvalidName::Spelling { name, near });
        }
        if typed.len() > LONGEST {
            return Err(InvalidName::Long { name });
        }
        let handler = typed.replace('-', "_");
        let of_type = of_type(typed);
        let taken = |what: String| InvalidName::Taken {
            name: name.clone(),
            what,
        };
        if KEYWORDS.contains(&handler.as_str()) {
            return Err(taken("a keyword of Rust".to_owned()));
        }
        if CRATES.contains(&handler.as_str()) {
            return Err(taken("a crate that Rust or the plugin itself uses".to_owned()));
        }
        if is_taken_type(&of_type) {
            return Err(taken(format!("the type `{of_type}` of its code")));
        }
        Ok(Self {
            package: name,
            handler,
            of_type,
        })
    }

    /// As typed: the package, its directory, the pool and the tube.
    pub fn of_package(&self) -> &str {
        &self.package
    }

    /// With `_` for `-`: the handler, and the library without `lib` and `.so`.
    pub fn of_handler(&self) -> &str {
        &self.handler
    }

    /// In camel case: the type that is the handler.
    pub fn of_type(&self) -> &str {
        &self.of_type
    }
}

/// Whether the new code knows another type by this name.
pub(super) fn is_taken_type(name: &str) -> bool {
    name == "Self" || TYPES.contains(&name)
}

/// The name of the type: `sms-gateway` → `SmsGateway`.
fn of_type(name: &str) -> String {
    name.split(['-', '_']).map(capitalised).collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn is_spelt_well(name: &str) -> bool {
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(allowed)
}

/// The name in lower case, with `-` where a word or a strange character begins; `None` where that is no name either.
fn near(typed: &str) -> Option<String> {
    let mut near = String::new();
    let mut after_small = false;
    for letter in typed.chars() {
        let plain = letter.to_ascii_lowercase();
        let is_word = plain.is_ascii_alphanumeric();
        if (letter.is_ascii_uppercase() && after_small) || (!is_word && !near.ends_with('-')) {
            near.push('-');
        }
        if is_word {
            near.push(plain);
        }
        after_small = is_word && !letter.is_ascii_uppercase();
    }
    let near = near.trim_matches('-');
    let is_near = typed.is_ascii() && is_spelt_well(near);
    is_near.then(|| Name::parse(near).ok())?.map(|name| name.package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_has_three_spellings() {
        for (typed, handler, of_type) in [
            ("courier", "courier", "Courier"),
            ("sms-gateway", "sms_gateway", "SmsGateway"),
            ("pdf_2_png", "pdf_2_png", "Pdf2Png"),
            ("a", "a", "A"),
            ("x--y-", "x__y_", "XY"),
        ] {
            let name = Name::parse(typed).expect("a name");
            let spellings = (name.of_package(), name.of_handler(), name.of_type());
            assert_eq!(spellings, (typed, handler, of_type));
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        let long = "a".repeat(LONGEST);
        assert!(Name::parse(&long).is_ok());
        let too_long = format!("{long}a");
        let typed = [
            "",
            "Courier",
            "smsGateway",
            "2fa",
            "-x",
            "send mail",
            "../x",
            "a/b",
            "größe",
            "...",
            "a\nb",
            "async",
            "self",
            "test",
            "plugin-api",
            "result",
            "async-handler",
            &too_long,
        ];
        let refused: Vec<String> = typed
            .into_iter()
            .map(|name| Name::parse(name).expect_err("no name").to_string())
            .collect();
        insta::assert_snapshot!(refused.join("\n"), @r"
        `` is no name for a plugin: wanted a lower-case letter, and then a-z, 0-9, `-` and `_`
        `Courier` is no name for a plugin: wanted a lower-case letter, and then a-z, 0-9, `-` and `_`
          hint: did you mean `courier`?
        `smsGateway` is no name for a plugin: wanted a lower-case letter, and then a-z, 0-9, `-` and `_`
          hint: did you mean `sms-gateway`?
        `2fa` is no name for a plugin: wanted a lower-case letter, and then a-z, 0-9, `-` and `_`
        `-x` is no name for a plugin: wanted a lower-case letter, and then a-z, 0-9, `-` and `_`
          hint: did you mean `x`?
        `send mail` is no name for a plugin: wanted a lower-case letter, and then a-z, 0-9, `-` and `_`
          hint: did you mean `send-mail`?
        `../x` is no name for a plugin: wanted a lower-case letter, and then a-z, 0-9, `-` and `_`
          hint: did you mean `x`?
        `a/b` is no name for a plugin: wanted a lower-case letter, and then a-z, 0-9, `-` and `_`
          hint: did you mean `a-b`?
        `größe` is no name for a plugin: wanted a lower-case letter, and then a-z, 0-9, `-` and `_`
        `...` is no name for a plugin: wanted a lower-case letter, and then a-z, 0-9, `-` and `_`
        `a\nb` is no name for a plugin: wanted a lower-case letter, and then a-z, 0-9, `-` and `_`
          hint: did you mean `a-b`?
        a plugin cannot be called `async`: that is a keyword of Rust
          hint: `my-async` would do
        a plugin cannot be called `self`: that is a keyword of Rust
          hint: `my-self` would do
        a plugin cannot be called `test`: that is a crate that Rust or the plugin itself uses
          hint: `my-test` would do
        a plugin cannot be called `plugin-api`: that is a crate that Rust or the plugin itself uses
          hint: `my-plugin-api` would do
        a plugin cannot be called `result`: that is the type `Result` of its code
          hint: `my-result` would do
        a plugin cannot be called `async-handler`: that is the type `AsyncHandler` of its code
          hint: `my-async-handler` would do
        `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` has 65 bytes, and a handler's name at most 64
        ");
    }
}
