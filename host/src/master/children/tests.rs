use std::collections::BTreeSet;

use super::{
    backoff::{FIRST_BACKOFF, LONGEST_BACKOFF, STEADY},
    *,
};

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How many workers of a pool are replaced at one time.
const MAX_UNAVAILABLE: u32 = 3;

fn plan(pools: &[(&str, u32)]) -> Plan {
    let of_pool = |(pool, seats): &(&str, u32)| {
        let plan = PoolPlan {
            seats: *seats,
            max_unavailable: MAX_UNAVAILABLE,
        };
        ((*pool).to_owned(), plan)
    };
    Plan {
        pools: pools.iter().map(of_pool).collect(),
        start_timeout: START_TIMEOUT,
    }
}

/// Plays the master: carries out effects at once and keeps them for the test to look at.
struct Stage {
    children: Children,
    now: Instant,
    log: Vec<Effect>,
}

impl Stage {
    /// Generation 1, with everybody ready.
    fn serving(pools: &[(&str, u32)]) -> Stage {
        let mut stage = Stage {
            children: Children::default(),
            now: Instant::now(),
            log: Vec::new(),
        };
        stage.roll_out(1, pools);
        stage.everybody_ready();
        stage.log.clear();
        stage
    }

    fn roll_out(&mut self, generation: u64, pools: &[(&str, u32)]) {
        let effects = self.children.roll_out(generation, plan(pools), self.now);
        self.log.extend(effects);
    }

    fn act(&mut self, act: impl FnOnce(&mut Children, Instant) -> Vec<Effect>) {
        let effects = act(&mut self.children, self.now);
        self.log.extend(effects);
    }

    fn everybody_ready(&mut self) {
        while let Some(id) = self.with_state(State::Starting).first().copied() {
            self.act(|children, now| children.ready(id, now));
        }
    }

    /// Whoever was told to be quiet says that it is.
    fn everybody_still(&mut self) {
        for id in self.with_state(State::Quiet) {
            self.act(|children, now| children.quiet(id, now));
        }
    }

    fn with_state(&self, state: State) -> Vec<Id> {
        self.children
            .workers()
            .filter(|(_, worker)| worker.state == state)
            .map(|(id, _)| id)
            .collect()
    }

    fn ready_of(&self, generation: u64) -> usize {
        let of = |worker: &Worker| worker.generation == generation && worker.state == State::Ready;
        self.children.workers().filter(|(_, worker)| of(worker)).count()
    }

    fn set_to_work(&self) -> Vec<Id> {
        let work = self.log.iter().filter_map(|effect| match effect {
            Effect::Work(id) => Some(*id),
            _ => None,
        });
        work.collect()
    }

    fn spawned(&self) -> usize {
        self.log
            .iter()
            .filter(|effect| matches!(effect, Effect::Spawn { .. }))
            .count()
    }
}

#[test]
fn the_first_generation_begins_with_one_worker_a_pool_and_then_fills_every_seat() {
    let mut stage = Stage {
        children: Children::default(),
        now: Instant::now(),
        log: Vec::new(),
    };
    stage.roll_out(1, &[("mail", 3), ("sms", 2)]);
    assert_eq!(stage.spawned(), 2);
    stage.everybody_ready();
    assert_eq!(stage.ready_of(1), 5);
    assert!(stage.log.contains(&Effect::Current(1)));
    stage.everybody_still();
    assert!(stage.children.is_settled());
}

#[test]
fn a_first_generation_that_cannot_start_is_dropped_and_leaves_nobody() {
    let mut stage = Stage {
        children: Children::default(),
        now: Instant::now(),
        log: Vec::new(),
    };
    stage.roll_out(1, &[("mail", 3)]);
    stage.act(|children, now| children.gone(Id(0), "no such plugin", now));
    let dropped = Effect::Dropped {
        generation: 1,
        error: "no such plugin".into(),
    };
    assert!(stage.log.contains(&dropped));
    assert_eq!(
        (stage.children.current(), stage.children.workers().count()),
        (0, 0)
    );
}

