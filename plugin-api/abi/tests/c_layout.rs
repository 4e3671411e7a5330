//! `include/asynccall_plugin.h` and `asynccall_abi::c` describe the same bytes.

use std::{fmt::Write as _, fs, mem::offset_of, path::Path, process::Command};

use asynccall_abi::{
    ABI_MAJOR, ABI_MINOR, c,
    descriptor::{Descriptor, Text},
    host::MetricKind,
    job::{PutFailure, TTR_KEEP, UNKNOWN},
    outcome::{DELAY_BY_POLICY, PRIORITY_KEEP, Verdict},
    plugin::CreateFailure,
};

/// A struct in both languages: `(name in C, size, [(field, offset)])`, as the header names the fields.
type Layout = (&'static str, usize, Vec<(&'static str, usize)>);

macro_rules! layout {
    ($in_c:literal, $in_rust:ty, [$($field:ident),+ $(,)?]) => {
        ($in_c, size_of::<$in_rust>(), vec![$((stringify!($field), offset_of!($in_rust, $field))),+])
    };
}

fn layouts() -> Vec<Layout> {
    vec![
        layout!("asynccall_text", Text, [ptr, len]),
        layout!(
            "asynccall_descriptor",
            Descriptor,
            [
                magic, size, kind, abi_major, abi_minor, reserved, name, version, toolchain, entry,
            ]
        ),
        layout!("asynccall_log_field", c::LogField, [name, value, json]),
        layout!(
            "asynccall_log_record",
            c::LogRecord,
            [level, job, target, file, line, message, fields, field_count,]
        ),
        layout!("asynccall_metric_label", c::MetricLabel, [name, value]),
        layout!(
            "asynccall_metric_definition",
            c::MetricDefinition,
            [kind, plugin, name, help, labels, label_count, bounds, bound_count,]
        ),
        layout!(
            "asynccall_host",
            c::Host,
            [size, reserved, version, log_enabled, log, metric, record]
        ),
        layout!(
            "asynccall_new_job",
            c::NewJob,
            [tube, body, priority, delay_ms, ttr_ms]
        ),
        layout!(
            "asynccall_job_functions",
            c::JobFunctions,
            [
                size,
                reserved,
                id,
                body,
                json,
                tube,
                attempt,
                remaining_ms,
                age_ms,
                priority,
                cancelled,
                touch,
                progress,
                put,
            ]
        ),
        layout!("asynccall_job", c::Job, [functions]),
        layout!(
            "asynccall_outcome_functions",
            c::OutcomeFunctions,
            [size, reserved, answer, result]
        ),
        layout!("asynccall_outcome", c::Outcome, [functions]),
        layout!(
            "asynccall_failure_functions",
            c::FailureFunctions,
            [size, reserved, fail]
        ),
        layout!("asynccall_failure", c::Failure, [functions]),
        layout!(
            "asynccall_plugin_functions",
            c::PluginFunctions,
            [
                size,
                reserved,
                create,
                execute,
                destroy,
                self_check,
                tick_every_ms,
                tick,
                shutdown,
                describe,
            ]
        ),
    ]
}

