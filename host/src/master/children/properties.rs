//! For all sequences of events: a model of the worker processes, which looks at every effect.
//!
//! The model knows what was asked of each process and nothing of how the bookkeeping comes to it. After each step it
//! checks what must hold at every moment; at the end everybody obeys, and all must come to rest.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};

use super::{backoff::LONGEST_BACKOFF, *};

const POOLS: [&str; 2] = ["mail", "sms"];
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Something that happens. A number picks one of those to whom it can happen.
#[derive(Clone, Debug)]
enum Step {
    /// Nothing where a generation is on its way, as the master refuses that.
    RollOut(Vec<PoolPlan>),
    Scale(usize, u32),
    BecomesReady(usize),
    Retires(usize),
    /// Whoever was told to be quiet says that it is, or somebody is without having been told.
    SaysQuiet(usize),
    QuietByItself(usize),
    Dies(usize),
    /// Whoever sits on the first seat dies so often in a row, each time as soon as the seat is filled again.
    CrashLoop(u32),
    /// One that was told to leave, or is being killed, is gone.
    Leaves(usize),
    TimePasses(u64),
    Stop,
}

fn pool_plan() -> impl Strategy<Value = PoolPlan> {
    (1_u32..5, 1_u32..4).prop_map(|(seats, max_unavailable)| PoolPlan {
        seats,
        max_unavailable,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0_usize..8;
    prop_oneof![
        2 => vec(pool_plan(), 1..=2).prop_map(Step::RollOut),
        1 => (0_usize..2, 1_u32..6).prop_map(|(pool, seats)| Step::Scale(pool, seats)),
        8 => who().prop_map(Step::BecomesReady),
        3 => who().prop_map(Step::Retires),
        3 => who().prop_map(Step::SaysQuiet),
        1 => who().prop_map(Step::QuietByItself),
        2 => who().prop_map(Step::Dies),
        1 => (1_u32..14).prop_map(Step::CrashLoop),
        4 => who().prop_map(Step::Leaves),
        4 => prop_oneof![0_u64..300, 0_u64..20_000, 50_000_u64..70_000].prop_map(Step::TimePasses),
        1 => prop_oneof![9 => Just(Step::TimePasses(0)), 1 => Just(Step::Stop)],
    ]
}

type Seat = (String, u32);

/// A worker process, and what was asked of it.
#[derive(Clone, Debug)]
struct Process {
    seat: Seat,
    generation: u64,
    is_ready: bool,
    at_work: bool,
    told_quiet: bool,
    said_quiet: bool,
    killed: bool,
}

impl Process {
    fn starts(&self) -> bool {
        !self.is_ready && !self.killed && !self.said_quiet
    }

    /// It reserves jobs.
    fn serves(&self) -> bool {
        self.at_work && !self.told_quiet && !self.said_quiet
    }
}

struct Model {
    children: Children,
    now: Instant,
    processes: BTreeMap<Id, Process>,
    spawned: u64,
    current: u64,
    /// The generation on its way, and what is asked of it.
    rollout: Option<(u64, Plan)>,
    plan: Plan,
    last_generation: u64,
    waits: BTreeMap<Seat, Instant>,
    stopping: bool,
}

impl Model {
    fn new() -> Model {
        Model {
            children: Children::default(),
            now: Instant::now(),
            processes: BTreeMap::new(),
            spawned: 0,
            current: 0,
            rollout: None,
            plan: Plan::default(),
            last_generation: 0,
            waits: BTreeMap::new(),
            stopping: false,
        }
    }

    fn pick(&self, number: usize, able: impl Fn(&Process) -> bool) -> Option<Id> {
        let able: Vec<Id> = self
            .processes
            .iter()
            .filter(|(_, process)| able(process))
            .map(|(id, _)| *id)
            .collect();
        let index = number.checked_rem(able.len())?;
        able.get(index).copied()
    }

    fn has_seat(&self, (pool, nr): &Seat) -> bool {
        self.plan.pools.get(pool).is_some_and(|plan| *nr < plan.seats)
    }

    /// The seats of the plan where somebody reserves jobs.
    fn served(&self) -> BTreeSet<Seat> {
        let serving = self.processes.values().filter(|process| process.serves());
        let seats = serving.map(|process| process.seat.clone());
        seats.filter(|seat| self.has_seat(seat)).collect()
    }

    /// Lets one thing happen, carries out what comes of it, and checks what must hold.
    fn take(&mut self, step: &Step) {
        let served = self.served();
        let mut hurt: Option<Seat> = None;
        let effects = match step {
            Step::RollOut(pools) if self.rollout.is_none() && !self.stopping => {
                self.last_generation += 1;
                let names = POOLS.iter().map(|pool| (*pool).to_owned());
                let plan = Plan {
                    pools: names.zip(pools.iter().copied()).collect(),
                    start_timeout: START_TIMEOUT,
                };
                self.rollout = Some((self.last_generation, plan.clone()));
                self.children.roll_out(self.last_generation, plan, self.now)
            }
            Step::Scale(pool, seats) => {
                let pool = POOLS[*pool];
                if let Some(plan) = self.plan.pools.get_mut(pool) {
                    plan.seats = *seats;
                }
                let effects = self.children.scale(pool, *seats, self.now);
                assert_eq!(effects.is_some(), self.plan.pools.contains_key(pool));
                effects.unwrap_or_default()
            }
            Step::BecomesReady(number) => match self.pick(*number, Process::starts) {
                Some(id) => self.become_ready(id),
                None => return,
            },
            Step::Retires(number) => match self.pick(*number, |process| process.is_ready) {
                Some(id) => self.children.retire(id, self.now),
                None => return,
            },
            Step::SaysQuiet(number) => {
                match self.pick(*number, |process| process.told_quiet && !process.said_quiet) {
                    Some(id) => self.say_quiet(id),
                    None => return,
                }
            }
            Step::QuietByItself(number) => match self.pick(*number, |process| !process.said_quiet) {
                Some(id) => {
                    hurt = self.processes.get(&id).map(|process| process.seat.clone());
                    self.say_quiet(id)
                }
                None => return,
            },
            Step::Dies(number) => match self.pick(*number, |_| true) {
                Some(id) => {
                    hurt = self.processes.get(&id).map(|process| process.seat.clone());
                    self.leave(id)
                }
                None => return,
            },
            Step::CrashLoop(times) => {
                for _ in 0..*times {
                    self.take(&Step::TimePasses(31_000));
                    let first = |process: &Process| process.seat == (POOLS[0].to_owned(), 0);
                    let id = self.pick(0, first);
                    let number = self.processes.keys().position(|known| Some(*known) == id);
                    number
                        .into_iter()
                        .for_each(|number| self.take(&Step::Dies(number)));
                }
                return;
            }
            Step::Leaves(number) => {
                match self.pick(*number, |process| process.told_quiet || process.killed) {
                    Some(id) => self.leave(id),
                    None => return,
                }
            }
            Step::TimePasses(ms) => {
                self.now += Duration::from_millis(*ms);
                Vec::new()
            }
            Step::Stop => {
                self.stopping = true;
                self.children.stop(self.now)
            }
            Step::RollOut(_) => return,
        };
        self.carry_out(effects);
        // As the master does after every event.
        let effects = self.children.next(self.now);
        self.carry_out(effects);
        self.check();
        let still = self.served();
        for seat in served.iter().filter(|seat| self.has_seat(seat) && !self.stopping) {
            let is_lost = hurt.as_ref() != Some(seat) && !still.contains(seat);
            assert!(!is_lost, "nobody serves {seat:?} any more after {step:?}");
        }
    }

    fn become_ready(&mut self, id: Id) -> Vec<Effect> {
        if let Some(process) = self.processes.get_mut(&id) {
            process.is_ready = true;
        }
        self.children.ready(id, self.now)
    }

    fn say_quiet(&mut self, id: Id) -> Vec<Effect> {
        if let Some(process) = self.processes.get_mut(&id) {
            process.said_quiet = true;
        }
        self.children.quiet(id, self.now)
    }

    fn leave(&mut self, id: Id) -> Vec<Effect> {
        self.processes.remove(&id);
        self.children.gone(id, "it died", self.now)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.carry_out_one(effect);
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn {
                id,
                pool,
                nr,
                generation,
            } => self.spawn(id, (pool, nr), generation),
            Effect::Work(id) => {
                let process = self.processes.get_mut(&id).expect("it exists");
                assert!(process.is_ready && process.generation <= self.current);
                assert!(!process.at_work, "{id:?} is set to work twice");
                process.at_work = true;
            }
            Effect::Quiet(id) => {
                let process = self.processes.get_mut(&id).expect("it exists");
                assert!(process.is_ready && !process.told_quiet && !process.said_quiet);
                process.told_quiet = true;
                let seat = process.seat.clone();
                if process.at_work && !self.stopping && self.has_seat(&seat) {
                    let mut others = self.processes.values().filter(|other| other.seat == seat);
                    let succeeds = |other: &Process| other.serves() && other.generation == self.current;
                    assert!(others.any(succeeds), "{id:?} leaves and has no successor");
                }
            }
            Effect::Kill(id) => {
                let process = self.processes.get_mut(&id).expect("it exists");
                assert!(!process.is_ready, "{id:?} works and is killed");
                process.killed = true;
            }
            Effect::Overdue(id) => {
                let process = self.processes.get_mut(&id).expect("it exists");
                assert!(
                    process.starts(),
                    "{id:?} is given up twice, or after it was ready"
                );
                process.killed = true;
            }
            Effect::Current(generation) => {
                let (expected, plan) = self.rollout.take().expect("one is on its way");
                assert_eq!(generation, expected);
                for pool in plan.pools.keys() {
                    let first = (pool.clone(), 0);
                    let mut of_pool = self.processes.values().filter(|process| process.seat == first);
                    assert!(of_pool.any(|process| process.generation == generation && process.is_ready));
                }
                (self.current, self.plan) = (generation, plan);
                self.waits.clear();
            }
            Effect::Dropped { generation, .. } => {
                let (expected, _) = self.rollout.take().expect("one is on its way");
                assert_eq!(generation, expected);
            }
            Effect::SeatFailed { generation, .. } => assert_eq!(generation, self.current),
            Effect::Waits {
                pool,
                nr,
                failures,
                delay,
                ..
            } => {
                assert!(
                    failures > 0 && !delay.is_zero() && delay <= LONGEST_BACKOFF,
                    "{delay:?}"
                );
                self.waits.insert((pool, nr), self.now + delay);
            }
        }
    }

    fn spawn(&mut self, id: Id, seat: Seat, generation: u64) {
        assert!(!self.stopping, "nobody is started any more");
        assert_eq!(id, Id(self.spawned), "no id is used twice");
        self.spawned += 1;
        let rolling_out = self.rollout.as_ref().map(|(generation, _)| *generation);
        if rolling_out == Some(generation) {
            assert_eq!(seat.1, 0, "a generation begins with one worker for each pool");
        } else {
            assert_eq!(generation, self.current);
            assert!(self.has_seat(&seat));
            let until = self.waits.get(&seat);
            assert!(
                until.is_none_or(|until| *until <= self.now),
                "{seat:?} had to wait"
            );
        }
        let process = Process {
            seat,
            generation,
            is_ready: false,
            at_work: false,
            told_quiet: false,
            said_quiet: false,
            killed: false,
        };
        self.processes.insert(id, process);
    }

    /// What holds whenever everything is carried out.
    fn check(&self) {
        let known: Vec<Id> = self.children.workers().map(|(id, _)| id).collect();
        let existing: Vec<Id> = self.processes.keys().copied().collect();
        assert_eq!(known, existing);
        assert_eq!(self.children.current(), self.current);
        let rolling_out = self.rollout.as_ref().map(|(generation, _)| *generation);
        assert_eq!(self.children.rolling_out(), rolling_out);
        let deadline = self.children.deadline();
        assert!(deadline.is_none_or(|deadline| deadline > self.now), "a busy loop");
        for (pool, plan) in &self.plan.pools {
            let replaced = (0..plan.seats).filter(|nr| self.is_replaced(&(pool.clone(), *nr)));
            let replaced = replaced.count() as u32;
            assert!(
                replaced <= plan.max_unavailable,
                "{replaced} seats of {pool} are replaced"
            );
            for wait in self.children.waits(pool) {
                let until = self.waits.get(&(pool.clone(), wait.nr));
                assert_eq!(until, Some(&wait.until));
                assert!(wait.until > self.now);
            }
        }
    }

    /// A successor starts while its predecessor works.
    fn is_replaced(&self, seat: &Seat) -> bool {
        let of_seat = || self.processes.values().filter(|process| process.seat == *seat);
        let is_current = |process: &Process| process.generation == self.current;
        of_seat().any(|process| process.starts() && is_current(process)) && of_seat().any(Process::serves)
    }

    /// Everybody does what it was told and nothing else, until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let step = if self
                .pick(0, |process| process.told_quiet || process.killed)
                .is_some()
            {
                Step::Leaves(0)
            } else if self.pick(0, Process::starts).is_some() {
                Step::BecomesReady(0)
            } else if self.pick(0, |process| process.said_quiet).is_some() {
                // Quiet by itself: it leaves without having been told.
                let id = self.pick(0, |process| process.said_quiet).expect("somebody");
                let effects = self.leave(id);
                self.carry_out(effects);
                Step::TimePasses(0)
            } else if let Some(deadline) = self.children.deadline() {
                let ms = (deadline - self.now).as_millis() as u64 + 1;
                Step::TimePasses(ms)
            } else {
                break;
            };
            self.take(&step);
        }
        assert_eq!(self.children.rolling_out(), None, "a rollout ends");
        let of_plan = self
            .plan
            .pools
            .values()
            .map(|plan| plan.seats as usize)
            .sum::<usize>();
        match self.stopping || self.current == 0 {
            true => assert!(self.processes.is_empty(), "everybody is gone"),
            false => {
                assert!(self.children.is_settled());
                assert_eq!((self.processes.len(), self.served().len()), (of_plan, of_plan));
                assert!(
                    self.processes
                        .values()
                        .all(|process| process.generation == self.current)
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_no_seat_is_lost_and_all_comes_to_rest(
        first in vec(pool_plan(), 1..=2),
        steps in vec(step(), 0..150),
    ) {
        let mut model = Model::new();
        model.take(&Step::RollOut(first));
        steps.iter().for_each(|step| model.take(step));
        model.settle();
    }
}
