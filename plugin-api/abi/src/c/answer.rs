//! Where a plugin in C leaves its answers.

use serde::de::IgnoredAny;

use super::{
    Failure, FailureFunctions, Outcome, OutcomeFunctions,
    text::{borrowed, bytes},
};
use crate::{
    descriptor::Text,
    outcome::{self, Verdict},
    plugin::{CreateError, CreateFailure},
};

/// A place for an answer. Its first field is all that C knows of.
#[repr(C)]
pub(super) struct Answer {
    head: Outcome,
    answer: Option<outcome::Outcome>,
}

static OUTCOME: OutcomeFunctions = OutcomeFunctions {
    size: size_of::<OutcomeFunctions>() as u32,
    reserved: 0,
    answer,
    result,
};

impl Answer {
    pub(super) fn none() -> Self {
        Answer {
            head: Outcome {
                functions: &raw const OUTCOME,
            },
            answer: None,
        }
    }

    pub(super) fn place(&mut self) -> *mut Outcome {
        std::ptr::from_mut(self).cast()
    }

    pub(super) fn into_outcome(self) -> outcome::Outcome {
        self.answer
            .unwrap_or_else(|| outcome::Outcome::new(Verdict::FAILED, "the handler gave no answer"))
    }
}

unsafe extern "C" fn answer(outcome: *mut Outcome, verdict: u8, delay_ms: u64, priority: i64, message: Text) {
    // SAFETY: the header's promise: the place that `execute` was given, which has not returned, used by one thread.
    let place = unsafe { &mut *outcome.cast::<Answer>() };
    // SAFETY: the header's promise on texts.
    let message = unsafe { borrowed(message) };
    place.answer = Some(outcome::Outcome {
        delay_ms,
        priority,
        ..outcome::Outcome::new(Verdict(verdict), in_one_line(&message))
    });
}

unsafe extern "C" fn result(outcome: *mut Outcome, json: Text) {
    // SAFETY: as above.
    let place = unsafe { &mut *outcome.cast::<Answer>() };
    // SAFETY: the header's promise on texts.
    let json = unsafe { bytes(json) };
    let answer = place.answer.get_or_insert_with(outcome::Outcome::done);
    match serde_json::from_slice::<IgnoredAny>(json) {
        Ok(_) => answer.result = json.to_vec().into(),
        Err(error) => {
            let text = format!("the handler's result is not JSON: {error}");
            *answer = outcome::Outcome::new(Verdict::FAILED, text);
        }
    }
}

/// A place for a failure. Its first field is all that C knows of.
#[repr(C)]
pub(super) struct Refusal {
    head: Failure,
    error: Option<CreateError>,
}

static FAILURE: FailureFunctions = FailureFunctions {
    size: size_of::<FailureFunctions>() as u32,
    reserved: 0,
    fail,
};

impl Refusal {
    pub(super) fn none() -> Self {
        Refusal {
            head: Failure {
                functions: &raw const FAILURE,
            },
            error: None,
        }
    }

    pub(super) fn place(&mut self) -> *mut Failure {
        std::ptr::from_mut(self).cast()
    }

    pub(super) fn into_error(self) -> CreateError {
        self.error.unwrap_or_else(|| CreateError {
            failure: CreateFailure::FAILED,
            message: "it gave no reason".into(),
        })
    }
}

unsafe extern "C" fn fail(failure: *mut Failure, kind: u8, message: Text) {
    // SAFETY: the header's promise: the place that was given to the call that has not returned, used by one thread.
    let place = unsafe { &mut *failure.cast::<Refusal>() };
    // SAFETY: the header's promise on texts.
    let message = unsafe { borrowed(message) };
    place.error = Some(CreateError {
        failure: CreateFailure(kind),
        message: in_one_line(&message).into(),
    });
}

/// Line breaks become spaces: a message is one line.
fn in_one_line(message: &str) -> String {
    message.trim_end().replace(['\n', '\r'], " ")
}
