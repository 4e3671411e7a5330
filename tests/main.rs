//! Black-box tests of the built daemon: real beanstalkd, real plugins, real PHP, a real SMTP server, real
//! databases.
//!
//! What the tests stand on is in [`support`]; each other module shows one side of the daemon. Tests run in
//! parallel and share nothing but the built plugins: each has its own directory, queue server and pid file. Nothing
//! here sleeps for luck: [`support::eventually`] asks until something is true.

mod support;

mod abi;
mod breakers;
mod broken_connections;
mod burst;
mod c_plugins;
mod call;
mod call_refused;
mod capacity;
mod chaos;
mod confinement;
mod crash_loops;
mod error_catalogue;
mod exec;
mod farewell;
mod handlers_by_tube;
mod handover;
mod http;
mod isolated_workers;
mod isolation;
mod lifecycle;
mod limits;
mod logs;
mod lost_settlement;
mod main_job;
mod manual;
mod metrics;
mod misuse;
mod model;
mod outcomes;
mod payloads;
mod php_log;
mod plugin_check;
mod plugin_list;
mod plugin_lock;
mod plugin_new;
mod plugin_run;
mod plugins;
mod poison;
mod pools;
mod privileges;
mod process_one;
mod progress;
mod put;
mod queue_server;
mod recycling;
mod releasing;
mod reload;
mod reload_answers;
mod restart;
mod restart_refused;
mod retries;
mod rollback;
mod running_jobs;
mod schema;
mod self_check;
mod service_manager;
mod settings;
mod shipped_schemas;
mod signals;
mod status;
mod supervision;
mod ticks;
mod titles;
mod tubes;
mod turmoil;
mod watch;
mod wire;
