//! The versions of the abi that are tried, as edits of this workspace.

use asynccall_abi::{ABI_MAJOR, ABI_MINOR};

use crate::tree::{Edit, behind, edit};

const JOB: &str = "plugin-api/abi/src/job.rs";
const C_ANSWER: &str = "plugin-api/abi/src/c/answer.rs";
const C_HOST: &str = "plugin-api/abi/src/c/host.rs";
const C_JOB: &str = "plugin-api/abi/src/c/job.rs";
const C_PLUGIN: &str = "plugin-api/abi/src/c/plugin.rs";
const HANDLER: &str = "plugin-api/abi/src/handler.rs";
const HOST: &str = "plugin-api/abi/src/host.rs";
const PLUGIN: &str = "plugin-api/abi/src/plugin.rs";
const OUTCOME: &str = "plugin-api/abi/src/outcome.rs";
const ABI: &str = "plugin-api/abi/src/lib.rs";
const PACKAGE: &str = "plugin-api/abi/Cargo.toml";
const WORKSPACE: &str = "Cargo.toml";
const ADAPTER: &str = "plugin-api/src/adapter.rs";
const EXPORT: &str = "plugin-api/src/export.rs";
const TESTING: &str = "plugin-api/src/testing/api.rs";
const LOADER: &str = "plugin-api/abi/examples/loader.rs";

/// The body of the loader's `progress`.
const PROGRESS_OF_LOADER: &str = "        self.progress.fetch_add(1, Ordering::Relaxed);\n        true\n";

/// A line of [`LOADER`] behind which functions of the host can stand.
const HOST_SIDE: &str = "static LOGS: Mutex<Vec<Value>> = Mutex::new(Vec::new());\n";

/// What a loader of later minors needs to see of a root module.
const OF_ROOT: &str = "fn of_root(root: &asynccall_abi::load::Root) -> Option<asynccall_abi::plugin::PluginRef> {\n    \
    match root { asynccall_abi::load::Root::Stable(root) => Some(*root), _ => None }\n}\n";

/// The last methods that today's minor has.
const LAST_OF_JOB: &str =
    "the host is older than plugin-abi 1.2 and puts no jobs for its handlers\"),\n        })\n    }\n";
const LAST_OF_HANDLER: &str = "    fn shutdown(&self) {}\n";
/// The last fields.
const LAST_OF_HOST: &str = "    pub record: extern \"C\" fn(metric: u64, value: f64),";
const LAST_OF_PLUGIN: &str = "    pub describe: extern \"C\" fn(handler: RStr<'_>) -> RString,";

/// A field that came later than the first minor.
const METRIC: &str = "    pub metric: extern \"C\" fn(";

/// A method that came later than the first minor.
const PROGRESS: &str = "    fn progress(&self) -> bool {\n        !self.cancelled()\n    }\n";

/// The first later minor that adds to the root module. The one before grows elsewhere only, as 1.1 did.
pub(crate) const ROOT_GROWS: u16 = 2;

