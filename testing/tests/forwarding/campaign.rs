//! Everything that can go wrong between a daemon and its collector, one after the other,
//! while records are written: in the end the collector has each of them.
//!
//! A part of the log is written before each start of the daemon, by the library that the
//! daemon writes with: so each fault comes while a backlog is on its way. `cargo xtask
//! forward-campaign` does this with many records, and prints what it found.
#![allow(clippy::print_stdout, reason = "figures are what a campaign is for")]

use super::load::{Load, Nodes};
use super::machine::{CutCable, Disk, alone};
use nix::sys::signal::{Signal, kill};
use pulse_audit::{Body, Directory, Log, Settings, Timestamp};
use pulse_core::event::Event;
use pulse_e2e::certificates::{Authority, Validity, exchange};
use pulse_e2e::forwarding::{COLLECTOR, SENDER, equip_well, replay, status, to, trouble};
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

/// How many records are made, at least; another number takes as much longer.
const RECORDS: &str = "PULSE_CAMPAIGN_RECORDS";
const FEW: u64 = 5000;

/// Between two readings of a caller.
const PAUSE: Duration = Duration::from_millis(20);

/// So many are written in one go.
const BATCH: u64 = 200;
/// A collector's file takes less than this for each record and its re-sends.
const BYTES: u64 = 4096;
/// More replays than this are not needed.
const MOST_REPLAYS: usize = 5;

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The collector ends in order, and is away for a while.
    Stopped,
    /// It is killed with what it has in memory and has acknowledged.
    Killed,
    /// It says nothing and keeps its connections.
    Frozen,
    /// Its disk is full: it acknowledges and drops.
    Full,
    /// Its cable is cut, in the middle of a frame.
    CutOff,
    /// It comes back with a certificate of somebody else.
    Impostor,
    /// The daemon is killed.
    Orphaned,
}

const FAULTS: [Fault; 7] = [
    Fault::Stopped,
    Fault::Killed,
    Fault::Frozen,
    Fault::Full,
    Fault::CutOff,
    Fault::Impostor,
    Fault::Orphaned,
];

#[test]
fn no_fault_loses_a_record() {
    let cable = [Need::Companion("ip"), Need::Program("nft")];
    let own = Need::NoUnit("network and disks are the test's own");
    if skipped(&[Need::Collector, Need::Root, cable[0], cable[1], own]) {
        return;
    }
    let records = std::env::var(RECORDS).map_or(FEW, |number| number.parse().unwrap());
    alone(move || {
        wait::set_patience(Duration::from_secs(60 + records / 200));
        Campaign::new(records).run();
    });
}