#[test]
fn a_new_generation_takes_over_seat_by_seat_and_no_seat_is_ever_without_a_ready_worker() {
    let mut stage = Stage::serving(&[("mail", 9)]);
    stage.roll_out(2, &[("mail", 9)]);
    assert_eq!(
        (stage.ready_of(1), stage.spawned()),
        (9, 1),
        "the old one goes on while the new one loads"
    );
    while let Some(id) = stage.with_state(State::Starting).first().copied() {
        assert!(stage.with_state(State::Starting).len() <= MAX_UNAVAILABLE as usize);
        stage.act(|children, now| children.ready(id, now));
        assert_eq!(stage.ready_of(1) + stage.ready_of(2), 9);
    }
    assert_eq!((stage.ready_of(2), stage.with_state(State::Quiet).len()), (9, 9));
    assert!(
        !stage.children.is_settled(),
        "the old ones were told to be quiet and have not said that they are"
    );
    stage.everybody_still();
    assert!(stage.children.is_settled());
}

#[test]
fn a_generation_whose_first_worker_fails_changes_nothing() {
    let mut stage = Stage::serving(&[("mail", 2), ("sms", 1)]);
    stage.roll_out(2, &[("mail", 2), ("sms", 1)]);
    let starting = stage.with_state(State::Starting);
    stage.act(|children, now| children.ready(starting[1], now));
    stage.act(|children, now| children.gone(starting[0], "unknown field `smpt`", now));
    assert!(
        stage.log.contains(&Effect::Dropped {
            generation: 2,
            error: "unknown field `smpt`".into()
        }),
        "{:?}",
        stage.log
    );
    assert!(
        stage.log.contains(&Effect::Quiet(starting[1])),
        "the one that had come up leaves again"
    );
    assert_eq!((stage.children.current(), stage.ready_of(1)), (1, 3));
    stage.everybody_still();
    assert!(stage.children.is_settled());
}

#[test]
fn a_worker_that_retires_goes_on_until_its_successor_is_ready() {
    let mut stage = Stage::serving(&[("mail", 1)]);
    let old = stage.with_state(State::Ready)[0];
    stage.act(|children, now| children.retire(old, now));
    assert_eq!((stage.spawned(), stage.with_state(State::Ready)), (1, vec![old]));
    stage.everybody_ready();
    assert_eq!(stage.log.last(), Some(&Effect::Quiet(old)));
    assert_eq!(stage.ready_of(1), 1);
}

#[test]
fn a_seat_whose_worker_keeps_dying_waits_longer_each_time_and_recovers() {
    let mut stage = Stage::serving(&[("mail", 1)]);
    let mut waits = Vec::new();
    for _ in 0..12 {
        let id = stage.with_state(State::Ready)[0];
        stage.act(|children, now| children.gone(id, "SIGSEGV", now));
        let until = stage.children.deadline().expect("a seat waits");
        waits.push(until - stage.now);
        stage.act(Children::next);
        assert!(
            stage.with_state(State::Starting).is_empty(),
            "not before its time"
        );
        stage.now = until;
        stage.act(Children::next);
        stage.everybody_ready();
    }
    let full = (0..12).map(|failure| (FIRST_BACKOFF * (1 << failure)).min(LONGEST_BACKOFF));
    for (wait, full) in waits.iter().zip(full) {
        assert!((full * 3 / 4..=full).contains(wait), "{wait:?} of {full:?}");
    }
    stage.now += STEADY;
    let id = stage.with_state(State::Ready)[0];
    stage.act(|children, now| children.gone(id, "SIGSEGV", now));
    assert!(stage.children.deadline() <= Some(stage.now + FIRST_BACKOFF));
}

#[test]
fn seats_that_failed_together_wait_apart() {
    let mut stage = Stage::serving(&[("mail", 9)]);
    for id in stage.with_state(State::Ready) {
        stage.act(|children, now| children.gone(id, "SIGSEGV", now));
    }
    let ends: BTreeSet<Instant> = stage.children.waits("mail").map(|wait| wait.until).collect();
    assert_eq!(ends.len(), 9);
}

