//! Nodes without faults: logins, readings, host keys, and stopping.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Connect, DOCUMENT, connect, soon, start, synthetic};
use pulse_simnode::behaviour::MAX_REQUEST_BYTES;
use pulse_simnode::{Behaviour, HostAuthority, SimConfig, SimNode, fresh_key};
use russh::kex;
use russh::keys::PublicKey;
use russh::keys::ssh_key::HashAlg;

#[tokio::test]
async fn synthetic_node_answers_by_line() {
    let node = start(synthetic()).await;
    let client = connect(&node).await;
    let mut program = client.serve().await;
    for _ in 0..3 {
        assert_eq!(program.ask("read").await.unwrap().trim_end(), DOCUMENT);
    }
    let error = program.ask("reboot").await.unwrap();
    assert!(error.starts_with("{\"error\":"), "{error}");
    program.channel.eof().await.unwrap();
    program.until_end().await;
    assert_eq!(program.exit, Some(0));
    assert_eq!(node.counters().readings, 3);
}

#[tokio::test]
async fn requests_may_arrive_in_pieces() {
    let node = start(synthetic()).await;
    let client = connect(&node).await;
    let mut program = client.serve().await;
    for piece in ["re", "ad\nread", "\n"] {
        program
            .channel
            .data_bytes(piece.as_bytes().to_vec())
            .await
            .unwrap();
        client.round_trip().await;
    }
    for _ in 0..2 {
        assert_eq!(program.line().await.unwrap().trim_end(), DOCUMENT);
    }
}

#[tokio::test]
async fn endless_request_ends_the_program() {
    let node = start(synthetic()).await;
    let client = connect(&node).await;
    let mut program = client.serve().await;
    let long = vec![b'r'; MAX_REQUEST_BYTES + 1];
    program.channel.data_bytes(long).await.unwrap();
    program.until_end().await;
    assert_eq!(program.exit, Some(65));
    assert!(!program.errors.is_empty());
}

#[tokio::test]
async fn legacy_node_prints_and_exits() {
    let output = b"{\n   \"coretemp-isa-0000\":{ }\n}\n".to_vec();
    let node = start(Behaviour::Legacy {
        output: output.clone(),
        exit: 1,
    })
    .await;
    let client = connect(&node).await;
    for command in ["pulse-sensor-node serve", "sensors -j"] {
        let mut program = client.exec(command).await;
        program.until_end().await;
        assert_eq!((program.output, program.exit), (output.clone(), Some(1)));
    }
}

#[tokio::test]
async fn two_hundred_connections_are_served() {
    let node = start(synthetic()).await;
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let address = node.addr();
            tokio::spawn(async move {
                let client = quick().to(address).await.unwrap();
                let program = client.serve().await;
                (client, program)
            })
        })
        .collect();
    let mut served = Vec::new();
    for client in clients {
        served.push(soon(client).await.unwrap());
    }
    assert_eq!(node.counters().open_connections, 200);
    for (_, program) in &served {
        program.send("read").await;
    }
    for (_, program) in &mut served {
        assert_eq!(program.line().await.unwrap().trim_end(), DOCUMENT);
    }
    assert_eq!(node.counters().readings, 200);
}

/// A connection without the post-quantum exchange, which is slow without optimisation.
fn quick() -> Connect {
    Connect {
        kex: vec![kex::CURVE25519],
        ..Connect::default()
    }
}

#[tokio::test]
async fn post_quantum_and_strict_are_offered() {
    let node = start(synthetic()).await;
    let client = connect(&node).await;
    let names = client.shown.lock().unwrap().names.clone().unwrap();
    assert_eq!(names.kex, kex::MLKEM768X25519_SHA256);
    assert!(names.strict_kex());
}

#[tokio::test]
async fn older_node_takes_strict_curve25519() {
    let node = SimNode::start(SimConfig {
        post_quantum: false,
        ..SimConfig::new(synthetic())
    })
    .await
    .unwrap();
    let client = connect(&node).await;
    let names = client.shown.lock().unwrap().names.clone().unwrap();
    assert_eq!(names.kex, kex::CURVE25519);
    assert!(names.strict_kex());
}

