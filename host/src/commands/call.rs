//! `call`: puts a job, or runs it here.

use asynccall_client::{
    call::{Call, Encoding, InvalidCall},
    connection::{Options, PutError},
    payload::php::{self, Value},
    producer::{CallError, Called, Client, DEFAULT_PRIORITY, Put, now},
    protocol::JobId,
    tube::{TubeName, TubeNaming},
};
use nix::libc::STDERR_FILENO;
use serde_json::json;

use super::{read_input, sources};
use crate::{
    cli,
    config::{self, Config, Pool, Purpose},
    exit::Exit,
    local::Runner,
    master::{Failure, generation},
    observe::{line::chain, log},
};

/// `call`: what was put, one line for each job, or the result of the handler that ran here.
pub fn call(typed: cli::Call) -> Result<String, Failure> {
    let config = config::load_for(Purpose::Producer, &sources(typed.settings.0.clone())?)
        .map_err(|errors| Failure::new(errors.exit(), errors.to_string()))?
        .config;
    let destination = Destination::of(&typed, &config)?;
    let queue = destination.pool.map_or(&config.queue, |pool| &pool.queue);
    let address = queue
        .address()
        .map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    let options = Options {
        connect_timeout: queue.connect_timeout,
        ..Options::default()
    };
    let client = Client::new(address, destination.wire.clone())
        .with_options(options)
        .with_resends(typed.resend);
    match &typed.body {
        Some(input) => put_body(client, &typed, input),
        None => put_message(client, &typed, &config, &destination),
    }
}

/// Puts the bytes of a file.
fn put_body(mut client: Client, typed: &cli::Call, input: &cli::Input) -> Result<String, Failure> {
    let in_range = |what, found: i64, least| {
        let number = u32::try_from(found).ok().filter(|number| *number >= least);
        let text = || format!("`{what}` is {found}, wanted {least} to {} seconds", u32::MAX);
        number.ok_or_else(|| usage(text()))
    };
    let delay = in_range("delay", typed.delay, 0)?;
    let ttr = in_range("ttr", typed.ttr, 1)?;
    let (_, body) = read_input(input)?;
    let priority = typed.priority.unwrap_or(DEFAULT_PRIORITY);
    let job = Put::new(&body).priority(priority).delay(delay).ttr(ttr);
    let id = client.put(&job).map_err(|error| not_put(&error))?;
    Ok(inserted(&[id], typed.json))
}

/// Puts a message, or runs it here.
fn put_message(
    client: Client,
    typed: &cli::Call,
    config: &Config,
    destination: &Destination<'_>,
) -> Result<String, Failure> {
    let encoding: Encoding = typed.encoding.parse().map_err(|error| usage(chain(&error)))?;
    let call = message(typed)?;
    let mut client = client.with_encoding(encoding);
    if typed.force_sync {
        // What is wrong with the call is said before a plugin is loaded for it.
        call.prepare(now(), encoding).map_err(|error| invalid(&error))?;
        let runner = runner(typed, config, destination)?;
        let tube = destination.tube.clone();
        client = client.with_local(move |body| runner.run(body, &tube));
    }
    match client.call(&call) {
        Ok(Called::Put(ids)) => Ok(inserted(&ids, typed.json)),
        Ok(Called::Ran(result)) => {
            let result = String::from_utf8_lossy(&result).into_owned();
            Ok(match (typed.json, result.is_empty()) {
                (false, _) => result,
                (true, true) => r#"{"result":null}"#.to_owned(),
                (true, false) => format!(r#"{{"result":{result}}}"#),
            })
        }
        Err(CallError::Invalid(error)) => Err(invalid(&error)),
        Err(CallError::Put(error)) => Err(not_put(&error)),
        Err(CallError::Table { results }) => Err(table_not_put(&results)),
        Err(error) => Err(Failure::new(Exit::Failed, chain(&error))),
    }
}

fn message(typed: &cli::Call) -> Result<Call, Failure> {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    let mut call = Call::new(name(&typed.model), name(&typed.method))
        .delay(typed.delay)
        .ttr(typed.ttr)
        .error_retry(typed.error_retry)
        .no_retry(typed.no_retry)
        .force_sync(typed.force_sync);
    if let Some(text) = &typed.model_params {
        call = call.model_params(json_or_text(text)?);
    }
    if let Some(text) = &typed.method_params {
        call = call.method_params(json("--method-params", text)?);
    }
    if let Some(table) = &typed.retry_time_table {
        call = call.retry_time_table(moments(table)?);
    }
    if let Some(seconds) = typed.retry_interval_time {
        call = call.retry_interval_time(seconds);
    }
    if let Some(end) = &typed.retry_stop_at {
        call = call.retry_stop_at(end.as_str());
    }
    Ok(call)
}

/// JSON where the text is some, else the text itself. What begins like a list, an object or a string was meant as JSON.
fn json_or_text(text: &str) -> Result<Value<'static>, Failure> {
    match php::from_json(text.as_bytes()) {
        Ok(value) => Ok(value.into_owned()),
        Err(_) if text.trim_start().starts_with(['{', '[', '"']) => json("--model-params", text),
        Err(_) => Ok(Value::from(text)),
    }
}

fn json(flag: &str, text: &str) -> Result<Value<'static>, Failure> {
    let value = php::from_json(text.as_bytes());
    value
        .map(Value::into_owned)
        .map_err(|error| usage(format!("`{flag}` is no JSON: {error}")))
}

