//! Every fault between a daemon and its collector, one after another, while records are
//! written: at the end the collector has every record.
//!
//! Before each start of the daemon the daemon's own library writes a part of the log, so that
//! each fault occurs while a backlog is being sent. `cargo xtask forward-campaign` does this
//! with many records and prints the figures.
#![allow(clippy::print_stdout, reason = "figures are what a campaign is for")]

use super::load::{Load, Nodes};
use super::machine::{CutCable, Disk, alone};
use nix::sys::signal::{Signal, kill};
use pulse_audit::{Body, Directory, Log, Settings, Timestamp};
use pulse_core::event::Event;
use pulse_e2e::certificates::{Authority, Validity, replace_certificate};
use pulse_e2e::forwarding::{
    COLLECTOR, SENDER, forward_to, install_valid_credentials, replay, status, trouble,
};
use pulse_e2e::programs::{Need, control, skipped};
use pulse_e2e::rsyslog::{Collector, Input, Rsyslog, TlsLibrary};
use pulse_e2e::{Config, Daemon, Home, service, wait};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The variable with the least number of records; the duration grows with it.
const RECORDS: &str = "PULSE_CAMPAIGN_RECORDS";
const DEFAULT_RECORDS: u64 = 5000;

/// The pause between two readings of a caller.
const PAUSE: Duration = Duration::from_millis(20);

/// Records of one write.
const BATCH: u64 = 200;
/// An upper bound of a record's bytes in the collector's file, copies included.
const BYTES: u64 = 4096;
/// Records that the collector loses after the faults, so that a replay is needed in any case.
const LOST: u64 = 100;
/// The most replays that may be needed.
const MOST_REPLAYS: usize = 5;

/// A fault of the collector, the network or the daemon.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The collector is stopped with SIGTERM and restarted.
    Stopped,
    /// It is killed, with acknowledged messages in memory.
    Killed,
    /// It is suspended with SIGSTOP; its connections stay open.
    Frozen,
    /// Its disk is full: it acknowledges messages and drops them.
    DiskFull,
    /// The network drops packets from the middle of a frame on.
    CutOff,
    /// It is restarted with a certificate of another CA.
    Impostor,
    /// The daemon is killed.
    DaemonKilled,
}

const FAULTS: [Fault; 7] = [
    Fault::Stopped,
    Fault::Killed,
    Fault::Frozen,
    Fault::DiskFull,
    Fault::CutOff,
    Fault::Impostor,
    Fault::DaemonKilled,
];

#[test]
fn no_fault_loses_a_record() {
    let cable = [Need::Optional("ip"), Need::Program("nft")];
    let own = Need::NoUnit("network and disks are the test's own");
    if skipped(&[Need::Collector, Need::Root, cable[0], cable[1], own]) {
        return;
    }
    let records = std::env::var(RECORDS).map_or(DEFAULT_RECORDS, |number| number.parse().unwrap());
    alone(move || {
        wait::set_timeout(Duration::from_secs(60 + records / 200));
        Campaign::new(records).run();
    });
}

struct Campaign {
    home: Arc<Home>,
    config: Config,
    daemon: Option<Daemon>,
    rsyslog: Rsyslog,
    /// The collector's certificate.
    certificate: PathBuf,
    authority: Authority,
    /// The disk of the collector's file.
    disk: Disk,
    _nodes: Nodes,
    /// The log's verification key.
    key: String,
    /// Records that are written before each start.
    portion: u64,
    began: Instant,
    replays: Vec<u64>,
    /// Records that were acknowledged but missing before the first replay.
    missed: u64,
    starts: usize,
}

impl Campaign {
    fn new(records: u64) -> Self {
        let authority = Authority::new();
        let certificate = authority.sign(COLLECTOR, Validity::Good);
        let rsyslog = Rsyslog::start(&Collector {
            input: Input::Relp(TlsLibrary::OpenSsl),
            ca: &authority.certificate(),
            certificate: &certificate,
            sender: SENDER,
        });
        let disk = Disk::new(32 + records * BYTES / (1 << 20));
        symlink(disk.path("collected"), rsyslog.file()).unwrap();
        let (home, nodes) = (Arc::new(Home::new()), Nodes::start());
        install_valid_credentials(&home, &authority);
        let config = forward_to(rsyslog.address())
            .set_forward("timeout", "'1s'")
            .set_audit("segment_bytes", &(records * 100).to_string());
        Self {
            config: nodes.join(&home, config),
            home,
            daemon: None,
            rsyslog,
            certificate,
            authority,
            disk,
            _nodes: nodes,
            key: String::new(),
            portion: records.div_ceil(FAULTS.len() as u64),
            began: Instant::now(),
            replays: Vec::new(),
            missed: 0,
            starts: 0,
        }
    }

