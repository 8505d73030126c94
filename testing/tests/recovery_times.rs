//! From the end of an outage of a node or of a collector to the first good reading, or the first
//! acknowledgement: at most five seconds, for a caller that polls and for one that asks only
//! afterwards.
//!
//! An outage here is shorter than the minute that is promised, and long enough for each state of
//! it: connections that break, attempts that time out, and the longest wait between two. The
//! minute passes in simulated time, in `outage_ends_within_seconds` of the daemon.

use crate::forwarding::machine::{alone, run};
use nix::sys::signal::Signal;
use pulse_e2e::forwarding::{ForwardingHost, status, trouble};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::rsyslog::{Input, TlsLibrary};
use pulse_e2e::sshd::printing_options;
use pulse_e2e::{Client, Config, Daemon, RealNode, wait};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

const MOST: Duration = Duration::from_secs(5);
const OUTAGE: Duration = Duration::from_secs(17);
/// The interval in which Pulse's client tries again.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

const NEEDS: [Need; 5] = [
    Need::Sshd,
    Need::Root,
    Need::Optional("ip"),
    Need::Program("nft"),
    Need::NoUnit("it needs a network of its own"),
];

/// The requests during an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// One in each interval.
    Polling,
    /// None.
    Silent,
    /// None, and the daemon itself sends keepalives over the connection, which are lost.
    SilentWithKeepalives,
}

const CALLERS: [Caller; 3] = [
    Caller::Polling,
    Caller::Silent,
    Caller::SilentWithKeepalives,
];

/// Nodes with an open connection, one for each caller.
struct Nodes([(Caller, RealNode); 3]);

impl Nodes {
    fn start() -> Self {
        let nodes = CALLERS.map(|caller| {
            let config = match caller {
                Caller::SilentWithKeepalives => {
                    Config::new().set_ssh("keepalive_interval", "'10s'")
                }
                Caller::Polling | Caller::Silent => Config::new(),
            };
            let node = RealNode::start(&printing_options(), config);
            assert!(node.daemon.temperature("pve1").is_ok());
            (caller, node)
        });
        Self(nodes)
    }

    /// The ports of the nodes' servers, as a set of nft's.
    fn ports(&self) -> String {
        let ports = self
            .0
            .each_ref()
            .map(|(_, node)| node.sshd.address().port());
        format!("{{{},{},{}}}", ports[0], ports[1], ports[2])
    }

    /// An outage between the two calls: each caller gets its reading in time.
    fn survive(&mut self, begin: impl FnOnce(&mut Self), end: impl FnOnce(&mut Self)) {
        begin(self);
        let began = Instant::now();
        // The poller's connection is asked while the servers are changed.
        let poller = self.0[0].1.daemon.home().socket();
        let ended: Mutex<Option<Instant>> = Mutex::new(None);
        thread::scope(|scope| {
            let polling = scope.spawn(|| poll(&poller, &ended));
            sleep(OUTAGE.saturating_sub(began.elapsed()));
            end(self);
            let now = Instant::now();
            *ended.lock().unwrap() = Some(now);
            // At the same time: one must not use up the time of the next.
            for (caller, node) in &self.0[1..] {
                scope.spawn(move || {
                    let reading = node.daemon.temperature("pve1");
                    assert!(reading.is_ok(), "{caller:?}: {reading:?}");
                    assert!(now.elapsed() <= MOST, "{caller:?}: {:?}", now.elapsed());
                });
            }
            assert!(polling.join().unwrap() > 0, "there was no outage");
        });
    }
}

