//! Builds the mail: headers, body and envelope.
//!
//! ```text
//! multipart/mixed          only with attachments
//! ├─ multipart/alternative only with text and html
//! │  ├─ text/plain
//! │  └─ text/html
//! └─ attachment …
//! ```

use std::{collections::HashSet, path::PathBuf};

use lettre::{
    Address, Message,
    address::Envelope,
    message::{Mailbox, Mailboxes, MessageBuilder, MultiPart, SinglePart, header},
};

use super::{
    Mail,
    address::{MailboxError, parse_all},
    attachment::{self, AttachmentError},
    headers::{self, HeaderError, has_control},
    id,
    mail::{Addresses, Attachments, Text},
};

/// Turns messages into mails, by the part of the configuration that concerns their content.
#[derive(Debug)]
pub(crate) struct Composer {
    /// The sender of messages that name none.
    pub(crate) from: Option<Mailbox>,
    /// The directory that attachments' paths are relative to, and may not leave.
    pub(crate) attachments_root: Option<PathBuf>,
    /// The largest mail that is sent, and the largest file that is read, in bytes.
    pub(crate) max_bytes: u64,
}

/// A mail that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// As in the header, with `<` and `>`.
    pub(crate) message_id: String,
    /// Who sends and who gets it; recipients that were named twice are here once, those of `bcc` only here.
    pub(crate) envelope: Envelope,
    /// The mail with its headers, lines ending in CR LF.
    pub(crate) bytes: Vec<u8>,
}

/// Why no mail can be made of a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComposeError {
    #[error(
        "the message has no `from`\n  hint: set it in the message, or for all messages in the handler's configuration"
    )]
    NoSender,
    #[error("`from` names {found} addresses, wanted one")]
    Senders { found: usize },
    #[error("the message has no recipient, wanted at least one address in `to`, `cc` or `bcc`")]
    NoRecipient,
    #[error("`{found}` in `{key}` is not an address: {reason}")]
    Address {
        key: &'static str,
        found: String,
        reason: MailboxError,
    },
    #[error("`subject` has a line break or another control character in it")]
    Subject,
    #[error("`message_id` is `{found}`, wanted the form `<something-unique@example.org>`")]
    MessageId { found: String },
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("the message has no body, wanted at least one of `text`, `html` and `attachments`")]
    NoBody,
    #[error("attachment {number}: {source}")]
    Attachment { number: usize, source: AttachmentError },
    #[error("the mail has {bytes} bytes, `max_message_bytes` is {limit}")]
    TooLarge { bytes: usize, limit: u64 },
    #[error("cannot build the mail: {0}")]
    Build(lettre::error::Error),
}

impl ComposeError {
    /// Whether another attempt may succeed without anyone changing the message.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, ComposeError::Attachment { source, .. } if source.may_pass())
    }
}

impl Composer {
    /// Builds the mail that a message describes.
    ///
    /// # Errors
    ///
    /// [`ComposeError`] if the message is at fault, or a file of it cannot be read now.
    pub(crate) fn compose(&self, mail: Mail) -> Result<Outgoing, ComposeError> {
        let Mail {
            from,
            to,
            cc,
            bcc,
            reply_to,
            subject,
            text,
            html,
            headers,
            attachments,
            message_id,
        } = mail;
        let from = self.sender(from)?;
        let (to, cc, bcc) = (mailboxes("to", to)?, mailboxes("cc", cc)?, mailboxes("bcc", bcc)?);
        let envelope = envelope(&from, [&to, &cc, &bcc])?;
        let message_id = message_id_for(message_id, &from)?;

        let mut builder = Message::builder()
            .envelope(envelope)
            .header(header::From::from(Mailboxes::from(from)))
            .header(header::MessageId::from(message_id.clone()))
            .date_now();
        if !to.is_empty() {
            builder = builder.header(header::To::from(Mailboxes::from(to)));
        }
        if !cc.is_empty() {
            builder = builder.header(header::Cc::from(Mailboxes::from(cc)));
        }
        let reply_to = mailboxes("reply_to", reply_to)?;
        if !reply_to.is_empty() {
            builder = builder.header(header::ReplyTo::from(Mailboxes::from(reply_to)));
        }
        if let Some(Text(subject)) = subject {
            if has_control(&subject) {
                return Err(ComposeError::Subject);
            }
            builder = builder.subject(subject);
        }
        for (name, value) in headers.unwrap_or_default().0 {
            builder = builder.raw_header(headers::extra(name, value)?);
        }
        let message = self.body(builder, text, html, attachments.unwrap_or_default())?;

        let bytes = message.formatted();
        if bytes.len() as u64 > self.max_bytes {
            return Err(ComposeError::TooLarge {
                bytes: bytes.len(),
                limit: self.max_bytes,
            });
        }
        Ok(Outgoing {
            message_id,
            envelope: message.envelope().clone(),
            bytes,
        })
    }

