//! Running targets for a time, several at once, and telling what they did.

use super::target::{Target, create};
use crate::process::{Failure, Outcome};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;

/// How much of a broken run's log is shown, in lines.
const SHOWN_LINES: usize = 60;

/// A target that is being fuzzed.
struct Run<'a> {
    target: &'a Target,
    child: Child,
    log: PathBuf,
}

/// What libFuzzer prints at the end, as far as we tell it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Statistics {
    executions: u64,
    per_second: u64,
    found: u64,
}

/// Runs each target for `seconds`; fails when one of them broke.
pub(super) fn run(targets: &[Target], seconds: u64) -> Outcome {
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    let count = targets.len();
    println!("targets: {count}, {seconds} s each, {at_once} at a time");
    let mut executions = 0;
    let mut broken = Vec::new();
    for group in targets.chunks(at_once) {
        let runs: Vec<_> = group.iter().map(|target| start(target, seconds)).collect();
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

fn start(target: &Target, seconds: u64) -> Outcome<Run<'_>> {
    let artifacts = target.output("artifacts");
    let log = target.output("logs").with_extension("log");
    for dir in [&target.found(), &target.corpus(), &artifacts] {
        create(dir)?;
    }
    create(log.parent().unwrap_or(&log))?;
    let file = File::create(&log).map_err(|error| failed(target, "write a log", &error))?;
    let mut command = target.command();
    // New inputs go to the first directory; the second is only read.
    command.arg(target.found()).arg(target.corpus());
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.arg(format!("-max_total_time={seconds}"));
    command.arg("-print_final_stats=1");
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.stderr(file).spawn();
    let child = child.map_err(|error| failed(target, "start", &error))?;
    Ok(Run { target, child, log })
}

fn finish(mut run: Run<'_>) -> Outcome<Statistics> {
    let name = run.target.name();
    let status = run.child.wait();
    let status = status.map_err(|error| failed(run.target, "wait", &error))?;
    // A log may hold whatever the input was.
    let log = fs::read(&run.log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    if !status.success() {
        return Err(tell_what_broke(name, &log));
    }
    let statistics = Statistics::read(&log);
    let Statistics {
        executions,
        per_second,
        found,
    } = statistics;
    println!("{name:>14}: {executions} executions, {per_second}/s, {found} new inputs");
    Ok(statistics)
}

fn tell_what_broke(name: &str, log: &str) -> Failure {
    let lines: Vec<&str> = log.lines().collect();
    for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
        eprintln!("{line}");
    }
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
            let mut values = log.lines().filter_map(|line| line.strip_prefix(&prefix));
            values
                .next_back()
                .and_then(|value| value.trim().parse().ok())
        };
        Self {
            executions: number("number_of_executed_units").unwrap_or(0),
            per_second: number("average_exec_per_sec").unwrap_or(0),
            found: number("new_units_added").unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "Done 99 runs in 2 second(s)\n\
                       stat::number_of_executed_units: 99\n\
                       stat::average_exec_per_sec:     49\n\
                       stat::new_units_added:          3\n";

    #[test]
    fn the_statistics_are_read() {
        let statistics = Statistics::read(LOG);
        assert_eq!((statistics.executions, statistics.per_second), (99, 49));
        assert_eq!(statistics.found, 3);
    }

    #[test]
    fn a_crash_tells_how_to_see_it_again() {
        let log = "panicked\nartifact_prefix='x'; Test unit written to /t/crash-1\nBase64: AA==\n";
        let told = tell_what_broke("command", log).to_string();
        assert!(told.ends_with("again: `cargo xtask fuzz command /t/crash-1`"));
    }
}
