//! Running targets for a time, and telling what they did.

use super::target::{Target, create};
use crate::process::{Failure, Outcome};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// The lines of a broken run's log that are shown.
const SHOWN_LINES: usize = 60;

/// The interval of checks whether a run has ended.
const LOOK: Duration = Duration::from_millis(50);

/// `/proc/PID/stat` counts in these, whatever the kernel's own clock is (proc(5),
/// `sysconf(_SC_CLK_TCK)`).
const TICKS_PER_SECOND: u64 = 100;

/// A target that is being fuzzed.
struct Run<'a> {
    target: &'a Target,
    child: Child,
    log: PathBuf,
}

/// The result of a run: libFuzzer's figures, and the kernel's of its processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    pub(super) executions: u64,
    pub(super) per_second: u64,
    /// New inputs.
    pub(super) found: u64,
    /// Branches that some input takes.
    pub(super) edges: u64,
    /// Branches, how often each is taken, and what was compared.
    pub(super) features: u64,
    pub(super) cpu_seconds: u64,
}

/// The scheduling priority of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// As everybody else.
    Usual,
    /// After everybody else.
    Idle,
}

/// Runs each target for `seconds`; fails when one of them broke.
pub(super) fn run(targets: &[Target], seconds: u64) -> Outcome {
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    println!(
        "targets: {}, {seconds} s each, {at_once} at a time",
        targets.len()
    );
    let mut executions = 0;
    let mut broken = Vec::new();
    // A group ends with its slowest target. Every target has the same time limit, so no
    // processor is idle for long.
    for group in targets.chunks(at_once) {
        let runs: Vec<_> = group
            .iter()
            .map(|target| start(target, seconds, Priority::Usual))
            .collect();
        for run in runs {
            match run.and_then(finish) {
                Ok(statistics) => executions += statistics.executions,
                Err(failure) => broken.push(failure.to_string()),
            }
        }
    }
    println!("{executions} executions in all");
    if broken.is_empty() {
        return Ok(());
    }
    Err(Failure::new(broken.join("; ")))
}

/// Runs one target for `seconds`, after everything else on the machine.
pub(super) fn run_idle(target: &Target, seconds: u64) -> Outcome<Statistics> {
    finish(start(target, seconds, Priority::Idle)?)
}

fn start(target: &Target, seconds: u64, priority: Priority) -> Outcome<Run<'_>> {
    let artifacts = target.output("artifacts");
    let log = target.output("logs").with_extension("log");
    for dir in [&target.found(), &target.corpus(), &artifacts] {
        create(dir)?;
    }
    create(log.parent().unwrap_or(&log))?;
    let file = File::create(&log).map_err(|error| failed(target, "write a log", &error))?;
    let mut command = target.command();
    if priority == Priority::Idle {
        // nice(1) executes the program in its own place: the child's number, by which its
        // processor time is read, stays the same.
        let mut nice = Command::new("nice");
        nice.args(["-n", "19"]).arg(command.get_program());
        nice.args(command.get_args());
        nice.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        command = nice;
    }
    // New inputs go to the first directory; the second is only read.
    command.arg(target.found()).arg(target.corpus());
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.arg(format!("-max_total_time={seconds}"));
    // libFuzzer prints the figures that `Statistics` reads only when asked.
    command.arg("-print_final_stats=1");
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.stderr(file).spawn();
    let child = child.map_err(|error| failed(target, "start", &error))?;
    Ok(Run { target, child, log })
}

fn finish(mut run: Run<'_>) -> Outcome<Statistics> {
    let name = run.target.name();
    // Before `wait`, which removes the zombie from /proc.
    let cpu_seconds = processor_time(run.child.id());
    let status = run.child.wait();
    let status = status.map_err(|error| failed(run.target, "wait", &error))?;
    // A log may hold whatever the input was.
    let log = fs::read(&run.log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    if !status.success() {
        return Err(tell_what_broke(name, &log));
    }
    let statistics = Statistics {
        cpu_seconds,
        ..Statistics::read(&log)
    };
    let Statistics {
        executions,
        per_second,
        found,
        ..
    } = statistics;
    println!("{name:>20}: {executions} executions, {per_second}/s, {found} new inputs");
    Ok(statistics)
}

/// Waits for a child's end, and gives the seconds of processor time that it took. The
/// kernel still tells them of a child that has ended and was not yet waited for.
fn processor_time(pid: u32) -> u64 {
    loop {
        match fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()
            .as_deref()
            .and_then(parse_stat)
        {
            Some(('Z' | 'X', ticks)) => return ticks / TICKS_PER_SECOND,
            Some(_) => thread::sleep(LOOK),
            None => return 0,
        }
    }
}

/// The state of a process, and the clock ticks that it was on a processor, as a user and in
/// the kernel (fields 3, 14 and 15, `proc_pid_stat(5)`). The name, field 2, may hold anything
/// but ends with the last bracket.
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let user: u64 = fields.nth(10)?.parse().ok()?;
    Some((state, user + fields.next()?.parse::<u64>().ok()?))
}

