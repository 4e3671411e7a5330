//! Mail addresses as people write them.
//!
//! More tolerant than RFC 5322's grammar about names (`foo@bar <foo@bar.org>`, `Dr. Müller <m@…>`), as strict as
//! lettre about the address itself. Comments and groups are not understood.

use lettre::{Address, address::AddressError, message::Mailbox};

use super::mail::{Addresses, Entry};

/// Why a text is no address.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum MailboxError {
    #[error("nothing before or after the `@`")]
    Incomplete,
    #[error("the part before the `@` is not valid")]
    Local,
    #[error("the domain is not valid")]
    Domain,
    #[error("a control character in it")]
    Control,
    #[error("`<` and `>` do not match")]
    Brackets,
}

/// Parses all entries; empty ones, which PHP producers leave where a field was blank, are skipped.
///
/// # Errors
///
/// The offending text and what is wrong with it.
pub(super) fn parse_all(addresses: Addresses) -> Result<Vec<Mailbox>, (String, MailboxError)> {
    let mut mailboxes = Vec::new();
    for entry in addresses.0 {
        match entry {
            Entry::Text(text) => {
                for part in split(&text) {
                    mailboxes.push(parse_mailbox(part).map_err(|error| (part.to_owned(), error))?);
                }
            }
            Entry::Named { address, name } => {
                let mailbox = named(&name, &address).map_err(|error| (address, error))?;
                mailboxes.push(mailbox);
            }
        }
    }
    Ok(mailboxes)
}

/// Parses `a@example.org` or `Name <a@example.org>`.
pub(crate) fn parse_mailbox(text: &str) -> Result<Mailbox, MailboxError> {
    let text = text.trim();
    match text.strip_suffix('>') {
        None if text.contains(['<', '>']) => Err(MailboxError::Brackets),
        None => named("", text),
        Some(rest) => {
            let (name, address) = rest.rsplit_once('<').ok_or(MailboxError::Brackets)?;
            named(&unquote(name.trim()), address.trim())
        }
    }
}

/// Cuts at the commas that are neither quoted nor inside `<…>`, and drops blank pieces.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped, mut angle) = (false, false, false);
    text.split(move |c| {
        let separates = c == ',' && !quoted && !angle;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            _ => {}
        }
        separates
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
}

/// The text of a quoted string (RFC 5322, section 3.2.4); any other text is itself.
fn unquote(name: &str) -> String {
    let Some(inner) = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return name.to_owned();
    };
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

fn named(name: &str, address: &str) -> Result<Mailbox, MailboxError> {
    let name = name.trim();
    if name.contains(char::is_control) || address.contains(char::is_control) {
        return Err(MailboxError::Control);
    }
    let (local, domain) = address.rsplit_once('@').ok_or(MailboxError::Incomplete)?;
    if local.is_empty() || domain.is_empty() {
        return Err(MailboxError::Incomplete);
    }
    // An international domain travels in its ASCII form, so that every server takes it; only a local part outside
    // ASCII needs SMTPUTF8. A bracketed address literal is no domain name and stays as it is.
    let domain = if domain.is_ascii() {
        domain.to_owned()
    } else {
        idna::domain_to_ascii(domain).map_err(|_| MailboxError::Domain)?
    };
    let address = Address::new(local, &domain).map_err(|error| match error {
        AddressError::InvalidDomain => MailboxError::Domain,
        AddressError::MissingParts => MailboxError::Incomplete,
        AddressError::Unbalanced => MailboxError::Brackets,
        _ => MailboxError::Local,
    })?;
    Ok(Mailbox::new((!name.is_empty()).then(|| name.to_owned()), address))
}
