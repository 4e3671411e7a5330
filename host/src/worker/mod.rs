//! A worker process: loads the plugins of its generation, runs its slots, leaves in order.
//!
//! Its main thread serves the link to the master; every slot has a thread of its
//! own, and all together have one for bursts of short jobs. In reading order:
//!
//! - this module: from the first message to the exit,
//! - [`confine`]: what it gives up before it loads anything,
//! - [`lane`], [`slot`], [`round`]: what a slot shares with the main thread, its connections, and what it does on them
//!   again and again,
//! - [`burst`], [`pace`]: one thread for all slots while jobs are many and short, and when that is so,
//! - [`handlers`]: which handler executes the jobs of which tube,
//! - [`execute`]: one job, and what becomes of it,
//! - [`settle`]: telling the queue server, once, and what follows from its answer,
//! - [`reach`], [`reconnect`]: how a slot gets to the queue server, and how long it waits for it,
//! - [`recover`]: done jobs whose settlement was lost with a connection,
//! - [`suspicion`], [`company`], [`fatal`]: jobs that take workers down, and who was at fault,
//! - [`job`], [`facts`], [`tubes`]: what a handler may ask about its job,
//! - [`put`]: jobs that a handler puts for another,
//! - [`keeper`]: the main thread while the slots work: quiet, limits, giving back,
//! - [`errand`]: what takes that thread too long to do itself,
//! - [`aside`]: ticks and goodbyes, what handlers do apart from jobs,
//! - [`give_back`]: ending a job whose handler still runs,
//! - [`limits`]: when a worker has done enough,
//! - [`breaker`]: failures in a row, and one job while the pool rests,
//! - [`watch`]: its look at running jobs: touches, and an end for those that run too long,
//! - [`host_api`], [`metrics`]: what plugins may call, and what they have recorded.

use std::{
    io::{self, Write},
    os::{fd::RawFd, unix::net::UnixStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
    },
    time::{Duration, Instant},
};

use asynccall_client::{connection::Options, tube::TubeName};

use crate::{
    config::Pool,
    exit::Exit,
    ipc::{
        self, Link, Setup, ToMaster, ToWorker, descriptors, job_key::ServerMark, metrics::Table, row::Row,
        scoreboard::Scoreboard,
    },
    isolation::{Needs, hint::Hints},
    observe::log,
    plugin::{StagedRef, registry},
    policy,
    title::WorkerTitle,
};

mod aside;
mod breaker;
mod burst;
mod company;
mod confine;
mod errand;
mod execute;
mod facts;
mod fatal;
mod give_back;
mod handlers;
pub(crate) mod host_api;
mod job;
mod keeper;
mod lane;
mod limits;
mod metrics;
mod pace;
mod put;
mod reach;
mod reconnect;
mod recover;
mod round;
mod settle;
mod slot;
mod suspicion;
mod tubes;
mod watch;

use breaker::Breaker;
use burst::Burst;
use handlers::Handlers;
use limits::{Gauge, Limits};
use reach::Reach;

/// The longest wait of one reserve. With the time that a reply may take, this is when a silent connection is noticed.
const LONGEST_RESERVE: Duration = Duration::from_secs(30);

/// What all threads of a worker share. Nothing in it changes but the counters and flags.
struct Shared {
    reach: Reach,
    /// Of the queue server.
    server: ServerMark,
    options: Options,
    tubes: tubes::Tubes,
    default_tube: TubeName,
    handlers: Handlers,
    retry: policy::Settings,
    reserve_seconds: u32,
    scoreboard: &'static Scoreboard,
    /// Slots may reserve: the generation has taken over, and the pool is not paused.
    at_work: AtomicBool,
    quiet: AtomicBool,
    company: company::Company,
    executed: AtomicU64,
    limits: Limits,
    memory: Gauge,
    /// What is said of failures that the pool's limits may have caused.
    hints: Hints,
    breaker: Breaker,
    /// None in a worker of one slot.
    burst: Option<Burst>,
    max_runtime: Duration,
    cancel_grace: Duration,
    /// How many jobs may be put for one; 0: none.
    put_limit: u32,
    /// How long the handlers may take for their last ticks and their goodbye.
    grace: Duration,
    /// The last job has ended.
    parting: aside::Parting,
    started: Instant,
    /// The main thread looks at running jobs; a slot that finds it asleep rings.
    watching: AtomicBool,
    /// Wakes the main thread.
    bell: UnixStream,
}

