//! The one table: figures of the daemon, beside what they are compared with.

use std::fmt::{self, Display, Formatter};

use crate::plot::Plot;

/// What is asked of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// It is there to be read beside the others.
    None,
}

impl Target {
    fn is_met(self, figure: f64) -> Option<bool> {
        match self {
            Target::AtLeast(least) => Some(figure >= least),
            Target::AtMost(most) => Some(figure <= most),
            Target::None => None,
        }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Target::AtLeast(least) => write!(f, "≥ {least}"),
            Target::AtMost(most) => write!(f, "≤ {most}"),
            Target::None => Ok(()),
        }
    }
}

/// One line of the table.
pub(crate) struct Row {
    what: String,
    unit: &'static str,
    ours: f64,
    theirs: Option<(String, f64)>,
    /// The median of the pairs' ratios.
    ratio: Option<f64>,
    target: Target,
    /// How it went over time: printed below the table.
    pub(crate) plot: Option<Plot>,
}

impl Row {
    /// Ours beside theirs, measured in turn: the target is that of the ratio.
    pub(crate) fn pairs(
        what: impl Into<String>,
        unit: &'static str,
        ours: &[f64],
        than: impl Into<String>,
        theirs: &[f64],
        target: Target,
    ) -> Row {
        let ratios: Vec<f64> = ours
            .iter()
            .zip(theirs)
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        Row {
            what: what.into(),
            unit,
            ours: median(ours),
            theirs: Some((than.into(), median(theirs))),
            ratio: Some(median(&ratios)),
            target,
            plot: None,
        }
    }

    /// A figure that stands for itself: a count, or one whose measure is the machine's.
    pub(crate) fn alone(what: impl Into<String>, unit: &'static str, ours: &[f64], target: Target) -> Row {
        Row {
            what: what.into(),
            unit,
            ours: median(ours),
            theirs: None,
            ratio: None,
            target,
            plot: None,
        }
    }

    /// The same with how it went over time.
    pub(crate) fn with_plot(self, plot: Plot) -> Row {
        Row {
            plot: Some(plot),
            ..self
        }
    }

    /// Whether the target is met; nothing where there is none.
    pub(crate) fn is_met(&self) -> Option<bool> {
        self.target.is_met(self.ratio.unwrap_or(self.ours))
    }
}

/// The head of a table of rows.
pub(crate) const HEAD: &str =
    "| what | unit | daemon | beside | theirs | ratio | target | met |\n|---|---|--:|---|--:|--:|--:|---|";

impl Display for Row {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (than, theirs) = match &self.theirs {
            Some((than, theirs)) => (than.as_str(), short(*theirs)),
            None => ("", String::new()),
        };
        let ratio = self.ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        let met = match self.is_met() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        let Row {
            what, unit, target, ..
        } = self;
        let ours = short(self.ours);
        write!(
            f,
            "| {what} | {unit} | {ours} | {than} | {theirs} | {ratio} | {target} | {met} |"
        )
    }
}

/// Three digits or more, with separators.
fn short(figure: f64) -> String {
    match figure.abs() {
        0.0..10.0 => format!("{figure:.2}"),
        10.0..1000.0 => format!("{figure:.1}"),
        _ => grouped(figure.round() as u64),
    }
}

/// A count with separators.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let first = digits.len() % 3;
    let mut grouped = digits[..first].to_owned();
    for group in digits.as_bytes()[first..].chunks(3) {
        if !grouped.is_empty() {
            grouped.push(',');
        }
        grouped.push_str(std::str::from_utf8(group).expect("digits"));
    }
    grouped
}

/// The middle of some figures; of an even number, the mean of both.
pub(crate) fn median(figures: &[f64]) -> f64 {
    quantile(figures, 0.5)
}

/// The figure that this part of all is below.
pub(crate) fn quantile(figures: &[f64], part: f64) -> f64 {
    assert!(!figures.is_empty(), "nothing was measured");
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = part * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}
