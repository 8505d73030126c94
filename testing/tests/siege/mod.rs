//! Hostile callers, nodes, scrapers and a hostile collector, all at once, against one
//! daemon, while an innocent poller counts its readings.
//!
//! Other tests take one attack at a time and look at its effect; this one looks for what
//! attacks do together: a queue that one fills and another waits for, memory that adds up,
//! a log that grows by the sum. It runs for a minute, or as long as `cargo xtask siege`
//! says, and takes the whole machine meanwhile; so an ordinary run of the tests skips it.
#![allow(clippy::print_stdout, reason = "figures are what a siege is for")]

mod attackers;
mod innocent;

use crate::forwarding::villain::{Villain, Way};
use attackers::{Crowd, HalfRequests};
use innocent::Poller;
use pulse_audit::verify::{Options, Verdict, open_directory, verify};
use pulse_e2e::certificates::{Authority, Validity};
use pulse_e2e::flood::{Attack, Flood};
use pulse_e2e::forwarding::{COLLECTOR, equip_well, to_all};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::python::User;
use pulse_e2e::sim::{self, Behaviour, SimConfig, SimNode};
use pulse_e2e::{Daemon, Home};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The variable that says for how many seconds.
const SECONDS: &str = "PULSE_SIEGE_SECONDS";

const NEEDS: [Need; 4] = [
    Need::Root,
    Need::Collector,
    Need::Program("python3"),
    Need::WholeMachine(SECONDS, "cargo xtask siege"),
];

/// Nodes that the innocent reads.
const WELL: [&str; 3] = ["pve1", "pve2", "pve3"];

/// Pulse's user.
const INNOCENT: User = User {
    uid: 61_010,
    gid: 61_010,
};
/// A caller with the same rights, taken over.
const TAKEN_OVER: User = User {
    uid: 61_011,
    gid: 61_011,
};
/// A local user without rights.
const STRANGER: User = User {
    uid: 61_012,
    gid: 61_012,
};
/// The first of 65,536 UIDs, as whoever has a subordinate range has them.
const FIRST_OF_RANGE: u32 = 600_000;

/// The hostile collector's manners, one after the other.
const WAYS: [Way; 9] = [
    Way::EndlessFrames,
    Way::EndlessFrame,
    Way::HugeLength,
    Way::WrongNumbers,
    Way::Forward,
    Way::Mute,
    Way::NeverReads,
    Way::DripsOnceOpen,
    Way::ClosesAfterAnAcknowledgement,
];
/// The time for each of them.
const MANNER: Duration = Duration::from_secs(3);

/// The least share of the innocent's readings that succeed, in percent.
const LEAST_SERVED: usize = 99;
/// The most that the innocent's median may be. It is a bound against being held up (a
/// deadline, a queue), not a promise of speed on a machine that others use up.
const LONGEST_MEDIAN: Duration = Duration::from_secs(1);
/// The most that the daemon may grow, in KiB.
const GROWTH_KIB: u64 = 96 * 1024;
/// The most descriptors: every connection that may be open at a time, and its own.
const DESCRIPTORS: usize = 5_000;
/// The most that records of those without a capability may take, in bytes a second.
const STRANGERS_BYTES: u64 = 10_000;

struct Siege {
    /// Its files are the collector's certificates.
    _authority: Authority,
    villain: Villain,
    nodes: Vec<(String, SimNode)>,
    daemon: Daemon,
}

impl Siege {
    fn lay() -> Self {
        let authority = Authority::new();
        let certificate = authority.sign(COLLECTOR, Validity::Good);
        let villain = Villain::start(&certificate, WAYS[0]);
        let home = Arc::new(Home::new());
        equip_well(&home, &authority);
        let mut config = to_all(&[(COLLECTOR, villain.address(), "relp")])
            .with_default_limits()
            .set_forward("timeout", "'2s'")
            .set("request_timeout", "'5s'")
            .set_limit("per_peer_interval_ms", "500")
            .set(
                "allowed_peers",
                &format!("[{}, {}]", INNOCENT.uid, TAKEN_OVER.uid),
            );
        let mut nodes = Vec::new();
        let well = WELL.map(|name| (name.to_owned(), sim::well()));
        for (name, behaviour) in well.into_iter().chain(hostile_nodes()) {
            let node = sim::start_with(SimConfig::new(behaviour));
            home.trust(&node.host_key_line(&name));
            config = config.node(&name, node.addr());
            nodes.push((name, node));
        }
        Self {
            _authority: authority,
            villain,
            nodes,
            daemon: Daemon::start_in(&home, &config),
        }
    }

    fn hostile_names(&self) -> Vec<&str> {
        let names = self.nodes.iter().map(|(name, _)| name.as_str());
        names.filter(|name| !WELL.contains(name)).collect()
    }
}

/// Every way of a node not to answer, or to answer too much.
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
    let seconds = std::env::var(SECONDS).unwrap().parse().unwrap();
    let length = Duration::from_secs(seconds);
    let siege = Siege::lay();
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
    for way in WAYS.iter().cycle() {
        if began.elapsed() >= length {
            break;
        }
        siege.villain.change(*way);
        std::thread::sleep(MANNER.min(length));
        most = most.max(Usage::of(daemon));
    }
    let seen = poller.end();
    let elapsed = began.elapsed();
    let connections: u64 = floods.into_iter().map(Flood::stop).sum();
    let requests: u64 = crowds.into_iter().map(Crowd::end).sum();
    let half_requests = scrapers.end();

    let strangers = bytes_of_strangers(daemon.home()) / elapsed.as_secs().max(1);
    println!("siege of {} s:", elapsed.as_secs());
    println!("  innocent       {seen}");
    println!("  connections    {connections} of 65,536 user ids");
    println!("  requests       {requests} hostile ones, {half_requests} half scrapes");
    println!(
        "  memory         {} KiB, {} before",
        most.resident_kib, before.resident_kib
    );
    println!(
        "  descriptors    {}, {} before",
        most.descriptors, before.descriptors
    );
    println!(
        "  processor      {:.1} s",
        (most.processor - before.processor).as_secs_f64()
    );
    println!("  log, strangers {strangers} bytes/s");

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
    // What a burst leaves at the beginning is once and for all.
    assert!(
        strangers <= STRANGERS_BYTES,
        "{strangers} bytes/s of strangers' records"
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
    let log = home.audit_log();
    let files = std::fs::read_dir(log.parent().unwrap()).unwrap().flatten();
    let texts = files
        .filter(|file| file.file_name().to_string_lossy().starts_with("audit.log"))
        .map(|file| std::fs::read_to_string(file.path()).unwrap());
    let of_strangers = |line: &&str| {
        serde_json::from_str::<Value>(line).is_ok_and(|record| {
            let uid = record["peer_uid"].as_u64();
            uid.is_some_and(|uid| {
                uid == u64::from(STRANGER.uid) || uid >= u64::from(FIRST_OF_RANGE)
            })
        })
    };
    let bytes = |text: String| {
        let lines = text.lines().filter(of_strangers);
        lines.map(|line| line.len() as u64 + 1).sum::<u64>()
    };
    texts.map(bytes).sum()
}

/// What the daemon takes from the machine.
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

    /// The larger of each.
    fn max(self, other: Self) -> Self {
        Self {
            resident_kib: self.resident_kib.max(other.resident_kib),
            descriptors: self.descriptors.max(other.descriptors),
            processor: self.processor.max(other.processor),
        }
    }
}
