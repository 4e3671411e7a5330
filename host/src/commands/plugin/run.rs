//! `plugin run`: a handler on a job that no queue server has.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::{
    cli,
    local::LoadError,
    master::Failure,
    plugin::registry::Catalog,
    trial::{Answer, Jobs, Limits, Said, Task, Trial, TrialError, Verdict},
};

/// The body of a job that was given none: what a handler without a payload takes.
const NO_BODY: &[u8] = b"null";

/// `plugin run`: what the handler answered, and how long it took.
pub(super) fn run(typed: cli::Run, print: impl FnOnce(&str)) -> Result<String, Failure> {
    let config = super::settings(typed.settings.0.clone())?;
    let body = match &typed.body {
        Some(input) => crate::commands::read_input(input)?.1,
        None => NO_BODY.to_vec(),
    };
    let catalog = super::stage(&config, &typed.plugin)
        .map_err(|errors| super::not_loaded(LoadError::Plugins(errors)))?;
    let handler = super::only(&catalog, typed.handler.as_deref())?;
    let jobs = Jobs {
        length: body.len(),
        repeat: typed.repeat,
        tube: typed.tube.clone(),
        attempt: typed.attempt,
    };
    let setup = super::setup(&config, &catalog, handler, Task::Run(jobs));
    let limits = Limits {
        start: config.daemon.start_timeout,
        job: typed.timeout.map(|seconds| Duration::from_secs(seconds.into())),
    };
    let trial = Trial::start(&catalog, &setup, &body, limits).map_err(|error| lost(&error.into()))?;
    let mut answers = Answers::default();
    let ended = execute(trial, typed.repeat, &mut answers);

    let Some(shown) = answers.shown() else {
        return ended.map(|()| String::new()).map_err(|error| lost(&error));
    };
    let text = match typed.json {
        true => super::pretty(&shown.document(&catalog, handler))?,
        false => shown.text(),
    };
    let failure = match ended {
        Err(error) => lost(&error),
        Ok(()) if shown.answer.verdict == Verdict::Done => return Ok(text),
        Ok(()) => shown.failure(handler),
    };
    print(&text);
    Err(failure)
}

/// Waits for the answer to each job, and for the end of the child.
fn execute(mut trial: Trial, jobs: u32, answers: &mut Answers) -> Result<(), TrialError> {
    while answers.took.len() < jobs as usize {
        if let Said::Answered(answer) = trial.hear()? {
            answers.add(answer);
        }
    }
    trial.finish()
}

fn lost(error: &TrialError) -> Failure {
    Failure::new(error.exit(), error.full())
}

/// What is kept of the answers, of which there may be many.
#[derive(Default)]
struct Answers {
    /// The first that is not done, else the first; and which job it was the answer to, from 1.
    shown: Option<(Answer, usize)>,
    /// How often each verdict came.
    outcomes: BTreeMap<Verdict, usize>,
    /// In the order of the jobs.
    took: Vec<Duration>,
}

impl Answers {
    fn add(&mut self, answer: Answer) {
        self.took.push(answer.took);
        *self.outcomes.entry(answer.verdict).or_default() += 1;
        let is_done = |answer: &Answer| answer.verdict == Verdict::Done;
        if self
            .shown
            .as_ref()
            .is_none_or(|(shown, _)| is_done(shown) && !is_done(&answer))
        {
            self.shown = Some((answer, self.took.len()));
        }
    }

    /// `None` where there is no answer.
    fn shown(self) -> Option<Shown> {
        let (answer, number) = self.shown?;
        let mut took = self.took;
        took.sort_unstable();
        Some(Shown {
            answer,
            number,
            outcomes: self.outcomes,
            took,
        })
    }
}

/// What is shown of the answers.
struct Shown {
    /// The first that is not done; else the first.
    answer: Answer,
    /// Which job it was the answer to, from 1.
    number: usize,
    /// How often each verdict came.
    outcomes: BTreeMap<Verdict, usize>,
    /// Ascending.
    took: Vec<Duration>,
}

