//! A node's task with a scripted connection and paused time.

use super::connect::NotOpened;
use super::exchange::Sample;
use super::failure::{HostKeyFailure, NodeFailure};
use super::handle::NodeHandle;
use super::host_key::Identity;
use super::task::{Connector, NodeSession, NodeTask};
use super::{NodeStarter, NodeTaskSettings, Nodes, SharedHistory};
use crate::testing::{CapturedLog, Records, SECOND, name, sample};
use pulse_core::config::{Config, Timeouts};
use pulse_core::nodes::hosts::Hosts;
use pulse_core::nodes::known_hosts::pins::Pins;
use pulse_core::nodes::known_hosts::{HostQuery, KnownHosts};
use pulse_core::nodes::name::NodeName;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// A key in `known_hosts`, and the same in wire format.
const PIN: &str =
    "node ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBERERERERERERERERERERERERERERERERERERERERER\n";

fn key() -> Vec<u8> {
    let mut key = vec![0, 0, 0, 11];
    key.extend_from_slice(b"ssh-ed25519");
    key.extend_from_slice(&[0, 0, 0, 32]);
    key.extend_from_slice(&[0x11; 32]);
    key
}

/// What happens next, each once; a node without a plan answers at once.
#[derive(Clone, Debug)]
enum Planned {
    /// No connection.
    NotOpened(NodeFailure),
    /// No connection, because this host key is not accepted.
    KeyNotAccepted,
    /// A reading fails.
    ReadingFails(NodeFailure),
    /// A reading takes so long.
    ReadingTakes(Duration),
    /// The connection is closed by the node after this reading.
    Closes,
}

/// The node at the other end.
#[derive(Clone)]
struct Node {
    plan: Arc<Mutex<Vec<Planned>>>,
    opened: Arc<Mutex<u32>>,
    identity: Arc<Identity>,
}

impl Node {
    fn next(&self, matches: impl Fn(&Planned) -> bool) -> Option<Planned> {
        let mut plan = self.plan.lock().unwrap();
        let is_next = plan.first().is_some_and(matches);
        is_next.then(|| plan.remove(0))
    }
}

impl Connector for Node {
    type Session = Session;

    fn address(&self) -> Option<SocketAddr> {
        "192.0.2.1:22".parse().ok()
    }

    async fn open(&self) -> Result<Session, NotOpened> {
        let opens =
            |planned: &Planned| matches!(planned, Planned::NotOpened(_) | Planned::KeyNotAccepted);
        *self.opened.lock().unwrap() += 1;
        match self.next(opens) {
            Some(Planned::NotOpened(failure)) => Err(failure.into()),
            Some(_) => Err(NotOpened {
                failure: HostKeyFailure::Revoked {
                    fingerprint: "SHA256:x".to_owned(),
                }
                .into(),
                refused: Some(Arc::clone(&self.identity)),
            }),
            None => Ok(Session {
                node: self.clone(),
                is_closed: false,
            }),
        }
    }
}

struct Session {
    node: Node,
    is_closed: bool,
}

impl NodeSession for Session {
    fn identity(&self) -> &Arc<Identity> {
        &self.node.identity
    }

    fn address(&self) -> SocketAddr {
        "192.0.2.1:22".parse().unwrap()
    }

    fn is_closed(&self) -> bool {
        self.is_closed
    }

    async fn read(&mut self) -> Result<Sample, NodeFailure> {
        match self.node.next(|_| true) {
            Some(Planned::ReadingFails(failure)) => return Err(failure),
            Some(Planned::ReadingTakes(length)) => sleep(length).await,
            Some(Planned::Closes) => self.is_closed = true,
            Some(planned) => panic!("{planned:?} is not of an open connection"),
            None => {}
        }
        Ok(sample())
    }
}

struct Fixture {
    node: Node,
    handle: NodeHandle,
    pins: watch::Sender<Pins>,
    records: Records,
}

