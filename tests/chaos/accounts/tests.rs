//! Made-up histories: what is in order, and that nothing else passes.

use super::*;

fn put(number: u64, deed: Deed) -> Put {
    Put {
        number,
        job: number + 100,
        deed,
        at_most_once: false,
    }
}

fn run(number: u64, pid: u32, begun: u64, ended: Option<u64>) -> Execution {
    Execution {
        number,
        job: number + 100,
        pid,
        begun,
        ended,
    }
}

fn remark(number: u64, pid: u32, at: u64, settled: &str) -> Remark {
    Remark {
        at,
        pid,
        job: number + 100,
        settled: settled.to_owned(),
        reason: "attempt 3 failed".to_owned(),
        ..Remark::default()
    }
}

fn blow(pid: u32, at: u64, kind: BlowKind) -> Blow {
    Blow { at, pid, kind }
}

/// One job that does its work, executed to its end by process 1 at 1500 and by process 2 at 2500.
fn twice() -> History {
    History {
        puts: vec![put(1, Deed::Work)],
        executions: vec![run(1, 1, 1000, Some(1500)), run(1, 2, 2000, Some(2500))],
        ..History::default()
    }
}

fn problems(history: &History) -> Vec<Problem> {
    audit(history).problems
}

fn is_explained(history: &History) -> bool {
    problems(history).is_empty()
}

#[test]
fn a_job_that_ran_to_its_end_once_is_in_order() {
    let history = History {
        puts: vec![put(1, Deed::Work)],
        executions: vec![run(1, 1, 1000, None), run(1, 2, 2000, Some(2500))],
        ..History::default()
    };
    let account = audit(&history);
    assert_eq!(account.problems, []);
    assert_eq!((account.put, account.executed, account.unfinished), (1, 1, 1));
}

#[test]
fn a_job_that_never_came_to_its_end_and_is_gone_is_lost() {
    let history = History {
        puts: vec![put(1, Deed::Panic)],
        executions: vec![run(1, 1, 1000, None)],
        ..History::default()
    };
    let (number, job, deed) = (1, 101, Deed::Panic);
    assert_eq!(problems(&history), [Problem::Lost { number, job, deed }]);
}

#[test]
fn a_job_that_is_still_ready_at_the_end_is_a_problem() {
    let history = History {
        puts: vec![put(1, Deed::Work)],
        remaining: vec![Remaining {
            number: 1,
            job: 101,
            is_buried: false,
            ..Remaining::default()
        }],
        ..History::default()
    };
    let (number, job, stats) = (1, 101, String::new());
    assert_eq!(problems(&history), [Problem::Left { number, job, stats }]);
}

#[test]
fn a_duplicate_that_nothing_explains_is_found() {
    let (number, job, pids) = (1, 101, vec![1, 2]);
    assert_eq!(
        problems(&twice()),
        [Problem::UnexplainedDuplicate { number, job, pids }]
    );
}

#[test]
fn a_duplicate_is_explained_by_a_line_about_that_job_and_one_of_its_processes_alone() {
    for (said_of, pid, settled, explains) in [
        (1, 1, "unknown", true),
        (1, 2, "lost", true),
        (1, 1, "delete", false),
        // About another process, and about another job.
        (1, 3, "unknown", false),
        (2, 1, "unknown", false),
    ] {
        let history = History {
            remarks: vec![remark(said_of, pid, 2600, settled)],
            ..twice()
        };
        let history = History {
            puts: vec![put(1, Deed::Work)],
            ..history
        };
        assert_eq!(
            is_explained(&history),
            explains,
            "{settled} of {said_of} by {pid}"
        );
    }
}

#[test]
fn a_line_from_before_the_execution_explains_nothing() {
    let history = History {
        remarks: vec![remark(1, 1, 500, "unknown")],
        ..twice()
    };
    assert!(!is_explained(&history));
}

#[test]
fn a_line_explains_one_execution_only() {
    let mut history = twice();
    history.executions[1].pid = 1;
    history.executions.push(run(1, 1, 3000, Some(3500)));
    history.remarks = vec![remark(1, 1, 1600, "unknown")];
    assert!(!is_explained(&history));
    history.remarks.push(remark(1, 1, 3600, "unknown"));
    assert!(is_explained(&history));
    assert_eq!(audit(&history).duplicates[&Cause::Unknown], 2);
}

