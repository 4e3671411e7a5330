use std::collections::BTreeMap;

use super::{
    super::status::{Breaker, Bucket, Series, Slot, Totals, Waiting},
    *,
};

fn series(pool: &str, labels: &[(&str, &str)], numbers: Numbers) -> Series {
    let own = |text: &str| text.to_owned();
    Series {
        pool: own(pool),
        labels: labels
            .iter()
            .map(|(name, value)| (own(name), own(value)))
            .collect(),
        numbers,
    }
}

fn metric(name: &str, kind: Kind, help: &str, series: Vec<Series>) -> Metric {
    Metric {
        name: name.to_owned(),
        kind,
        help: help.to_owned(),
        plugin: "zoo-tally".to_owned(),
        series,
    }
}

fn status() -> Status {
    let slot = |state: &str| Slot {
        state: state.to_owned(),
        job: None,
        tube: None,
        handler: None,
        for_ms: 5,
    };
    let worker = Worker {
        nr: 0,
        pid: 12,
        generation: 3,
        state: "ready".to_owned(),
        jobs: 4,
        slots: vec![slot("running"), slot("idle")],
    };
    let pool = Pool {
        name: "mail".to_owned(),
        server: "127.0.0.1:11300".to_owned(),
        tubes: vec!["mail".to_owned()],
        handler: None,
        handlers: BTreeMap::new(),
        workers: vec![worker],
        waiting: vec![Waiting {
            nr: 1,
            failures: 2,
            next_start_s: 0.5,
            error: "it died".to_owned(),
        }],
        breaker: Some(Breaker {
            state: "resting".to_owned(),
            failures: 3,
            rests: 1,
            probe_in_s: Some(0.5),
            error: None,
        }),
    };
    let histogram = Numbers::Histogram {
        count: 3,
        sum: 2.25,
        buckets: vec![Bucket { le: 0.1, count: 1 }, Bucket { le: 1.0, count: 2 }],
    };
    let value = |value| Numbers::Value { value };
    Status {
        pid: 11,
        version: "0.1.0".to_owned(),
        uptime_s: 60,
        generation: 3,
        plugins: Vec::new(),
        pools: vec![pool],
        totals: Totals {
            done: 1,
            released: 2,
            buried: 3,
            failed: 4,
            crashed: 5,
        },
        metrics: vec![
            metric(
                "zoo_tally_mails",
                Kind::Counter,
                "Mails \\ by form",
                vec![
                    series("mail", &[("form", "a \"b\" \\ c")], value(2.5)),
                    series("other", &[("form", "")], value(1e300)),
                ],
            ),
            metric(
                "zoo_tally_open",
                Kind::Gauge,
                "",
                vec![series("mail", &[], value(-3.0))],
            ),
            metric(
                "zoo_tally_seconds",
                Kind::Histogram,
                "How long",
                vec![series("mail", &[], histogram)],
            ),
        ],
    }
}

#[test]
fn the_page_has_the_numbers_of_the_host() {
    let page = exposition(&status());
    let own = page.split("# HELP zoo_").next().expect("there is a first part");
    insta::assert_snapshot!(own, @r#"
    # HELP asynccall_host_info The daemon's version; always 1.
    # TYPE asynccall_host_info gauge
    asynccall_host_info{version="0.1.0"} 1
    # HELP asynccall_host_uptime_seconds Seconds since the daemon was started.
    # TYPE asynccall_host_uptime_seconds gauge
    asynccall_host_uptime_seconds 60
    # HELP asynccall_host_generation The generation that serves; 0 before there is one.
    # TYPE asynccall_host_generation gauge
    asynccall_host_generation 3
    # HELP asynccall_host_jobs_settled_total Jobs settled since the daemon was started.
    # TYPE asynccall_host_jobs_settled_total counter
    asynccall_host_jobs_settled_total{settlement="delete"} 1
    asynccall_host_jobs_settled_total{settlement="release"} 2
    asynccall_host_jobs_settled_total{settlement="bury"} 3
    # HELP asynccall_host_jobs_failed_total Jobs whose handler failed, panicked or ran too long.
    # TYPE asynccall_host_jobs_failed_total counter
    asynccall_host_jobs_failed_total 4
    # HELP asynccall_host_jobs_crashed_total Jobs whose worker died.
    # TYPE asynccall_host_jobs_crashed_total counter
    asynccall_host_jobs_crashed_total 5
    # HELP asynccall_host_workers Worker processes, by state.
    # TYPE asynccall_host_workers gauge
    asynccall_host_workers{pool="mail",state="starting"} 0
    asynccall_host_workers{pool="mail",state="ready"} 1
    asynccall_host_workers{pool="mail",state="quiet"} 0
    # HELP asynccall_host_workers_waiting Workers that died and are not started again yet.
    # TYPE asynccall_host_workers_waiting gauge
    asynccall_host_workers_waiting{pool="mail"} 1
    # HELP asynccall_host_slots Slots of workers, by what they do.
    # TYPE asynccall_host_slots gauge
    asynccall_host_slots{pool="mail",state="free"} 0
    asynccall_host_slots{pool="mail",state="away"} 0
    asynccall_host_slots{pool="mail",state="idle"} 1
    asynccall_host_slots{pool="mail",state="running"} 1
    asynccall_host_slots{pool="mail",state="settling"} 0
    asynccall_host_slots{pool="mail",state="paused"} 0
    # HELP asynccall_host_breaker_open 1 while the pool's tubes rest or a job is tried.
    # TYPE asynccall_host_breaker_open gauge
    asynccall_host_breaker_open{pool="mail"} 1
    "#);
}

#[test]
fn the_page_has_the_numbers_of_plugins() {
    let page = exposition(&status());
    let from = page.find("# HELP zoo_").expect("they are there");
    insta::assert_snapshot!(&page[from..], @r#"
    # HELP zoo_tally_mails Mails \\ by form
    # TYPE zoo_tally_mails counter
    zoo_tally_mails{pool="mail",form="a \"b\" \\ c"} 2.5
    zoo_tally_mails{pool="other",form=""} 1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    # TYPE zoo_tally_open gauge
    zoo_tally_open{pool="mail"} -3
    # HELP zoo_tally_seconds How long
    # TYPE zoo_tally_seconds histogram
    zoo_tally_seconds_bucket{pool="mail",le="0.1"} 1
    zoo_tally_seconds_bucket{pool="mail",le="1"} 2
    zoo_tally_seconds_bucket{pool="mail",le="+Inf"} 3
    zoo_tally_seconds_sum{pool="mail"} 2.25
    zoo_tally_seconds_count{pool="mail"} 3
    "#);
}

#[test]
fn every_line_ends() {
    assert!(exposition(&status()).ends_with(" 3\n"));
}
