//! A node's task with a scripted connection and paused time.

mod files;
mod messages;
mod outages;
mod warnings;

use super::exchange::{KeyScope, Sample};
use super::failure::{
    CommandEnd, CommandFault, ConnectError, HostKeyFailure, NodeFailure, SharedStage, Stage,
};
use super::handle::NodeHandle;
use super::host_key::Identity;
use super::stream::{CONNECT_TIMEOUT, UNACKNOWLEDGED_TIMEOUT};
use super::task::{Connector, LocalFiles, NodeSession, NodeTask};
use super::{NodeStarter, NodeTaskSettings, Nodes, SharedHistory};
use crate::observe::files::FileProblem;
use crate::testing::{CapturedLog, Records, SECOND, name, sample};
use pulse_core::config::{Config, Timeouts};
use pulse_core::nodes::clock::NodeClock;
use pulse_core::nodes::hosts::Hosts;
use pulse_core::nodes::known_hosts::pins::Pins;
use pulse_core::nodes::known_hosts::{HostQuery, KnownHosts};
use pulse_core::nodes::name::NodeName;
use pulse_core::rpc::Retry;
use pulse_files::Exhaustion;
use pulse_trust::Check;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// A key in `known_hosts`, and the same in wire format.
const PIN: &str =
    "node ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBERERERERERERERERERERERERERERERERERERERERER\n";

fn wire_key() -> Vec<u8> {
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
    /// The node runs these commands for our key, and is read.
    Runs(KeyScope),
    /// The node is so many seconds ahead, and is read.
    IsAhead(u64),
}

/// The node at the other end.
#[derive(Clone)]
struct Node {
    plan: Arc<Mutex<Vec<Planned>>>,
    opened: Arc<Mutex<u32>>,
    address: Arc<Mutex<SocketAddr>>,
    identity: Arc<Identity>,
    /// Until then every packet of the node's, and to it, is dropped.
    dropped_until: Arc<Mutex<Option<Instant>>>,
}

impl Node {
    fn outage(&self) -> Option<Instant> {
        let until = *self.dropped_until.lock().unwrap();
        until.filter(|until| *until > Instant::now())
    }

    fn next(&self, matches: impl Fn(&Planned) -> bool) -> Option<Planned> {
        let mut plan = self.plan.lock().unwrap();
        let is_next = plan.first().is_some_and(matches);
        is_next.then(|| plan.remove(0))
    }
}

impl Connector for Node {
    type Session = Session;

    fn address(&self) -> Option<SocketAddr> {
        Some(*self.address.lock().unwrap())
    }

    fn check_files(&self) {}