#[test]
fn a_wait_is_told_when_it_begins_and_seen_until_it_is_over() {
    let mut stage = Stage::serving(&[("mail", 2)]);
    let id = stage.with_state(State::Ready)[1];
    stage.act(|children, now| children.gone(id, "SIGSEGV", now));
    let seen: Vec<_> = stage.children.waits("mail").collect();
    let [wait] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    assert_eq!((wait.nr, wait.failures, wait.error), (1, 1, "SIGSEGV"));
    let told = Effect::Waits {
        pool: "mail".into(),
        nr: 1,
        failures: 1,
        delay: wait.until - stage.now,
        error: "SIGSEGV".into(),
    };
    assert_eq!(stage.log, [told]);
    stage.now = wait.until;
    stage.act(Children::next);
    assert_eq!(stage.children.waits("mail").count(), 0);
    assert_eq!(stage.children.waits("sms").count(), 0);
}

#[test]
fn empty_seats_are_filled_at_once_however_few_may_be_replaced() {
    let mut stage = Stage::serving(&[("mail", 9)]);
    let ready = stage.with_state(State::Ready);
    for id in &ready[..5] {
        stage.act(|children, now| children.retire(*id, now));
    }
    assert_eq!(stage.with_state(State::Starting).len(), MAX_UNAVAILABLE as usize);
    stage.act(|children, now| children.scale("mail", 20, now).expect("the pool exists"));
    assert_eq!(
        stage.with_state(State::Starting).len(),
        MAX_UNAVAILABLE as usize + 11
    );
}

#[test]
fn a_reload_that_changes_pools_fills_new_seats_and_empties_old_ones() {
    let mut stage = Stage::serving(&[("mail", 3), ("sms", 1)]);
    stage.roll_out(2, &[("mail", 1), ("push", 2)]);
    stage.everybody_ready();
    assert_eq!((stage.ready_of(1), stage.ready_of(2)), (0, 3));
    assert_eq!(stage.with_state(State::Quiet).len(), 4);
    stage.everybody_still();
    assert!(stage.children.is_settled());
}

#[test]
fn stopping_kills_who_is_starting_quiets_who_works_and_ends_when_all_are_gone() {
    let mut stage = Stage::serving(&[("mail", 2)]);
    stage.roll_out(2, &[("mail", 2)]);
    stage.act(Children::stop);
    let kills = stage
        .log
        .iter()
        .filter(|effect| matches!(effect, Effect::Kill(_)))
        .count();
    let quiets = stage
        .log
        .iter()
        .filter(|effect| matches!(effect, Effect::Quiet(_)))
        .count();
    assert_eq!((kills, quiets), (1, 2));
    for id in stage.with_state(State::Quiet) {
        stage.act(|children, now| children.gone(id, "", now));
    }
    assert_eq!((stage.spawned(), stage.children.workers().count()), (1, 0));
    assert_eq!(stage.children.deadline(), None);
}

#[test]
fn a_pool_can_be_given_more_seats_and_fewer() {
    let mut stage = Stage::serving(&[("mail", 2)]);
    stage.act(|children, now| children.scale("mail", 4, now).expect("the pool exists"));
    stage.everybody_ready();
    assert_eq!(stage.ready_of(1), 4);
    stage.act(|children, now| children.scale("mail", 1, now).expect("the pool exists"));
    assert_eq!((stage.ready_of(1), stage.with_state(State::Quiet).len()), (1, 3));
    stage.everybody_still();
    assert!(stage.children.is_settled());
    assert_eq!(stage.children.scale("sms", 1, stage.now), None);
}