/// The minor that comes so many after today's, in which each has added something to all that may grow, the root
/// module excepted at first.
pub(crate) fn later_minor(later: u16) -> Vec<Edit> {
    let from = |first, write: &dyn Fn(u16) -> String| (first..=later).map(write).collect::<Vec<_>>();
    let each = |write: &dyn Fn(u16) -> String| from(1, write).concat();
    let of_root = |write: &dyn Fn(u16) -> String| from(ROOT_GROWS, write).concat();
    let list = |write: &dyn Fn(u16) -> String| from(1, write).join(", ");
    let field = |k| format!("\n    pub later_{k}: extern \"C\" fn() -> u32,");
    let method =
        |answer: u16| move |k| format!("\n    fn later_{k}(&self) -> u32 {{\n        {answer}{k}\n    }}\n");
    let default =
        |k| format!("\n    /// Added later.\n    fn later_{k}(&self) -> u32 {{\n        0\n    }}\n");
    let function =
        |answer: u16| move |k| format!("\nextern \"C\" fn later_{k}() -> u32 {{\n    {answer}{k}\n}}\n");
    let set = |k| format!(" later_{k},");
    let mut edits = version(ABI_MAJOR, ABI_MINOR + later);
    edits.extend([
        behind(JOB, LAST_OF_JOB, each(&default)),
        behind(HANDLER, LAST_OF_HANDLER, each(&default)),
        behind(HOST, LAST_OF_HOST, each(&field)),
        behind(PLUGIN, LAST_OF_PLUGIN, of_root(&field)),
        // The plugin's side answers 1k as a handler and 2k as a root module.
        behind(
            ADAPTER,
            "impl<K, H: Run<K>> RawHandler for Adapter<K, H> {",
            each(&method(1)),
        ),
        behind(EXPORT, "        describe: adapter::describe::<E>,", of_root(&set)),
        behind(
            EXPORT,
            "const TOOLCHAIN: &str = env!(\"PLUGIN_TOOLCHAIN\");\n",
            of_root(&function(2)),
        ),
        // It tells what it sees of the host's side with every job that is done.
        behind(
            ADAPTER,
            "        host::connect(host, E::PLUGIN, host::Place::Plugin);",
            format!(
                "SEEN.get_or_init(|| format!(\"{{:?}}\", [{}]));",
                list(&|k| format!("host.later_{k}().map(|later| later())"))
            ),
        ),
        behind(
            ADAPTER,
            "/// Marks the [`Run`] of a [`Handler`].\npub struct Blocking;\n",
            "static SEEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();\n",
        ),
        edit(
            ADAPTER,
            "        let job = Job::new(job);",
            format!(
                "let seen = [{}]; let job = Job::new(job);",
                list(&|k| format!("job.later_{k}()"))
            ),
        ),
        edit(
            ADAPTER,
            "                ..Outcome::done()",
            "message: format!(\"job {seen:?} host {}\", SEEN.get().unwrap()).into(), ..Outcome::done()",
        ),
        behind(TESTING, "            record,\n", each(&set)),
        behind(
            TESTING,
            "pub(super) fn api() -> HostApiRef {\n",
            each(&function(0)),
        ),
        // The host's side answers 3k as a job and 4k as the host.
        behind(LOADER, "impl RawJob for Lent<'_> {", each(&method(3))),
        behind(LOADER, "        record,\n", each(&set)),
        behind(LOADER, HOST_SIDE, each(&function(4)) + OF_ROOT),
        behind(
            LOADER,
            "        \"plugin\": identity.name,",
            format!(
                "\"handler\": [{}], \"root\": [{}],",
                list(&|k| format!("handler.later_{k}()")),
                from(ROOT_GROWS, &|k| format!(
                    "of_root(&root).and_then(|root| root.later_{k}()).map(|later| later())"
                ))
                .join(", ")
            ),
        ),
    ]);
    edits
}

/// Another version of the abi, as its package, its constants and its users state it.
pub(crate) fn version(major: u16, minor: u16) -> Vec<Edit> {
    let package = |major, minor| format!("version = \"{major}.{minor}.0\"");
    let asked = |major, minor| format!("asynccall-abi = {{ version = \"~{major}.{minor}.0\"");
    let constant = |name, number| format!("pub const ABI_{name}: u16 = {number};");
    vec![
        edit(PACKAGE, package(ABI_MAJOR, ABI_MINOR), package(major, minor)),
        edit(WORKSPACE, asked(ABI_MAJOR, ABI_MINOR), asked(major, minor)),
        edit(ABI, constant("MAJOR", ABI_MAJOR), constant("MAJOR", major)),
        edit(ABI, constant("MINOR", ABI_MINOR), constant("MINOR", minor)),
    ]
}