    fn run(mut self) {
        self.queue_in_memory();
        let load = Load::start(&self.home, PAUSE);
        for fault in FAULTS {
            self.write();
            self.start();
            self.inject(fault);
            println!(
                "{:>6.1} s  survived {fault:?}, {} records so far",
                self.seconds(),
                self.seq()
            );
            self.kill();
        }
        self.start();
        let readings = load.end();
        self.lose();
        self.complete();
        self.report(readings);
    }

    /// Gives rsyslog Debian's default queue, which acknowledges messages in memory.
    fn queue_in_memory(&mut self) {
        self.rsyslog
            .edit(|text| text.replace("main_queue(queue.type=\"Direct\")\n", ""));
        self.rsyslog.stop(Signal::SIGTERM);
        self.rsyslog.restart();
    }

    /// Writes a portion of the log, as the daemon would.
    fn write(&mut self) {
        let (directory, state) = (self.log_directory(), self.home.audit_state());
        fs::create_dir_all(&directory).unwrap();
        let storage = Directory::lock(&directory, &state).unwrap();
        let mut log = Log::open(storage, Settings::default(), Timestamp::now()).unwrap();
        if self.key.is_empty() {
            self.key = log.public_key().to_string();
        }
        let error = "what nodes say when they are not well ".repeat(4);
        let event = Event::ConfigReloaded {
            error: Some(&error),
        };
        let bodies: Vec<Body> = (0..BATCH).map(|_| Body::of(&event)).collect();
        for _ in 0..self.portion.div_ceil(BATCH) {
            log.append(Timestamp::now(), &bodies).unwrap();
        }
        for directory in [&directory, &state] {
            give(directory);
        }
    }

    fn log_directory(&self) -> PathBuf {
        self.home.audit_log().parent().unwrap().to_owned()
    }

    fn start(&mut self) {
        self.daemon = Some(Daemon::start_in(&self.home, &self.config));
        self.starts += 1;
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.signal(Signal::SIGKILL);
        daemon.wait();
    }

    /// Waits until a tenth of the backlog is acknowledged, or more.
    fn wait_for_some(&self) {
        let at = |name: &str| status(self.daemon())["streams"][0][name].as_u64().unwrap();
        wait::until("some acknowledgements", || {
            at("acknowledged") > self.portion / 10
        });
    }

    /// Causes the fault, ends it and waits until the records written so far are acknowledged.
    fn inject(&mut self, fault: Fault) {
        self.wait_for_some();
        match fault {
            Fault::Stopped => self.restart_collector(Signal::SIGTERM),
            Fault::Killed => self.restart_collector(Signal::SIGKILL),
            Fault::Frozen => {
                kill(self.rsyslog.process(), Signal::SIGSTOP).unwrap();
                self.wait_for_trouble("tls");
                kill(self.rsyslog.process(), Signal::SIGCONT).unwrap();
            }
            Fault::DiskFull => self.fill_the_disk(),
            Fault::CutOff => {
                let cable = CutCable::after(20, self.rsyslog.address().port());
                self.wait_for_trouble("tcp");
                drop(cable);
            }
            Fault::Impostor => self.impersonate(),
            Fault::DaemonKilled => {
                self.kill();
                self.start();
            }
        }
        self.wait_for_the_rest();
    }

    fn restart_collector(&mut self, signal: Signal) {
        self.rsyslog.stop(signal);
        self.wait_for_trouble("tcp");
        self.rsyslog.restart();
    }

    fn fill_the_disk(&mut self) {
        self.disk.fill();
        let before = self.seq();
        wait::until("acknowledgements of dropped messages", || {
            let acknowledged = &status(self.daemon())["streams"][0]["acknowledged_seq"];
            acknowledged.as_u64().unwrap() > before
        });
        self.disk.free();
        self.rsyslog.stop(Signal::SIGTERM);
        self.rsyslog.restart();
    }

    fn impersonate(&mut self) {
        let elsewhere = Authority::new();
        let stranger = elsewhere.sign(COLLECTOR, Validity::Good);
        let kept = self.authority.sign(COLLECTOR, Validity::Good);
        self.rsyslog.stop(Signal::SIGKILL);
        replace_certificate(&self.certificate, &stranger);
        self.rsyslog.restart();
        self.wait_for_trouble("tls");
        self.rsyslog.stop(Signal::SIGTERM);
        replace_certificate(&self.certificate, &kept);
        self.rsyslog.restart();
    }

    fn wait_for_trouble(&self, step: &str) {
        wait::until("the trouble", || {
            self.retry_now();
            trouble(self.daemon())["step"] == step
        });
    }