fn pinned(text: &str) -> Pins {
    let known = Arc::new(KnownHosts::parse(text).unwrap().0);
    Pins {
        for_open: Arc::clone(&known),
        for_new: Ok(known),
    }
}

impl Fixture {
    fn new(plan: impl Into<Vec<Planned>>) -> Self {
        let host = HostQuery::new(&name("node"), None, 22);
        let node = Node {
            plan: Arc::new(Mutex::new(plan.into())),
            opened: Arc::default(),
            identity: Arc::new(Identity::plain(host, "ssh-ed25519", key())),
        };
        let records = Records::default();
        let pins = watch::channel(pinned(PIN)).0;
        let (handle, inbox) = NodeHandle::new();
        tokio::spawn(NodeTask::run(
            name("node"),
            Timeouts {
                idle: SECOND * 600,
                ..Config::default().timeouts
            },
            node.clone(),
            pins.subscribe(),
            Arc::new(records.clone()),
            inbox,
        ));
        Self {
            node,
            handle,
            pins,
            records,
        }
    }

    async fn read(&self) -> Result<(), NodeFailure> {
        let deadline = Instant::now() + SECOND * 10;
        self.handle.read(deadline).await.map(drop)
    }

    fn opened(&self) -> u32 {
        *self.node.opened.lock().unwrap()
    }

    fn retry_in(&self) -> Duration {
        match self.handle.blocked() {
            Some(NodeFailure::Waiting { retry_in, .. }) => retry_in,
            other => panic!("{other:?}"),
        }
    }
}

fn broken() -> NodeFailure {
    NodeFailure::Ssh("broken pipe".to_owned())
}

#[tokio::test(start_paused = true)]
async fn connection_is_kept() {
    let fixture = Fixture::new([]);
    for _ in 0..9 {
        fixture.read().await.unwrap();
        sleep(SECOND * 60).await;
    }
    assert_eq!(fixture.opened(), 1);
}

#[tokio::test(start_paused = true)]
async fn quiet_connection_is_closed() {
    let fixture = Fixture::new([]);
    fixture.read().await.unwrap();
    sleep(SECOND * 601).await;
    fixture.read().await.unwrap();
    assert_eq!(fixture.opened(), 2);
}

#[tokio::test(start_paused = true)]
async fn connection_that_died_is_opened_again() {
    let fixture = Fixture::new([
        Planned::Closes,
        Planned::ReadingTakes(SECOND),
        Planned::ReadingFails(broken()),
    ]);
    // Closed by the node after the first reading, broken in the third.
    for _ in 0..3 {
        fixture.read().await.unwrap();
    }
    assert_eq!(fixture.opened(), 3);
}

#[tokio::test(start_paused = true)]
async fn fresh_connection_that_breaks_is_a_failure() {
    let fixture = Fixture::new([Planned::ReadingFails(broken())]);
    assert!(matches!(fixture.read().await, Err(NodeFailure::Ssh(_))));
    assert_eq!(fixture.opened(), 1);
    assert!(fixture.retry_in() <= SECOND);
}

#[tokio::test(start_paused = true)]
async fn failures_lengthen_the_wait() {
    let plan = vec![Planned::NotOpened(NodeFailure::TimedOut); 9];
    let fixture = Fixture::new(plan);
    let mut waits = Vec::new();
    for _ in 0..9 {
        assert!(fixture.read().await.is_err());
        waits.push(fixture.retry_in());
    }
    assert!(waits[0] <= SECOND && waits[8] >= SECOND * 45, "{waits:?}");
    assert!(waits[8] <= SECOND * 60, "{waits:?}");
    // One success forgives all.
    fixture.read().await.unwrap();
    assert!(fixture.handle.blocked().is_none());
}

