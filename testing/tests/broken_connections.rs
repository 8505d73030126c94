//! Connections to a node that break off, at each chunk of the login and of the first reading and
//! in both directions: each is a broken connection and never an answer of the node.

use crate::forwarding::machine::{alone, run};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::relay::{Cut, Ending, Relay, Sender};
use pulse_e2e::sim::{self, tree};
use pulse_e2e::sshd::{helper_command, printing_options};
use pulse_e2e::{Config, Daemon, Home, RealNode, Sshd, SshdOptions, wait};
use std::sync::Arc;
use std::thread;

/// More chunks than a login and a reading have in one direction.
const MAX_CHUNKS: usize = 20;
const SENDERS: [Sender; 2] = [Sender::Daemon, Sender::Node];
const ENDINGS: [Ending; 2] = [Ending::Fin, Ending::Reset];

/// One node behind many relays, each listed as a node of its own.
struct Broken {
    daemon: Daemon,
    relays: Vec<(String, Relay)>,
    _sshd: Sshd,
}

impl Broken {
    fn start(options: &str, count: usize) -> Self {
        let sshd = Sshd::start(&SshdOptions {
            lines: vec!["MaxStartups 1000".to_owned()],
            ..SshdOptions::default()
        });
        let home = Arc::new(Home::new());
        let relays: Vec<_> = (0..count)
            .map(|number| (format!("node{number}"), Relay::start(sshd.address())))
            .collect();
        let mut config = Config::new()
            // Many logins at once take a while on a busy machine.
            .set("request_timeout", "'60s'")
            .set_ssh("connect_timeout", "'60s'")
            .set_limit("per_peer_concurrency", "200")
            .set_limit("global_concurrency", "200");
        for (name, relay) in &relays {
            let (port, key) = (relay.address().port(), sshd.public_key("host_key"));
            home.trust(&format!("[{name}]:{port} {key}"));
            config = config.node(name, relay.address());
        }
        let daemon = Daemon::start_in(&home, &config);
        sshd.authorize(options, &home.public_key());
        Self {
            daemon,
            relays,
            _sshd: sshd,
        }
    }

    fn is_read(&self, name: &str) -> bool {
        let reading = self.daemon.temperature(name);
        if let Err(error) = &reading {
            assert_is_broken(error);
        }
        reading.is_ok()
    }
}

/// The errors of a connection that broke, and of the wait after it.
fn assert_is_broken(error: &str) {
    assert!(error.contains("broke off the SSH connection"), "{error}");
    for wrong in ["refused", "no temperatures", "could not run"] {
        assert!(!error.contains(wrong), "{error}");
    }
    // After one failure it is a second.
    if let Some((_, wait)) = error.split_once("next attempt in ") {
        assert!(wait.starts_with("1 s"), "{error}");
    }
}

/// The most chunks of the check for a forced command and of the sample's end, in one direction. The
/// check follows the sample of a node without the helper, and its failure costs nothing.
const CHECK_CHUNKS: usize = 7;

/// Breaks the connection at each chunk of a login and a first reading. So many of the last ones,
/// in one direction, may break without an effect.
fn break_everywhere(options: &str, chunks_after_sample: usize) {
    let broken = Broken::start(options, 1 + 4 * MAX_CHUNKS);
    let (whole, others) = broken.relays.split_first().unwrap();
    assert!(broken.is_read(&whole.0));
    let mut cuts = Vec::new();
    for sender in SENDERS {
        let chunks = whole.1.chunks(sender);
        assert!((5..MAX_CHUNKS).contains(&chunks), "{chunks}");
        for chunk in 1..=MAX_CHUNKS {
            cuts.extend(ENDINGS.map(|ending| Cut {
                sender,
                chunk,
                ending,
            }));
        }
    }
    thread::scope(|scope| {
        for ((name, relay), cut) in others.iter().zip(cuts) {
            let (broken, chunks) = (&broken, whole.1.chunks(cut.sender));
            relay.cut(cut);
            scope.spawn(move || {
                let was_read = broken.is_read(name);
                // The division into chunks varies a little.
                let is_inside = cut.chunk + 2 + chunks_after_sample < chunks;
                assert!(
                    !(is_inside && was_read),
                    "{cut:?} of {chunks} had no effect"
                );
                wait::until("a reading after the break", || broken.is_read(name));
            });
        }
    });
}

#[test]
fn login_to_helper_breaks() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let devices = tempfile::tempdir().unwrap();
    let (_, manifest) = tree::all()[0];
    tree::unpack(manifest, devices.path()).unwrap();
    let command = helper_command(devices.path());
    break_everywhere(&format!("restrict,command=\"{command}\""), 0);
}

#[test]
fn login_to_printing_command_breaks() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    break_everywhere(&printing_options(), CHECK_CHUNKS);
}

#[test]
fn later_reading_breaks() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let broken = Broken::start(&printing_options(), 1);
    let (name, relay) = &broken.relays[0];
    assert!(broken.is_read(name));
    for sender in SENDERS {
        for (ending, ahead) in ENDINGS.into_iter().flat_map(|e| [1, 2, 3].map(|n| (e, n))) {
            relay.cut(Cut {
                sender,
                chunk: relay.chunks(sender) + ahead,
                ending,
            });
            // The connection is opened again for the same request.
            while relay.is_planned() {
                let document = broken.daemon.temperature(name);
                assert!(
                    document.as_ref().is_ok_and(sim::is_document),
                    "{document:?}"
                );
            }
        }
    }
}

#[test]
fn local_reject_is_no_refusal() {
    let needs = [
        Need::Sshd,
        Need::Root,
        Need::Optional("ip"),
        Need::Program("nft"),
        Need::NoUnit("it needs a network of its own"),
    ];
    if skipped(&needs) {
        return;
    }
    alone(|| {
        // A rejection without a reset ends nothing, so each takes until the deadline.
        for (verdict, step) in [("reject with tcp reset", 500), ("reject", 1500)] {
            // In the key exchange, in the login, and in the reading.
            for bytes in (0..=4500).step_by(step) {
                assert_no_refusal(verdict, bytes);
            }
        }
    });
}

/// A packet filter on this machine that rejects a connection after so many bytes of the daemon's.
fn assert_no_refusal(verdict: &str, bytes: u32) {
    let config = Config::new().set("request_timeout", "'1s'");
    let node = RealNode::start(&printing_options(), config);
    let port = node.sshd.address().port();
    run("nft", "add table ip cut");
    let hook = "{ type filter hook output priority 0 ; }";
    run("nft", &format!("add chain ip cut out {hook}"));
    let rule = format!("tcp dport {port} quota over {bytes} bytes {verdict}");
    run("nft", &format!("add rule ip cut out {rule}"));
    for _ in 0..3 {
        if let Err(error) = node.daemon.temperature("pve1") {
            assert!(!error.contains("refused our"), "{rule}: {error}");
        }
    }
    run("nft", "delete table ip cut");
    wait::until("a reading after the rule", || {
        node.daemon.temperature("pve1").is_ok()
    });
}
