//! The JSON view of a job's body, made when a handler first asks for it.

use std::sync::OnceLock;

use asynccall_abi::abi_stable::std_types::{RErr, ROk, RResult, RSlice, RString};
use asynccall_client::payload::{self, Format, Limits};

use crate::observe::line::chain;

/// A body whose view may be asked for, from any thread.
pub(crate) struct LazyView<'a> {
    body: &'a [u8],
    /// The view of a body that is not JSON itself.
    made: OnceLock<Result<Vec<u8>, String>>,
}

impl<'a> LazyView<'a> {
    pub(crate) fn of(body: &'a [u8]) -> LazyView<'a> {
        LazyView {
            body,
            made: OnceLock::new(),
        }
    }

    /// The view, or why there is none, in the form in which it crosses the border.
    pub(crate) fn json(&self) -> RResult<RSlice<'_, u8>, RString> {
        if payload::detect(self.body) == Format::Json {
            return ROk(self.body.into());
        }
        match self.made.get_or_init(|| self.make()) {
            Ok(json) => ROk(json.as_slice().into()),
            Err(error) => RErr(error.as_str().into()),
        }
    }

    fn make(&self) -> Result<Vec<u8>, String> {
        let mut scratch = Vec::new();
        match payload::json_view(self.body, &Limits::default(), &mut scratch) {
            Ok(_) => Ok(scratch),
            Err(error) => Err(chain(&error)),
        }
    }
}