    /// Waits until the records on disk at the end of the fault are acknowledged.
    fn wait_for_the_rest(&self) {
        let last = self.seq();
        wait::until("the remaining acknowledgements", || {
            self.retry_now();
            status(self.daemon())["streams"][0]["acknowledged_seq"].as_u64() >= Some(last)
        });
    }

    /// Has the daemon retry without its delay.
    fn retry_now(&self) {
        self.daemon().signal(Signal::SIGHUP);
        sleep(Duration::from_millis(100));
    }

    /// The number of the last record on disk.
    fn seq(&self) -> u64 {
        status(self.daemon())["seq"].as_u64().unwrap()
    }

    fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Replays what the collector's file lacks, until it lacks nothing.
    fn complete(&mut self) {
        loop {
            self.wait_for_the_rest();
            let found = self.verify();
            let Some(from) = found["collected"]["replay_from"].as_u64() else {
                return;
            };
            if self.replays.is_empty() {
                self.missed = missing(&found);
            }
            self.replays.push(from);
            assert!(self.replays.len() <= MOST_REPLAYS, "{:?}", self.replays);
            replay(self.daemon(), from);
            wait::until("the replay to begin", || {
                self.acknowledged_seq() < from || self.is_queue_empty()
            });
        }
    }

    /// Removes records from the collector's file that the daemon counts as acknowledged. The faults
    /// cause such losses too, but how many, and whether any, depends on the load.
    fn lose(&mut self) {
        self.wait_for_the_rest();
        self.rsyslog.stop(Signal::SIGTERM);
        let file = self.rsyslog.file();
        let first = self.seq() / 2;
        // Every copy, because the faults have made some. A torn line may have two records.
        let is_lost = |line: &&[u8]| {
            let text = String::from_utf8_lossy(line);
            let mut numbers = text.split("\"seq\":").skip(1).filter_map(|rest| {
                let (number, _) = rest.split_once(',')?;
                number.parse().ok()
            });
            numbers.any(|seq: u64| (first..first + LOST).contains(&seq))
        };
        let content = fs::read(&file).unwrap();
        let kept = content
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| !is_lost(line));
        fs::write(&file, kept.collect::<Vec<_>>().concat()).unwrap();
        self.rsyslog.restart();
    }

    fn acknowledged_seq(&self) -> u64 {
        let seq = &status(self.daemon())["streams"][0]["acknowledged_seq"];
        seq.as_u64().unwrap()
    }

    fn is_queue_empty(&self) -> bool {
        status(self.daemon())["streams"][0]["queue"] == 0
    }

    /// The report of `audit verify` on the collector's file, compared with the log.
    fn verify(&self) -> Value {
        let output = Command::new(control())
            .args([
                "audit",
                "verify",
                "--json",
                "--key",
                &self.key,
                "--collected",
            ])
            // The real path: the verifier follows no links.
            .arg(fs::canonicalize(self.rsyslog.file()).unwrap())
            .arg("--against")
            .arg(self.log_directory())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "{error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Stops the daemon, which seals and sends every record, and checks the collector's file.
    fn report(&mut self, readings: u64) {
        let last = self.seq();
        self.daemon.take().unwrap().stop();
        let found = self.verify();
        let collected = &found["collected"];
        assert_eq!(found["verdict"], "intact", "{found}");
        assert_eq!(found["against"]["verdict"], "intact", "{found}");
        assert_eq!(collected["missing"], Value::Array(Vec::new()), "{found}");
        assert_eq!(collected["replay_from"], Value::Null, "{found}");
        assert_eq!(collected["others"], 0, "{found}");
        assert!(found["records"].as_u64().unwrap() > last, "{found}");
        assert!(last >= self.portion * FAULTS.len() as u64);
        assert!(self.missed >= LOST && !self.replays.is_empty());
        println!(
            "after {:.1} s: {} records, {readings} readings, {} starts of the daemon; {} records \
             missing at the collector before the replays from records {:?}, {} after them; {} \
             records sent twice, {} torn",
            self.seconds(),
            found["records"],
            self.starts,
            self.missed,
            self.replays,
            missing(&found),
            collected["duplicates"],
            collected["torn"],
        );
    }
}

/// The number of missing records in a report.
fn missing(found: &Value) -> u64 {
    let gaps = found["collected"]["missing"].as_array().unwrap().iter();
    let end = |gap: &Value, name: &str| gap[name].as_u64().unwrap();
    gaps.map(|gap| end(gap, "to") + 1 - end(gap, "from")).sum()
}

/// Gives a directory and its files to the service.
fn give(directory: &Path) {
    service::give(directory);
    for file in fs::read_dir(directory).unwrap() {
        service::give(&file.unwrap().path());
    }
}