    fn sender(&self, from: Option<Addresses>) -> Result<Mailbox, ComposeError> {
        let mut senders = mailboxes("from", from)?;
        match (senders.pop(), senders.len()) {
            (Some(sender), 0) => Ok(sender),
            (Some(_), others) => Err(ComposeError::Senders { found: others + 1 }),
            (None, _) => self.from.clone().ok_or(ComposeError::NoSender),
        }
    }

    fn body(
        &self,
        builder: MessageBuilder,
        text: Option<Text>,
        html: Option<Text>,
        attachments: Attachments,
    ) -> Result<Message, ComposeError> {
        let content = content(text, html);
        let mut room = self.max_bytes;
        let mut parts = Vec::with_capacity(attachments.0.len());
        for (index, attachment) in attachments.0.into_iter().enumerate() {
            let part =
                attachment::part(attachment, self.attachments_root.as_deref(), room).map_err(|source| {
                    ComposeError::Attachment {
                        number: index + 1,
                        source,
                    }
                })?;
            room = room.saturating_sub(part.raw_body().len() as u64);
            parts.push(part);
        }
        let built = match (content, parts.is_empty()) {
            (Content::None, true) => return Err(ComposeError::NoBody),
            (Content::Single(part), true) => builder.singlepart(part),
            (Content::Both(part), true) => builder.multipart(part),
            (content, false) => {
                let mixed = MultiPart::mixed();
                let mixed = match content {
                    Content::None => mixed.build(),
                    Content::Single(part) => mixed.singlepart(part),
                    Content::Both(part) => mixed.multipart(part),
                };
                builder.multipart(parts.into_iter().fold(mixed, MultiPart::singlepart))
            }
        };
        built.map_err(ComposeError::Build)
    }
}

/// What the receiver reads.
enum Content {
    None,
    Single(SinglePart),
    Both(MultiPart),
}

/// An empty `text` or `html` beside a full one is a field that the producer left blank, not an empty alternative.
fn content(text: Option<Text>, html: Option<Text>) -> Content {
    match (text.map(|text| text.0), html.map(|html| html.0)) {
        (Some(text), Some(html)) if !text.is_empty() && !html.is_empty() => {
            Content::Both(MultiPart::alternative_plain_html(text, html))
        }
        (_, Some(html)) if !html.is_empty() => Content::Single(SinglePart::html(html)),
        (Some(text), _) => Content::Single(SinglePart::plain(text)),
        (None, Some(html)) => Content::Single(SinglePart::html(html)),
        (None, None) => Content::None,
    }
}

fn mailboxes(key: &'static str, given: Option<Addresses>) -> Result<Vec<Mailbox>, ComposeError> {
    parse_all(given.unwrap_or_default()).map_err(|(found, reason)| ComposeError::Address {
        key,
        found: found.escape_debug().to_string(),
        reason,
    })
}

fn envelope(from: &Mailbox, lists: [&Vec<Mailbox>; 3]) -> Result<Envelope, ComposeError> {
    let mut seen = HashSet::new();
    let mailboxes = lists
        .into_iter()
        .flatten()
        .filter(|mailbox| seen.insert(&mailbox.email));
    let recipients: Vec<Address> = mailboxes.map(|mailbox| mailbox.email.clone()).collect();
    Envelope::new(Some(from.email.clone()), recipients).map_err(|_| ComposeError::NoRecipient)
}

/// The message's own id, or a new random one in the sender's domain.
///
/// A new one is not derived from the job: beanstalkd counts job ids from 1 again when it restarts without a binlog,
/// and two different mails under one id may be taken for one by whoever drops duplicates.
fn message_id_for(given: Option<Text>, from: &Mailbox) -> Result<String, ComposeError> {
    match given {
        Some(Text(id)) if id::is_message_id(&id) => Ok(id),
        Some(Text(id)) if !id.is_empty() => Err(ComposeError::MessageId {
            found: id.escape_debug().to_string(),
        }),
        _ => Ok(format!("<{}@{}>", id::unique(), from.email.domain())),
    }
}