impl Shared {
    fn row(&self, index: usize) -> &'static Row {
        // Every row that the master lends exists; the first one is a harmless answer to a broken setup.
        self.scoreboard
            .row(index)
            .or_else(|| self.scoreboard.row(0))
            .unwrap_or_else(|| std::process::abort())
    }

    /// Where a fatal signal of a slot's thread is noted.
    fn mark(&self, index: usize) -> &'static AtomicU32 {
        self.row(index).fault()
    }

    fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::Acquire)
    }

    /// Whether slots may reserve further jobs.
    fn reserves(&self) -> bool {
        self.is_at_work() && !self.is_quiet() && self.company.is_open()
    }

    fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Acquire)
    }

    /// Counts one more job, and wakes the main thread when it is the one that reaches the limit.
    fn count_job(&self) {
        let executed = self.executed.fetch_add(1, Ordering::Relaxed) + 1;
        if executed == self.limits.max_request {
            self.ring();
        }
    }

    /// Wakes the main thread where it waits for slots to come to rest: one has just reached another state.
    fn have_noticed(&self) {
        // Between saying so in the row and looking whether anybody waits; the other half is in
        // `Keeper::end_waiting_reserves`.
        fence(Ordering::SeqCst);
        if !self.reserves() {
            self.ring();
        }
    }

    /// The same where the state is a job's beginning, after which the main thread has to look.
    fn have_watched(&self) {
        self.have_noticed();
        // Behind its fence, with the other half in `Keeper::watch_jobs`.
        if !self.watching.load(Ordering::Relaxed) && !self.watching.swap(true, Ordering::Relaxed) {
            self.ring();
        }
    }

    fn limit_reached(&self) -> bool {
        self.limits.max_request > 0 && self.executed.load(Ordering::Relaxed) >= self.limits.max_request
    }

    fn ring(&self) {
        // A full pipe wakes the main thread as well as one more byte would.
        let _ = (&self.bell).write(&[0]);
    }
}

/// Runs a worker whose link to its master is that inherited descriptor.
pub fn run(link: RawFd) -> Exit {
    let mut link = match descriptors::claim_stream(link) {
        Ok(stream) => Link::new(stream),
        Err(_) => return Exit::Usage,
    };
    let setup = match link.receive() {
        Ok(Some(ToWorker::Setup(setup))) if setup.version == ipc::VERSION => setup,
        Ok(Some(ToWorker::Setup(setup))) => {
            let error = format!(
                "the worker's binary speaks version {} with its master, the master speaks {}",
                ipc::VERSION,
                setup.version
            );
            return refuse(&link, error);
        }
        _ => return Exit::Internal,
    };
    let mut title = WorkerTitle::new(&setup.pool.name, setup.nr, setup.generation);
    title.show("starting");
    match prepare(*setup) {
        Ok((shared, first_row, slots, ears)) => keeper::run(link, shared, first_row, slots, ears, title),
        Err(error) => refuse(&link, error),
    }
}

fn refuse(link: &Link, error: String) -> Exit {
    // A master that is gone needs no answer.
    let _ = link.send(&ToMaster::Failed { error });
    Exit::Failed
}

