//! The main job: what a producer puts on the queue becomes a mail at a real SMTP server.

use serde_json::json;

use crate::support::{Beanstalkd, Host, Sink, php};

#[test]
fn a_job_of_the_php_library_becomes_a_mail() {
    let (Some(queue), Some(sink)) = (Beanstalkd::start(), Sink::start()) else {
        return;
    };
    if !php::installed() {
        return;
    }
    let host = Host::new(&queue).plugin("mailer").tube("test_tube");
    let daemon = host.config(&sink.mailer_config()).start();
    let mail = json!({"to": "ann@example.org", "subject": "Grüße", "text": "Hello Ann"});

    let job = php::put(&queue, "test_tube", &json!({"call": {"methodParams": mail}}));

    let mail = sink.mail(1);
    assert_eq!(mail["from"], "shop@example.org");
    assert_eq!(mail["to"], json!(["ann@example.org"]));
    let text = mail["mail"].as_str().expect("a text");
    assert!(text.contains("Hello Ann"), "{text}");
    queue.wait_until_gone(job);
    let line = daemon.wait_for_settled(job);
    for part in [
        "DEBUG",
        "tube=test_tube",
        "handler=mailer",
        "outcome=done",
        "settled=delete",
    ] {
        assert!(line.contains(part), "{line}");
    }
    daemon.wait_for_total("done", 1);
}

#[test]
fn a_php_array_with_the_mails_own_keys_becomes_a_mail() {
    let (Some(queue), Some(sink)) = (Beanstalkd::start(), Sink::start()) else {
        return;
    };
    if !php::installed() {
        return;
    }
    let host = Host::new(&queue).plugin("mailer").tube("test_tube");
    let _daemon = host.config(&sink.mailer_config()).start();
    let mail = json!({"to": ["bob@example.org"], "subject": "Hi", "text": "Hello Bob", "cc": []});

    let job = php::put(&queue, "test_tube", &json!({"plain": mail}));

    assert_eq!(sink.mail(1)["to"], json!(["bob@example.org"]));
    queue.wait_until_gone(job);
}

#[test]
fn a_json_job_on_the_tube_of_the_plain_name_becomes_a_mail() {
    let (Some(queue), Some(sink)) = (Beanstalkd::start(), Sink::start()) else {
        return;
    };
    let host = Host::new(&queue).plugin("mailer").tube("mail");
    let _daemon = host.config(&sink.mailer_config()).start();

    let mail = json!({"to": {"eve@example.org": "Eve"}, "subject": "Hi", "text": "Hello Eve"});
    let job = queue.put("mail", mail.to_string());

    assert_eq!(sink.mail(1)["to"], json!(["eve@example.org"]));
    queue.wait_until_gone(job);
}

#[test]
fn a_mail_that_the_server_did_not_take_yet_is_tried_again() {
    let (Some(queue), Some(sink)) = (Beanstalkd::start(), Sink::start()) else {
        return;
    };
    let config = sink.mailer_config();
    // Nobody listens there any more.
    drop(sink);
    let daemon = Host::new(&queue)
        .plugin("mailer")
        .tube("mail")
        .config(&config)
        .start();

    let mail = json!({"to": "ann@example.org", "text": "Hello"});
    let job = queue.put("mail", mail.to_string());

    let line = daemon.wait_for_settled(job);
    for part in ["WARN", "outcome=failed", "settled=release", "onnection refused"] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_mail_without_a_recipient_is_buried_with_the_reason() {
    let Some(queue) = Beanstalkd::start() else { return };
    let directory = crate::support::Directory::new();
    let config = format!(
        "[handler.mailer]\nfrom = \"a@example.org\"\nfile.dir = \"{}\"\n",
        directory.root().display()
    );
    let daemon = Host::new(&queue)
        .plugin("mailer")
        .tube("mail")
        .config(&config)
        .start();

    let job = queue.put("mail", r#"{"to": [], "text": "to nobody"}"#);

    let line = daemon.wait_for_settled(job);
    assert!(
        line.contains("settled=bury") && line.contains("recipient"),
        "{line}"
    );
}
