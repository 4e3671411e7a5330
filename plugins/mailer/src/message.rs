//! From a job's message to a mail: `mail` reads the keys, `compose` builds the mail, `schema` says which
//! messages there are, the others own one part each.
//!
//! Pure but for the attachments that are named by a path. Knows nothing of how a mail is sent.

mod address;
mod attachment;
mod compose;
mod headers;
mod id;
mod mail;
mod schema;

#[cfg(test)]
mod tests;

pub(crate) use address::parse_mailbox;
pub(crate) use compose::{Composer, Outgoing};
pub(crate) use id::unique;
pub(crate) use mail::Mail;
