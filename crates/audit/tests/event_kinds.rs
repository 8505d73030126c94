//! Every kind of event has the record that it had before events were typed:
//! `data/before-event-kinds.log` was written then, and is gone on with here.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod common;

use common::simulated::Simulated;
use common::{at, check, one, pinned_with_state, settings};
use pulse_audit::verify::Verdict;
use pulse_audit::{Body, Dir, LIVE, Log, Storage};
use pulse_core::callers::capability::Capabilities;
use pulse_core::callers::container::ContainerId;
use pulse_core::callers::limiter::Refusal;
use pulse_core::callers::peer::{Credentials, Peer, PeerId};
use pulse_core::event::{
    Access, Event, EventType, Exchange, FailureReason, HostKeyReason, ReadingFailure, RequestId,
};
use pulse_core::nodes::name::NodeName;
use pulse_core::rpc::{InvalidNodeName, Retry, Unlisted, Violation};
use pulse_core::summary::Tally;
use pulse_sensors::command::NodeCommand;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const LOG: &[u8] = include_bytes!("data/before-event-kinds.log");
const SEAL_KEY: &[u8] = include_bytes!("data/before-event-kinds.seal-key-1");
const KEY: &str = include_str!("data/before-event-kinds.key");

fn peer(uid: u32) -> Peer {
    Peer {
        credentials: Credentials {
            uid,
            gid: uid,
            pid: uid,
        },
        id: PeerId::Uid(uid),
        container: None,
        capabilities: Capabilities::read_only(),
    }
}

/// The caller of the requests.
fn poller() -> Peer {
    let (uid, gid, pid) = (1000, 1001, 4242);
    Peer {
        credentials: Credentials { uid, gid, pid },
        ..peer(uid)
    }
}

fn exchange() -> Exchange {
    Exchange {
        address: "192.0.2.7:22".to_owned(),
        host_key: "SHA256:8Jx2hVWkJ0c8m7XGm1o0x5xS3o9p5oS1vYv3gk2Zs7Q".to_owned(),
        command: NodeCommand::SensorsJson,
        exit_code: Some(0),
        stdout_sha256: [0xab; 32],
        stdout_bytes: 3071,
    }
}

/// One of each kind, in the order of the log.
fn bodies() -> Vec<Body> {
    let (poller, exchange) = (poller(), exchange());
    let node = NodeName::parse("pve1").unwrap();
    let request = RequestId {
        correlation_id: "6fa459ea-ee8a-4ca4-894e-db77e160355e",
        peer: &poller,
    };
    let contained = Peer {
        credentials: Credentials {
            pid: 77,
            ..peer(100_033).credentials
        },
        container: ContainerId::from_cgroup("0::/lxc/101\n"),
        ..poller.clone()
    };
    let penalty = Tally::one(Access::Limited(Refusal::Penalty), &contained);
    let mut penalties = penalty.clone();
    penalties.add(penalty);
    let mut denied = Tally::one(Access::Unauthorized, &poller);
    for uid in [7, 8, 9] {
        denied.add(Tally::one(Access::Unauthorized, &peer(uid)));
    }
    let accepted = Tally::one(Access::Accepted, &poller);
    let finish = |micros, outcome| Event::CommandFinish {
        request,
        node: &node,
        duration: Duration::from_micros(micros),
        outcome,
    };
    let failed = |micros, reason, error| finish(micros, Err(ReadingFailure { reason, error }));
    let violation = |violation| Event::Violation { request, violation };
    let no_name = Violation::from(InvalidNodeName {
        shown: "a b".to_owned(),
        error: NodeName::parse("a b").unwrap_err(),
    });
    let events = [
        Event::ProxyStart,
        Event::Confinement {
            active: "privileges (user pulse), landlock (ABI 7)",
            missing: "",
        },
        Event::Confinement {
            active: "privileges (user pulse)",
            missing: "landlock: the kernel is too old",
        },
        Event::Confinement {
            active: "",
            missing: "switched off by the configuration",
        },
        Event::ConfigReloaded { error: None },
        Event::ConfigReloaded {
            error: Some("line 3: unknown key"),
        },
        accepted.event(),
        denied.event(),
        penalties.event(),
        Event::CommandStart {
            request,
            node: &node,
            retry: Retry::WhenDue,
        },
        finish(12_034, Ok(&exchange)),
        failed(10_000_001, FailureReason::Timeout, "did not answer in time"),
        failed(300, FailureReason::Abandoned, "the caller went away"),
        failed(
            5,
            FailureReason::AddressNotPermitted,
            "has no permitted address",
        ),
        failed(
            5_000,
            FailureReason::HostKey(HostKeyReason::Unknown),
            "showed a host key that is not in known_hosts",
        ),
        Event::HostKeyWithdrawn {
            node: &node,
            reason: HostKeyReason::Revoked,
            error: "the open connection to 192.0.2.7:22 is closed",
        },
        violation(&Violation::InvalidRequest),
        violation(&no_name),
        Event::Unlisted {
            request,
            node: &node,
            reason: Unlisted::NotAllowlisted,
        },
        Event::ProxyStop,
    ];
    events.iter().map(Body::of).collect()
}

