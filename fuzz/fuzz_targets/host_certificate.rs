//! A node's host certificate is accepted exactly when the authority signed it, for a host, for
//! this name and time, without unknown critical options. Arbitrary bytes are never accepted.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use pulse_core::nodes::known_hosts::KnownHosts;
use pulse_core::nodes::name::NodeName;
use pulse_sensor_proxy::fuzzing::Node;
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{Certificate, PrivateKey};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug, Arbitrary)]
struct Input {
    /// Arbitrary bytes instead of a certificate.
    raw: Vec<u8>,
    is_for_a_host: bool,
    principals: Vec<Principal>,
    /// Seconds before and after now.
    since: i16,
    until: i16,
    option: Option<(String, String)>,
    extension: Option<(String, String)>,
    is_our_authority: bool,
    key_id: String,
    serial: u64,
    /// The position of a changed byte in the finished certificate.
    change: Option<(u16, u8)>,
}

#[derive(Debug, Arbitrary)]
enum Principal {
    Right,
    Wrong,
    Any(String),
}

/// A margin that exceeds any clock error and the duration of a run.
const MARGIN: i64 = 60;

fuzz_target!(|input: Input| {
    if let Ok(certificate) = Certificate::from_bytes(&input.raw) {
        assert!(node().judge(certificate).is_err(), "nobody signed it");
    }
    let Some(certificate) = signed(&input) else {
        return;
    };
    if let Some((at, bits)) = input.change.filter(|(_, bits)| *bits != 0) {
        let mut bytes = certificate.to_bytes().expect("it was just made");
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= bits;
        // The change may be one that the parser drops: then it is the same certificate.
        if let Ok(changed) = Certificate::from_bytes(&bytes) {
            assert!(
                changed == certificate || node().judge(changed).is_err(),
                "byte {at}"
            );
        }
        return;
    }
    let names = |principal: &Principal| match principal {
        Principal::Right => true,
        Principal::Wrong => false,
        Principal::Any(text) => text == "pve1",
    };
    // No critical option is defined for hosts. Extensions are not critical, so they do not count.
    let is_good_at_its_time = input.is_our_authority
        && input.is_for_a_host
        && input.principals.iter().any(names)
        && input.option.is_none();
    // Within the margin of either end both verdicts are right: time passes since it was signed.
    let (since, until) = (i64::from(input.since), i64::from(input.until));
    let is_good = is_good_at_its_time && since <= -MARGIN && until >= MARGIN;
    let may_be_good = is_good_at_its_time && since <= MARGIN && until >= -MARGIN;
    let verdict = node().judge(certificate);
    assert!(verdict.is_ok() || !is_good, "{verdict:?}");
    assert!(verdict.is_err() || may_be_good, "{input:?}");
});

fn signed(input: &Input) -> Option<Certificate> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let mut builder = Builder::new(
        vec![0x11; 16],
        key(3).public_key(),
        now.checked_add_signed(input.since.into())?,
        now.checked_add_signed(input.until.into())?,
    )
    .ok()?;
    builder.serial(input.serial).ok()?;
    builder.key_id(input.key_id.clone()).ok()?;
    let kind = if input.is_for_a_host {
        CertType::Host
    } else {
        CertType::User
    };
    builder.cert_type(kind).ok()?;
    for principal in &input.principals {
        let name = match principal {
            Principal::Right => "pve1",
            Principal::Wrong => "pve2",
            Principal::Any(text) => text,
        };
        builder.valid_principal(name).ok()?;
    }
    // Up to OpenSSH 10.2 an empty list matched every host (CVE-2024-7594); here it matches none.
    if input.principals.is_empty() {
        builder.all_principals_valid().ok()?;
    }
    if let Some((name, value)) = &input.option {
        builder.critical_option(name.clone(), value.clone()).ok()?;
    }
    if let Some((name, value)) = &input.extension {
        builder.extension(name.clone(), value.clone()).ok()?;
    }
    builder
        .sign(&key(if input.is_our_authority { 1 } else { 2 }))
        .ok()
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

fn node() -> &'static Node {
    static NODE: OnceLock<Node> = OnceLock::new();
    NODE.get_or_init(|| {
        let authority = STANDARD.encode(key(1).public_key().to_bytes().expect("a key"));
        // A pattern for all nodes: only the principals tell one node's certificate from another's.
        let (known_hosts, _) =
            KnownHosts::parse(format!("@cert-authority pve* ssh-ed25519 {authority}\n"))
                .expect("one line is not too large");
        Node {
            name: NodeName::parse("pve1").expect("a name"),
            known_hosts: Arc::new(known_hosts),
            key: Arc::new(key(9)),
        }
    })
}