fn tell_what_broke(name: &str, log: &str) -> Failure {
    let lines: Vec<&str> = log.lines().collect();
    for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
        eprintln!("{line}");
    }
    // libFuzzer names the input's file in one of its last lines; a panic's message, which
    // comes before, may hold anything.
    let input = log.rsplit_once("Test unit written to ");
    let input = input.and_then(|(_, rest)| rest.lines().next());
    Failure::new(match input {
        Some(input) => format!("{name} broke; again: `cargo xtask fuzz {name} {input}`"),
        None => format!("{name} ended badly; its log is above"),
    })
}

fn failed(target: &Target, what: &str, error: &io::Error) -> Failure {
    Failure::new(format!("{}: cannot {what}: {error}", target.name()))
}

impl Statistics {
    fn read(log: &str) -> Self {
        let number = |name: &str| {
            let prefix = format!("stat::{name}:");
            // The last one: what the target printed before may look the same.
            let mut values = log.lines().filter_map(|line| line.strip_prefix(&prefix));
            let last = values
                .next_back()
                .and_then(|value| value.trim().parse().ok());
            last.unwrap_or(0)
        };
        // `#99 DONE cov: 7 ft: 9 corp: …`: not every line of progress has both figures.
        let after = |line: &str, word: &str| {
            let (_, rest) = line.split_once(word)?;
            rest.split_ascii_whitespace().next()?.parse().ok()
        };
        let (edges, features) = log
            .lines()
            .rev()
            .find_map(|line| Some((after(line, " cov: ")?, after(line, " ft: ")?)))
            .unwrap_or((0, 0));
        Self {
            executions: number("number_of_executed_units"),
            per_second: number("average_exec_per_sec"),
            found: number("new_units_added"),
            edges,
            features,
            cpu_seconds: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "#8\tNEW    cov: 5 ft: 6 corp: 2/9b lim: 4 exec/s: 0 rss: 40Mb\n\
                       #99\tDONE   cov: 7 ft: 12 corp: 3/9b lim: 4 exec/s: 49 rss: 40Mb\n\
                       Done 99 runs in 2 second(s)\n\
                       stat::number_of_executed_units: 99\n\
                       stat::average_exec_per_sec:     49\n\
                       stat::new_units_added:          3\n";

    #[test]
    fn statistics_are_read() {
        let expected = Statistics {
            executions: 99,
            per_second: 49,
            found: 3,
            edges: 7,
            features: 12,
            cpu_seconds: 0,
        };
        assert_eq!(Statistics::read(LOG), expected);
        assert_eq!(Statistics::read("no figures"), Statistics::default());
    }

    #[test]
    fn crash_names_its_replay() {
        let log = "panicked\nartifact_prefix='x'; Test unit written to /t/crash-1\nBase64: AA==\n";
        let told = tell_what_broke("command", log).to_string();
        assert!(told.ends_with("again: `cargo xtask fuzz command /t/crash-1`"));
    }

    #[test]
    fn names_do_not_disturb_stat() {
        let stat = "42 (a) b (c)) Z 1 1 1 0 -1 4194560 9 0 0 0 250 51 0 0 20 0 1 0 9 0 0\n";
        assert_eq!(parse_stat(stat), Some(('Z', 301)));
        assert_eq!(parse_stat("42 (x) Z 1"), None);
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        assert!(parse_stat(&own).is_some());
    }

    #[test]
    fn zombie_has_processor_time() {
        let mut child = Command::new("true").spawn().unwrap();
        assert_eq!(processor_time(child.id()), 0);
        assert!(child.wait().unwrap().success());
        // Nobody has this number any more.
        assert_eq!(processor_time(u32::MAX), 0);
    }
}
