//! Measures the promises of `SPECIFICATION.md`.
//!
//! `cargo xtask bench` builds the programs and runs this. Each comparison alternates between
//! its two sides in one run on one machine and compares medians: absolute figures differ
//! between machines and loads, ratios hardly do. `--smoke` only checks that everything runs.
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
mod slow_devices;

use report::Report;

/// The extent of the measurements.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// Readings for a median.
    samples: usize,
    /// Readings for a sum of processor time.
    cpu_samples: usize,
    /// Simulated nodes: connected and polled; read in one request.
    nodes: (usize, usize),
    /// Intervals of 10 s for which the polled nodes are observed.
    intervals: u32,
    /// Turns of the audit log and of the disk alone.
    audit_turns: usize,
    /// Bytes of the verified log.
    audit_bytes: u64,
    /// Records of the log that is forwarded for the rate, repetitions of that, and records of
    /// the backlog that is forwarded during readings.
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

const SUITES: [&str; 7] = [
    "readings",
    "devices",
    "crowd",
    "audit",
    "confinement",
    "floods",
    "forwarding",
];

const HELP: &str = "\
Measures the promises of SPECIFICATION.md. Run it with `cargo xtask bench [SUITE]...`.

  readings     latency and processor time of readings through the daemon, compared
               with ssh and with ssh over ControlMaster, all against a real sshd
  devices      readings of a node's helper with devices that hang or are slow; needs
               root
  crowd        memory and processor time with 1,000 and 10,000 simulated nodes
  audit        durable audit records, compared with raw fdatasync; verification of
               a log, compared with sha256sum; uses 1.1 GiB of disk
  confinement  starts and readings with the daemon's confinement and without it
  floods       readings and growth of the log while two processes connect without a
               pause; needs root
  forwarding   rate, processor time and memory of forwarding, compared with rsyslog;
               readings while a million records are forwarded; uses 1.3 GiB of disk
  (none)       all of these

  --smoke    measure a little of each, to check that everything runs
  --json     print JSON
";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // This process is the verifier of the suite `audit`, whose memory is its own.
    if let [word, rest @ ..] = &arguments[..]
        && word == audit::SUBCOMMAND
    {
        return audit::verify_in_this_process(rest);
    }
    // This process is an attacker of the suite `floods`.
    if let [word, rest @ ..] = &arguments[..]
        && word == pulse_e2e::flood::SUBCOMMAND
    {
        return pulse_e2e::flood::attack(rest);
    }
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("--help") {
        print!("{HELP}");
        return;
    }
    let effort = if has("--smoke") { SMOKE } else { FULL };
    // Options are no suites, so `--json` alone measures everything.
    let everything = !SUITES.iter().any(|suite| has(suite));
    let mut report = Report::new(!has("--json"));
    if everything || has("readings") {
        readings::measure(effort, &mut report);
    }
    if everything || has("devices") {
        slow_devices::measure(effort, &mut report);
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
