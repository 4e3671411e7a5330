use proptest::prelude::*;

use super::*;

const REST: Duration = Duration::from_secs(30);

fn after(rest: Duration, failed: u32) -> Duration {
    rest * 2_u32.pow(failed.min(DOUBLINGS))
}

#[test]
fn a_pool_rests_is_probed_and_goes_on_when_a_job_does_not_fail() {
    let (mut breakers, now) = (Breakers::default(), Instant::now());
    assert!(breakers.trip("mail", 50, REST, "no database", now));
    assert!(
        !breakers.trip("mail", 51, REST, "no database", now),
        "it is open already"
    );
    assert_eq!(breakers.deadline(), Some(now + REST));
    assert_eq!(breakers.end_rests(now), [""; 0]);
    assert_eq!(
        breakers.probed("mail", None, REST, now),
        None,
        "nobody was told to"
    );
    assert_eq!(breakers.end_rests(now + REST), ["mail"]);
    assert_eq!(breakers.end_rests(now + REST), [""; 0], "once");
    assert_eq!(breakers.without_prober(|_| true), ["mail"]);
    breakers.probe_by("mail", Id(1));
    assert!(breakers.is_probed_by("mail", Id(1)) && breakers.is_open("mail"));
    assert_eq!(
        (breakers.without_prober(|_| true), breakers.deadline()),
        (vec![], None)
    );
    assert_eq!(breakers.probed("mail", None, REST, now), Some(Probed::Closed));
    assert!(breakers.all_closed());
}

#[test]
fn each_failed_probe_doubles_the_rest_up_to_eightfold() {
    let (mut breakers, mut now) = (Breakers::default(), Instant::now());
    breakers.trip("mail", 50, REST, "no database", now);
    for (number, factor) in (1..).zip([2, 4, 8, 8, 8]) {
        now = breakers.deadline().expect("it rests");
        breakers.end_rests(now);
        let probed = breakers.probed("mail", Some("still none"), REST, now);
        assert_eq!(probed, Some(Probed::Rests(REST * factor)));
        let open = breakers.get("mail").expect("it is open");
        assert_eq!((open.failures, open.rests), (50 + number, 1 + number));
        assert_eq!(open.error, "still none");
    }
}

#[test]
fn a_worker_that_leaves_without_a_word_is_followed_by_another() {
    let (mut breakers, now) = (Breakers::default(), Instant::now());
    breakers.trip("mail", 1, REST, "", now);
    breakers.end_rests(now + REST);
    breakers.probe_by("mail", Id(1));
    assert_eq!(breakers.without_prober(|id| id != Id(1)), ["mail"]);
    breakers.probe_by("mail", Id(2));
    breakers.withdraw("mail");
    assert_eq!(breakers.without_prober(|_| true), ["mail"]);
}

#[test]
fn pools_rest_each_for_itself_and_all_go_on_with_another_generation() {
    let (mut breakers, now) = (Breakers::default(), Instant::now());
    breakers.trip("mail", 1, REST * 2, "", now);
    breakers.trip("sms", 1, REST, "", now);
    assert_eq!(breakers.deadline(), Some(now + REST));
    assert_eq!(breakers.end_rests(now + REST), ["sms"]);
    assert_eq!(breakers.close_all(), ["mail", "sms"]);
    assert_eq!((breakers.deadline(), breakers.is_open("mail")), (None, false));
}

/// Something that happens to the breaker of one pool.
#[derive(Clone, Copy, Debug)]
enum Step {
    Trip,
    Pass(u64),
    Assign(u64),
    ProberLeaves,
    Withdraw,
    Probed { fails: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Trip),
        (0_u64..100).prop_map(Step::Pass),
        (0_u64..3).prop_map(Step::Assign),
        Just(Step::ProberLeaves),
        Just(Step::Withdraw),
        any::<bool>().prop_map(|fails| Step::Probed { fails }),
    ]
}

proptest! {
    /// Against a model of three numbers: when the rest ends, who probes, and how many probes have failed.
    #[test]
    fn a_breaker_does_what_its_drawing_says(steps in prop::collection::vec(step(), 0..100)) {
        let mut breakers = Breakers::default();
        let mut now = Instant::now();
        let mut rest_ends: Option<Instant> = None;
        let mut probing: Option<Option<Id>> = None;
        let mut failed = 0;
        for step in steps {
            match step {
                Step::Trip => {
                    let closed = rest_ends.is_none() && probing.is_none();
                    prop_assert_eq!(breakers.trip("mail", 50, REST, "", now), closed);
                    if closed {
                        (rest_ends, failed) = (Some(now + REST), 0);
                    }
                }
                Step::Pass(seconds) => {
                    now += Duration::from_secs(seconds);
                    let ended = rest_ends.is_some_and(|ends| ends <= now);
                    prop_assert_eq!(breakers.end_rests(now).len(), usize::from(ended));
                    if ended {
                        (rest_ends, probing) = (None, Some(None));
                    }
                }
                Step::Assign(id) => {
                    let free = breakers.without_prober(|_| true);
                    prop_assert_eq!(free.len(), usize::from(probing == Some(None)));
                    for pool in free {
                        breakers.probe_by(&pool, Id(id));
                        probing = Some(Some(Id(id)));
                    }
                }
                Step::ProberLeaves => {
                    breakers.without_prober(|_| false);
                    probing = probing.map(|_| None);
                }
                Step::Withdraw => {
                    breakers.withdraw("mail");
                    probing = probing.map(|_| None);
                }
                Step::Probed { fails } => {
                    let probed = breakers.probed("mail", fails.then_some("x"), REST, now);
                    let expected = probing.take().map(|_| match fails {
                        false => Probed::Closed,
                        true => {
                            failed += 1;
                            let rest = after(REST, failed);
                            rest_ends = Some(now + rest);
                            Probed::Rests(rest)
                        }
                    });
                    prop_assert_eq!(probed, expected);
                }
            }
            let open = rest_ends.is_some() || probing.is_some();
            prop_assert_eq!(breakers.is_open("mail"), open);
            prop_assert_eq!(breakers.deadline(), rest_ends);
            prop_assert_eq!(
                breakers.is_probed_by("mail", Id(1)),
                probing == Some(Some(Id(1)))
            );
            // Whatever has happened, it is on its way to a probe.
            prop_assert!(!open || breakers.deadline().is_some() || probing.is_some());
        }
    }
}
