//! Hostile callers, nodes, scrapers and a hostile collector attack one daemon at the same
//! time, while an innocent poller counts its readings.
//!
//! Other tests make one attack each; this one finds the effects of several together: a queue
//! that one attack fills and another waits for, memory and log growth that add up. It runs
//! for a minute, or as long as `cargo xtask siege` is told, and uses the whole machine, so an
//! ordinary run of the tests skips it.
#![allow(clippy::print_stdout, reason = "figures are what a siege is for")]

mod attackers;
mod innocent;

use crate::forwarding::hostile_collector::{HostileCollector, Misbehaviour};
use attackers::{Crowd, HalfRequests};
use innocent::Poller;
use pulse_audit::verify::{Options, Verdict, open_directory, verify};
use pulse_e2e::certificates::{Authority, Validity};
use pulse_e2e::flood::{Attack, Flood};
use pulse_e2e::forwarding::{COLLECTOR, forward_to_all, install_valid_credentials};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::python::User;
use pulse_e2e::sim::{self, Behaviour, SimConfig, SimNode};
use pulse_e2e::{Daemon, Home};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The variable with the duration in seconds.
const SECONDS: &str = "PULSE_SIEGE_SECONDS";

const NEEDS: [Need; 4] = [
    Need::Root,
    Need::Collector,
    Need::Program("python3"),
    Need::WholeMachine(SECONDS, "cargo xtask siege"),
];

/// Healthy nodes, which the innocent poller reads.
const WELL: [&str; 3] = ["pve1", "pve2", "pve3"];

/// Pulse's user.
const INNOCENT: User = User {
    uid: 61_010,
    gid: 61_010,
};
/// A compromised caller with the same rights.
const TAKEN_OVER: User = User {
    uid: 61_011,
    gid: 61_011,
};
/// A local user without rights.
const STRANGER: User = User {
    uid: 61_012,
    gid: 61_012,
};
/// The first of the 65,536 UIDs of a subordinate range.
const FIRST_OF_RANGE: u32 = 600_000;

/// The hostile collector's misbehaviours, one after another.
const MISBEHAVIOURS: [Misbehaviour; 9] = [
    Misbehaviour::EndlessFrames,
    Misbehaviour::EndlessFrame,
    Misbehaviour::HugeLength,
    Misbehaviour::WrongNumbers,
    Misbehaviour::Forward,
    Misbehaviour::Mute,
    Misbehaviour::NeverReads,
    Misbehaviour::DripsOnceOpen,
    Misbehaviour::ClosesAfterAnAcknowledgement,
];
/// The duration of each misbehaviour.
const TURN: Duration = Duration::from_secs(3);

/// The least share of the innocent's readings that succeed, in percent.
const LEAST_SERVED: usize = 99;
/// The most that the innocent's median may be. It detects a wait for a deadline or a queue; it
/// promises no speed on a machine under attack.
const LONGEST_MEDIAN: Duration = Duration::from_secs(1);
/// The most that the daemon may grow, in KiB.
const GROWTH_KIB: u64 = 96 * 1024;
/// The most descriptors: all connections that may be open, and the daemon's own.
const DESCRIPTORS: usize = 5_000;
/// The most bytes a second of records about callers without a capability.
const STRANGERS_BYTES: u64 = 10_000;

struct Siege {
    /// Owns the files of the collector's certificates.
    _authority: Authority,
    collector: HostileCollector,
    nodes: Vec<(String, SimNode)>,
    daemon: Daemon,
}

impl Siege {
    fn start() -> Self {
        let authority = Authority::new();
        let certificate = authority.sign(COLLECTOR, Validity::Good);
        let collector = HostileCollector::start(&certificate, MISBEHAVIOURS[0]);
        let home = Arc::new(Home::new());
        install_valid_credentials(&home, &authority);
        let mut config = forward_to_all(&[(COLLECTOR, collector.address(), "relp")])
            .with_default_limits()
            .set_forward("timeout", "'2s'")
            .set("request_timeout", "'5s'")
            .set_limit("per_peer_interval_ms", "500")
            .set(
                "allowed_peers",
                &format!("[{}, {}]", INNOCENT.uid, TAKEN_OVER.uid),
            );
        let mut nodes = Vec::new();
        let well = WELL.map(|name| (name.to_owned(), sim::healthy()));
        for (name, behaviour) in well.into_iter().chain(hostile_nodes()) {
            let node = sim::start_with(SimConfig::new(behaviour));
            home.trust(&node.host_key_line(&name));
            config = config.node(&name, node.addr());
            nodes.push((name, node));
        }
        Self {
            _authority: authority,
            collector,
            nodes,
            daemon: Daemon::start_in(&home, &config),
        }
    }

    fn hostile_names(&self) -> Vec<&str> {
        let names = self.nodes.iter().map(|(name, _)| name.as_str());
        names.filter(|name| !WELL.contains(name)).collect()
    }
}