#[test]
fn the_next_instance_goes_on_with_everybody_and_with_the_seats_that_a_pool_was_given() {
    let mut stage = Stage::serving(&[("mail", 2)]);
    stage.act(|children, now| children.scale("mail", 3, now).expect("the pool exists"));
    let retiring = stage.with_state(State::Ready)[0];
    stage.act(|children, now| children.retire(retiring, now));
    let standings = stage
        .children
        .workers()
        .map(|(id, worker)| (id, worker.standing(stage.now)));
    let standings: BTreeMap<Id, Standing> = standings.collect();
    let written = serde_json::to_string(&standings.values().collect::<Vec<_>>()).expect("written");
    let read: Vec<Standing> = serde_json::from_str(&written).expect("read");
    let standings = standings.into_keys().zip(read).collect();
    let (plan, next_id) = (stage.children.plan().clone(), stage.children.next_id());
    let old = std::mem::take(&mut stage.children);
    stage.children = Children::adopt(old.current(), plan, next_id, standings, stage.now);
    stage.log.clear();

    stage.act(Children::next);
    assert_eq!(stage.log, [], "nothing has happened");
    assert_eq!(stage.children.deadline(), old.deadline());
    stage.everybody_ready();
    assert!(stage.log.contains(&Effect::Quiet(retiring)), "{:?}", stage.log);
    assert_eq!((stage.ready_of(1), stage.spawned()), (3, 0));
    stage.roll_out(2, &[("mail", 1)]);
    stage.everybody_ready();
    assert_eq!((stage.ready_of(1), stage.ready_of(2)), (0, 1));
}

#[test]
fn a_worker_that_dies_while_quiet_is_not_replaced_twice() {
    let mut stage = Stage::serving(&[("mail", 1)]);
    let old = stage.with_state(State::Ready)[0];
    stage.act(|children, now| children.retire(old, now));
    stage.everybody_ready();
    let spawned = stage.spawned();
    stage.act(|children, now| children.gone(old, "", now));
    assert_eq!((stage.spawned(), stage.ready_of(1)), (spawned, 1));
}

#[test]
fn a_worker_that_does_not_become_ready_in_time_is_killed_once_and_counts_as_failed() {
    let mut stage = Stage::serving(&[("mail", 1)]);
    stage.roll_out(2, &[("mail", 1)]);
    let starting = stage.with_state(State::Starting)[0];
    assert_eq!(stage.children.deadline(), Some(stage.now + START_TIMEOUT));
    stage.now += START_TIMEOUT;
    stage.act(Children::next);
    stage.act(Children::next);
    let overdue = |effect: &&Effect| **effect == Effect::Overdue(starting);
    assert_eq!(stage.log.iter().filter(overdue).count(), 1);
    assert_eq!(stage.children.deadline(), None);
    stage.act(|children, now| children.gone(starting, "too late", now));
    assert!(stage.log.contains(&Effect::Dropped {
        generation: 2,
        error: "too late".into()
    }));
    assert_eq!(stage.ready_of(1), 1);
}

#[test]
fn a_worker_is_set_to_work_once_and_not_before_its_generation_serves() {
    let mut stage = Stage::serving(&[("mail", 2), ("sms", 1)]);
    stage.roll_out(2, &[("mail", 2), ("sms", 1)]);
    let first = stage.with_state(State::Starting);
    stage.act(|children, now| children.ready(first[0], now));
    assert_eq!(stage.set_to_work(), [], "the other pool may still fail");
    stage.act(|children, now| children.ready(first[1], now));
    let serves = stage.log.iter().position(|effect| *effect == Effect::Current(2));
    let works = stage
        .log
        .iter()
        .position(|effect| matches!(effect, Effect::Work(_)));
    assert!(serves.is_some() && serves < works, "{:?}", stage.log);
    stage.everybody_ready();
    stage.act(Children::next);
    let mut at_work = stage.set_to_work();
    at_work.sort();
    assert_eq!(at_work, stage.with_state(State::Ready), "each of them, once");
}

