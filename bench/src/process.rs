//! Processor time and memory of processes, from `/proc` (proc(5)).

use std::fs;
use std::path::Path;

/// Clock ticks a second in `/proc` (`USER_HZ`), on every architecture that we build for.
const TICKS: f64 = 100.0;

/// One process's line of `/proc/<pid>/stat`.
struct Stat {
    parent: u32,
    own_ticks: u64,
    ended_children_ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name is in parentheses and may have any character.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
    // Counted from the state, which is field 3 of proc_pid_stat(5): ppid, utime, stime, cutime
    // and cstime.
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        own_ticks: number(11)? + number(12)?,
        ended_children_ticks: number(13)? + number(14)?,
    })
}

fn pids() -> Vec<u32> {
    // The numeric names; a process that ends meanwhile has no stat any more.
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// Processor time in milliseconds of processes and all their descendants, ended ones
/// included.
pub(crate) fn tree_cpu(roots: &[u32]) -> f64 {
    let stats: Vec<(u32, Stat)> = pids()
        .into_iter()
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect();
    // The list grows while it is walked, until no process has a parent in it that was not walked.
    let mut tree = roots.to_vec();
    let mut i = 0;
    while i < tree.len() {
        let parent = tree[i];
        tree.extend(
            stats
                .iter()
                .filter(|(_, s)| s.parent == parent)
                .map(|(pid, _)| *pid),
        );
        i += 1;
    }
    // A root may be a descendant of another one.
    tree.sort_unstable();
    tree.dedup();
    let of_tree = stats
        .iter()
        .filter(|(pid, _)| tree.binary_search(pid).is_ok());
    let ticks: u64 = of_tree
        .map(|(_, s)| s.own_ticks + s.ended_children_ticks)
        .sum();
    ticks as f64 * 1000.0 / TICKS
}

/// Processor time in milliseconds of a process's main thread, measured in nanoseconds.
pub(crate) fn own_cpu(pid: u32) -> f64 {
    // The first number is the time on a processor (sched-stats.rst of the kernel).
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

/// Processor time in milliseconds of our own children that have ended.
pub(crate) fn ended_children_cpu() -> f64 {
    stat(std::process::id()).map_or(0.0, |s| s.ended_children_ticks as f64 * 1000.0 / TICKS)
}

/// The process whose arguments contain this file: sshd rewrites its arguments into a title.
pub(crate) fn titled(file: &Path) -> u32 {
    let file = file.to_str().unwrap();
    pids()
        .into_iter()
        .find(|pid| {
            let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&title).contains(file)
        })
        .unwrap()
}

/// Resident memory in MiB.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    memory_kib(pid, "VmRSS:") / 1024.0
}

/// The size in KiB on one line of `/proc/<pid>/status` (proc(5)).
pub(crate) fn memory_kib(pid: u32, name: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mut words = text
        .lines()
        .find(|line| line.starts_with(name))
        .unwrap()
        .split_whitespace();
    words.nth(1).unwrap().parse().unwrap()
}
