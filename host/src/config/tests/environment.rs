//! Variables: which count, which are left aside.

use super::given;

#[test]
fn lists_are_split_at_commas() {
    let tubes = |text| {
        given("")
            .variables(&[("ASYNCCALL_TUBE", text)])
            .config()
            .pools
            .remove(0)
            .tubes
    };
    assert_eq!(tubes("a"), ["a"]);
    assert_eq!(tubes("a, b,,c ,a"), ["a", "b", "c"]);
    assert_eq!(tubes(""), ["async_call_test"]);
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let given = given("").variables(&[("ASYNCCALL_HANDLER", ""), ("ASYNCCALL_PORT", "")]);
    assert_eq!(
        (given.config(), given.warnings().as_str()),
        (super::given("").config(), "")
    );
}

#[test]
fn what_kubernetes_injects_and_what_is_unknown_is_left_aside_with_a_warning() {
    let variables = [
        ("ASYNCCALL_PORT", "tcp://10.0.0.1:11300"),
        ("ASYNCCALL_PORT_11300_TCP", "tcp://10.0.0.1:11300"),
        ("ASYNCCALL_PORT_11300_TCP_ADDR", "10.0.0.1"),
        ("ASYNCCALL_SERVICE_HOST", "10.0.0.1"),
        ("ASYNCCALL_SERVICE_PORT", "11300"),
        ("ASYNCCALL_SERVICE_PORT_QUEUE", "11300"),
        ("ASYNCCALL_HOST_PORT", "udp://10.0.0.1:53"),
        ("ASYNCCALL_WORKERNUM", "4"),
        ("ASYNCCALL_TUBES", "a"),
        ("ASYNCCALL_COLOUR", "red"),
        ("ASYNC", "no variable of ours"),
    ];
    let given = given("").variables(&variables);
    assert_eq!(given.config(), super::given("").config());
    insta::assert_snapshot!(given.warnings(), @"
    `ASYNCCALL_COLOUR`: ignored: no setting has this variable
    `ASYNCCALL_HOST_PORT`: ignored: Kubernetes sets it for a service of this name
    `ASYNCCALL_PORT`: ignored: Kubernetes sets it for a service of this name; hint: `enableServiceLinks: false` in the pod keeps it away
    `ASYNCCALL_PORT_11300_TCP`: ignored: Kubernetes sets it for a service of this name
    `ASYNCCALL_PORT_11300_TCP_ADDR`: ignored: Kubernetes sets it for a service of this name
    `ASYNCCALL_SERVICE_HOST`: ignored: Kubernetes sets it for a service of this name
    `ASYNCCALL_SERVICE_PORT`: ignored: Kubernetes sets it for a service of this name
    `ASYNCCALL_SERVICE_PORT_QUEUE`: ignored: Kubernetes sets it for a service of this name
    `ASYNCCALL_TUBES`: ignored: no setting has this variable; hint: did you mean `ASYNCCALL_TUBE`?
    `ASYNCCALL_WORKERNUM`: ignored: no setting has this variable; hint: did you mean `ASYNCCALL_WORKER_NUM`?
    ");
}

#[test]
fn a_wrong_variable_is_a_problem() {
    let variables = [
        ("ASYNCCALL_PORT", "http"),
        ("ASYNCCALL_DAEMONIZE", "yes"),
        ("ASYNCCALL_WORKER_NUM", "0"),
        ("ASYNCCALL_HANDLER", "not UTF-8: \u{fffd}"),
    ];
    insta::assert_snapshot!(given("").variables(&variables).problems(), @r#"
    `ASYNCCALL_DAEMONIZE`: found `"yes"`, wanted true or false
    `ASYNCCALL_HANDLER`: found `"not UTF-8: �"`, wanted a text
    `ASYNCCALL_PORT`: found `"http"`, wanted an integer from 1 to 65535
    `ASYNCCALL_WORKER_NUM`: found `0`, wanted an integer from 1 to 1024
    "#);
}
