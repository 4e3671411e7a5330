//! Connections against a real beanstalkd, and against scripted servers for what a real one never does.

mod beanstalkd;
mod real;
mod script;
mod scripted;
