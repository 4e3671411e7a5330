//! What is counted, and so is the same on every machine: system calls, allocations, wake-ups. Fails where it is too much.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    env, fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use super::{Options, Tell};
use crate::{
    consumer, drain, load,
    support::{Beanstalkd, eventually, have, processes, queue::Listen},
    table::{Row, Target},
};

/// Where [`report_allocations`] writes.
const ALLOCATIONS: &str = "COUNT_ALLOCATIONS_IN";

/// The system's allocator, and how often it was asked.
struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

#[allow(unsafe_code, reason = "an allocator that counts")]
// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Where this process was asked to, says how often it has allocated.
pub(crate) fn report_allocations() {
    if let Some(file) = env::var_os(ALLOCATIONS) {
        fs::write(file, COUNT.load(Ordering::Relaxed).to_string()).expect("the file can be written");
    }
}

/// The jobs that are counted over.
const JOBS: u64 = 5_000;
/// The jobs that are done before anything is counted.
const WARM_UP: u64 = 200;
/// What a few commands beside the jobs' own may add: the first and the last reserve, and the clock's of a waiting one.
const SLACK: f64 = 0.02;
/// How long an idle worker is watched: so long that what its last job has left behind does not count.
const IDLE: Duration = Duration::from_secs(20);

pub(super) fn rows(_: &Options, tell: Tell<'_>) {
    let Some(queue) = Beanstalkd::start_in_memory(Listen::Tcp) else {
        return;
    };
    for (workers, slots) in [(1, 1), (1, 4)] {
        let Some(calls) = system_calls(&queue, workers, slots) else {
            return;
        };
        let what = |what: &str| format!("{what}, {workers} × {slots}");
        let per_job = |names: &[&str]| {
            let of = |(name, _): &&(String, u64)| names.contains(&name.as_str());
            let sum: u64 = calls.iter().filter(of).map(|(_, count)| count).sum();
            sum as f64 / JOBS as f64
        };
        let (writes, reads, waits) = (per_job(WRITES), per_job(READS), per_job(WAITS));
        let all: u64 = calls.iter().map(|(_, count)| count).sum();
        let others = all as f64 / JOBS as f64 - writes - reads - waits;
        // What a worker tells its master is a write as well.
        tell(Row::alone(
            what("writes"),
            "per job",
            &[writes],
            Target::AtMost(1.0 + SLACK),
        ));
        tell(Row::alone(
            what("reads"),
            "per job",
            &[reads],
            Target::AtMost(2.0 + SLACK),
        ));
        // A worker of one slot waits by reading.
        let waits_apart = f64::from(slots > 1);
        tell(Row::alone(
            what("waits for all slots at once"),
            "per job",
            &[waits],
            Target::AtMost(waits_apart + SLACK),
        ));
        tell(Row::alone(
            what("other system calls"),
            "per job",
            &[others],
            Target::AtMost(SLACK),
        ));
    }
    for slots in [1, 4] {
        tell(Row::alone(
            format!("the host's allocations, 1 × {slots}"),
            "per job",
            &[allocations(&queue, slots)],
            Target::AtMost(SLACK),
        ));
    }
    let woken = idle_wake_ups(&queue);
    tell(Row::alone(
        "wake-ups of an idle worker",
        "per s",
        &[woken],
        Target::AtMost(1.0),
    ));
}

const WRITES: &[&str] = &["write", "writev", "sendto", "sendmsg"];
const READS: &[&str] = &["read", "readv", "recvfrom", "recvmsg"];
const WAITS: &[&str] = &["epoll_wait", "epoll_pwait", "epoll_pwait2"];

/// Every system call of the threads that do jobs while they do [`JOBS`] of them, and how often (strace(1)). `None`, said
/// aloud, without it.
///
/// The worker's main thread is left out: it looks after the others by the clock, whatever they do.
fn system_calls(queue: &Beanstalkd, workers: u32, slots: u32) -> Option<Vec<(String, u64)>> {
    if !have("strace", &["-V"], "Debian: apt-get install strace") {
        return None;
    }
    let tube = drain::tube(queue);
    let daemon = consumer::daemon(queue, workers, slots).tube(&tube).start();
    done(queue, &tube, WARM_UP);
    let summary = daemon.host().path("strace");
    let threads = working_threads(daemon.workers());
    let mut strace = Command::new("strace")
        .args(["--summary-only", "--quiet=none", "--output"])
        .arg(&summary)
        .args(threads.iter().map(|thread| format!("--attach={thread}")))
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace starts");
    let stderr = strace.stderr.take().expect("it is piped");
    let lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let attached = lines.filter(|line| line.contains("attached"));
    assert_eq!(
        attached.take(threads.len()).count(),
        threads.len(),
        "strace cannot attach"
    );
    done(queue, &tube, JOBS);
    processes::signal(strace.id(), Signal::SIGINT);
    strace.wait().expect("it is our child");
    Some(parse(&daemon.read("strace")))
}

/// The ids of all threads of these processes but their main threads.
fn working_threads(pids: Vec<u32>) -> Vec<u32> {
    let threads = |pid: u32| {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
        let ids = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
        ids.filter(move |id| *id != pid)
    };
    pids.into_iter().flat_map(threads).collect()
}

/// The calls of `strace -c`, whose lines are: time, seconds, microseconds per call, calls, errors or nothing, name.
fn parse(summary: &str) -> Vec<(String, u64)> {
    let lines = summary
        .lines()
        .skip_while(|line| !line.starts_with("---"))
        .skip(1);
    let lines = lines.take_while(|line| !line.starts_with("---"));
    let parse = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let calls = words.get(3).and_then(|calls| calls.parse().ok());
        (words.last().expect("a name").to_string(), calls.expect("a count"))
    };
    lines.map(parse).collect()
}

/// Puts jobs and waits until they are done.
fn done(queue: &Beanstalkd, tube: &str, count: u64) {
    let mut control = queue.client();
    let mut deleted = || drain::stat(&mut control, tube, "cmd-delete");
    let before = deleted();
    load::put(queue, tube, (0..count).map(|id| load::body(id, 256, "")));
    eventually("the jobs are done", || {
        (deleted() == before + count).then_some(())
    });
}

/// How often the host's own code allocates for a job. The plugin has an allocator of its own, and is not counted.
fn allocations(queue: &Beanstalkd, slots: u32) -> f64 {
    let of = |jobs: u64| {
        let tube = drain::tube(queue);
        let host = consumer::daemon(queue, 1, slots).binary(env::current_exe().expect("this program"));
        let file = host.path("allocations");
        // It has no other commands than those of its processes, so nobody asks it for its status.
        let mut daemon = host.variable(ALLOCATIONS, &file).tube(&tube).spawn();
        done(queue, &tube, jobs);
        daemon.stop();
        let count = daemon.read("allocations");
        count.parse::<f64>().expect("a count")
    };
    // What start and stop allocate is in both.
    let (few, many) = (of(WARM_UP), of(WARM_UP + JOBS));
    (many - few) / JOBS as f64
}

/// How often an idle worker is woken in a second.
fn idle_wake_ups(queue: &Beanstalkd) -> f64 {
    let tube = drain::tube(queue);
    let daemon = consumer::daemon(queue, 1, 1).tube(&tube).start();
    done(queue, &tube, WARM_UP);
    let [worker] = daemon.workers()[..] else {
        panic!("there is one worker")
    };
    let (before, begun) = (processes::wake_ups(worker), Instant::now());
    thread::sleep(IDLE);
    (processes::wake_ups(worker) - before) as f64 / begun.elapsed().as_secs_f64()
}
