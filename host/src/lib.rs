//! `asynccall-host`: a worker daemon for beanstalkd whose job handlers are plugins.
//!
//! One master process supervises; worker processes load the plugins and do the
//! work. The modules, in reading order:
//!
//! - [`cli`]: what was typed,
//! - [`config`]: what it means,
//! - [`exit`]: how every command ends,
//! - [`commands`]: one function for each command,
//! - [`plugin`]: from a path or a name to a handler that can be called,
//! - [`policy`]: what becomes of a job that its handler did not finish,
//! - [`isolation`]: what the kernel closes to a worker,
//! - [`ipc`]: what master and worker share,
//! - [`worker`]: the slots that reserve, execute and settle,
//! - [`master`]: the supervisor,
//! - [`local`]: a handler in the process of whoever calls it,
//! - [`scaffold`]: the crate of a new plugin,
//! - [`trial`]: a handler in a child of whoever tries it,
//! - [`control`]: how commands talk to a running master,
//! - [`draft`]: what is made beside its place before it takes it,
//! - [`title`]: what `ps` shows of a process,
//! - [`observe`]: log lines and status.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "a module's map leads into its private rooms: read it with --document-private-items"
)]

pub mod cli;
pub mod commands;
pub mod config;
pub mod control;
mod draft;
pub mod exit;
pub mod ipc;
mod isolation;
pub mod local;
pub mod master;
pub mod observe;
pub mod plugin;
pub mod policy;
pub mod scaffold;
mod title;
pub mod trial;
pub mod worker;
