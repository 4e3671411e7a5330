//! What processes use: processor time and memory, of all their threads; and on which terms they get it.

use std::fs;

use nix::{
    libc,
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// Processor time that these processes have used, in nanoseconds (clock_getcpuclockid(3)). One that is gone counts 0.
pub(crate) fn cpu_ns(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed())).ok()?;
        let time = clock_gettime(clock).ok()?;
        Some(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
    };
    pids.iter().filter_map(of).sum()
}

/// Memory of these processes, each shared page in equal parts to all that have it: PSS of proc_pid_smaps(5), in bytes.
pub(crate) fn pss_bytes(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process exists");
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<u64>().ok()).expect("a size") * 1024
    };
    pids.iter().map(of).sum()
}

/// Has this process not push others aside when it is woken, as the daemon's workers do not: `SCHED_BATCH` of sched(7).
pub(crate) fn give_way() {
    let parameters = libc::sched_param { sched_priority: 0 };
    #[allow(unsafe_code, reason = "nix has no call for it")]
    // SAFETY: the call takes two numbers and a structure that outlives it.
    let set = unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) };
    assert_eq!(set, 0, "the kernel lets everybody give way");
}

/// Has this thread, and what it starts, run on one core until it is dropped.
pub(crate) struct Pinned(CpuSet);

impl Pinned {
    /// On the core of this number.
    pub(crate) fn to(core: usize) -> Pinned {
        let before = sched_getaffinity(Pid::from_raw(0)).expect("the cores of this thread");
        let mut one = CpuSet::new();
        one.set(core).expect("a core");
        sched_setaffinity(Pid::from_raw(0), &one).expect("there is such a core");
        Pinned(before)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        sched_setaffinity(Pid::from_raw(0), &self.0).expect("the cores that it had");
    }
}
