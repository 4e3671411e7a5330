//! The nearest known name of an unknown one.

use super::problem::Hint;

/// Least likeness, from 0 to 1, at which a name is worth offering.
const LIKE: f64 = 0.8;

/// The name among `known` that `unknown` most likely meant. Case, `-` and `_` do not count.
pub(super) fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let unknown = plain(unknown);
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&unknown, &plain(name)), name))
        .filter(|(likeness, _)| *likeness >= LIKE)
        // Of equals the first, so that the caller's order is one of preference.
        .min_by(|(left, _), (right, _)| right.total_cmp(left))
        .map(|(_, name)| name)
}

/// A hint that names the nearest of `known`, or an empty one.
pub(super) fn hint<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Hint {
    Hint(nearest(unknown, known).map(|name| format!("did you mean `{name}`?")))
}

fn plain(name: &str) -> String {
    name.chars()
        .filter(|letter| !matches!(letter, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typo_finds_its_name_and_a_stranger_finds_none() {
        let known = ["worker_num", "tubes", "tube_naming", "pid_file"];
        let table = [
            ("worker-num", Some("worker_num")),
            ("WorkerNums", Some("worker_num")),
            ("workers", Some("worker_num")),
            ("tubs", Some("tubes")),
            ("pidfile", Some("pid_file")),
            ("colour", None),
            ("", None),
        ];
        for (unknown, expected) in table {
            assert_eq!(nearest(unknown, known), expected, "{unknown}");
        }
    }
}
