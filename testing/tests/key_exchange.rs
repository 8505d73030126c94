//! The SSH key exchange, on the wire and in sshd's log.

use pulse_e2e::programs::{Need, find, skipped};
use pulse_e2e::{Config, Daemon, Home, RealNode, SshdOptions, sim, wait};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

const POST_QUANTUM: &str = "mlkem768x25519-sha256";
/// Message numbers (RFC 4253, sections 12 and 8).
const KEXINIT: u8 = 20;
const KEX_INIT_OF_METHOD: u8 = 30;
/// Bytes of an ML-KEM-768 key and an X25519 key.
const HYBRID_SHARE_BYTES: usize = 1184 + 32;

#[test]
fn capable_node_gets_post_quantum() {
    let node = sim::start(sim::healthy());
    let (address, sent) = tap(node.addr());
    let home = Arc::new(Home::new());
    home.trust(
        &node
            .host_key_line("pve1")
            .replace(&node.addr().port().to_string(), &address.port().to_string()),
    );
    let daemon = Daemon::start_in(&home, &Config::new().node("pve1", address));
    assert!(sim::is_document(&daemon.temperature("pve1").unwrap()));
    let sent = sent.lock().unwrap().clone();
    let packets = packets_in_plain(&sent);
    let offer = packets.iter().find(|p| p[0] == KEXINIT).unwrap();
    let offered = kex_names(offer);
    assert_eq!(offered.first().map(String::as_str), Some(POST_QUANTUM));
    assert!(offered.iter().any(|n| n == "kex-strict-c-v00@openssh.com"));
    let share = packets.iter().find(|p| p[0] == KEX_INIT_OF_METHOD).unwrap();
    let length = u32::from_be_bytes(share[1..5].try_into().unwrap());
    assert_eq!(
        length as usize, HYBRID_SHARE_BYTES,
        "the share of the hybrid exchange"
    );
}

#[test]
fn no_weak_algorithm_is_offered() {
    let node = sim::start(sim::healthy());
    let (address, sent) = tap(node.addr());
    let daemon = Daemon::start(&Config::new().node("pve1", address));
    assert!(daemon.temperature("pve1").is_err(), "its key is not pinned");
    let sent = String::from_utf8_lossy(&sent.lock().unwrap()).into_owned();
    assert!(sent.starts_with("SSH-2.0-pulse-sensor-proxy_"), "{sent}");
    for weak in [
        "sha1", "-cbc", "arcfour", "md5", "ssh-rsa", "ssh-dss", "group1",
    ] {
        assert!(!sent.contains(weak), "{weak} in {sent}");
    }
}

#[test]
fn openssh_agrees_to_strict_exchange() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let options = SshdOptions {
        lines: vec!["LogLevel DEBUG3".to_owned()],
        ..SshdOptions::default()
    };
    let node = RealNode::start_untrusted(Config::new(), &options);
    node.daemon.home().trust(&node.sshd.host_key_line("pve1"));
    assert!(
        node.daemon.temperature("pve1").is_err(),
        "our key is not authorized"
    );
    let expected = if knows(POST_QUANTUM) {
        POST_QUANTUM
    } else {
        "curve25519-sha256"
    };
    let agreed = format!("kex: algorithm: {expected} ");
    wait::until(&agreed, || node.sshd.log().contains(&agreed));
    let log = node.sshd.log();
    assert!(log.contains("will use strict KEX ordering"), "{log}");
    assert!(
        log.contains("kex: host key algorithm: ssh-ed25519 "),
        "{log}"
    );
}

/// True when the installed OpenSSH supports a key exchange.
fn knows(name: &str) -> bool {
    let ssh = find("ssh").expect("ssh comes with sshd");
    let output = Command::new(ssh).args(["-Q", "kex"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).contains(name)
}

/// Starts a relay to a node. Returns its address and the bytes sent to the node.
fn tap(node: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&sent);
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(node).unwrap();
        let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || copy(from, to, |_| {}));
        copy(client, server, |bytes| record.lock().unwrap().extend(bytes));
    });
    (address, sent)
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut note: impl FnMut(&[u8])) {
    let mut chunk = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        note(&chunk[..count]);
        if to.write_all(&chunk[..count]).is_err() {
            return;
        }
    }
}

/// The payloads of the two packets before encryption. After the version line a packet is its
/// length, the padding's length, payload and padding (RFC 4253, section 6).
fn packets_in_plain(sent: &[u8]) -> Vec<&[u8]> {
    let start = sent.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let (mut rest, mut packets) = (&sent[start..], Vec::new());
    while packets.len() < 2 {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let padding = usize::from(rest[4]);
        packets.push(&rest[5..4 + length - padding]);
        rest = &rest[4 + length..];
    }
    packets
}

/// The first name-list of a KEXINIT, after its 16 bytes of cookie.
fn kex_names(offer: &[u8]) -> Vec<String> {
    let length = u32::from_be_bytes(offer[17..21].try_into().unwrap()) as usize;
    let names = std::str::from_utf8(&offer[21..21 + length]).unwrap();
    names.split(',').map(str::to_owned).collect()
}