#[tokio::test(start_paused = true)]
async fn refused_key_is_left_alone_for_ten_minutes() {
    let refused = NodeFailure::KeyRefused {
        user: "pulse".to_owned(),
    };
    let fixture = Fixture::new([Planned::NotOpened(refused)]);
    assert!(fixture.read().await.is_err());
    assert!(fixture.retry_in() >= SECOND * 600);
}

#[tokio::test(start_paused = true)]
async fn exchange_ends_at_its_deadline() {
    let fixture = Fixture::new([Planned::ReadingTakes(SECOND * 99)]);
    let started = Instant::now();
    assert!(matches!(fixture.read().await, Err(NodeFailure::TimedOut)));
    assert_eq!(started.elapsed(), SECOND * 10);
    // An answer may still be on its way, so the connection is not used again.
    fixture.read().await.unwrap();
    assert_eq!(fixture.opened(), 2);
}

#[tokio::test(start_paused = true)]
async fn withdrawn_key_closes_and_is_on_record() {
    let fixture = Fixture::new([]);
    fixture.read().await.unwrap();
    assert!(fixture.handle.fresh_sample(SECOND * 60).is_some());
    fixture.pins.send_replace(pinned(""));
    sleep(SECOND).await;
    assert!(fixture.handle.fresh_sample(SECOND * 60).is_none());
    let record = "hostkey.mismatch denied host_key_unknown";
    assert_eq!(fixture.records.lines(), [record]);
}

#[tokio::test(start_paused = true)]
async fn reading_under_way_ends_with_its_key() {
    let fixture = Fixture::new([Planned::ReadingTakes(SECOND * 5), Planned::KeyNotAccepted]);
    let (outcome, ()) = tokio::join!(fixture.read(), async {
        sleep(SECOND).await;
        fixture.pins.send_replace(pinned(""));
    });
    // It is tried once more, since the key may have been exchanged.
    assert!(
        matches!(outcome, Err(NodeFailure::HostKey(_))),
        "{outcome:?}"
    );
    assert_eq!(fixture.opened(), 2);
}

