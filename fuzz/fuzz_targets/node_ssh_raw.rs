//! A node's bytes before the key exchange: whatever they are, the client does not log in and
//! sends little.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::nodes::known_hosts::KnownHosts;
use pulse_core::nodes::name::NodeName;
use pulse_sensor_proxy::fuzzing::Node;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "../common/ssh.rs"]
#[allow(dead_code)]
mod ssh;

/// An upper bound of our version, one key exchange and a DISCONNECT; most of it is the ML-KEM
/// key share.
const MOST_SAID: usize = 8 * 1024;

fuzz_target!(|bytes: &[u8]| {
    let [kind, bytes @ ..] = bytes else {
        return;
    };
    static NODE: OnceLock<Node> = OnceLock::new();
    // No key is pinned; none of these bytes can be a correct exchange, which signs our share.
    let node = NODE.get_or_init(|| Node {
        name: NodeName::parse("pve1").expect("a name"),
        known_hosts: Arc::new(KnownHosts::default()),
        key: Arc::new(PrivateKey::from(Ed25519Keypair::from_seed(&[9; 32]))),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        let (client, mut server) = ssh::connection();
        let reading = node.read(client, 1, 4096);
        let speaking = async {
            if kind & 1 == 1 {
                // The rest need not start with a version then.
                let _ = server.write_all(ssh::VERSION).await;
            }
            // The client may close the connection before it has read all.
            let _ = server.write_all(bytes).await;
            let _ = server.shutdown().await;
            let (mut said, mut part) = (0, [0; 4096]);
            while let Ok(count @ 1..) = server.read(&mut part).await {
                said += count;
            }
            said
        };
        let ((documents, failure), said) = tokio::join!(reading, speaking);
        assert!(documents.is_empty() && failure.is_some());
        assert!(said <= MOST_SAID, "{said} bytes");
    });
});
