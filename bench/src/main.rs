//! What `SPECIFICATION.md` promises, measured.
//!
//! `cargo xtask bench` builds what is measured and runs this. Every comparison is
//! made in one run on one machine, in turns, and quotes medians: machines differ
//! and are shared, ratios travel. `--smoke` only sees that everything runs.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking"
)]

mod audit;
mod confinement;
mod crowd;
mod devices;
mod flood;
mod forwarding;
mod measure;
mod process;
mod promise;
mod readings;
mod report;

use report::Report;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// Readings of which the median is quoted.
    samples: usize,
    /// Readings over which processor time is added up.
    cpu_samples: usize,
    /// Simulated nodes: connected and polled; swept.
    nodes: (usize, usize),
    /// For how many intervals of 10 s the polled nodes are watched.
    intervals: u32,
    /// How often the audit log and the disk alone take turns.
    audit_turns: usize,
    /// How big a log is verified.
    audit_bytes: u64,
    /// Records of a log that is forwarded for speed, how often, and of the one whose
    /// backlog drains beside readings.
    forwarded: (u64, usize, u64),
}

const FULL: Effort = Effort {
    samples: 240,
    cpu_samples: 8_000,
    nodes: (1_000, 10_000),
    intervals: 3,
    audit_turns: 15,
    audit_bytes: 1 << 30,
    forwarded: (100_000, 5, 1_000_000),
};
const SMOKE: Effort = Effort {
    samples: 8,
    cpu_samples: 40,
    nodes: (20, 50),
    intervals: 0,
    audit_turns: 1,
    audit_bytes: 1 << 20,
    forwarded: (500, 1, 2_000),
};

const SUITES: [&str; 6] = [
    "readings",
    "crowd",
    "audit",
    "confinement",
    "floods",
    "forwarding",
];

const HELP: &str = "\
Measures what SPECIFICATION.md promises. Start it with `cargo xtask bench`.

  readings     latency and processor time of readings against real sshd, beside
               ssh and ssh over ControlMaster
  crowd        memory and processor time with many simulated nodes
  audit        durable audit records beside raw fdatasync, verification beside
               sha256sum; takes 1.1 GiB of disk for a while
  confinement  starts and readings of the daemon, starts of the helper, confined
               and not
  floods       readings, and the log, while two processes connect without a pause;
               takes root
  forwarding   speed, processor time and memory of forwarding beside rsyslog's, and
               readings while a million records go to the collector; takes 1.3 GiB
               of disk for a while
  (none)       all of them

  --smoke    a handful of each, to see that everything runs
  --json     for programs
";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, rest @ ..] = &arguments[..]
        && word == audit::WORD
    {
        return audit::verify_and_tell(rest);
    }
    // As an attacker: the socket comes behind the word.
    if let [word, rest @ ..] = &arguments[..]
        && word == pulse_e2e::flood::WORD
    {
        return pulse_e2e::flood::attack(rest);
    }
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("--help") {
        print!("{HELP}");
        return;
    }
    let effort = if has("--smoke") { SMOKE } else { FULL };
    let everything = !SUITES.iter().any(|suite| has(suite));
    let mut report = Report::new(!has("--json"));
    if everything || has("readings") {
        readings::measure(effort, &mut report);
    }
    if everything || has("crowd") {
        crowd::measure(effort, &mut report);
    }
    if everything || has("audit") {
        audit::measure(effort, &mut report);
    }
    if everything || has("confinement") {
        confinement::measure(effort, &mut report);
    }
    if everything || has("floods") {
        flood::measure(effort, &mut report);
    }
    if everything || has("forwarding") {
        forwarding::measure(effort, &mut report);
    }
    report.finish(has("--smoke"));
}