/// Loads everything and has the handlers check themselves; the error is the text for the operator.
fn prepare(setup: Setup) -> Result<(Arc<Shared>, usize, usize, UnixStream), String> {
    let Setup {
        nr,
        generation,
        pool,
        handlers,
        handler_configs,
        plugins,
        is_first,
        first_row,
        streak,
        grace,
        log: settings,
        ..
    } = setup;
    let identity = log::WorkerIdentity {
        nr,
        generation,
        pid: std::process::id(),
    };
    let log_path = settings.path.clone();
    log::start(settings, Some(identity)).map_err(|error| format!("cannot open the log: {error}"))?;
    // Opened while that is still allowed.
    let memory = Gauge::of(&pool);
    let reach = give_up(&pool, &plugins, log_path.as_deref())?;
    let hints = Hints::of(&pool);
    keeper::install_signals().map_err(|error| format!("cannot install signal handlers: {error}"))?;
    let scoreboard = descriptors::claim(setup.scoreboard)
        .and_then(Scoreboard::open)
        .map_err(|error| format!("cannot open the scoreboard: {error}"))?;
    // Mapped for the life of the process: fatal-signal handlers write to it.
    let scoreboard: &'static Scoreboard = Box::leak(Box::new(scoreboard));
    let table = descriptors::claim(setup.metrics)
        .and_then(Table::open)
        .map_err(|error| format!("cannot open the table of metrics: {error}"))?;
    // As long as plugins may record, which is as long as the process lives.
    metrics::keep(Box::leak(Box::new(table)));
    fatal::install().map_err(|error| format!("cannot install fatal-signal handlers: {error}"))?;
    let (bell, ears) = bell().map_err(|error| format!("cannot create a pipe: {error}"))?;
    let registry =
        registry::open(plugins, host_api::host_api()).map_err(|errors| hints.with(errors.to_string()))?;
    // Whoever comes after has the same plugins and configurations: what the checker needs of memory is not for all.
    if is_first {
        Handlers::check(&registry, &handler_configs).map_err(|errors| hints.with(errors.to_string()))?;
    }
    let handlers =
        Handlers::create(&registry, &handlers, &handler_configs).map_err(|error| hints.with(error.full()))?;
    let burst = (pool.slots > 1).then(Burst::new).transpose();
    let mut shared = Shared {
        reach,
        server: ServerMark::of(&pool.queue.to_string()),
        options: Options {
            connect_timeout: pool.queue.connect_timeout,
            ..Options::default()
        },
        tubes: tubes::Tubes::of(&pool)?,
        default_tube: TubeName::new("default").map_err(|error| error.to_string())?,
        handlers,
        retry: policy::Settings::of(&pool),
        reserve_seconds: reserve_seconds(pool.reserve_timeout),
        scoreboard,
        at_work: AtomicBool::new(false),
        quiet: AtomicBool::new(false),
        company: company::Company::default(),
        executed: AtomicU64::new(0),
        limits: Limits::of(&pool),
        memory,
        hints,
        breaker: Breaker::new(pool.breaker, scoreboard, streak),
        burst: burst.map_err(|error| format!("cannot create an epoll instance: {error}"))?,
        max_runtime: pool.max_runtime,
        cancel_grace: pool.cancel_grace,
        put_limit: pool.put_limit,
        grace,
        parting: aside::Parting::default(),
        started: Instant::now(),
        watching: AtomicBool::new(false),
        bell,
    };
    // Last: what it costs is spent on nothing where anything else is wrong.
    let checked = shared.handlers.self_check();
    checked.map_err(|error| shared.hints.with(error.full()))?;
    Ok((Arc::new(shared), first_row, pool.slots as usize, ears))
}

/// Gives up what the pool denies its workers, and answers with how the queue server is reached from then on.
fn give_up(pool: &Pool, plugins: &[StagedRef], log: Option<&Path>) -> Result<Reach, String> {
    let address = pool.queue.address().map_err(|error| error.to_string())?;
    let reach = match pool.isolation.is_given() {
        true => Reach::by_address(address)?,
        false => Reach::by_name(address),
    };
    let copies: Vec<RawFd> = plugins.iter().map(|plugin| plugin.fd).collect();
    let needs = Needs {
        queue: reach.named(),
        log,
        plugins: &copies,
    };
    confine::confine(pool, &needs)?;
    Ok(reach)
}

/// How long one reserve waits.
///
/// Longer waits are made of several reserves: the answer to each shows that the connection is not half-open.
fn reserve_seconds(wished: Duration) -> u32 {
    let seconds = wished.clamp(Duration::from_secs(1), LONGEST_RESERVE).as_secs();
    seconds.try_into().unwrap_or(u32::MAX)
}

fn bell() -> io::Result<(UnixStream, UnixStream)> {
    let (bell, ears) = UnixStream::pair()?;
    bell.set_nonblocking(true)?;
    ears.set_nonblocking(true)?;
    Ok((bell, ears))
}
