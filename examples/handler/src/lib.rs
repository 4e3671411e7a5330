//! A whole plugin: appends the text of each job to a file.

use std::{fs::OpenOptions, io::Write, path::PathBuf};

use plugin_api::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    file: PathBuf,
}

#[derive(Deserialize)]
struct Note {
    text: String,
}

impl Handler for Notes {
    type Config = Notes;
    type Payload = Note;

    fn new(config: Notes) -> Result<Self> {
        Ok(config)
    }

    fn execute(&self, job: &Job, note: Note) -> Result {
        info!(bytes = note.text.len(), "attempt {}", job.attempt());
        let file = OpenOptions::new().create(true).append(true).open(&self.file);
        let mut file = file.or_retry_in(Duration::from_secs(30))?;
        file.write_all(format!("{}\n", note.text).as_bytes())?;
        Ok(().into())
    }
}

export_plugin!(Notes);

#[cfg(test)]
mod tests;
