use std::{fs, os::fd::IntoRawFd, path::Path};

use asynccall_abi::{
    abi_stable::{
        erased_types::TD_Opaque,
        prefix_type::PrefixTypeTrait,
        std_types::{RSlice, RStr},
    },
    handler::{RawHandler, RawHandler_TO},
    host::{HostApi, LogRecord, MetricDefinition, NO_METRIC},
    job::{RawJob, RawJob_TO},
    outcome::Verdict,
    plugin::{Plugin as RootModule, header},
};

use super::*;
use crate::plugin::{
    fixtures::{self, Plugin},
    manifest::Manifest,
    stage::stage,
    vet,
};

extern "C" fn version() -> RStr<'static> {
    "0.1.0".into()
}

extern "C" fn log_enabled(_level: u8, _target: RStr<'_>) -> bool {
    false
}

extern "C" fn log(_record: &LogRecord<'_>) {}

extern "C" fn metric(_definition: &MetricDefinition<'_>) -> u64 {
    NO_METRIC
}

extern "C" fn record(_metric: u64, _value: f64) {}

fn host() -> HostApiRef {
    HostApi {
        version,
        log_enabled,
        log,
        metric,
        record,
    }
    .leak_into_prefix()
}

/// Stages and loads. The copy's descriptor is never closed, as in a worker: its number must not come again.
#[track_caller]
fn opened(path: &Path) -> Result<Library, String> {
    let staged =
        stage(vet::open(path, vet::Policy::default()).expect("it is ours alone")).expect("it is a plugin");
    let reference = staged.reference();
    std::mem::forget(staged);
    Library::open(reference, host()).map_err(|error| {
        let directory = path
            .parent()
            .expect("it has one")
            .canonicalize()
            .expect("it exists");
        error.full().replace(&directory.display().to_string(), "DIR")
    })
}

#[track_caller]
fn refused(plugin: &Plugin) -> String {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let path = plugin.build(&dir.path().join("libstub.so"));
    opened(&path).expect_err("it is broken")
}

#[test]
fn an_undefined_symbol_is_reported_when_the_plugin_is_loaded() {
    let plugin = Plugin {
        extra: "void missing_function(void); void use(void) { missing_function(); }".to_owned(),
        ..Plugin::default()
    };
    insta::assert_snapshot!(refused(&plugin), @r"
    cannot load libstub.so: undefined symbol: missing_function
      hint: link it with the library that has the symbol; `ldd -r DIR/libstub.so` lists what is missing
    ");
}

#[test]
fn an_entry_without_a_library_header_is_refused() {
    insta::assert_snapshot!(refused(&Plugin::default()), @r#"
    cannot load libstub.so: its types differ from this host's although the versions agree: its entry gave no library header
      hint: rebuild the plugin with `asynccall-plugin-api = "1"`, one in C with what `asynccall-host plugin header` prints
    "#);
}

#[test]
fn a_descriptor_that_contradicts_the_manifest_is_refused() {
    let plugin = Plugin {
        manifest: fixtures::manifest(&["stub"]).replace("0.1.0", "0.2.0"),
        ..Plugin::default()
    };
    let error = refused(&plugin);
    assert!(
        error.contains("its descriptor says `stub 0.1.0`, its manifest says `stub 0.2.0`"),
        "{error}"
    );
}

#[test]
fn constructors_run_when_a_plugin_is_loaded() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let trace = dir.path().join("ran");
    let plugin = Plugin {
        extra: fixtures::constructor_that_makes(&trace),
        ..Plugin::default()
    };
    let path = plugin.build(&dir.path().join("libstub.so"));
    opened(&path).expect_err("its entry gives nothing");
    assert!(
        trace.exists(),
        "the tests that miss this file elsewhere could fail"
    );
}

#[test]
fn a_descriptor_that_was_not_inherited_is_an_error() {
    let info = info("libstub.so");
    for fd in [-1, i32::MAX] {
        let info = PluginInfo::clone(&info);
        let error = Library::open(StagedRef { info, fd }, host()).expect_err("it is not open");
        assert!(error.to_string().contains("EBADF"), "{error}");
    }
}

#[test]
fn a_loaded_copy_is_kept_out_of_child_programs() {
    let file = tempfile::tempfile().expect("a file can be made");
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).expect("it is open");
    keep_from_children(std::os::fd::AsRawFd::as_raw_fd(&file)).expect("it is open");
    let flags = fcntl(&file, FcntlArg::F_GETFD).expect("it is open");
    assert_eq!(flags, FdFlag::FD_CLOEXEC.bits());
}

#[test]
fn a_copy_that_has_no_name_any_more_can_be_loaded() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let path = Plugin::default().build(&dir.path().join("libstub.so"));
    let fd = fs::File::open(&path).expect("it was just built").into_raw_fd();
    fs::remove_file(&path).expect("it was just built");
    let library = dlopen(fd).expect("the descriptor is all that the linker needs");
    assert!(descriptor_of(&library).is_ok_and(|descriptor| !descriptor.is_null()));
}

#[test]
fn the_linkers_words_name_the_file_and_not_the_copy() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let path = dir.path().join("libtext.so");
    fs::write(&path, "no library").expect("the directory is ours");
    let fd = fs::File::open(&path).expect("it was just written").into_raw_fd();
    let error = dlopen(fd).expect_err("it is text");
    assert_eq!(words(&error, fd, "libtext.so"), "file too short");
}