#[tokio::test(start_paused = true)]
async fn pinned_key_heals_at_once() {
    let fixture = Fixture::new([Planned::KeyNotAccepted]);
    fixture.pins.send_replace(pinned(""));
    assert!(fixture.read().await.is_err());
    assert!(fixture.retry_in() >= SECOND * 600);
    fixture.pins.send_replace(pinned(PIN));
    sleep(SECOND).await;
    assert!(fixture.handle.blocked().is_none());
    fixture.read().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn first_host_key_heals_at_once() {
    let fixture = Fixture::new([Planned::NotOpened(NodeFailure::NoHostKey)]);
    assert!(fixture.read().await.is_err());
    assert!(fixture.retry_in() >= SECOND * 600);
    fixture.pins.send_replace(pinned(PIN));
    sleep(SECOND).await;
    assert!(fixture.handle.blocked().is_none());
    fixture.read().await.unwrap();
}

/// The journal shows the sentence alone.
#[tokio::test(start_paused = true)]
async fn log_names_node_and_address() {
    let log = CapturedLog::start();
    let refused = NodeFailure::KeyRefused {
        user: "pulse".to_owned(),
    };
    let unreachable = NodeFailure::Unreachable {
        address: "192.0.2.1:22".parse().unwrap(),
        reason: "Connection refused".to_owned(),
    };
    let fixture = Fixture::new([
        Planned::NotOpened(refused),
        Planned::NotOpened(unreachable),
        Planned::NotOpened(NodeFailure::TimedOut),
    ]);
    for _ in 0..3 {
        assert!(fixture.read().await.is_err());
    }
    fixture.read().await.unwrap();
    // The connection becomes idle; another one loses its host key.
    sleep(SECOND * 601).await;
    fixture.read().await.unwrap();
    fixture.pins.send_replace(pinned(""));
    sleep(SECOND).await;
    let lines = log.lines();
    for sentence in [
        "refused our SSH key",
        "cannot be reached at",
        "did not answer in time",
        "answers again",
        "connected, host key",
        "connection closed: idle",
        "no longer accepted",
    ] {
        assert!(
            lines.iter().any(|line| line.contains(sentence)),
            "{sentence} is not in {lines:#?}"
        );
    }
    for line in lines {
        assert!(line.contains("node \"node\""), "{line}");
        assert_eq!(line.matches("192.0.2.1:22").count(), 1, "{line}");
    }
}

/// Keeps the histories that tasks are started with.
#[derive(Default)]
struct Starts(Mutex<Vec<SharedHistory>>);

impl NodeStarter for Starts {
    fn start(&self, _: &NodeName, _: &NodeTaskSettings, history: &SharedHistory) -> NodeHandle {
        self.0.lock().unwrap().push(Arc::clone(history));
        NodeHandle::new().0
    }

    fn check_pins(&self) {}
}

#[test]
fn history_survives_reloads() {
    let starts = Starts::default();
    let mut nodes = Nodes::default();
    for config in [
        "allowed_nodes = ['a']",
        // The same task goes on.
        "allowed_nodes = ['a', 'b']",
        // A new task for the same machine.
        "allowed_nodes = ['a']\nmax_ssh_output_bytes = 100000",
        // The same machine, by another user.
        "allowed_nodes = [{ name = 'a', user = 'other' }]",
        // Another machine.
        "allowed_nodes = [{ name = 'a', address = '192.0.2.9' }]\nmax_ssh_output_bytes = 100000",
    ] {
        nodes = Nodes::of(
            &Config::parse(config).unwrap(),
            &Hosts::default(),
            &starts,
            &nodes,
        );
    }
    let starts = starts.0.lock().unwrap();
    let [first, other, again, user, moved] = starts.as_slice() else {
        panic!("{} tasks", starts.len());
    };
    assert!(Arc::ptr_eq(first, again) && Arc::ptr_eq(first, user));
    assert!(!Arc::ptr_eq(first, other) && !Arc::ptr_eq(first, moved));
}

#[tokio::test(start_paused = true)]
async fn last_outcome_is_known() {
    let fixture = Fixture::new([Planned::NotOpened(NodeFailure::TimedOut)]);
    assert!(fixture.handle.last_outcome().is_none());
    assert!(fixture.read().await.is_err());
    let failure = || fixture.handle.last_outcome().unwrap().err().unwrap();
    assert!(matches!(failure(), NodeFailure::Waiting { .. }));
    sleep(fixture.retry_in()).await;
    assert!(matches!(failure(), NodeFailure::TimedOut));
    fixture.read().await.unwrap();
    assert!(fixture.handle.last_outcome().unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn last_outcome_survives_new_pins() {
    let last = |fixture: &Fixture| fixture.handle.last_outcome().unwrap().err().unwrap();
    // An idle connection whose key is revoked has had readings, and is not fit for the next.
    let idle = Fixture::new([]);
    idle.read().await.unwrap();
    idle.pins.send_replace(pinned(""));
    sleep(SECOND).await;
    let failure = last(&idle);
    assert!(matches!(failure, NodeFailure::HostKey(_)), "{failure}");
    // A node that may be tried again at once has not been read since it failed.
    let healed = Fixture::new([
        Planned::NotOpened(NodeFailure::TimedOut),
        Planned::KeyNotAccepted,
    ]);
    healed.pins.send_replace(pinned(""));
    for _ in 0..2 {
        assert!(healed.read().await.is_err());
    }
    healed.pins.send_replace(pinned(PIN));
    sleep(SECOND).await;
    assert!(healed.handle.blocked().is_none());
    let failure = last(&healed);
    assert!(matches!(failure, NodeFailure::HostKey(_)), "{failure}");
    healed.read().await.unwrap();
    assert!(healed.handle.last_outcome().unwrap().is_ok());
}
