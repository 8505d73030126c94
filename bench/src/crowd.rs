//! Many nodes: memory, processor time, and one request that reads all of them.
//!
//! The nodes are simulated in a separate process, so that the daemon's resources can be
//! measured alone. On a small machine both share the processors.

use crate::Effort;
use crate::devices;
use crate::measure::milliseconds;
use crate::process::{own_cpu, resident_mib};
use crate::promise::{CONNECTED, IDLE, POLLED, SWEEP, SWEPT};
use crate::report::{Report, rounded};
use pulse_e2e::{Config, Daemon, Home, programs};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The interval in which every node is read.
const INTERVAL: Duration = Duration::from_secs(10);

/// A process of simulated nodes, which ends when its input does.
struct Crowd {
    process: Child,
    _input: ChildStdin,
    port: u16,
    host_key: String,
}

impl Crowd {
    fn start(nodes: usize) -> Self {
        let devices = devices::server();
        // Each node answers with what the helper prints for a real tree. The program is beside the
        // helper, where cargo builds both.
        let mut process = Command::new(programs::helper().with_file_name("pulse-simnode"))
            .arg("--document")
            .arg(devices::printed(devices.path(), &["read"]))
            .args(["--nodes", &nodes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let listener = serde_json::from_str::<Value>(&line).unwrap()["listeners"][0].clone();
        let key = listener["host_key"].as_str().unwrap();
        Self {
            _input: process.stdin.take().unwrap(),
            process,
            port: u16::try_from(listener["port"].as_u64().unwrap()).unwrap(),
            host_key: key.split_once(' ').unwrap().1.to_owned(),
        }
    }

    /// Starts a daemon with all of them in its configuration.
    fn daemon(&self, program: &Path, nodes: usize, config: Config) -> Daemon {
        let home = Arc::new(Home::new());
        let address = ([127, 0, 0, 1], self.port).into();
        let mut known = String::new();
        // Warnings alone: the daemon's own messages are not measured.
        let mut config = config.set("log_level", "'warn'");
        // The nodes are one listener with one host key, and differ in their names.
        for i in 0..nodes {
            let name = format!("pve{i}");
            known += &format!("\n[{name}]:{} {}", self.port, self.host_key);
            config = config.node(&name, address);
        }
        home.trust(&known);
        Daemon::start_program(program, &home, &config)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the suite.
pub(crate) fn measure(effort: Effort, report: &mut Report) {
    report.step("memory of an idle daemon");
    let daemon = Daemon::start(&Config::new());
    // A request first, so that the code that serves one is resident too.
    let status = daemon.ask(&json!({ "method": "get_status" }));
    assert!(status["success"].as_bool().unwrap());
    report.figure(IDLE, resident_mib(daemon.pid()));
    drop(daemon);
    polled(effort, report);
    swept(effort, report);
}

/// Background polling every ten seconds.
fn polled(effort: Effort, report: &mut Report) {
    let (nodes, _) = effort.nodes;
    report.step(&format!(
        "{nodes} nodes read every {} s",
        INTERVAL.as_secs()
    ));
    let crowd = Crowd::start(nodes);
    let config = Config::new()
        .set_ssh("poll_interval", "'10s'")
        .set("request_timeout", "'1m'");
    let daemon = crowd.daemon(&programs::daemon(), nodes, config);
    // Connects to all nodes; connecting is not measured.
    sweep(&daemon, nodes);
    let (before, started) = (own_cpu(daemon.pid()), Instant::now());
    std::thread::sleep(INTERVAL * effort.intervals);
    let share = (own_cpu(daemon.pid()) - before) / milliseconds(started.elapsed());
    report.figure(CONNECTED, resident_mib(daemon.pid()));
    report.figure(POLLED, share * 100.0);
}

/// All nodes in one request: without records, then with two durable records for each.
fn swept(effort: Effort, report: &mut Report) {
    let (_, nodes) = effort.nodes;
    report.step(&format!(
        "reading {nodes} nodes in one request (after connecting to each)"
    ));
    let crowd = Crowd::start(nodes);
    let unrecorded = programs::unrecorded_daemon();
    let (_, alone) = sweeps(&crowd, &unrecorded, nodes, "without records", report);
    report.figure(SWEEP, alone.as_secs_f64());
    let (resident, _) = sweeps(
        &crowd,
        &programs::daemon(),
        nodes,
        "with durable records",
        report,
    );
    report.figure(SWEPT, resident);
}

/// The daemon's memory after several sweeps, and the sweeps' median.
fn sweeps(
    crowd: &Crowd,
    program: &Path,
    nodes: usize,
    what: &str,
    report: &mut Report,
) -> (f64, Duration) {
    // The limits are wider than the defaults, so that one caller can have all workers.
    let config = Config::new()
        .set("request_timeout", "'10m'")
        .set_limit("per_peer_concurrency", "64")
        .set_limit("global_concurrency", "64");
    let daemon = crowd.daemon(program, nodes, config);
    let connecting = sweep(&daemon, nodes);
    let mut sweeps: Vec<Duration> = (0..5).map(|_| sweep(&daemon, nodes)).collect();
    sweeps.sort_unstable();
    report.note(format!(
        "{nodes} nodes in one request, {what}: {} s with connecting, then {} to {} s, median {} s",
        rounded(connecting.as_secs_f64()),
        rounded(sweeps[0].as_secs_f64()),
        rounded(sweeps[4].as_secs_f64()),
        rounded(sweeps[2].as_secs_f64()),
    ));
    (resident_mib(daemon.pid()), sweeps[2])
}

/// Duration of one `get_temperatures` of every node, to the last byte of the response.
fn sweep(daemon: &Daemon, nodes: usize) -> Duration {
    let started = Instant::now();
    let mut stream = UnixStream::connect(daemon.home().socket()).unwrap();
    stream
        .write_all(b"{\"method\":\"get_temperatures\",\"params\":{\"wait_ms\":3600000}}\n")
        .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let took = started.elapsed();
    // Every sample has an age, and no error has one.
    let good = line.matches("\"age_ms\"").count();
    assert_eq!(
        good,
        nodes,
        "{}",
        line.chars().take(2_000).collect::<String>()
    );
    took
}
