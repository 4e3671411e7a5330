//! The headers that every request gets.

use std::collections::BTreeMap;

use ureq::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};

use super::{ConfigError, Text};
use crate::request::{IDEMPOTENCY_KEY, JOB_AGE, JOB_ATTEMPT, JOB_ID, JOB_PRIORITY, JOB_TUBE, SIGNATURE};

/// Headers that the client sets, or that would break its connections.
const OF_THE_CLIENT: [HeaderName; 8] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Headers that differ from job to job.
const OF_THE_JOB: [HeaderName; 7] = [
    IDEMPOTENCY_KEY,
    JOB_AGE,
    JOB_ATTEMPT,
    JOB_ID,
    JOB_PRIORITY,
    JOB_TUBE,
    SIGNATURE,
];

/// Reads the `headers` table. The values are secrets: nothing shows them.
pub(super) fn read(table: BTreeMap<String, Text>) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    for (name, text) in table {
        let secret = text.read(&format!("headers.{name}"))?;
        let refused = |reason| ConfigError::Header {
            name: name.escape_debug().to_string(),
            reason,
        };
        let header: HeaderName = name.parse().map_err(|_| refused("it is no name of a header"))?;
        if OF_THE_CLIENT.contains(&header) {
            return Err(refused("the client sets it itself"));
        }
        if OF_THE_JOB.contains(&header) {
            return Err(refused("each job has its own"));
        }
        let mut value = HeaderValue::from_str(secret.expose())
            .map_err(|_| refused("its value holds characters that no header can"))?;
        value.set_sensitive(true);
        if headers.insert(header, value).is_some() {
            return Err(refused(
                "it is there twice, names being the same in upper and lower case",
            ));
        }
    }
    Ok(headers)
}