/// Those that releases since that log have added.
fn later_bodies() -> Vec<Body> {
    let (poller, node) = (poller(), NodeName::parse("pve1").unwrap());
    let request = RequestId {
        correlation_id: "6fa459ea-ee8a-4ca4-894e-db77e160355e",
        peer: &poller,
    };
    let events = [
        Event::ForcedCommandMissing {
            node: &node,
            error: "runs any command for our SSH key",
        },
        Event::ForwardingLossAccepted {
            request,
            lost: "failover 1-8",
        },
        Event::CommandStart {
            request,
            node: &node,
            retry: Retry::Now,
        },
        Event::CommandFinish {
            request,
            node: &node,
            duration: Duration::from_millis(5),
            outcome: Err(ReadingFailure {
                reason: FailureReason::NoForcedCommand,
                error: "runs any command for our SSH key",
            }),
        },
    ];
    events.iter().map(Body::of).collect()
}

/// A new log with these records.
fn written(bodies: &[Body]) -> Vec<u8> {
    let disk = Simulated::default();
    let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
    log.append(at(1), bodies).unwrap();
    let files = disk.disk.lock().unwrap();
    files.content(Dir::Log, LIVE).unwrap()
}

/// A record without its place in the chain.
fn content(line: &str) -> &str {
    let (_, rest) = line.split_once(",\"event_type\"").unwrap();
    rest.split_once(",\"prev_hash\"").unwrap().0
}

/// The contents of the records of a log, without those of the log about itself.
fn contents(log: &[u8]) -> Vec<&str> {
    let lines = std::str::from_utf8(log).unwrap().lines();
    let contents = lines.map(content);
    contents
        .filter(|text| !text.starts_with(":\"log."))
        .collect()
}

#[test]
fn chain_goes_on_with_the_same_records() {
    let mut disk = Simulated::default();
    disk.disk.lock().unwrap().create_log_file(LIVE, LOG);
    disk.store(Dir::State, "seal-key-1", SEAL_KEY).unwrap();
    let mut log = Log::open(disk.clone(), settings(), at(60)).unwrap();
    log.append(at(61), &bodies()).unwrap();
    log.seal(at(62)).unwrap();
    let whole = disk.disk.lock().unwrap().content(Dir::Log, LIVE).unwrap();
    let (before, after) = whole.split_at(LOG.len());
    assert_eq!(before, LOG);
    assert_eq!(contents(after), contents(LOG));
    let options = pinned_with_state(KEY.trim().parse().unwrap(), &disk);
    let report = check(&one(whole), &options);
    assert_eq!(report.verdict, Verdict::Intact, "{report:#?}");
}

/// The members that the format's page gives to each event.
fn documented() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let page = include_str!("../../../docs/audit-format.md");
    let (_, section) = page.split_once("## Decisions of the daemon").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let mut members: BTreeSet<&str> = cells[3]
            .split(',')
            .map(|name| name.trim().trim_matches('`'))
            .filter(|name| !name.is_empty())
            .collect();
        if members.contains("peer") {
            members.extend(["peer_uid", "peer_gid", "peer_pid"]);
        }
        if members.contains("suppressed") {
            members.extend(["first_peer", "last_peer"]);
        }
        members.insert("decision");
        (cells[1].trim_matches('`'), members)
    };
    rows.map(row).collect()
}

#[test]
fn documented_members_are_written() {
    let (documented, mut events) = (documented(), BTreeSet::new());
    let later = written(&later_bodies());
    let logs = [LOG, &later].map(|log| std::str::from_utf8(log).unwrap());
    for line in logs.into_iter().flat_map(str::lines) {
        let record: Map<String, Value> = serde_json::from_str(line).unwrap();
        let event = record["event_type"].as_str().unwrap();
        if event.starts_with("log.") {
            continue;
        }
        let chain = ["seq", "ts", "event_type", "prev_hash", "event_hash"];
        for member in record.keys().filter(|name| !chain.contains(&name.as_str())) {
            assert!(documented[event].contains(&**member), "{event}: {member}");
        }
        events.insert(event.to_owned());
    }
    let names = EventType::ALL.map(EventType::as_str);
    assert_eq!(names.len(), documented.len());
    for event in names {
        assert!(
            documented.contains_key(event) && events.contains(event),
            "{event}"
        );
        assert_eq!(
            EventType::from_name(event).map(EventType::as_str),
            Some(event)
        );
    }
}