#[tokio::test]
async fn only_authorized_key_logs_in() {
    let key = fresh_key().unwrap();
    let node = SimNode::start(SimConfig {
        authorized_key: Some(key.public_key().clone()),
        ..SimConfig::new(synthetic())
    })
    .await
    .unwrap();
    let stranger = Connect::default().to(node.addr()).await.unwrap();
    assert!(!stranger.logged_in);
    let known = Connect { key, ..quick() }.to(node.addr()).await.unwrap();
    assert!(known.logged_in);
    let counters = node.counters();
    assert_eq!((counters.auth_refusals, counters.logins), (1, 1));
}

#[tokio::test]
async fn known_hosts_line_has_the_host_key() {
    let node = start(synthetic()).await;
    let line = node.host_key_line("pve1");
    let (host, key) = line.split_once(' ').unwrap();
    assert_eq!(host, format!("[pve1]:{}", node.addr().port()));
    assert_eq!(
        PublicKey::from_openssh(key).unwrap(),
        shown_key(&node).await
    );
}

#[tokio::test]
async fn changed_host_key_shows_on_reconnect() {
    let node = start(synthetic()).await;
    let before = shown_key(&node).await;
    let client = connect(&node).await;
    let changed = fresh_key().unwrap();
    node.set_host_key(changed.clone()).unwrap();
    let mut program = client.serve().await;
    assert!(program.ask("read").await.is_some());
    let after = shown_key(&node).await;
    assert_ne!(before, after);
    assert_eq!(after.key_data(), changed.public_key().key_data());
    assert_eq!(node.host_key().key_data(), after.key_data());
}

async fn shown_key(node: &SimNode) -> PublicKey {
    let client = quick().to(node.addr()).await.unwrap();
    let shown = client.shown.lock().unwrap().clone();
    shown.key.unwrap()
}

#[tokio::test]
async fn certified_key_has_its_certificate() {
    let authority = HostAuthority::fresh("pve1").unwrap();
    let node = SimNode::start(SimConfig {
        host_authority: Some(authority.clone()),
        ..SimConfig::new(synthetic())
    })
    .await
    .unwrap();
    let client = Connect {
        wants_certificate: true,
        ..quick()
    };
    let client = client.to(node.addr()).await.unwrap();
    let shown = client.shown.lock().unwrap().clone();
    let certificate = shown.certificate.unwrap();
    let fingerprint = authority.key.public_key().fingerprint(HashAlg::Sha256);
    certificate.validate([&fingerprint]).unwrap();
    assert_eq!(certificate.valid_principals(), ["pve1"]);
    assert!(certificate.cert_type().is_host());
}

#[tokio::test]
async fn kicked_clients_may_come_back() {
    let node = start(synthetic()).await;
    let client = connect(&node).await;
    let mut program = client.serve().await;
    node.kick();
    assert_eq!(program.line().await, None);
    soon(node.wait_for(|now| now.open_connections == 0)).await;
    connect(&node).await.serve().await;
}

#[tokio::test]
async fn stopped_node_frees_its_port() {
    let node = start(synthetic()).await;
    let address = node.addr();
    let client = connect(&node).await;
    soon(node.shutdown()).await;
    assert!(quick().to(address).await.is_err());
    assert!(client.ssh.channel_open_session().await.is_err());
    let again = SimNode::start(SimConfig {
        listen: address,
        ..SimConfig::new(synthetic())
    });
    connect(&again.await.unwrap()).await.serve().await;
}

#[tokio::test]
async fn dropped_node_drops_its_clients() {
    let node = start(synthetic()).await;
    let client = connect(&node).await;
    let mut program = client.serve().await;
    drop(node);
    assert_eq!(program.line().await, None);
}

#[tokio::test]
async fn node_listens_on_loopback_only() {
    let config = SimConfig {
        listen: ([0, 0, 0, 0], 0).into(),
        ..SimConfig::new(synthetic())
    };
    assert!(SimNode::start(config).await.is_err());
}