struct Campaign {
    home: Arc<Home>,
    config: Config,
    daemon: Option<Daemon>,
    rsyslog: Rsyslog,
    /// The collector's.
    certificate: PathBuf,
    authority: Authority,
    /// Where the collector's file is.
    disk: Disk,
    _nodes: Nodes,
    /// The log's verification key.
    key: String,
    /// Records that are written before each start.
    portion: u64,
    began: Instant,
    replays: Vec<u64>,
    /// Records that were acknowledged and not there, before the first replay.
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
        equip_well(&home, &authority);
        let config = to(rsyslog.address())
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
        self.forget_durability();
        let load = Load::start(&self.home, PAUSE);
        for fault in FAULTS {
            self.write();
            self.start();
            self.suffer(fault);
            println!(
                "{:>6.1} s  {fault:?}, record {}",
                self.seconds(),
                self.seq()
            );
            self.kill();
        }
        self.start();
        let readings = load.end();
        self.complete();
        self.report(readings);
    }

    /// rsyslog as Debian has it keeps messages in memory, acknowledged or not.
    fn forget_durability(&mut self) {
        self.rsyslog
            .edit(|text| text.replace("main_queue(queue.type=\"Direct\")\n", ""));
        self.rsyslog.end(Signal::SIGTERM);
        self.rsyslog.start_again();
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

    /// Waits until some of the backlog is acknowledged; or all of it, if that was quicker.
    fn wait_for_some(&self) {
        let at = |name: &str| status(self.daemon())["streams"][0][name].as_u64().unwrap();
        wait::until("some acknowledgements", || {
            at("acknowledged") > self.portion / 10
        });
    }

    fn suffer(&mut self, fault: Fault) {
        self.wait_for_some();
        match fault {
            Fault::Stopped => self.be_away(Signal::SIGTERM),
            Fault::Killed => self.be_away(Signal::SIGKILL),
            Fault::Frozen => {
                kill(self.rsyslog.process(), Signal::SIGSTOP).unwrap();
                self.wait_for_trouble("tls");
                kill(self.rsyslog.process(), Signal::SIGCONT).unwrap();
            }
            Fault::Full => self.fill_the_disk(),
            Fault::CutOff => {
                let cable = CutCable::after(20, self.rsyslog.address().port());
                self.wait_for_trouble("tcp");
                drop(cable);
            }
            Fault::Impostor => self.come_back_as_another(),
            Fault::Orphaned => {
                self.kill();
                self.start();
            }
        }
        self.wait_for_the_rest();
    }

    fn be_away(&mut self, signal: Signal) {
        self.rsyslog.end(signal);
        self.wait_for_trouble("tcp");
        self.rsyslog.start_again();
    }

    fn fill_the_disk(&mut self) {
        self.disk.fill();
        let before = self.seq();
        wait::until("that it acknowledges what it drops", || {
            let acknowledged = &status(self.daemon())["streams"][0]["acknowledged_seq"];
            acknowledged.as_u64().unwrap() > before
        });
        self.disk.free();
        self.rsyslog.end(Signal::SIGTERM);
        self.rsyslog.start_again();
    }

    fn come_back_as_another(&mut self) {
        let elsewhere = Authority::new();
        let stranger = elsewhere.sign(COLLECTOR, Validity::Good);
        let kept = self.authority.sign(COLLECTOR, Validity::Good);
        self.rsyslog.end(Signal::SIGKILL);
        exchange(&self.certificate, &stranger);
        self.rsyslog.start_again();
        self.wait_for_trouble("tls");
        self.rsyslog.end(Signal::SIGTERM);
        exchange(&self.certificate, &kept);
        self.rsyslog.start_again();
    }

    fn wait_for_trouble(&self, step: &str) {
        wait::until("the trouble", || {
            self.hurry();
            trouble(self.daemon())["step"] == step
        });
    }

    /// All that there was when the fault was over.
    fn wait_for_the_rest(&self) {
        let last = self.seq();
        wait::until("the rest", || {
            self.hurry();
            status(self.daemon())["streams"][0]["acknowledged_seq"].as_u64() >= Some(last)
        });
    }

    /// It does not wait for its next attempt.
    fn hurry(&self) {
        self.daemon().signal(Signal::SIGHUP);
        sleep(Duration::from_millis(100));
    }

    /// The last record on disk.
    fn seq(&self) -> u64 {
        status(self.daemon())["seq"].as_u64().unwrap()
    }

    fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Asks for what the collector's file lacks until it lacks nothing.
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
                self.acknowledged_seq() < from || self.is_done()
            });
        }
    }

    fn acknowledged_seq(&self) -> u64 {
        let seq = &status(self.daemon())["streams"][0]["acknowledged_seq"];
        seq.as_u64().unwrap()
    }

    fn is_done(&self) -> bool {
        status(self.daemon())["streams"][0]["queue"] == 0
    }

    /// What `audit verify` says of the collector's file, held against the log.
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
            // On a disk of its own: the verifier follows no links.
            .arg(fs::canonicalize(self.rsyslog.file()).unwrap())
            .arg("--against")
            .arg(self.log_directory())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "{error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The daemon ends in order, and with that everything is sealed and sent.
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
        // Without a loss to make good this would prove less.
        assert!(!self.replays.is_empty());
        println!(
            "{:.1} s: {} records ({readings} readings), {} starts of the daemon, {} records \
             missing before the replays from {:?}; then lost {}, {} sent again, {} torn",
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

/// How many records are named as missing.
fn missing(found: &Value) -> u64 {
    let gaps = found["collected"]["missing"].as_array().unwrap().iter();
    let end = |gap: &Value, name: &str| gap[name].as_u64().unwrap();
    gaps.map(|gap| end(gap, "to") + 1 - end(gap, "from")).sum()
}

/// Has the daemon's user own a directory and what is in it.
fn give(directory: &Path) {
    service::own(directory);
    for file in fs::read_dir(directory).unwrap() {
        service::own(&file.unwrap().path());
    }
}