#[test]
fn a_duplicate_is_explained_by_the_death_of_its_process_soon_after_its_end() {
    for (blows, explains) in [
        (vec![blow(1, 1550, BlowKind::Kill)], true),
        // Alive for long afterwards, or another process.
        (vec![blow(1, 1500 + LIMBO + 1, BlowKind::Kill)], false),
        (vec![blow(3, 1550, BlowKind::Kill)], false),
        // Killed before its end: it cannot have been this process.
        (vec![blow(1, 1000, BlowKind::Kill)], false),
        // Stopped alone: it would say what it found when it went on.
        (vec![blow(1, 1200, BlowKind::Stop)], false),
        (
            vec![blow(1, 1200, BlowKind::Stop), blow(1, 90_000, BlowKind::Kill)],
            true,
        ),
    ] {
        let text = format!("{blows:?}");
        let history = History { blows, ..twice() };
        assert_eq!(is_explained(&history), explains, "{text}");
    }
}

#[test]
fn a_duplicate_is_explained_by_another_job_that_took_its_process_down() {
    let mut history = twice();
    history.puts.push(put(2, Deed::Abort));
    history.executions.push(run(2, 1, 1400, None));
    history.remaining = vec![Remaining {
        number: 2,
        job: 102,
        is_buried: true,
        ..Remaining::default()
    }];
    history.remarks = vec![remark(2, 3, 9000, "bury")];
    assert_eq!(problems(&history), []);
    assert_eq!(audit(&history).duplicates[&Cause::BroughtDown], 1);
}

#[test]
fn a_burial_needs_a_reason() {
    let mut history = History {
        puts: vec![put(1, Deed::Fail)],
        executions: vec![run(1, 1, 1000, None)],
        remaining: vec![Remaining {
            number: 1,
            job: 101,
            is_buried: true,
            ..Remaining::default()
        }],
        ..History::default()
    };
    assert_eq!(
        problems(&history),
        [Problem::UnexplainedBurial { number: 1, job: 101 }]
    );
    history.remarks = vec![remark(1, 1, 1100, "bury")];
    assert_eq!(audit(&history).buried["attempt N failed"], 1);
}

#[test]
fn a_burial_is_explained_by_another_job_that_took_its_process_down_and_not_by_the_job_itself() {
    let deadly = |number| History {
        puts: vec![put(1, Deed::Abort), put(2, Deed::Abort)],
        executions: vec![run(1, 1, 1000, None), run(number, 1, 1100, None)],
        remaining: [1, 2]
            .map(|number| Remaining {
                number,
                job: number + 100,
                is_buried: true,
                ..Remaining::default()
            })
            .into(),
        remarks: vec![remark(2, 3, 9000, "bury")],
        ..History::default()
    };
    assert_eq!(problems(&deadly(2)), []);
    assert_eq!(
        problems(&deadly(1)),
        [Problem::UnexplainedBurial { number: 1, job: 101 }]
    );
}

#[test]
fn a_job_that_ran_to_its_end_and_lies_buried_needs_an_explanation() {
    let mut history = History {
        puts: vec![put(1, Deed::Work)],
        executions: vec![run(1, 1, 1000, Some(1500))],
        remaining: vec![Remaining {
            number: 1,
            job: 101,
            is_buried: true,
            ..Remaining::default()
        }],
        remarks: vec![remark(1, 2, 2000, "bury")],
        ..History::default()
    };
    assert!(!is_explained(&history));
    history.remarks.push(remark(1, 1, 1600, "unknown"));
    assert!(is_explained(&history));
}

#[test]
fn a_job_that_asks_for_at_most_one_run_may_not_run_twice_and_need_not_run() {
    let mut history = twice();
    history.puts[0].at_most_once = true;
    assert_eq!(problems(&history), [Problem::RanTwice { number: 1, job: 101 }]);
    history.executions.clear();
    let account = audit(&history);
    assert_eq!(account.problems, []);
    assert_eq!(account.at_most_once_not_executed, 1);
}

#[test]
fn an_execution_of_a_job_that_nobody_put_is_a_problem_unless_a_put_was_in_doubt() {
    let mut history = History {
        executions: vec![run(1, 1, 1000, Some(1500))],
        ..History::default()
    };
    assert_eq!(problems(&history), [Problem::Unheard { number: 1, job: 101 }]);
    history.doubtful.insert(1);
    assert_eq!(problems(&history), []);
}
