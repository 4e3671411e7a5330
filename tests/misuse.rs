//! Handlers that spoil what their process shares with the host, while it serves.

use crate::support::{Beanstalkd, Host};

#[test]
fn a_handler_that_spoils_its_process_harms_no_later_job_and_no_reload() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = Host::new(&queue).plugin("vandal").tube("t").start();
    let settled = |deed: &str| daemon.wait_for_settled(queue.put("t", format!("\"{deed}\"")));
    assert!(settled("panic_in_a_thread").contains("outcome=done"));
    daemon.wait_for_line(&["panicked at ", "nobody waits for me"]);
    assert!(settled("leave").contains("outcome=done"));
    let panicked = settled("panic");
    assert!(
        panicked.contains("outcome=exception") && panicked.contains("the job gave up"),
        "{panicked}"
    );
    // Without the hook nobody knows the line any more; the panic is an answer all the same.
    assert!(settled("silence_panics").contains("outcome=done"));
    let panicked = settled("panic");
    assert!(
        panicked.contains("outcome=exception") && panicked.contains("the job gave up"),
        "{panicked}"
    );
    daemon.run(&["reload", "--wait"]).succeeded();
    assert!(settled("panic_in_a_thread").contains("outcome=done"));
    assert_eq!(daemon.status()["totals"]["crashed"], 0);
    // The handlers' last words, when they are dropped, keep nobody from leaving in order.
    daemon.run(&["stop"]).succeeded();
    assert_eq!(daemon.wait_for_end(), Some(0));
}
