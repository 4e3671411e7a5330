use nix::sys::memfd::{MFdFlags, memfd_create};

use super::{
    super::{
        row::{Counts, Pen, State},
        suspects::{Sentence, Suspect},
    },
    *,
};

#[test]
fn a_second_mapping_sees_what_the_first_wrote() {
    let ours = Scoreboard::create().expect("a memfd");
    let theirs =
        Scoreboard::open(ours.as_fd().try_clone_to_owned().expect("a descriptor")).expect("a mapping");
    let row = ours.row(ROWS - 1).expect("the last row");
    Pen::of(row).enter(State::Running, 901, Some(3));
    row.count_executed();
    row.count_done();
    let seen = theirs.row(ROWS - 1).expect("the last row");
    let activity = seen.activity();
    assert_eq!(
        (activity.state, activity.job, activity.tube),
        (State::Running, 901, Some(3))
    );
    assert_eq!(
        seen.counts(),
        Counts {
            done: 1,
            executed: 1,
            ..Counts::default()
        }
    );
    assert!(activity.since_ns > 0);
}

#[test]
fn progress_counts_for_the_job_that_runs_and_no_later_one() {
    let scoreboard = Scoreboard::create().expect("a memfd");
    let row = scoreboard.row(0).expect("the first row");
    Pen::of(row).enter(State::Running, 901, None);
    let begun = row.activity();
    assert_eq!(begun.progress_ns, begun.since_ns);
    row.note_progress();
    let reported = row.activity();
    assert!(reported.progress_ns > begun.since_ns);
    assert_eq!(reported.since_ns, begun.since_ns);
    Pen::of(row).enter(State::Running, 902, None);
    let next = row.activity();
    assert_eq!(next.progress_ns, next.since_ns);
}

#[test]
fn there_is_no_row_behind_the_last() {
    let scoreboard = Scoreboard::create().expect("a memfd");
    assert!(scoreboard.row(ROWS).is_none());
}

#[test]
fn a_descriptor_of_another_size_is_refused() {
    let descriptor = memfd_create(c"short", MFdFlags::MFD_CLOEXEC).expect("a memfd");
    let Err(error) = Scoreboard::open(descriptor) else {
        panic!("an empty file is no scoreboard")
    };
    assert!(error.to_string().contains("has 0 bytes"), "{error}");
}

#[test]
fn a_cleared_row_is_free_and_counts_from_zero() {
    let scoreboard = Scoreboard::create().expect("a memfd");
    let row = scoreboard.row(0).expect("the first row");
    Pen::of(row).enter(State::Settling, 7, None);
    row.count_failed();
    row.clear(1);
    assert_eq!((row.activity().state, row.activity().job), (State::Free, 0));
    assert_eq!(row.counts(), Counts::default());
}

#[test]
fn a_job_counts_as_running_elsewhere_until_its_delay_was_served() {
    let scoreboard = Scoreboard::create().expect("a memfd");
    scoreboard.lend(0, 1);
    scoreboard.lend(1, 2);
    scoreboard.set_running(0, 901);
    assert_eq!(scoreboard.predecessor(902, 1), None);
    assert_eq!(
        scoreboard.predecessor(901, 0),
        None,
        "a slot's own mark does not count"
    );
    for _ in 0..2 {
        assert_eq!(
            scoreboard.predecessor(901, 1),
            Some(Predecessor::Unfinished),
            "also after a release that was lost"
        );
    }
    scoreboard.delay_served(902, 1);
    assert!(scoreboard.is_marked_running(0));
    scoreboard.delay_served(901, 1);
    assert_eq!(scoreboard.predecessor(901, 1), None);
    assert!(!scoreboard.is_marked_running(0));
}

#[test]
fn only_the_slot_that_raised_the_signal_is_at_fault() {
    let scoreboard = Scoreboard::create().expect("a memfd");
    for (row, worker) in [(0, 1), (1, 1), (2, 2)] {
        scoreboard.lend(row, worker);
        scoreboard.set_running(row, 901 + row as u64);
    }
    let faulting = scoreboard.row(1).expect("a row");
    faulting.fault().store(11, Ordering::Relaxed);
    assert_eq!(scoreboard.predecessor(901, 2), Some(Predecessor::Bystander));
    assert_eq!(scoreboard.predecessor(902, 2), Some(Predecessor::Unfinished));
    assert_eq!(
        scoreboard.predecessor(903, 0),
        Some(Predecessor::Unfinished),
        "another worker"
    );
}