/// Hosts in which something frozen is different, and what they say of this workspace's plugin.
pub(crate) fn broken_promises() -> Vec<(&'static str, Vec<Edit>, &'static str)> {
    let log_enabled = "pub log_enabled: extern \"C\" fn(level: Level,";
    let body = "    fn body(&self) -> RSlice<'_, u8>;";
    let last = "    #[sabi(last_prefix_field)]\n";
    vec![
        (
            "added_field",
            vec![
                behind(
                    OUTCOME,
                    "    pub result: RVec<u8>,\n",
                    "/// New.\npub later: u64,\n",
                ),
                behind(OUTCOME, "            result: RVec::new(),\n", "later: 0,\n"),
            ],
            "`Outcome`: 5 fields in the plugin, 6 fields in this host",
        ),
        (
            "added_field_of_later_struct",
            vec![
                behind(JOB, "    pub ttr_ms: u64,\n", "/// New.\npub later: u64,\n"),
                behind(C_JOB, "        ttr_ms: put.ttr_ms,\n", "later: 0,\n"),
            ],
            "`NewJob`: 5 fields in the plugin, 6 fields in this host",
        ),
        (
            "changed_field",
            vec![
                edit(OUTCOME, "pub delay_ms: u64,", "pub delay_ms: i64,"),
                edit(C_ANSWER, "        delay_ms,\n", "delay_ms: delay_ms as i64,\n"),
                edit(
                    OUTCOME,
                    "DELAY_BY_POLICY: u64 = u64::MAX;",
                    "DELAY_BY_POLICY: i64 = i64::MAX;",
                ),
            ],
            "`Outcome.delay_ms`: `u64` in the plugin, `i64` in this host",
        ),
        (
            "longer_prefix",
            vec![
                edit(HOST, last, ""),
                edit(HOST, METRIC, format!("{last}{METRIC}")),
                edit(
                    C_HOST,
                    "and_then(|host| host.metric())",
                    "map(|host| host.metric())",
                ),
            ],
            "`HostApi`: 3 fields that no minor lacks in the plugin, 4 fields that no minor lacks in this host",
        ),
        (
            "renamed_method",
            vec![
                edit(JOB, "fn touch(", "fn extend("),
                edit(C_JOB, ".raw.touch()", ".raw.extend()"),
                edit(LOADER, "fn touch(", "fn extend("),
            ],
            "`RawJob`: `touch` in the plugin, `extend` in this host",
        ),
        (
            "inserted_method",
            vec![
                edit(JOB, body, format!("/// New.\nfn fresh(&self) -> u64;\n{body}")),
                behind(
                    LOADER,
                    "impl RawJob for Lent<'_> {\n",
                    "fn fresh(&self) -> u64 { 0 }\n",
                ),
            ],
            "`RawJob`: `body` in the plugin, `fresh` in this host",
        ),
        (
            "changed_answer",
            vec![
                edit(JOB, "fn attempt(&self) -> u32;", "fn attempt(&self) -> u64;"),
                edit(C_JOB, ".raw.attempt()", ".raw.attempt() as u32"),
                edit(LOADER, "fn attempt(&self) -> u32 {", "fn attempt(&self) -> u64 {"),
            ],
            "`RawJob.attempt.answer`: `u32` in the plugin, `u64` in this host",
        ),
        (
            "changed_later_answer",
            vec![
                edit(JOB, PROGRESS, "fn progress(&self) -> u8 { 0 }\n"),
                edit(C_JOB, ".raw.progress()", ".raw.progress() == 1"),
                edit(
                    LOADER,
                    "fn progress(&self) -> bool {",
                    "fn progress(&self) -> u8 {",
                ),
                edit(
                    LOADER,
                    PROGRESS_OF_LOADER,
                    PROGRESS_OF_LOADER.replace("true", "1"),
                ),
            ],
            "`RawJob.progress.answer`: `bool` in the plugin, `u8` in this host",
        ),
        (
            "renamed_later_method",
            vec![
                edit(HANDLER, "fn self_check(", "fn examine("),
                edit(C_PLUGIN, "    fn self_check(&self)", "    fn examine(&self)"),
                edit(LOADER, "handler.self_check()", "handler.examine()"),
            ],
            "`RawHandler`: `self_check` in the plugin, `examine` in this host",
        ),
        (
            "changed_parameter",
            vec![
                edit(HOST, log_enabled, log_enabled.replace("Level", "u32")),
                edit(C_HOST, "log_enabled()(level,", "log_enabled()(level.into(),"),
                edit(LOADER, "fn log_enabled(level: u8,", "fn log_enabled(level: u32,"),
            ],
            "`HostApi.log_enabled.level`: `u8` in the plugin, `u32` in this host",
        ),
        (
            "renamed_parameter",
            vec![edit(HOST, log_enabled, log_enabled.replace("level", "severity"))],
            "`HostApi.log_enabled`: `level,target` in the plugin, `severity,target` in this host",
        ),
        (
            "lost_bound",
            vec![edit(
                HANDLER,
                "pub trait RawHandler: Send + Sync {",
                "pub trait RawHandler: Send {",
            )],
            "`RawHandler.obj`: the trait's bounds differ",
        ),
        (
            "renamed_type",
            vec![
                edit(HOST, "pub struct LogField<'a> {", "pub struct LogPair<'a> {"),
                edit(C_HOST, "host::LogField {", "host::LogPair {"),
                edit(HOST, "RSlice<'a, LogField<'a>>,", "RSlice<'a, LogPair<'a>>,"),
            ],
            "`LogPair`: `LogField` in the plugin, `LogPair` in this host",
        ),
    ]
}
