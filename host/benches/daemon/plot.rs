//! How figures went over time, as text: a line of blocks for each, which reads in a terminal as on a page.

use std::fmt::{self, Display, Formatter};

/// How many blocks a line has at most.
const WIDTH: usize = 60;
/// The blocks, by height.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Curves that belong together; each begins and ends at its own time.
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) curves: Vec<Curve>,
}

/// A figure over time.
pub(crate) struct Curve {
    /// Whose it is, and what.
    pub(crate) name: String,
    /// At equal distances.
    pub(crate) figures: Vec<f64>,
    /// How long it took.
    pub(crate) seconds: f64,
}

impl Display for Plot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let longest = self.curves.iter().map(|curve| curve.name.chars().count()).max();
        let width = longest.unwrap_or(0);
        for Curve {
            name,
            figures,
            seconds,
        } in &self.curves
        {
            let thinned = thinned(figures);
            let top = thinned.iter().copied().fold(0.0, f64::max);
            let line: String = thinned.iter().map(|figure| block(*figure, top)).collect();
            let bottom = thinned.iter().copied().fold(top, f64::min);
            writeln!(
                f,
                "  {name:width$}  {line:WIDTH$}  {bottom:.1} to {top:.1}, {seconds:.1} s"
            )?;
        }
        Ok(())
    }
}

/// At most [`WIDTH`] figures, each the mean of its neighbours.
fn thinned(figures: &[f64]) -> Vec<f64> {
    let each = figures.len().div_ceil(WIDTH).max(1);
    let mean = |some: &[f64]| some.iter().sum::<f64>() / some.len() as f64;
    figures.chunks(each).map(mean).collect()
}

/// The block for a figure, where the highest stands for `top` and the lowest for less than an eighth of it.
fn block(figure: f64, top: f64) -> char {
    let part = if top > 0.0 { figure / top } else { 0.0 };
    BLOCKS[((part * 8.0).ceil() as usize).clamp(1, 8) - 1]
}
