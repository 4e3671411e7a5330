//! `call`: the parameters of the PHP library's client as flags. What they mean together is checked by
//! [`asynccall_client::call`].

use clap::Args;

use super::{Input, Producer, input_file};

/// `call`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Call {
    /// The settings that count for a producer.
    #[command(flatten)]
    pub settings: Producer,
    /// Pool of the configuration file whose tube, naming and handler are meant
    #[arg(long, value_name = "NAME", help_heading = "Destination")]
    pub pool: Option<String>,
    /// Tube to put into [default: the pool's, where it has one]
    #[arg(long, value_name = "NAME", help_heading = "Destination")]
    pub tube: Option<String>,
    /// Name to put under: the tube's own, or the PHP client's [default: the pool's; its own where that is `both`]
    #[arg(long, value_name = "WORD", value_parser = ["plain", "crc32"], help_heading = "Destination")]
    pub tube_naming: Option<String>,
    /// Format of the message
    #[arg(long, value_name = "WORD", value_parser = ["json", "php"], default_value = "json", help_heading = "Message")]
    pub encoding: String,
    /// Model to call
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "body",
        help_heading = "Message"
    )]
    pub model: Option<String>,
    /// Which instance: JSON (a key, or criteria), or any other text as it is; empty: a new one
    #[arg(
        long,
        alias = "modelParams",
        value_name = "JSON|TEXT",
        allow_hyphen_values = true,
        help_heading = "Message"
    )]
    pub model_params: Option<String>,
    /// Method to call
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "body",
        help_heading = "Message"
    )]
    pub method: Option<String>,
    /// Arguments, a JSON list or object
    #[arg(long, alias = "methodParams", value_name = "JSON", help_heading = "Message")]
    pub method_params: Option<String>,
    /// Try again after this many seconds when the handler has failed; needs --retry-stop-at
    #[arg(
        long,
        alias = "retryIntervalTime",
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Message"
    )]
    pub retry_interval_time: Option<i64>,
    /// When to try no more: `Y-m-d H:i:s` in the time zone of the daemon that runs the job
    #[arg(long, alias = "retryStopAt", value_name = "TIME", help_heading = "Message")]
    pub retry_stop_at: Option<String>,
    /// Try again when the handler has panicked
    #[arg(long, alias = "errorRetry", help_heading = "Message")]
    pub error_retry: bool,
    /// Run at most once: the job is deleted before it runs
    #[arg(long, alias = "noRetry", help_heading = "Message")]
    pub no_retry: bool,
    /// Put this file's bytes as they are instead of a message; `-`: standard input
    #[arg(long, value_name = "FILE", value_parser = input_file, help_heading = "Job",
        conflicts_with_all = ["model", "model_params", "method", "method_params", "retry_interval_time", "retry_stop_at",
            "retry_time_table", "error_retry", "no_retry", "force_sync", "encoding"])]
    pub body: Option<Input>,
    /// Seconds until the job may run
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true,
        help_heading = "Job"
    )]
    pub delay: i64,
    /// Seconds that a worker has
    #[arg(
        long,
        value_name = "N",
        default_value_t = 60,
        allow_negative_numbers = true,
        help_heading = "Job"
    )]
    pub ttr: i64,
    /// Priority of a --body, 0 being the most urgent; that of a message is the time [default: 1024]
    #[arg(long, value_name = "N", requires = "body", conflicts_with_all = ["model", "method"], help_heading = "Job")]
    pub priority: Option<u32>,
    /// Put a job for each of these moments, in Unix seconds with commas between
    #[arg(
        long,
        alias = "retryTimeTable",
        value_name = "T,T…",
        allow_hyphen_values = true,
        help_heading = "Job"
    )]
    pub retry_time_table: Option<String>,
    /// Put again up to N times when the connection is lost before the answer; the job may then be there twice
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Job")]
    pub resend: u32,
    /// Run the handler in this process instead of putting a job
    #[arg(long, alias = "forceSync", help_heading = "Job")]
    pub force_sync: bool,
    /// Handler for --force-sync [default: the pool's, or the only one loaded]
    #[arg(long, value_name = "NAME", requires = "force_sync", help_heading = "Job")]
    pub handler: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