impl Shown {
    /// The time within which that share of the jobs was done, in hundredths: the nearest rank.
    fn percentile(&self, hundredths: usize) -> Duration {
        let rank = (self.took.len() * hundredths).div_ceil(100);
        self.took.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    fn text(&self) -> String {
        let Answer {
            verdict,
            delay,
            priority,
            message,
            result,
            ..
        } = &self.answer;
        let mut lines = Vec::new();
        let several = self.took.len() > 1;
        if several {
            let outcomes: Vec<String> = self
                .outcomes
                .iter()
                .map(|(verdict, count)| format!("{verdict} {count}"))
                .collect();
            lines.push(format!("jobs     {}: {}", self.took.len(), outcomes.join(", ")));
            lines.push(format!("shown    job {}", self.number));
        }
        let delay = delay.map_or_else(String::new, |delay| format!(" in {delay:?}"));
        let priority = priority.map_or_else(String::new, |priority| format!(", priority {priority}"));
        lines.push(format!("outcome  {verdict}{delay}{priority}"));
        for (name, text) in [("message", message), ("result", result)] {
            if !text.is_empty() {
                lines.push(format!("{name:<7}  {text}"));
            }
        }
        let took = |hundredths| self.percentile(hundredths);
        lines.push(match several {
            true => format!(
                "took     median {:.2?}, p99 {:.2?}, longest {:.2?}",
                took(50),
                took(99),
                took(100)
            ),
            false => format!("took     {:.2?}", took(100)),
        });
        lines.join("\n")
    }

    fn document(&self, catalog: &Catalog, handler: &str) -> Value {
        let plugin = catalog.handlers.plugin(handler);
        let answer = &self.answer;
        let result = answer.result.as_str();
        // A result that is no JSON is a fault of the handler, which whoever reads this wants to see.
        let result = match result.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(result).unwrap_or_else(|_| Value::from(result)),
        };
        let micros = |hundredths| self.percentile(hundredths).as_nanos() as f64 / 1e3;
        let outcomes = self
            .outcomes
            .iter()
            .map(|(verdict, count)| (verdict.to_string(), Value::from(*count)));
        json!({
            "plugin": plugin.map(|plugin| plugin.path.display().to_string()),
            "sha256": plugin.map(|plugin| &plugin.sha256),
            "handler": handler,
            "jobs": self.took.len(),
            "outcomes": Value::Object(outcomes.collect()),
            "shown": {
                "job": self.number,
                "outcome": answer.verdict,
                "delay_s": answer.delay.map(|delay| delay.as_secs_f64()),
                "priority": answer.priority,
                "message": answer.message,
                "result": result,
            },
            "took_us": { "median": micros(50), "p99": micros(99), "longest": micros(100) },
        })
    }

    /// Of an answer that is not done.
    fn failure(&self, handler: &str) -> Failure {
        let Answer { verdict, message, .. } = &self.answer;
        let mut text = format!("handler `{handler}` answered `{verdict}` to job {}", self.number);
        if !message.is_empty() {
            text.push_str(&format!(": {message}"));
        }
        Failure::new(verdict.exit(), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn answer(verdict: Verdict, micros: u64) -> Answer {
        Answer {
            verdict,
            delay: None,
            priority: None,
            message: String::new(),
            result: String::new(),
            took: Duration::from_micros(micros),
        }
    }

    fn shown(answers: impl IntoIterator<Item = Answer>) -> Option<Shown> {
        let mut all = Answers::default();
        answers.into_iter().for_each(|answer| all.add(answer));
        all.shown()
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let answers = (1..=200).rev().map(|micros| answer(Verdict::Done, micros));
        let many = shown(answers).expect("there are answers");
        let micros = [1, 50, 99, 100].map(|hundredths| many.percentile(hundredths).as_micros());
        assert_eq!(micros, [2, 100, 198, 200]);
        let one = shown([answer(Verdict::Done, 7)]).expect("there is one");
        assert_eq!(one.percentile(50), one.percentile(100));
        assert!(shown([]).is_none());
    }

    #[test]
    fn the_first_answer_that_is_not_done_is_shown() {
        let verdicts = [Verdict::Done, Verdict::Retry, Verdict::Bury, Verdict::Retry];
        let first = shown(verdicts.map(|verdict| answer(verdict, 1))).expect("there are answers");
        assert_eq!((first.number, first.answer.verdict), (2, Verdict::Retry));
        assert_eq!(first.failure("h").exit, Exit::Retry);
        insta::assert_snapshot!(first.text(), @"
        jobs     4: done 1, retry 2, bury 1
        shown    job 2
        outcome  retry
        took     median 1.00µs, p99 1.00µs, longest 1.00µs
        ");
    }
}
