//! `plugin check`: everything that keeps a plugin from being loaded, and its handlers from coming up.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    cli,
    config::Config,
    exit::Exit,
    master::Failure,
    plugin::{PluginError, PluginErrors, PluginInfo, registry::Catalog},
    trial::{Limits, Said, Setup, Stage, Task, Trial, TrialError},
};

/// `plugin check`: the verdict on each step. Each handler comes up in a process of its own.
pub(super) fn check(typed: cli::Check, print: impl FnOnce(&str)) -> Result<String, Failure> {
    let config = super::settings(typed.settings.0.clone())?;
    let mut report = Report::default();
    match super::stage(&config, &typed.plugin) {
        Ok(catalog) => {
            report.staged(&catalog, &config);
            for handler in super::chosen(&catalog, typed.handler.as_deref())? {
                let setup = super::setup(&config, &catalog, &handler, Task::Make);
                if !report.try_handler(&catalog, &setup, &config) {
                    break;
                }
            }
        }
        Err(errors) => report.refused(errors),
    }
    let text = match typed.json {
        true => super::pretty(&report.document())?,
        false => report.text(),
    };
    if report.exit == Exit::Ok {
        return Ok(text);
    }
    print(&text);
    let failed = report
        .steps
        .iter()
        .filter(|step| step.verdict == Verdict::Failed)
        .count();
    let text = format!(
        "`{}` does not pass, failed steps: {failed}",
        typed.plugin.escape_debug()
    );
    Err(Failure::new(report.exit, text))
}

/// What was found.
struct Report {
    info: Option<Arc<PluginInfo>>,
    steps: Vec<Step>,
    /// Of the first step that failed.
    exit: Exit,
}

/// One thing that was looked at.
struct Step {
    /// The handler that it was about.
    handler: Option<String>,
    name: &'static str,
    verdict: Verdict,
    /// An error with its hint, or what is to be known though all is well.
    detail: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Ok,
    Failed,
    /// The settings do not require it.
    NotRequired,
    /// There is no schema to check it against.
    NoSchema,
}

impl Default for Report {
    fn default() -> Self {
        Report {
            info: None,
            steps: Vec::new(),
            exit: Exit::Ok,
        }
    }
}

impl Report {
    fn add(&mut self, handler: Option<&str>, name: &'static str, verdict: Verdict, detail: Option<String>) {
        let handler = handler.map(str::to_owned);
        self.steps.push(Step {
            handler,
            name,
            verdict,
            detail,
        });
    }

    fn fail(&mut self, handler: Option<&str>, name: &'static str, exit: Exit, error: String) {
        if self.exit == Exit::Ok {
            self.exit = exit;
        }
        self.add(handler, name, Verdict::Failed, Some(error));
    }

    /// The plugin would be loaded.
    fn staged(&mut self, catalog: &Catalog, config: &Config) {
        self.info = catalog.plugins.first().map(|staged| Arc::clone(&staged.info));
        let warnings: Vec<String> = catalog.warnings.iter().map(ToString::to_string).collect();
        let warned = (!warnings.is_empty()).then(|| warnings.join("\n"));
        self.add(None, "permissions", Verdict::Ok, warned);
        self.add(None, "manifest", Verdict::Ok, None);
        match config.plugins.require_sha256 {
            true => self.add(None, "lock file", Verdict::Ok, None),
            false => self.add(None, "lock file", Verdict::NotRequired, None),
        }
    }

    /// The plugin would not be loaded.
    fn refused(&mut self, errors: PluginErrors) {
        for error in errors {
            let name = match &error {
                PluginError::Unsafe { .. } => "permissions",
                PluginError::Manifest { .. } => "manifest",
                PluginError::Lock { .. } => "lock file",
                _ => "file",
            };
            self.fail(None, name, error.exit(), error.full());
        }
    }

    /// Whether it makes sense to try another handler of the plugin.
    fn try_handler(&mut self, catalog: &Catalog, setup: &Setup, config: &Config) -> bool {
        let limits = Limits {
            start: config.daemon.start_timeout,
            job: None,
        };
        let handler = Some(setup.handler.as_str());
        let mut trial = match Trial::start(catalog, setup, &[], limits) {
            Ok(trial) => trial,
            Err(error) => {
                let error = TrialError::from(error);
                self.fail(None, "load", error.exit(), error.full());
                return false;
            }
        };
        loop {
            let stage = trial.stage();
            let said = match trial.hear() {
                Ok(said) => said,
                Err(error) => {
                    let handler = handler.filter(|_| stage != Stage::Loading);
                    self.fail(handler, step_name(stage), error.exit(), error.full());
                    return stage != Stage::Loading;
                }
            };
            match said {
                Said::Loaded if self.steps.iter().any(|step| step.name == step_name(stage)) => {}
                Said::Loaded => self.add(None, step_name(stage), Verdict::Ok, None),
                Said::Fitted { schema: false } => {
                    self.add(handler, step_name(stage), Verdict::NoSchema, None);
                }
                _ => self.add(handler, step_name(stage), Verdict::Ok, None),
            }
            if matches!(said, Said::Checked) {
                break;
            }
        }
        match trial.finish() {
            Ok(()) => self.add(handler, step_name(Stage::Leaving), Verdict::Ok, None),
            Err(error) => self.fail(handler, step_name(Stage::Leaving), error.exit(), error.full()),
        }
        true
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        if let Some(info) = &self.info {
            let manifest = &info.manifest;
            lines.push(format!(
                "plugin {} {} (abi {}, {}) {}",
                manifest.name,
                manifest.version,
                manifest.abi,
                manifest.toolchain,
                info.path.display()
            ));
            lines.push(format!("sha256 {}", info.sha256));
            let handlers = manifest.handlers.iter();
            lines.extend(handlers.map(|handler| match handler.description.as_str() {
                "" => format!("handler {}", handler.name),
                description => format!("handler {}: {description}", handler.name),
            }));
        }
        lines.extend(self.steps.iter().map(Step::text));
        lines.join("\n")
    }

    fn document(&self) -> Value {
        let info = self.info.as_deref();
        let steps: Vec<Value> = self.steps.iter().map(Step::document).collect();
        let mut document = super::identity(info);
        document.insert(
            "path".to_owned(),
            json!(info.map(|info| info.path.display().to_string())),
        );
        document.insert("steps".to_owned(), Value::Array(steps));
        document.insert("passed".to_owned(), Value::Bool(self.exit == Exit::Ok));
        Value::Object(document)
    }
}

impl Step {
    fn text(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Failed => "FAILED",
            Verdict::NotRequired | Verdict::NoSchema => "-",
        };
        let mut text = format!("{verdict:<6}  ");
        if let Some(handler) = &self.handler {
            text.push_str(&format!("{handler}: "));
        }
        text.push_str(self.name);
        text.push_str(match self.verdict {
            Verdict::Ok | Verdict::Failed => "",
            Verdict::NotRequired => ": not required",
            Verdict::NoSchema => ": no schema to check it against",
        });
        for line in self.detail.iter().flat_map(|detail| detail.lines()) {
            text.push_str(&format!("\n          {line}"));
        }
        text
    }

    fn document(&self) -> Value {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Failed => "failed",
            Verdict::NotRequired => "not required",
            Verdict::NoSchema => "no schema",
        };
        json!({ "step": self.name, "handler": self.handler, "verdict": verdict, "detail": self.detail })
    }
}

/// What a child's way up is called in the report.
fn step_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Loading => "load",
        Stage::Fitting => "configuration",
        Stage::Creating => "create",
        Stage::Checking => "self-check",
        Stage::Running(_) | Stage::Leaving => "exit",
    }
}
