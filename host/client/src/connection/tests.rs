//! Connections against a real beanstalkd, and against scripted servers for what a real one never does.

pub(crate) mod beanstalkd;
mod real;
pub(crate) mod script;
mod scripted;
