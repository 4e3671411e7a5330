//! What the producers put, read back from a real beanstalkd.

use std::process::{Command, Output};

use asynccall_client::{
    payload::{self, Format, Limits},
    protocol::JobId,
    tube::{TubeName, crc32_name},
};
use serde_json::{Value, json};

use crate::stage::{Beanstalkd, built, example, have, run, unused_port};

/// A job as it came out of the queue.
struct Found {
    id: JobId,
    pri: u32,
    ttr: u64,
    format: Format,
    /// With the keys in the order of the body.
    text: String,
}

fn php() -> Option<Command> {
    let mut command = Command::new("php");
    // No extension that a php.ini names.
    command.arg("-n").arg(example("producers/producer.php"));
    have("php").then_some(command)
}

fn python() -> Option<Command> {
    let mut command = Command::new("python3");
    // No site packages.
    command.arg("-I").arg(example("producers/producer.py"));
    have("python3").then_some(command)
}

fn rust() -> Command {
    Command::new(built(
        &["--package", "asynccall-client", "--example", "producer"],
        "producer",
    ))
}

fn producers() -> impl Iterator<Item = Command> {
    [php(), python(), Some(rust())].into_iter().flatten()
}

/// The only job of `tube`, which has to be the one that the producer told.
#[track_caller]
fn take(beanstalkd: &mut Beanstalkd, tube: &TubeName, told: &Output) -> Found {
    let error = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{error}");
    assert_eq!(error, "");
    let queue = &mut beanstalkd.queue;
    queue.use_tube(tube).expect("the tube is used");
    let job = queue.peek_ready().expect("an answer").expect("a job");
    let id = job.id;
    assert_eq!(String::from_utf8_lossy(&told.stdout), format!("{id}\n"));
    let (mut scratch, body) = (Vec::new(), job.body.to_vec());
    let view = payload::validated_json_view(&body, &Limits::default(), &mut scratch).expect("a body we read");
    let (format, text) = (
        view.format,
        String::from_utf8(view.json.to_vec()).expect("JSON is UTF-8"),
    );
    let stats = queue
        .stats_job(id)
        .expect("an answer")
        .expect("it is still there");
    let (pri, ttr) = (stats.pri, stats.ttr);
    assert!(queue.delete(id).expect("an answer"));
    assert_eq!(
        queue.peek_ready().expect("an answer"),
        None,
        "one job, and no more"
    );
    Found {
        id,
        pri,
        ttr,
        format,
        text,
    }
}

fn decoded(found: &Found) -> Value {
    serde_json::from_str(&found.text).expect("it was checked")
}

#[test]
fn the_php_producer_puts_what_the_php_library_puts() {
    let (Some(mut beanstalkd), Some(mut producer)) = (Beanstalkd::start(&[]), php()) else {
        return;
    };
    let tube = "mail of the shop 邮件";
    let told = run(producer.args([&beanstalkd.address, tube]));
    let found = take(&mut beanstalkd, &crc32_name(tube), &told);
    assert_eq!((found.format, found.ttr), (Format::Php, 60));
    assert_eq!(
        found.text,
        format!(
            r#"{{"model":"\\Mail","method":"send","modelParams":"","methodParams":{{"to":"ann@example.org","subject":"Hello from PHP","text":"This was put by producer.php."}},"errorRetry":false,"noRetry":false,"priority":{},"retryIntervalTime":0,"retryStopAt":""}}"#,
            found.pri
        )
    );
}

#[test]
fn every_producer_puts_a_mail_as_json_on_the_tube_of_that_name() {
    let Some(mut beanstalkd) = Beanstalkd::start(&[]) else {
        return;
    };
    let tube = TubeName::new("mail").expect("a tube name");
    for (producer, language) in [(php(), "PHP"), (python(), "Python"), (Some(rust()), "Rust")] {
        let Some(mut producer) = producer else { continue };
        producer.args([&beanstalkd.address, tube.as_str()]);
        if language == "PHP" {
            producer.arg("json");
        }
        let found = take(&mut beanstalkd, &tube, &run(&mut producer));
        assert_eq!((found.format, found.ttr), (Format::Json, 60), "job {}", found.id);
        let mail = decoded(&found);
        assert_eq!(mail["to"], json!("ann@example.org"));
        assert_eq!(mail["subject"], json!(format!("Hello from {language}")));
        assert!(mail["text"].is_string());
    }
}

#[test]
fn a_producer_says_why_nothing_was_put() {
    let Some(mut small) = Beanstalkd::start(&["-z", "10"]) else {
        return;
    };
    let nobody = format!("127.0.0.1:{}", unused_port());
    for mut producer in producers() {
        let program = producer.get_program().to_owned();
        let arguments: Vec<_> = producer.get_args().map(ToOwned::to_owned).collect();
        let put =
            |address: &str, tube: &str| run(Command::new(&program).args(&arguments).args([address, tube]));
        for (told, words) in [
            (put(&nobody, "mail"), "refused"),
            (put(&small.address, "mail"), "big"),
        ] {
            let error = String::from_utf8_lossy(&told.stderr).to_lowercase();
            assert_eq!((told.status.code(), told.stdout.len()), (Some(1), 0), "{error}");
            assert!(error.starts_with("error: ") && error.contains(words), "{error}");
        }
        let usage = run(&mut producer);
        assert_eq!((usage.status.code(), usage.stdout.len()), (Some(64), 0));
        assert!(usage.stderr.starts_with(b"usage: "));
    }
    assert_eq!(
        small.queue.stats().expect("an answer").number("total-jobs"),
        Some(0)
    );
}

#[test]
fn a_tube_name_cannot_bring_in_commands() {
    let Some(mut beanstalkd) = Beanstalkd::start(&[]) else {
        return;
    };
    for mut producer in producers() {
        let is_php = producer.get_program() == "php";
        producer.args([&beanstalkd.address, "mail\r\nput 0 0 1 1\r\nx"]);
        if is_php {
            producer.arg("json");
        }
        let told = run(&mut producer);
        assert_eq!(told.status.code(), Some(1));
    }
    assert_eq!(
        beanstalkd.queue.stats().expect("an answer").number("total-jobs"),
        Some(0)
    );
}
