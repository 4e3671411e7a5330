//! The handler `plugin_name`: appends the text of each job to a file.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use plugin_api::prelude::*;
use tokio::{fs::File, io::AsyncWriteExt};

/// `[handler.plugin_name]` in the host's configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    file: PathBuf,
}

/// The body of a job.
#[derive(Deserialize)]
struct Payload {
    text: String,
}

struct PluginName(Config);

impl AsyncHandler for PluginName {
    type Config = Config;
    type Payload = Payload;

    async fn new(config: Config) -> Result<Self> {
        Ok(Self(config))
    }

    async fn execute(&self, job: &Job<'_>, payload: Payload) -> Result {
        info!(bytes = payload.text.len(), "attempt {}", job.attempt());
        let mut options = File::options();
        let file = options.create(true).append(true).open(&self.0.file).await;
        let mut file = file.or_retry_in(Duration::from_secs(30))?;
        let line = format!("{}\n", payload.text);
        file.write_all(line.as_bytes()).await?;
        // What tokio has not yet handed to the system would be lost with `file`, and its errors too.
        file.flush().await?;
        Ok(().into())
    }
}

export_plugin!("plugin_name" => PluginName);

#[cfg(test)]
mod tests;