#[test]
fn a_death_apart_from_jobs_makes_bystanders_of_all_of_the_worker() {
    let scoreboard = Scoreboard::create().expect("a memfd");
    for (index, worker) in [(0, 7), (1, 7), (2, 8)] {
        scoreboard.lend(index, worker);
        scoreboard.set_running(index, 901 + index as u64);
    }
    scoreboard
        .row(0)
        .expect("a row")
        .apart()
        .store(6, Ordering::Relaxed);
    for job in [901, 902] {
        assert_eq!(scoreboard.predecessor(job, 2), Some(Predecessor::Bystander));
    }
    assert_eq!(scoreboard.predecessor(903, 0), Some(Predecessor::Unfinished));
    scoreboard.lend(0, 9);
    assert_eq!(scoreboard.predecessor(902, 2), Some(Predecessor::Unfinished));
}

#[test]
fn a_suspect_is_delayed_once_for_each_death_and_then_buried() {
    let scoreboard = Scoreboard::create().expect("a memfd");
    let suspects = scoreboard.suspects();
    assert_eq!(suspects.find(7), None);
    suspects.put(Suspect {
        job: 7,
        deaths: 1,
        alone: false,
        sentence: Sentence::Delay,
    });
    suspects.served(7);
    assert_eq!(
        suspects.find(7).map(|suspect| suspect.sentence),
        Some(Sentence::Served)
    );
    suspects.put(Suspect {
        job: 7,
        deaths: 3,
        alone: false,
        sentence: Sentence::Bury,
    });
    suspects.served(7);
    assert_eq!(
        suspects.find(7),
        Some(Suspect {
            job: 7,
            deaths: 3,
            alone: false,
            sentence: Sentence::Bury
        })
    );
    assert_eq!(suspects.iter().count(), 1);
    suspects.remove(7);
    assert_eq!((suspects.find(7), suspects.iter().count()), (None, 0));
}

#[test]
fn delays_that_were_asked_for_are_counted_by_job_until_it_is_settled() {
    let scoreboard = Scoreboard::create().expect("a memfd");
    let delays = scoreboard.delays();
    assert_eq!(delays.count(7), 0);
    for job in [7, 7 + 4096, 7] {
        delays.add(job);
    }
    assert_eq!(
        (delays.count(7), delays.count(7 + 4096)),
        (2, 1),
        "neighbours do not mix"
    );
    delays.remove(7);
    assert_eq!((delays.count(7), delays.count(7 + 4096)), (0, 1));
}

#[test]
fn a_consistent_look_never_mixes_two_states_of_a_row() {
    let scoreboard = Scoreboard::create().expect("a memfd");
    let row = scoreboard.row(0).expect("the first row");
    let mut pen = Pen::of(row);
    pen.enter(State::Running, 0, Some(0));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for job in 0..20_000 {
                pen.enter(State::Running, job, Some(job as usize));
            }
        });
        for _ in 0..20_000 {
            if let Some(look) = row.consistent_look() {
                assert_eq!(Some(look.job as usize), look.tube);
            }
        }
    });
    assert_eq!(row.consistent_look().map(|look| look.job), Some(19_999));
}

#[test]
fn a_row_whose_writer_died_in_the_middle_is_whole_again_with_its_next_owner() {
    let scoreboard = Scoreboard::create().expect("a memfd");
    let row = scoreboard.row(0).expect("the first row");
    row.leave_half_written();
    assert_eq!(row.consistent_look(), None);
    assert_eq!(row.activity().state, State::Free, "it is taken as it is");
    let before = row.sequence();
    scoreboard.lend(0, 1);
    Pen::of(row).enter(State::Running, 901, None);
    assert_eq!(row.consistent_look().map(|look| look.job), Some(901));
    assert!(row.sequence() > before, "the sequence never goes back");
}

#[test]
fn what_is_learnt_of_a_job_is_not_said_of_the_next_one() {
    let scoreboard = Scoreboard::create().expect("a memfd");
    let row = scoreboard.row(0).expect("the first row");
    let mut pen = Pen::of(row);
    pen.enter(State::Running, 901, None);
    pen.learn_tube(900, 3);
    assert_eq!(row.activity().tube, None);
    pen.learn_tube(901, 3);
    assert_eq!(row.activity().tube, Some(3));
}

#[test]
fn a_job_counts_as_deleted_from_the_moment_it_runs_until_the_next_state() {
    let scoreboard = Scoreboard::create().expect("a memfd");
    let row = scoreboard.row(0).expect("the first row");
    let mut pen = Pen::of(row);
    pen.run_deleted(901, None);
    assert!(row.was_deleted() && row.activity().state == State::Running);
    pen.enter(State::Idle, 0, None);
    assert!(!row.was_deleted());
}
