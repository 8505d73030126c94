//! A node with the pinned host key, or with another one, that then sends anything: the first is
//! read within limits and may open no channel; the client does not log in to the second.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use pulse_core::nodes::known_hosts::KnownHosts;
use pulse_core::nodes::name::NodeName;
use pulse_sensor_proxy::fuzzing::Node;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use ssh::{Encrypted, host_key, host_key_blob, string};
use std::io;
use std::sync::{Arc, OnceLock};

#[path = "../common/ssh.rs"]
mod ssh;

const SERVICE_ACCEPT: u8 = 6;
const USERAUTH_REQUEST: u8 = 50;
const USERAUTH_SUCCESS: u8 = 52;
const CHANNEL_OPEN: u8 = 90;
const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
const CHANNEL_DATA: u8 = 94;
const CHANNEL_REQUEST: u8 = 98;

const READINGS: usize = 2;
const LIMIT: usize = 4096;
/// An upper bound of a login and two readings; more only in response to the node.
const MOST_SAID: usize = 4 * 1024;

fuzz_target!(|bytes: &[u8]| {
    let [kind, script @ ..] = bytes else {
        return;
    };
    let is_known = kind & 8 == 0;
    static NODES: OnceLock<[Node; 2]> = OnceLock::new();
    let nodes = NODES.get_or_init(|| {
        let another = ed25519_dalek::SigningKey::from_bytes(&[8; 32]);
        [another, host_key()].map(|key| {
            let key = STANDARD.encode(host_key_blob(&key));
            let (known_hosts, _) = KnownHosts::parse(format!("pve1 ssh-ed25519 {key}\n"))
                .expect("one line is not too large");
            Node {
                name: NodeName::parse("pve1").expect("a name"),
                known_hosts: Arc::new(known_hosts),
                key: Arc::new(PrivateKey::from(Ed25519Keypair::from_seed(&[9; 32]))),
            }
        })
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // The time moves on when all tasks wait, so that a silent node costs no real time.
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        let (client, server) = ssh::connection();
        let ((documents, failure), said) = tokio::join!(
            nodes[usize::from(is_known)].read(client, READINGS, LIMIT),
            speak(server, kind & 7, script),
        );
        for document in &documents {
            assert!(!document.contains('\n'));
            let value: serde_json::Value = serde_json::from_str(document).expect("JSON");
            assert!(value["sensors"].is_object() && value["smart"].is_array());
        }
        if !is_known {
            assert!(documents.is_empty());
            let failure = failure.expect("it has another key").to_string();
            assert!(failure.contains("host key"), "{failure}");
        }
        // User authentication begins with message 50 (RFC 4250, section 4.1.2): another node than
        // the pinned one does not even get the user's name.
        for payload in &said {
            let kind = payload.first().copied().unwrap_or(0);
            assert!(
                is_known || kind < USERAUTH_REQUEST,
                "said to somebody else: {payload:?}"
            );
            assert_ne!(kind, CHANNEL_OPEN_CONFIRMATION, "a node opens nothing here");
        }
        // Responses to the script are in proportion to its length.
        let count: usize = said.iter().map(Vec::len).sum();
        assert!(count <= MOST_SAID + 4 * script.len(), "{count} bytes");
    });
});

/// Runs some correct steps, then the script. Returns all that the client sent.
async fn speak(server: tokio::net::TcpStream, steps: u8, script: &[u8]) -> Vec<Vec<u8>> {
    let mut said = Vec::new();
    let Ok(mut server) = Encrypted::begin(server, &host_key()).await else {
        return said;
    };
    // The client may close the connection at any step.
    if honest(&mut server, steps, &mut said).await.is_ok() {
        let _ = hostile(&mut server, script, &mut said).await;
    }
    // Otherwise the client would wait for its deadline.
    let _ = server.end().await;
    while let Ok(payload) = server.receive().await {
        said.push(payload);
    }
    said
}

async fn honest(server: &mut Encrypted, steps: u8, said: &mut Vec<Vec<u8>>) -> io::Result<()> {
    let mut channel = [0; 4];
    for step in 0..steps {
        let asked = server.receive().await?;
        said.push(asked.clone());
        let mut answer = Vec::new();
        match (step, asked.first()) {
            // Whatever it is: the first is a service request (RFC 4253, section 10).
            (0, _) => {
                answer.push(SERVICE_ACCEPT);
                string(&mut answer, b"ssh-userauth");
            }
            (_, Some(&USERAUTH_REQUEST)) => answer.push(USERAUTH_SUCCESS),
            (_, Some(&CHANNEL_OPEN)) => {
                // The channel number follows the type, "session".
                channel.copy_from_slice(asked.get(12..16).unwrap_or(&[0; 4]));
                answer.push(CHANNEL_OPEN_CONFIRMATION);
                answer.extend_from_slice(&channel);
                // Our number 0, a window of 128 KiB, packets of 32 KiB (RFC 4254, section 5.1).
                answer.extend_from_slice(&[0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0x80, 0]);
            }
            (_, Some(&CHANNEL_REQUEST)) => {
                answer.push(CHANNEL_DATA);
                answer.extend_from_slice(&channel);
                string(&mut answer, b"{\"pulse_sensor_node\":{\"protocol\":1}}\n");
            }
            // The helper's request, a line of data.
            _ => {
                answer.push(CHANNEL_DATA);
                answer.extend_from_slice(&channel);
                string(&mut answer, b"{\"sensors\":{},\"smart\":[]}\n");
            }
        }
        server.send(&answer).await?;
    }
    Ok(())
}

/// Each packet is preceded by its length; 0 waits for the client, 255 precedes bytes that are
/// no packet.
async fn hostile(
    server: &mut Encrypted,
    mut script: &[u8],
    said: &mut Vec<Vec<u8>>,
) -> io::Result<()> {
    while let [length, rest @ ..] = script {
        let (payload, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        script = rest;
        match length {
            0 => said.push(server.receive().await?),
            255 => server.send_raw(payload).await?,
            _ => server.send(payload).await?,
        }
    }
    Ok(())
}
