//! The handler `plugin_name`: appends the text of each job to a file.

#![forbid(unsafe_code)]

use std::{fs::File, io::Write, path::PathBuf};

use plugin_api::prelude::*;

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

impl Handler for PluginName {
    type Config = Config;
    type Payload = Payload;

    fn new(config: Config) -> Result<Self> {
        Ok(Self(config))
    }

    fn execute(&self, job: &Job, payload: Payload) -> Result {
        info!(bytes = payload.text.len(), "attempt {}", job.attempt());
        let file = File::options().create(true).append(true).open(&self.0.file);
        let mut file = file.or_retry_in(Duration::from_secs(30))?;
        file.write_all(format!("{}\n", payload.text).as_bytes())?;
        Ok(().into())
    }
}

export_plugin!("plugin_name" => PluginName);

#[cfg(test)]
mod tests;
