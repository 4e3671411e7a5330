//! Attachments: their bytes from base64 or from a file under the configured root, never from anywhere else.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use lettre::message::{Attachment, Body, SinglePart, header::ContentType};

use super::{headers::has_control, mail::AttachmentFields};

/// Why an attachment cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttachmentError {
    #[error("neither `base64` nor `path` is given")]
    NoContent,
    #[error("both `base64` and `path` are given")]
    TwoContents,
    #[error("`base64` is not base64: {0}")]
    Base64(base64::DecodeError),
    #[error("`name` is missing")]
    NoName,
    #[error("the name `{name}` has a control character in it")]
    Name { name: String },
    #[error("`{found}` is not a content type of an attachment, wanted one such as `application/pdf`")]
    ContentType { found: String },
    #[error(
        "a `path` is given, but no directory is configured to read from\n  \
         hint: set `attachments_root` in the handler's configuration, or send `base64`"
    )]
    NoRoot,
    #[error("`{path}` is not inside `attachments_root`")]
    Outside { path: String },
    #[error("`{path}` is not a regular file")]
    NotAFile { path: String },
    #[error("`{path}` has more than the {room} bytes that `max_message_bytes` leaves for it")]
    TooLarge { path: String, room: u64 },
    #[error("cannot read `{path}` under `attachments_root`: {source}")]
    Read { path: String, source: io::Error },
}

impl AttachmentError {
    /// Whether another attempt may find things better: a file may still be on its way, a file system not mounted.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, AttachmentError::Read { .. })
    }
}

/// PHP's `chunk_split(base64_encode(…))` has line breaks, and some producers drop the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Builds one part of a `multipart/mixed`; a file is read only up to `room` bytes.
pub(super) fn part(
    attachment: AttachmentFields,
    root: Option<&Path>,
    room: u64,
) -> Result<SinglePart, AttachmentError> {
    let given = attachment.name.map(|name| name.0).filter(|name| !name.is_empty());
    let (name, bytes) = match (attachment.base64, attachment.path) {
        (Some(_), Some(_)) => return Err(AttachmentError::TwoContents),
        (None, None) => return Err(AttachmentError::NoContent),
        (Some(text), None) => (given.ok_or(AttachmentError::NoName)?, decode(text.0)?),
        (None, Some(path)) => {
            let root = root.ok_or(AttachmentError::NoRoot)?;
            let bytes = read(root, &path.0, room)?;
            let name = given.or_else(|| Some(Path::new(&path.0).file_name()?.to_str()?.to_owned()));
            (name.ok_or(AttachmentError::NoName)?, bytes)
        }
    };
    if has_control(&name) {
        return Err(AttachmentError::Name {
            name: name.escape_debug().to_string(),
        });
    }
    let content_type = content_type(attachment.content_type.map(|text| text.0))?;
    Ok(Attachment::new(name).body(Body::new(bytes), content_type))
}

fn decode(text: String) -> Result<Vec<u8>, AttachmentError> {
    let mut bytes = text.into_bytes();
    bytes.retain(|byte| !byte.is_ascii_whitespace());
    BASE64.decode(bytes).map_err(AttachmentError::Base64)
}

fn content_type(given: Option<String>) -> Result<ContentType, AttachmentError> {
    let text = given
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "application/octet-stream".to_owned());
    // A `multipart` part would have to be built of parts, and these are plain bytes.
    let multipart = text
        .get(..10)
        .is_some_and(|start| start.eq_ignore_ascii_case("multipart/"));
    match ContentType::parse(&text) {
        Ok(content_type) if !multipart && !has_control(&text) => Ok(content_type),
        _ => Err(AttachmentError::ContentType {
            found: text.escape_debug().to_string(),
        }),
    }
}

/// Reads a file whose real place is below `root`.
///
/// `..` and symbolic links are resolved first. Since a link could be exchanged between that and the opening, the
/// kernel is asked once more where the opened file lies (`/proc/self/fd`, proc(5)).
fn read(root: &Path, path: &str, room: u64) -> Result<Vec<u8>, AttachmentError> {
    let failed = |source| AttachmentError::Read {
        path: path.to_owned(),
        source,
    };
    let outside = || AttachmentError::Outside {
        path: path.to_owned(),
    };
    if path.contains('\0') {
        return Err(outside());
    }
    let root = fs::canonicalize(root).map_err(failed)?;
    let real = match fs::canonicalize(root.join(path)) {
        Ok(real) => real,
        // Whether a file exists elsewhere is nobody's business.
        Err(_) if leaves(path) => return Err(outside()),
        Err(source) => return Err(failed(source)),
    };
    if !real.starts_with(&root) {
        return Err(outside());
    }
    // Checked before opening, which would wait for a writer if this were a named pipe.
    if !fs::metadata(&real).map_err(failed)?.is_file() {
        return Err(AttachmentError::NotAFile {
            path: path.to_owned(),
        });
    }
    let file = File::open(&real).map_err(failed)?;
    if !opened_path(&file).map_err(failed)?.starts_with(&root) {
        return Err(outside());
    }
    let mut bytes = Vec::new();
    file.take(room.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > room {
        return Err(AttachmentError::TooLarge {
            path: path.to_owned(),
            room,
        });
    }
    Ok(bytes)
}

/// Whether a path by its text alone, links aside, points out of the directory that it is relative to.
fn leaves(path: &str) -> bool {
    let mut depth = 0_i64;
    Path::new(path).components().any(|component| {
        depth += match component {
            std::path::Component::ParentDir => -1,
            std::path::Component::Normal(_) => 1,
            std::path::Component::CurDir => 0,
            std::path::Component::RootDir | std::path::Component::Prefix(_) => return true,
        };
        depth < 0
    })
}

fn opened_path(file: &File) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