/// A plugin inside of this program, so that handshake and calls need no build of a real one.
extern "C" fn create(
    _host: HostApiRef,
    handler: RStr<'_>,
    config: RStr<'_>,
) -> RResult<RawHandlerBox, CreateError> {
    let (failure, message) = match handler.as_str() {
        "stub" => {
            let config = config.as_str().to_owned();
            return RResult::ROk(RawHandler_TO::from_value(Stub { config }, TD_Opaque));
        }
        "config" => (CreateFailure::CONFIG, "unknown field `smpt`, expected `smtp`"),
        "failed" => (CreateFailure::FAILED, "connection refused"),
        "panic" => (CreateFailure::PANIC, "src/lib.rs:7: no luck"),
        "later" => (CreateFailure(77), "a failure of a later minor"),
        _ => (CreateFailure::UNKNOWN_HANDLER, "no such handler"),
    };
    RResult::RErr(CreateError {
        failure,
        message: message.into(),
    })
}

extern "C" fn describe(_handler: RStr<'_>) -> RString {
    RString::new()
}

/// Answers with its configuration and the job's id and body.
struct Stub {
    config: String,
}

impl RawHandler for Stub {
    fn self_check(&self) -> RResult<(), CreateError> {
        let failure = match self.config.as_str() {
            "fail" => CreateFailure::FAILED,
            "panic" => CreateFailure::PANIC,
            "later" => CreateFailure(77),
            _ => return RResult::ROk(()),
        };
        let message = "src/lib.rs:7: no luck".into();
        RResult::RErr(CreateError { failure, message })
    }

    fn execute(&self, job: RawJobRef<'_>) -> Outcome {
        let body = String::from_utf8_lossy(job.body().as_slice()).into_owned();
        let message = format!("{} {} {body}", self.config, job.id());
        Outcome::new(Verdict::BURY, message)
    }
}

struct Job;

impl RawJob for Job {
    fn id(&self) -> u64 {
        901
    }
    fn body(&self) -> RSlice<'_, u8> {
        RSlice::from_slice(b"hello")
    }
    fn json(&self) -> RResult<RSlice<'_, u8>, RString> {
        RResult::RErr("not asked for".into())
    }
    fn tube(&self) -> RStr<'_> {
        "-".into()
    }
    fn attempt(&self) -> u32 {
        0
    }
    fn remaining_ms(&self) -> u64 {
        0
    }
    fn age_ms(&self) -> u64 {
        0
    }
    fn priority(&self) -> u64 {
        0
    }
    fn cancelled(&self) -> bool {
        false
    }
    fn touch(&self) -> bool {
        false
    }
}

extern "C" fn entry() -> *const c_void {
    std::ptr::from_ref(Box::leak(Box::new(header(RootModule { create, describe })))).cast()
}

static DESCRIPTOR: Descriptor = Descriptor::new("stub", "0.1.0", "rustc", entry);

impl Library {
    /// The plugin of this module, as if it had been loaded from that file.
    #[track_caller]
    pub(in crate::plugin) fn in_process(info: PluginInfo) -> Self {
        let root = shake_hands(&DESCRIPTOR, &info).expect("both sides are this build");
        Library {
            info: Arc::new(info),
            root,
            host: host(),
        }
    }
}

fn info(file: &str) -> PluginInfo {
    let manifest = serde_json::from_str::<Manifest>(&fixtures::manifest(&["stub"])).expect("it is one");
    PluginInfo {
        path: format!("/srv/{file}").into(),
        sha256: String::new(),
        manifest,
    }
}

#[test]
fn a_handler_is_made_from_its_configuration_and_called() {
    let handler = Library::in_process(info("libstub.so"))
        .create("stub", r#"{"smtp":"localhost"}"#)
        .expect("the plugin has it");
    assert_eq!(
        (handler.name(), &*handler.plugin().manifest.name),
        ("stub", "stub")
    );
    let outcome = handler.execute(RawJob_TO::from_ptr(&Job, TD_Opaque));
    assert_eq!(outcome.verdict, Verdict::BURY);
    assert_eq!(&*outcome.message, r#"{"smtp":"localhost"} 901 hello"#);
}

#[test]
fn a_handler_that_is_not_made_is_told_in_the_plugins_words() {
    let library = Library::in_process(info("libmailer.so"));
    let texts = ["unknown", "config", "failed", "panic", "later"].map(|handler| {
        let error = library.create(handler, "{}").expect_err("all of them fail");
        error.full()
    });
    insta::assert_snapshot!(texts.join("\n"), @r"
    cannot create handler `unknown`: no such handler
    cannot configure handler `config`: unknown field `smpt`, expected `smtp`
    cannot create handler `failed`: connection refused
    handler `panic` of libmailer.so panicked when it was created: src/lib.rs:7: no luck
    cannot create handler `later`: a failure of a later minor
    ");
}

#[test]
fn a_failed_self_check_is_told_in_the_plugins_words() {
    let library = Library::in_process(info("libmailer.so"));
    let checked = |config| {
        library
            .create("stub", config)
            .and_then(|handler| handler.self_check())
    };
    assert!(checked("pass").is_ok());
    let texts = ["fail", "panic", "later"].map(|config| checked(config).expect_err("it fails").full());
    insta::assert_snapshot!(texts.join("\n"), @r"
    handler `stub` failed its self-check: src/lib.rs:7: no luck
    handler `stub` of libmailer.so panicked in its self-check: src/lib.rs:7: no luck
    handler `stub` failed its self-check: src/lib.rs:7: no luck
    ");
}
