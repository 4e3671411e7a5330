//! Which jobs a worker's death is blamed on, and what becomes of them. Pure.
//!
//! Where several jobs were running and nobody can tell which was at fault, each
//! of them is suspected. Such a death counts like any other, but it condemns
//! nobody. A job whose next death would be its last runs alone, so that this
//! death has one cause. So a job takes down `max_crashes` workers at most (two
//! where that is one), and none is buried for what another one did.

use crate::ipc::suspects::Sentence;

/// The sentence for a job that took that many workers down, the last of them provenly or not.
pub(super) fn sentence(deaths: u32, max_crashes: u32, proven: bool, delay_is_served: bool) -> Sentence {
    match (proven && deaths >= max_crashes, delay_is_served) {
        (true, _) => Sentence::Bury,
        (false, true) => Sentence::Served,
        (false, false) => Sentence::Delay,
    }
}

/// Whether a job that took that many workers down runs alone from now on: its next death would be its last.
pub(super) fn runs_alone(deaths: u32, max_crashes: u32) -> bool {
    deaths.saturating_add(1) >= max_crashes
}

/// Which jobs a death is blamed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blame {
    /// Their rows.
    pub(super) suspects: Vec<usize>,
    /// There is one cause only.
    pub(super) proven: bool,
}

/// What was running in a row when its worker died.
pub(super) struct Victim {
    /// The row's index.
    pub(super) row: usize,
    /// The job was deleted before, so it will not come back.
    pub(super) deleted: bool,
    /// The slot raised the signal that the worker died of.
    pub(super) at_fault: bool,
}

/// Blames the slot that raised the signal, or the only job that was running, else all that were.
pub(super) fn blame(running: &[Victim]) -> Blame {
    let at_fault = running.iter().find(|victim| victim.at_fault);
    let only = match running {
        [only] => Some(only),
        _ => None,
    };
    let culprit = at_fault.or(only);
    let blamed = running.iter().filter(|victim| match culprit {
        Some(culprit) => culprit.row == victim.row,
        None => true,
    });
    Blame {
        suspects: blamed
            .filter(|victim| !victim.deleted)
            .map(|victim| victim.row)
            .collect(),
        proven: culprit.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn victim(row: usize) -> Victim {
        Victim {
            row,
            deleted: false,
            at_fault: false,
        }
    }

    #[track_caller]
    fn assert_blamed(running: &[Victim], suspects: &[usize], proven: bool) {
        let suspects = suspects.to_vec();
        assert_eq!(blame(running), Blame { suspects, proven });
    }

    #[test]
    fn a_job_is_delayed_after_each_death_and_condemned_at_the_limit() {
        assert_eq!(sentence(1, 3, true, false), Sentence::Delay);
        assert_eq!(sentence(2, 3, true, true), Sentence::Served);
        assert_eq!(sentence(3, 3, true, true), Sentence::Bury);
        assert_eq!(sentence(1, 1, true, false), Sentence::Bury);
    }

    #[test]
    fn a_death_without_proof_condemns_nobody_however_often_it_happens() {
        for deaths in 1..10 {
            assert_eq!(sentence(deaths, 3, false, false), Sentence::Delay);
        }
        assert_eq!(sentence(1, 1, false, true), Sentence::Served);
    }

    #[test]
    fn a_job_runs_alone_before_the_death_that_would_be_its_last() {
        assert!(!runs_alone(1, 3));
        assert!(runs_alone(2, 3));
        assert!(runs_alone(1, 1) && runs_alone(7, 3));
    }

    #[test]
    fn the_only_job_is_blamed_and_so_is_the_slot_that_raised_the_signal() {
        assert_blamed(&[victim(4)], &[4], true);
        let at_fault = Victim {
            at_fault: true,
            ..victim(5)
        };
        assert_blamed(&[victim(4), at_fault, victim(6)], &[5], true);
    }

    #[test]
    fn of_several_jobs_all_are_suspected_without_proof() {
        assert_blamed(&[victim(4), victim(5)], &[4, 5], false);
        assert_blamed(&[], &[], false);
    }

    #[test]
    fn a_job_that_was_deleted_before_may_have_been_the_one() {
        let deleted = |at_fault| Victim {
            deleted: true,
            at_fault,
            ..victim(5)
        };
        assert_blamed(&[victim(4), deleted(false)], &[4], false);
        assert_blamed(&[victim(4), deleted(true)], &[], true);
        assert_blamed(&[deleted(false)], &[], true);
    }

    /// A model of a pool whose jobs run beside each other unless one has to be alone.
    #[test]
    fn poison_is_buried_after_bounded_deaths_and_bystanders_never() {
        for max_crashes in 1..=6 {
            let (mut poison_deaths, mut bystander_deaths, mut buried) = (0, 0, false);
            let mut workers_lost = 0;
            while !buried {
                workers_lost += 1;
                let alone = poison_deaths > 0 && runs_alone(poison_deaths, max_crashes);
                poison_deaths += 1;
                // The worst for the bystander: it comes back whenever the poison job may have company.
                let running = if alone {
                    vec![victim(0)]
                } else {
                    vec![victim(0), victim(1)]
                };
                let Blame { suspects, proven } = blame(&running);
                if suspects.contains(&1) {
                    bystander_deaths += 1;
                    let passed = sentence(bystander_deaths, max_crashes, proven, false);
                    assert_ne!(passed, Sentence::Bury, "max_crashes {max_crashes}");
                }
                buried = sentence(poison_deaths, max_crashes, proven, false) == Sentence::Bury;
            }
            assert_eq!(workers_lost, max_crashes.max(2));
        }
    }
}
