//! Several sets of services: daemons by pid file, pools by queue server.

use asynccall_client::protocol::JobState;
use serde_json::json;

use crate::support::{Beanstalkd, Host, processes};

/// A pool that consumes the tube `t` of the daemon's own queue server, and one that consumes that of another.
fn two_servers(second: &Beanstalkd) -> String {
    format!(
        "[[pool]]\nname = \"one\"\ntubes = [\"t\"]\n\
         [[pool]]\nname = \"two\"\ntubes = [\"t\"]\n[pool.queue]\nport = {}\n",
        second.port()
    )
}

#[test]
fn daemons_with_pid_files_of_their_own_run_side_by_side() {
    let Some(queue) = Beanstalkd::start() else { return };
    let set = |tube| {
        let (started, daemon) = Host::new(&queue).plugin("echo").tube(tube).start_in_background();
        started.succeeded();
        daemon
    };
    let (mut one, two) = (set("test_tube1"), set("test_tube2"));
    assert_ne!(one.pid(), two.pid());
    for tube in ["test_tube1", "test_tube2"] {
        let job = queue.put(tube, "1");
        queue.wait_until_gone(job);
    }
    let workers = two.workers();

    one.run(&["stop"]).succeeded();
    one.wait_for_end();

    assert_eq!(
        one.run(&["status"]).code,
        Some(3),
        "nobody holds the first pid file"
    );
    let left = queue.put("test_tube1", "1");
    let taken = queue.put("test_tube2", "1");
    queue.wait_until_gone(taken);
    assert_eq!(two.workers(), workers, "the other set goes on undisturbed");
    assert!(workers.into_iter().all(processes::lives));
    assert_eq!(queue.job(left).map(|job| job.state), Some(JobState::Ready));
}

#[test]
fn pools_consume_servers_of_their_own_and_one_goes_on_while_the_others_is_down() {
    let Some(first) = Beanstalkd::start() else { return };
    let Some(mut second) = Beanstalkd::start() else {
        return;
    };
    let host = Host::new(&first).plugin("echo").config(&two_servers(&second));
    let daemon = host.start();
    for server in [&first, &second] {
        let job = server.put("t", "1");
        server.wait_until_gone(job);
    }
    let servers: Vec<_> = daemon.status()["pools"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pool| pool["server"].clone())
        .collect();
    let address = |server: &Beanstalkd| json!(server.address().to_string());
    assert_eq!(servers, [address(&first), address(&second)]);
    let text = daemon.run(&["status"]).succeeded();
    assert!(text.contains(&format!("server {}\n", second.address())), "{text}");

    let waits = second.put("other", "1");
    second.halt();
    let server = format!("server={}", second.address());
    daemon.wait_for_line(&[&server, "cannot reach the queue server"]);
    for job in first.put_all("t", ["1", "2", "3"]) {
        first.wait_until_gone(job);
    }
    assert!(second.resume(), "its port is free");
    assert_eq!(second.job(waits).map(|job| job.state), Some(JobState::Ready));
    let job = second.put("t", "1");
    second.wait_until_gone(job);
}

#[test]
fn jobs_of_the_same_id_on_two_servers_are_not_taken_for_one() {
    let Some(first) = Beanstalkd::start() else { return };
    let Some(second) = Beanstalkd::start() else { return };
    let host = Host::new(&first).plugin("echo").config(&two_servers(&second));
    let daemon = host.start();
    let long = first.put("t", r#"{"sleep_ms": 3000}"#);
    daemon.wait_until_running(long);
    let short = second.put("t", "1");
    assert_eq!(long, short, "both servers count from 1");
    second.wait_until_gone(short);
    assert_eq!(daemon.running(), [long], "it did not wait for the other");
    // A death on one server leaves the job of the other alone.
    let deadly = second.put("t", r#"{"abort": true}"#);
    daemon.wait_for_total("crashed", 1);
    let harmless = first.put("t", r#"{"hello": "world"}"#);
    assert_eq!(deadly, harmless);
    first.wait_until_gone(harmless);
    assert_eq!(daemon.lines_with(&[" tube=t ", "settled=bury"]), [""; 0]);
    second.wait_for(deadly, JobState::Delayed);
}

#[test]
fn a_call_for_a_pool_goes_to_the_pools_own_server() {
    let Some(queue) = Beanstalkd::start() else { return };
    let port = queue.port();
    let config = format!("[queue]\nport = 1\n[[pool]]\ntubes = [\"t\"]\n[pool.queue]\nport = {port}\n");
    let host = Host::unconnected().config(&config);
    let file = host.path("host.toml").display().to_string();
    let words = [
        "call", "--config", &file, "--model", "Order", "--method", "cancel",
    ];
    assert_eq!(host.run_bare(&words).succeeded(), "INSERTED 1\n");
    assert_eq!(queue.tube_stat("t", "total-jobs"), 1);
}