/// A node for each misbehaviour.
fn hostile_nodes() -> impl Iterator<Item = (String, Behaviour)> {
    let document: Arc<str> = sim::DOCUMENT.into();
    let behaviours = [
        Behaviour::Hang,
        Behaviour::HangAfterGreeting,
        Behaviour::Flood,
        Behaviour::Garbage,
        Behaviour::CloseAtOnce,
        Behaviour::DropConnection,
        Behaviour::RefuseKey,
        Behaviour::Blackhole,
        Behaviour::Banner {
            every: Duration::from_millis(20),
        },
        Behaviour::StopsReading,
        Behaviour::OpensChannels { document },
    ];
    let named = |(number, behaviour)| (format!("hostile{number}"), behaviour);
    behaviours.into_iter().enumerate().map(named)
}

#[test]
fn innocent_poller_is_served() {
    if skipped(&NEEDS) {
        return;
    }
    let length = Duration::from_secs(std::env::var(SECONDS).unwrap().parse().unwrap());
    let siege = Siege::start();
    let daemon = &siege.daemon;
    let socket = daemon.home().socket();
    let before = Usage::of(daemon);

    let began = Instant::now();
    let flood = Path::new(env!("CARGO_BIN_EXE_pulse-flood"));
    let range = Attack::Connect {
        first: FIRST_OF_RANGE,
        count: 65_536,
    };
    let floods = [Flood::start(flood, &socket, range)];
    let crowds = [
        Crowd::of(STRANGER, &socket, &[]),
        Crowd::of(TAKEN_OVER, &socket, &siege.hostile_names()),
    ];
    let scrapers = HalfRequests::start(daemon.home().metrics_address());
    let poller = Poller::start(INNOCENT, &socket, &WELL, length);
    let mut most = before;
    for misbehaviour in MISBEHAVIOURS.iter().cycle() {
        if began.elapsed() >= length {
            break;
        }
        siege.collector.change(*misbehaviour);
        std::thread::sleep(TURN.min(length));
        most = most.max(Usage::of(daemon));
    }
    let seen = poller.end();
    let elapsed = began.elapsed();
    let connections: u64 = floods.into_iter().map(Flood::stop).sum();
    let requests: u64 = crowds.into_iter().map(Crowd::end).sum();
    let half_requests = scrapers.end();

    let strangers = bytes_of_strangers(daemon.home()) / elapsed.as_secs().max(1);
    println!("siege of {} s:", elapsed.as_secs());
    println!("  innocent poller  {seen}");
    println!("  connections      {connections}, by 65,536 user ids");
    println!("  hostile requests {requests}, and {half_requests} unfinished scrapes");
    println!(
        "  memory           {} KiB at most, {} KiB before",
        most.resident_kib, before.resident_kib
    );
    println!(
        "  descriptors      {} at most, {} before",
        most.descriptors, before.descriptors
    );
    println!(
        "  processor time   {:.1} s",
        most.processor
            .saturating_sub(before.processor)
            .as_secs_f64()
    );
    println!("  log growth       {strangers} bytes/s of records about strangers");

    assert!(
        seen.asked > 0 && seen.served * 100 >= seen.asked * LEAST_SERVED,
        "{seen}"
    );
    assert!(seen.median() <= LONGEST_MEDIAN, "{seen}");
    assert!(
        most.resident_kib <= before.resident_kib + GROWTH_KIB,
        "{most:?}"
    );
    assert!(most.descriptors <= DESCRIPTORS, "{most:?}");
    // A long siege averages out the burst at the beginning.
    assert!(
        strangers <= STRANGERS_BYTES,
        "{strangers} bytes/s of records about strangers"
    );
    assert!(daemon.get("/ready").contains("200 OK"));

    let home = Arc::clone(daemon.home());
    siege.daemon.stop();
    let log = home.audit_log();
    let sources = open_directory(log.parent().unwrap()).unwrap();
    let report = verify(sources, &Options::default(), &mut |_| ()).unwrap();
    assert_ne!(report.verdict, Verdict::Broken, "{report:?}");
}

/// Bytes of records about callers without a capability, in all files of the log.
fn bytes_of_strangers(home: &Home) -> u64 {
    let of_strangers = |line: &&str| {
        serde_json::from_str::<Value>(line).is_ok_and(|record| {
            let uid = record["peer_uid"].as_u64();
            uid.is_some_and(|uid| {
                uid == u64::from(STRANGER.uid) || uid >= u64::from(FIRST_OF_RANGE)
            })
        })
    };
    let text = home.log_text();
    let lines = text.lines().filter(of_strangers);
    lines.map(|line| line.len() as u64 + 1).sum()
}

/// The daemon's use of resources.
#[derive(Clone, Copy, Debug)]
struct Usage {
    resident_kib: u64,
    descriptors: usize,
    processor: Duration,
}

impl Usage {
    fn of(daemon: &Daemon) -> Self {
        Self {
            resident_kib: daemon.resident_kib(),
            descriptors: daemon.descriptors(),
            processor: daemon.processor_time(),
        }
    }

    /// The maximum of each resource.
    fn max(self, other: Self) -> Self {
        Self {
            resident_kib: self.resident_kib.max(other.resident_kib),
            descriptors: self.descriptors.max(other.descriptors),
            processor: self.processor.max(other.processor),
        }
    }
}
