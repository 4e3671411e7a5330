//! Which tubes are watched, and how many jobs run at once.

use asynccall_client::protocol::JobState;
use serde_json::json;

use crate::support::{Beanstalkd, Host, daemon::slots, queue::php_tube};

#[test]
fn a_tube_is_watched_under_its_own_name_and_the_php_librarys() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("mail").start();
    let plain = queue.put("mail", "1");
    let php = queue.put(&php_tube("mail"), "i:2;");
    for job in [plain, php] {
        assert!(daemon.wait_for_settled(job).contains("tube=mail "));
        queue.wait_until_gone(job);
    }
}

#[test]
fn a_pool_may_watch_one_of_the_two_names() {
    let Some(queue) = Beanstalkd::start() else { return };
    let crc32 = php_tube("mail");
    for (naming, taken, left) in [("plain", "mail", crc32.as_str()), ("crc32", &crc32, "mail")] {
        let host = Host::new(&queue).plugin("echo").tube("mail");
        let daemon = host.flag(format!("--tube-naming={naming}")).start();
        let left = queue.put(left, "1");
        let taken = queue.put(taken, "1");
        queue.wait_until_gone(taken);
        assert_eq!(
            queue.job(left).map(|job| job.state),
            Some(JobState::Ready),
            "{naming}"
        );
        drop(daemon);
        queue.delete(left);
    }
}

#[test]
fn a_name_that_beanstalkd_cannot_take_is_watched_as_crc32_with_a_warning() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("邮件 队列").start();
    let job = queue.put(&php_tube("邮件 队列"), r#"{"fail": true}"#);
    let line = daemon.wait_for_settled(job);
    assert!(line.contains(r#"tube="邮件 队列""#), "{line}");
    daemon.wait_for_line(&[" WARN ", "watched under its crc32 alone"]);
}

#[test]
fn a_name_that_beanstalkd_cannot_take_is_refused_where_only_it_is_watched() {
    let host = Host::unconnected()
        .plugin("echo")
        .tube("邮件")
        .flag("--tube-naming=plain");
    insta::assert_snapshot!(host.run(&["check"]), @r"
    exit 64
    error: `--tube`: tube name `邮件` has the character `邮`, but beanstalkd takes only letters, digits and `-+/;.$_()`; hint: `tube_naming` `both` or `crc32` takes any name
    ");
}

#[test]
fn the_default_tube_is_watched_only_where_it_is_named() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let left = queue.put("default", "1");
    let taken = queue.put("t", "1");
    queue.wait_until_gone(taken);
    assert_eq!(queue.job(left).map(|job| job.state), Some(JobState::Ready));
    drop(daemon);
    let daemon = Host::new(&queue).plugin("echo").tube("default").start();
    queue.wait_until_gone(left);
    assert!(daemon.wait_for_settled(left).contains("tube=default "));
}

#[test]
fn a_job_of_several_tubes_shows_its_own_once_it_is_known() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("mail").tube("sms").start();
    let done = queue.put("sms", "1");
    assert!(
        daemon.wait_for_settled(done).contains("tube=- "),
        "nobody has asked for it"
    );
    assert_eq!(queue.stat("cmd-stats-job"), 0);
    for (wire, tube) in [("mail", "mail"), ("sms", "sms"), (&php_tube("sms"), "sms")] {
        let failed = queue.put(wire, r#"{"fail": true}"#);
        let line = daemon.wait_for_settled(failed);
        assert!(line.contains(&format!("tube={tube} ")), "{line}");
    }
}

#[test]
fn the_slots_of_a_worker_run_jobs_at_the_same_time() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--slots=4")
        .start();
    let jobs = queue.put_all("t", vec![r#"{"sleep_ms": 2000}"#; 4]);
    let status = daemon.wait_for_status("four jobs run at once", |status| {
        slots(status).filter(|slot| slot["state"] == "running").count() == 4
    });
    let mut running: Vec<u64> = slots(&status).filter_map(|slot| slot["job"].as_u64()).collect();
    running.sort_unstable();
    assert_eq!(running, jobs);
    assert!(slots(&status).all(|slot| slot["tube"] == "t" && slot["handler"] == "echo"));
    assert_eq!(daemon.workers().len(), 1);
    daemon.wait_for_total("done", 4);
}

#[test]
fn several_pools_run_beside_each_other() {
    let Some(queue) = Beanstalkd::start() else { return };
    let config = "[[pool]]\nname = \"slow\"\ntubes = [\"slow\"]\nhandler = \"echo\"\n\
                  [[pool]]\nname = \"quick\"\ntubes = [\"quick\"]\nhandler = \"loud\"\nworker_num = 2\n";
    let daemon = Host::new(&queue)
        .plugin("echo")
        .plugin("loud")
        .config(config)
        .start();
    let slow = queue.put("slow", r#"{"sleep_ms": 3000}"#);
    daemon.wait_until_running(slow);
    let quick = queue.put("quick", "{}");
    queue.wait_until_gone(quick);
    assert_eq!(
        daemon.running(),
        [slow],
        "the slow job class does not starve the other"
    );
    let pools = daemon.status()["pools"].clone();
    let told = |at: usize| {
        let pool = &pools[at];
        let count = pool["workers"].as_array().map(Vec::len);
        (pool["name"].clone(), pool["handler"].clone(), count)
    };
    assert_eq!(told(0), (json!("slow"), json!("echo"), Some(1)));
    assert_eq!(told(1), (json!("quick"), json!("loud"), Some(2)));
}

#[test]
fn a_queue_server_on_a_unix_socket_serves_as_well() {
    let Some(queue) = Beanstalkd::start_on_unix() else {
        return;
    };
    let mut daemon = Host::new(&queue).plugin("echo").tube("t").workers(2).start();
    for job in queue.put_all("t", ["1", "2", "3"]) {
        queue.wait_until_gone(job);
    }
    assert_eq!(daemon.stop(), Some(0));
}
