//! The blocking client against a real beanstalkd, and against scripted servers for what a real one never does.

mod real;
mod scripted;

use crate::call::Call;
use crate::tube::TubeName;

fn tube(name: &str) -> TubeName {
    TubeName::new(name).unwrap()
}

fn call() -> Call {
    Call::new("Order", "cancel").model_params(42)
}
