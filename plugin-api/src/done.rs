//! What a handler answers for a job that it did.

use serde::Serialize;

use crate::error::Error;

/// The result of the crate: [`Handler::execute`](crate::Handler::execute) answers with `Result`,
/// [`Handler::new`](crate::Handler::new) with `Result<Self>`.
pub type Result<T = Done, E = Error> = std::result::Result<T, E>;

/// The job is done, and the host deletes it. May carry a result value.
///
/// ```
/// use plugin_api::prelude::*;
///
/// fn nothing_to_say() -> Result { Ok(().into()) }
/// fn a_json_value() -> Result { Ok(json!({"id": 7}).into()) }
/// fn anything_serializable() -> Result { Done::result(&["a", "b"]) }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Done {
    /// JSON; empty for no result. Empty vectors own no memory.
    json: Vec<u8>,
}

impl Done {
    /// Done, with `value` as the result.
    ///
    /// # Errors
    ///
    /// A value that JSON cannot express, such as a map whose keys are no strings, is a failure of the job.
    pub fn result<T: Serialize + ?Sized>(value: &T) -> Result {
        let json = serde_json::to_vec(value)?;
        Ok(Done { json })
    }

    /// The result as JSON; empty where there is none.
    pub(crate) fn into_json(self) -> Vec<u8> {
        self.json
    }
}

/// Done, with no result.
impl From<()> for Done {
    fn from((): ()) -> Self {
        Done::default()
    }
}

/// Done, with the value as the result.
impl From<serde_json::Value> for Done {
    fn from(value: serde_json::Value) -> Self {
        Done {
            json: value.to_string().into_bytes(),
        }
    }
}