    async fn open(&self, _: &SharedStage) -> Result<Session, NodeFailure> {
        let opens =
            |planned: &Planned| matches!(planned, Planned::NotOpened(_) | Planned::KeyNotAccepted);
        *self.opened.lock().unwrap() += 1;
        if let Some(end) = self.outage() {
            let started = Instant::now();
            // The kernel's packets of connect(2).
            let arriving = [1, 3].map(|after| started + SECOND * after);
            let Some(arrived) = arriving.into_iter().find(|at| *at >= end) else {
                sleep(CONNECT_TIMEOUT).await;
                return Err(unreachable());
            };
            sleep_until(arrived).await;
        }
        match self.next(opens) {
            Some(Planned::NotOpened(failure)) => Err(failure),
            Some(_) => Err(not_accepted()),
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

    async fn read(&mut self, _: Instant) -> Result<Sample, NodeFailure> {
        if self.node.outage().is_some() {
            sleep(UNACKNOWLEDGED_TIMEOUT).await;
            // As the kernel ends the connection (`TCP_USER_TIMEOUT`).
            let error = io::Error::from_raw_os_error(nix::libc::ETIMEDOUT);
            return Err(NodeFailure::from(russh::Error::IO(error)).after_login());
        }
        match self.node.next(|_| true) {
            Some(Planned::ReadingFails(failure)) => return Err(failure),
            Some(Planned::ReadingTakes(length)) => sleep(length).await,
            Some(Planned::Closes) => self.is_closed = true,
            Some(Planned::Runs(key_scope)) => {
                return Ok(Sample {
                    key_scope,
                    ..sample()
                });
            }
            Some(Planned::IsAhead(seconds)) => {
                return Ok(Sample {
                    clock: Some(NodeClock {
                        node: 1_000_000 + seconds,
                        here: 1_000_000,
                    }),
                    ..sample()
                });
            }
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
    key: watch::Sender<Arc<PrivateKey>>,
    records: Records,
}

fn login_key(seed: u8) -> Arc<PrivateKey> {
    Arc::new(PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32])))
}

fn not_accepted() -> NodeFailure {
    let fingerprint = "SHA256:x".to_owned();
    HostKeyFailure::Revoked { fingerprint }.into()
}

fn key_refused() -> NodeFailure {
    let user = "pulse".to_owned();
    NodeFailure::KeyRefused { user }
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
            address: Arc::new(Mutex::new("192.0.2.1:22".parse().unwrap())),
            identity: Arc::new(Identity::plain(host, "ssh-ed25519", wire_key())),
            dropped_until: Arc::default(),
        };
        let records = Records::default();
        let pins = watch::channel(pinned(PIN)).0;
        let key = watch::channel(login_key(1)).0;
        let (handle, inbox) = NodeHandle::new();
        tokio::spawn(NodeTask::run(
            name("node"),
            Timeouts {
                idle: SECOND * 600,
                ..Config::default().timeouts
            },
            node.clone(),
            LocalFiles {
                pins: pins.subscribe(),
                key: key.subscribe(),
            },
            Arc::new(records.clone()),
            inbox,
        ));
        Self {
            node,
            handle,
            pins,
            key,
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
        match self.handle.blocked(Retry::WhenDue) {
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

fn unreachable() -> NodeFailure {
    NodeFailure::TimedOut(Stage::Connecting("192.0.2.1:22".parse().unwrap()))
}

#[tokio::test(start_paused = true)]
async fn exchange_ends_at_its_deadline() {
    let fixture = Fixture::new([Planned::ReadingTakes(SECOND * 99)]);
    let started = Instant::now();
    assert!(matches!(
        fixture.read().await,
        Err(NodeFailure::TimedOut(Stage::Reading(_)))
    ));
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

/// Keeps the histories that tasks are started with.
#[derive(Default)]
struct Starts(Mutex<Vec<SharedHistory>>);

impl NodeStarter for Starts {
    fn start(&self, _: &NodeName, _: &NodeTaskSettings, history: &SharedHistory) -> NodeHandle {
        self.0.lock().unwrap().push(Arc::clone(history));
        NodeHandle::new().0
    }

    fn check_files(&self, _: Check) {}

    fn file_problems(&self) -> Vec<FileProblem> {
        Vec::new()
    }

    fn public_key(&self) -> String {
        String::new()
    }
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
    let fixture = Fixture::new([Planned::NotOpened(NodeFailure::TimedOut(Stage::Queued))]);
    assert!(fixture.handle.last_outcome().is_none());
    assert!(fixture.read().await.is_err());
    let failure = || fixture.handle.last_outcome().unwrap().err().unwrap();
    assert!(matches!(failure(), NodeFailure::Waiting { .. }));
    sleep(fixture.retry_in()).await;
    assert!(matches!(failure(), NodeFailure::TimedOut(_)));
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
        Planned::NotOpened(NodeFailure::TimedOut(Stage::Queued)),
        Planned::KeyNotAccepted,
    ]);
    healed.pins.send_replace(pinned(""));
    for _ in 0..2 {
        assert!(healed.read().await.is_err());
    }
    healed.pins.send_replace(pinned(PIN));
    sleep(SECOND).await;
    assert!(healed.handle.blocked(Retry::WhenDue).is_none());
    let failure = last(&healed);
    assert!(matches!(failure, NodeFailure::HostKey(_)), "{failure}");
    healed.read().await.unwrap();
    assert!(healed.handle.last_outcome().unwrap().is_ok());
}