/// Polls until a reading succeeds after the outage has ended. The number of failures.
fn poll(socket: &Path, ended: &Mutex<Option<Instant>>) -> u32 {
    let mut failures = 0;
    loop {
        let polled = Instant::now();
        let mut client = Client::connect(socket);
        let request = r#"{"method":"get_temperature","params":{"node":"pve1"}}"#;
        client.send(format!("{request}\n").as_bytes());
        let answer = client.line();
        let is_good = answer.contains(r#""success":true"#);
        failures += u32::from(!is_good);
        if let Some(ended) = *ended.lock().unwrap() {
            assert!(ended.elapsed() <= MOST, "{:?}: {answer}", ended.elapsed());
            if is_good {
                return failures;
            }
        }
        sleep(POLL_INTERVAL.saturating_sub(polled.elapsed()));
    }
}

fn filter(rule: &str) {
    run("nft", &format!("add rule ip hole out {rule}"));
}

fn add_filter() {
    run("nft", "add table ip hole");
    let hook = "{ type filter hook output priority 0 ; }";
    run("nft", &format!("add chain ip hole out {hook}"));
}

#[test]
fn black_hole() {
    if skipped(&NEEDS) {
        return;
    }
    alone(|| {
        let mut nodes = Nodes::start();
        let ports = nodes.ports();
        nodes.survive(
            |_| {
                add_filter();
                filter(&format!("tcp dport {ports} drop"));
                filter(&format!("tcp sport {ports} drop"));
            },
            |_| run("nft", "delete table ip hole"),
        );
    });
}

#[test]
fn link_cut() {
    if skipped(&NEEDS) {
        return;
    }
    alone(|| {
        Nodes::start().survive(
            |_| run("ip", "link set lo down"),
            |_| run("ip", "link set lo up"),
        );
    });
}

#[test]
fn sshd_killed() {
    if skipped(&NEEDS[..1]) {
        return;
    }
    Nodes::start().survive(
        |nodes| nodes.0.iter_mut().for_each(|(_, node)| node.sshd.kill()),
        |nodes| nodes.0.iter_mut().for_each(|(_, node)| node.sshd.restart()),
    );
}

/// Of the connections before, neither side hears anything again: no FIN, no reset.
#[test]
fn node_rebooted() {
    if skipped(&NEEDS) {
        return;
    }
    alone(|| {
        Nodes::start().survive(
            |nodes| {
                add_filter();
                for (_, node) in &mut nodes.0 {
                    for port in clients_of(node.sshd.address().port()) {
                        filter(&format!("tcp sport {port} drop"));
                        filter(&format!("tcp dport {port} drop"));
                    }
                    node.sshd.kill();
                }
            },
            |nodes| nodes.0.iter_mut().for_each(|(_, node)| node.sshd.restart()),
        );
    });
}

/// The ports of this network's connections to a local port, as in proc(5).
fn clients_of(port: u16) -> Vec<u16> {
    const ESTABLISHED: &str = "01";
    let table = fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    let rows = table.lines().skip(1).map(|line| line.split_whitespace());
    let port_of = |address: &str| {
        let (_, port) = address.split_once(':').unwrap();
        u16::from_str_radix(port, 16).unwrap()
    };
    let ports = rows.filter_map(|mut row| {
        let (local, remote) = (row.nth(1).unwrap(), row.next().unwrap());
        let is_client = row.next() == Some(ESTABLISHED) && port_of(remote) == port;
        is_client.then(|| port_of(local))
    });
    let ports: Vec<u16> = ports.collect();
    assert!(!ports.is_empty(), "{table}");
    ports
}

fn is_up(daemon: &Daemon) -> bool {
    status(daemon)["streams"][0]["collectors"][0]["up"] == true
}

#[test]
fn collector_killed() {
    if skipped(&[Need::Collector]) {
        return;
    }
    let mut host = ForwardingHost::new(Input::Relp(TlsLibrary::OpenSsl));
    let daemon = host.start();
    wait::until("the first acknowledgement", || is_up(&daemon));
    host.rsyslog.stop(Signal::SIGKILL);
    assert!(daemon.temperature("nowhere").is_err());
    wait::until("the trouble", || trouble(&daemon)["step"] == "tcp");
    sleep(OUTAGE);
    host.rsyslog.restart();
    let ended = Instant::now();
    wait::until("an acknowledgement", || is_up(&daemon));
    assert!(ended.elapsed() <= MOST, "{:?}", ended.elapsed());
}

#[test]
fn collector_in_a_black_hole() {
    if skipped(&[&NEEDS[1..], &[Need::Collector]].concat()) {
        return;
    }
    alone(|| {
        let host = ForwardingHost::new(Input::Relp(TlsLibrary::OpenSsl))
            .configured(|config| config.set_forward("timeout", "'4s'"));
        let daemon = host.start();
        wait::until("the first acknowledgement", || is_up(&daemon));
        let port = host.rsyslog.address().port();
        add_filter();
        filter(&format!("tcp dport {port} drop"));
        filter(&format!("tcp sport {port} drop"));
        assert!(daemon.temperature("nowhere").is_err());
        wait::until("the trouble", || trouble(&daemon)["step"] == "tcp");
        sleep(OUTAGE);
        run("nft", "delete table ip hole");
        let ended = Instant::now();
        wait::until("an acknowledgement", || is_up(&daemon));
        assert!(ended.elapsed() <= MOST, "{:?}", ended.elapsed());
    });
}