/// The constants of the header and what Rust calls them.
fn constants() -> Vec<(&'static str, i128)> {
    vec![
        ("ASYNCCALL_ABI_MAJOR", ABI_MAJOR.into()),
        ("ASYNCCALL_ABI_MINOR", ABI_MINOR.into()),
        ("ASYNCCALL_UNKNOWN", UNKNOWN.into()),
        ("ASYNCCALL_PRIORITY_KEEP", PRIORITY_KEEP.into()),
        ("ASYNCCALL_TTR_KEEP", TTR_KEEP.into()),
        ("ASYNCCALL_DELAY_BY_POLICY", DELAY_BY_POLICY.into()),
        ("ASYNCCALL_COUNTER", MetricKind::COUNTER.0.into()),
        ("ASYNCCALL_GAUGE", MetricKind::GAUGE.0.into()),
        ("ASYNCCALL_HISTOGRAM", MetricKind::HISTOGRAM.0.into()),
        ("ASYNCCALL_PUT_UNSUPPORTED", PutFailure::UNSUPPORTED.0.into()),
        ("ASYNCCALL_PUT_LIMIT", PutFailure::LIMIT.0.into()),
        ("ASYNCCALL_PUT_REFUSED", PutFailure::REFUSED.0.into()),
        ("ASYNCCALL_PUT_UNKNOWN", PutFailure::UNKNOWN.0.into()),
        ("ASYNCCALL_PUT_DONE", c::PUT_DONE.into()),
        ("ASYNCCALL_VERDICT_DONE", Verdict::DONE.0.into()),
        ("ASYNCCALL_VERDICT_RETRY", Verdict::RETRY.0.into()),
        ("ASYNCCALL_VERDICT_BURY", Verdict::BURY.0.into()),
        ("ASYNCCALL_VERDICT_FAILED", Verdict::FAILED.0.into()),
        ("ASYNCCALL_VERDICT_EXCEPTION", Verdict::EXCEPTION.0.into()),
        (
            "ASYNCCALL_FAILURE_UNKNOWN_HANDLER",
            CreateFailure::UNKNOWN_HANDLER.0.into(),
        ),
        ("ASYNCCALL_FAILURE_CONFIG", CreateFailure::CONFIG.0.into()),
        ("ASYNCCALL_FAILURE_FAILED", CreateFailure::FAILED.0.into()),
        ("ASYNCCALL_FAILURE_PANIC", CreateFailure::PANIC.0.into()),
    ]
}

/// What a program that includes the header prints.
#[track_caller]
fn printed(name: &str, body: &str) -> String {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("c-{name}"));
    fs::create_dir_all(&directory).expect("a directory");
    let (source, program) = (directory.join("program.c"), directory.join("program"));
    fs::write(
        &source,
        format!("#include <asynccall_plugin.h>\nint main(void) {{\n{body}    return 0;\n}}\n"),
    )
    .expect("the file is written");
    let built = Command::new("cc")
        .args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"))
        .arg("-o")
        .args([&program, &source])
        .output()
        .expect("cc is what rustc links with, too");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let output = Command::new(&program).output().expect("it was just built");
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn the_header_and_rust_agree_on_every_byte() {
    let (mut body, mut expected) = (String::new(), String::new());
    for (name, size, fields) in layouts() {
        writeln!(body, "    printf(\"{name} %zu\\n\", sizeof({name}));").expect("a string takes it");
        writeln!(expected, "{name} {size}").expect("a string takes it");
        for (field, offset) in fields {
            writeln!(
                body,
                "    printf(\"{name}.{field} %zu\\n\", offsetof({name}, {field}));"
            )
            .expect("a string takes it");
            writeln!(expected, "{name}.{field} {offset}").expect("a string takes it");
        }
    }
    for (name, value) in constants() {
        let (format, cast) = match value {
            ..0 => ("%lld", "(long long)"),
            _ => ("%llu", "(unsigned long long)"),
        };
        writeln!(body, "    printf(\"{name} {format}\\n\", {cast}({name}));").expect("a string takes it");
        writeln!(expected, "{name} {value}").expect("a string takes it");
    }
    assert_eq!(printed("layout", &body), expected);
}

#[test]
fn a_field_is_there_where_the_size_announces_all_of_it() {
    let body = r#"    asynccall_host host;
    const asynccall_host *table = &host;
    unsigned whole = (unsigned)offsetof(asynccall_host, record) + (unsigned)sizeof host.record;
    host.size = whole - 1;
    printf("%d %d", (int)ASYNCCALL_HAS(table, metric), (int)ASYNCCALL_HAS(table, record));
    host.size = whole;
    printf(" %d", (int)ASYNCCALL_HAS(table, record));
    host.size = UINT32_MAX;
    printf(" %d", (int)ASYNCCALL_HAS(table, record));
"#;
    assert_eq!(printed("has", body), "1 0 1 1");
}

#[test]
fn no_struct_of_the_header_is_forgotten_here() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/asynccall_plugin.h");
    let header = fs::read_to_string(header).expect("the header is there");
    let mut named: Vec<_> = header
        .lines()
        .filter(|line| line.ends_with('{'))
        .filter_map(|line| line.trim_start_matches("typedef ").strip_prefix("struct "))
        .map(|rest| rest.trim_end_matches(['{', ' ']))
        .collect();
    let mut known: Vec<_> = layouts().iter().map(|(name, ..)| *name).collect();
    named.sort_unstable();
    known.sort_unstable();
    assert_eq!(named, known);
}