#[test]
fn a_successor_is_set_to_work_before_its_predecessor_is_told_to_leave() {
    let mut stage = Stage::serving(&[("mail", 1)]);
    let old = stage.with_state(State::Ready)[0];
    stage.act(|children, now| children.retire(old, now));
    stage.everybody_ready();
    let new = stage.with_state(State::Ready)[0];
    assert_eq!(
        stage.log[stage.log.len() - 2..],
        [Effect::Work(new), Effect::Quiet(old)]
    );
}

#[test]
fn a_generation_one_of_whose_ready_workers_dies_before_it_serves_is_dropped_and_no_seat_waits() {
    let mut stage = Stage::serving(&[("mail", 1), ("sms", 1)]);
    stage.roll_out(2, &[("mail", 1), ("sms", 1)]);
    let first = stage.with_state(State::Starting);
    stage.act(|children, now| children.ready(first[0], now));
    stage.act(|children, now| children.gone(first[0], "SIGSEGV", now));
    let dropped = Effect::Dropped {
        generation: 2,
        error: "SIGSEGV".into(),
    };
    assert!(stage.log.contains(&dropped), "{:?}", stage.log);
    assert_eq!(stage.set_to_work(), []);
    stage.act(|children, now| children.gone(first[1], "killed", now));
    assert_eq!(
        stage.children.deadline(),
        None,
        "the seats of generation 1 do not wait"
    );
    stage.everybody_still();
    assert!(stage.children.is_settled());
}

#[test]
fn a_seat_that_dies_while_it_starts_is_told_once_its_generation_serves() {
    let mut stage = Stage::serving(&[("mail", 2)]);
    stage.roll_out(2, &[("mail", 2)]);
    let first = stage.with_state(State::Starting)[0];
    stage.act(|children, now| children.ready(first, now));
    let second = stage.with_state(State::Starting)[0];
    stage.act(|children, now| children.gone(second, "out of memory", now));
    let failed = Effect::SeatFailed {
        generation: 2,
        error: "out of memory".into(),
    };
    assert!(stage.log.contains(&failed), "{:?}", stage.log);
    assert_eq!(stage.children.current(), 2);
}

#[test]
fn a_wait_that_is_over_is_no_deadline_although_its_seat_cannot_be_filled_yet() {
    let mut stage = Stage::serving(&[("mail", 9)]);
    stage.roll_out(2, &[("mail", 9)]);
    let first = stage.with_state(State::Starting)[0];
    stage.act(|children, now| children.ready(first, now));
    let dies = stage.with_state(State::Starting)[0];
    stage.act(|children, now| children.gone(dies, "SIGSEGV", now));
    assert_eq!(stage.with_state(State::Starting).len(), MAX_UNAVAILABLE as usize);
    stage.now = stage.children.deadline().expect("its seat waits");
    stage.act(Children::next);
    assert_eq!(
        stage.with_state(State::Starting).len(),
        MAX_UNAVAILABLE as usize,
        "its predecessor goes on"
    );
    let deadline = stage.children.deadline();
    assert!(
        deadline > Some(stage.now),
        "a deadline in the past is a busy loop"
    );
}

#[test]
fn a_thousand_seats_get_a_worker_each() {
    let mut stage = Stage {
        children: Children::default(),
        now: Instant::now(),
        log: Vec::new(),
    };
    stage.roll_out(1, &[("mail", 1024)]);
    let mut id = 0;
    while stage.children.current() == 0 || !stage.children.is_settled() {
        stage.act(|children, now| children.ready(Id(id), now));
        id += 1;
    }
    assert_eq!((id, stage.spawned()), (1024, 1024));
}

#[test]
fn a_generation_is_settled_whatever_becomes_of_the_next_one() {
    let mut stage = Stage::serving(&[("mail", 2)]);
    stage.roll_out(2, &[("mail", 2)]);
    assert!(
        stage.children.is_settled(),
        "generation 1 serves, and 2 may take its time"
    );
    stage.act(|children, now| children.ready(Id(2), now));
    assert!(
        !stage.children.is_settled(),
        "generation 2 serves one of two seats"
    );
    stage.everybody_ready();
    stage.everybody_still();
    assert!(stage.children.is_settled());
}
