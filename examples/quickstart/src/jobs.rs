//! The two jobs: one mail as JSON, one as the PHP library's client puts it.

use std::time::{SystemTime, UNIX_EPOCH};

use asynccall_client::{
    payload::php,
    tube::{TubeName, TubeNameError, crc32_name},
};

/// The tube that the daemon consumes, by the name that people use.
pub(crate) const TUBE: &str = "mail";

const JSON: &str = r#"{"to": "ann@example.org", "subject": "A JSON job", "text": "This came as JSON on the tube of its own name."}"#;

/// One job and where it goes.
pub(crate) struct Job {
    pub(crate) title: &'static str,
    pub(crate) tube: TubeName,
    pub(crate) priority: u32,
    pub(crate) body: Vec<u8>,
}

/// A JSON body on the tube itself, as any program may put it.
pub(crate) fn json() -> Result<Job, TubeNameError> {
    Ok(Job {
        title: "Put a JSON job",
        tube: TubeName::new(TUBE)?,
        priority: 1024,
        body: JSON.into(),
    })
}

/// The library's nine keys in PHP's `serialize()` form, on the tube that is the checksum of the name. The library uses
/// the time as priority.
pub(crate) fn php() -> Result<Job, serde_json::Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let priority = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
    let message = format!(
        r#"{{"model": "\\Mail", "method": "send", "modelParams": "", "methodParams": {{"to": "bob@example.org",
        "subject": "A PHP job", "text": "This came as PHP's serialize() on the tube that the library's client uses."}},
        "errorRetry": false, "noRetry": false, "priority": {priority}, "retryIntervalTime": 0, "retryStopAt": ""}}"#
    );
    let mut body = Vec::new();
    php::write(&php::from_json(message.as_bytes())?, &mut body);
    Ok(Job {
        title: "Put a PHP job",
        tube: crc32_name(TUBE),
        priority,
        body,
    })
}