fn moments(table: &str) -> Result<Vec<i64>, Failure> {
    let moment = |word: &str| {
        let word = word.trim();
        let text = || format!("`--retry-time-table` has `{word}`, wanted Unix seconds with commas between");
        word.parse().map_err(|_| usage(text()))
    };
    match table.trim() {
        "" => Ok(Vec::new()),
        table => table.split(',').map(moment).collect(),
    }
}

/// Which tube, and whose.
struct Destination<'c> {
    tube: String,
    wire: TubeName,
    pool: Option<&'c Pool>,
}

impl<'c> Destination<'c> {
    fn of(typed: &cli::Call, config: &'c Config) -> Result<Destination<'c>, Failure> {
        let pool = pool(typed, config)?;
        let tube = match (&typed.tube, pool.map(|pool| pool.tubes.as_slice())) {
            (Some(tube), _) => tube.clone(),
            (None, Some([only])) => only.clone(),
            (None, tubes) => {
                let tubes = tubes.unwrap_or_default().join("`, `");
                let text = format!("the pool has several tubes: `{tubes}`\n  hint: choose one with `--tube`");
                return Err(usage(text));
            }
        };
        let naming = match (&typed.tube_naming, pool) {
            (Some(word), _) => word.parse().map_err(|error| usage(chain(&error)))?,
            (None, Some(pool)) => pool.tube_naming,
            (None, None) => TubeNaming::Both,
        };
        // Under `both`, the first is the plain name where the server takes it.
        let resolved = naming.resolve(&tube).map_err(|error| usage(chain(&error)))?;
        let wire = resolved.wire().first().cloned();
        let wire = wire.ok_or_else(|| Failure::new(Exit::Internal, "a tube without a name"))?;
        Ok(Destination { tube, wire, pool })
    }
}

/// The pool that is meant: the named one, the only one, or the one that consumes the tube.
fn pool<'c>(typed: &cli::Call, config: &'c Config) -> Result<Option<&'c Pool>, Failure> {
    let names = || {
        let names: Vec<&str> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
        names.join("`, `")
    };
    match (&typed.pool, &typed.tube, config.pools.as_slice()) {
        (Some(name), _, pools) => {
            let found = pools.iter().find(|pool| pool.name == *name);
            let text = || format!("there is no pool `{name}`, there is `{}`", names());
            found.map(Some).ok_or_else(|| usage(text()))
        }
        (None, _, [only]) => Ok(Some(only)),
        (None, Some(tube), pools) => Ok(pools.iter().find(|pool| pool.tubes.contains(tube))),
        (None, None, _) => Err(usage(format!(
            "there are several pools: `{}`\n  hint: choose one with `--pool`, or a tube with `--tube`",
            names()
        ))),
    }
}

/// Loads the handler into this process. What it logs goes to standard error.
fn runner(typed: &cli::Call, config: &Config, destination: &Destination<'_>) -> Result<Runner, Failure> {
    let mut settings = log::settings(&config.daemon, STDERR_FILENO);
    settings.path = None;
    log::start(settings, None).map_err(|error| {
        let text = format!("cannot write to standard error: {error}");
        Failure::new(Exit::CannotCreate, text)
    })?;
    let handler = typed.handler.as_deref();
    let of_pool = destination.pool.and_then(|pool| {
        let of_tube = pool.handlers.get(&destination.tube);
        of_tube.or(pool.handler.as_ref()).map(String::as_str)
    });
    let configured = |name: &str| {
        config
            .handlers
            .get(name)
            .cloned()
            .unwrap_or_default()
            .value()
            .clone()
    };
    let request = generation::request(config);
    Runner::load(&request, handler.or(of_pool), configured)
        .map_err(|error| Failure::new(error.exit(), error.to_string()))
}

fn inserted(ids: &[JobId], as_json: bool) -> String {
    if as_json {
        let ids: Vec<u64> = ids.iter().map(|id| id.0).collect();
        return json!({ "inserted": ids }).to_string();
    }
    let lines: Vec<String> = ids.iter().map(|id| format!("INSERTED {id}")).collect();
    lines.join("\n")
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, text)
}

fn invalid(error: &InvalidCall) -> Failure {
    usage(chain(error))
}

fn not_put(error: &PutError) -> Failure {
    let mut text = chain(error);
    if matches!(error, PutError::Unknown { .. }) {
        text.push_str("\n  hint: look into the tube; put again, as `--resend` does, it may be there twice");
    }
    Failure::new(exit_of(error), text)
}

fn exit_of(error: &PutError) -> Exit {
    match error {
        PutError::BodyTooLong(_) | PutError::JobTooBig { .. } => Exit::BadData,
        PutError::Draining | PutError::OutOfMemory | PutError::NotPut { .. } => Exit::Unavailable,
        PutError::ExpectedCrlf | PutError::Buried { .. } | PutError::Unknown { .. } => Exit::Failed,
    }
}

/// Says of each entry what became of it. The code of a single job only where none was or may have been put.
fn table_not_put(results: &[Result<JobId, PutError>]) -> Failure {
    let mut text = "not every job of `--retry-time-table` is known to be put".to_owned();
    let mut exits = Vec::new();
    for (entry, result) in (1..).zip(results) {
        match result {
            Ok(id) => {
                exits.push(Exit::Failed);
                text.push_str(&format!("\n  entry {entry}: INSERTED {id}"));
            }
            Err(error) => {
                exits.push(exit_of(error));
                text.push_str(&format!("\n  entry {entry}: {}", chain(error)));
            }
        }
    }
    let exit = match exits.as_slice() {
        [first, rest @ ..] if rest.iter().all(|exit| exit == first) => *first,
        _ => Exit::Failed,
    };
    Failure::new(exit, text)
}
