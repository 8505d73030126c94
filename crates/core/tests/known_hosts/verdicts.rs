//! Verdicts on plain keys.

use crate::keys::{AUTHORITY, HASHED, Key, PVE1, PVE1_ECDSA, PVE1_RSA, PVE2};
use crate::{host, host_at, host_on, known, verdict};
use pulse_core::nodes::known_hosts::{
    KeyVerdict, KnownHosts, PinnedAlgorithms, PinnedKey, fingerprint,
};

fn pinned(key: &Key) -> PinnedKey {
    PinnedKey {
        key_type: key.key_type.to_owned(),
        fingerprint: key.fingerprint.to_owned(),
    }
}

#[test]
fn revoked_pinned_key_is_refused() {
    let pin = format!("pve1 {}", PVE1.text());
    for marker_and_hosts in [
        "@revoked *",
        "@revoked pve1",
        "  @revoked\t\tx,PVE?",
        "@revoked *,!x",
    ] {
        let revoked = format!("{marker_and_hosts} {}", PVE1.text());
        for text in [
            format!("{pin}\n{revoked}"),
            format!("{revoked}\n{pin}"),
            revoked,
        ] {
            assert_eq!(verdict(&text, &host("pve1")), KeyVerdict::Revoked, "{text}");
        }
    }
}

#[test]
fn hashed_revocation_counts() {
    let text: String = HASHED
        .lines()
        .map(|line| format!("@revoked {line}\n"))
        .collect();
    assert_eq!(
        verdict(&text, &host("pve1.example.org")),
        KeyVerdict::Revoked
    );
    assert_eq!(verdict(&text, &host("pve9")), KeyVerdict::Unknown);
}

#[test]
fn revocation_is_for_its_hosts() {
    let text = format!("* {0}\n@revoked pve2,*.x,!a.x {0}", PVE1.text());
    assert_eq!(verdict(&text, &host("pve1")), KeyVerdict::Trusted);
    assert_eq!(verdict(&text, &host("a.x")), KeyVerdict::Trusted);
    let elsewhere = host_at("a.x", "10.0.0.1", 2222);
    assert_eq!(verdict(&text, &elsewhere), KeyVerdict::Trusted);
    assert_eq!(verdict(&text, &host("b.x")), KeyVerdict::Revoked);
    let other_key = format!("* {}\n@revoked * {}", PVE1.text(), PVE2.text());
    assert_eq!(verdict(&other_key, &host("pve1")), KeyVerdict::Trusted);
}

#[test]
fn revocation_covers_all_names() {
    let pin = format!("pve1,[pve1]:2222 {}", PVE1.text());
    for (hosts, address, port) in [
        ("pve1", "10.0.0.1", 2222),
        ("[pve1]:22", "10.0.0.1", 22),
        ("10.0.0.1", "10.0.0.1", 22),
        ("10.0.0.1", "10.0.0.1", 2222),
        ("10.0.0.1", "::ffff:10.0.0.1", 22),
        ("[10.0.0.*]:2222", "10.0.0.1", 2222),
    ] {
        let text = format!("{pin}\n@revoked {hosts} {}", PVE1.text());
        let host = host_at("pve1", address, port);
        assert_eq!(verdict(&text, &host), KeyVerdict::Revoked, "{hosts}");
    }
    let excluded = format!("{pin}\n@revoked *,!pve1 {}", PVE1.text());
    assert_eq!(
        verdict(&excluded, &host_at("pve1", "10.0.0.1", 22)),
        KeyVerdict::Trusted
    );
    let excluded_by_name = format!("{pin}\n@revoked 10.0.0.*,!pve1 {}", PVE1.text());
    assert_eq!(
        verdict(&excluded_by_name, &host_at("pve1", "10.0.0.1", 2222)),
        KeyVerdict::Trusted
    );
    // With its port the node is what `*` says, and not what is excluded.
    assert_eq!(
        verdict(&excluded, &host_on("pve1", 2222)),
        KeyVerdict::Revoked
    );
}

#[test]
fn unknown_host_is_not_changed() {
    for text in [
        String::new(),
        format!("pve2 {}", PVE1.text()),
        format!("[pve1]:2222 {}", PVE2.text()),
        format!("@cert-authority pve1 {}", AUTHORITY.text()),
        format!("@revoked pve1 {}", PVE2.text()),
    ] {
        assert_eq!(verdict(&text, &host("pve1")), KeyVerdict::Unknown, "{text}");
    }
    assert_eq!(
        KnownHosts::default().check_key(&host("pve1"), b""),
        KeyVerdict::Unknown
    );
}

#[test]
fn same_type_is_expected_first() {
    let text = format!(
        "pve1 {}\np* {}\n@cert-authority pve1 {}",
        PVE1_ECDSA.text(),
        PVE2.text(),
        AUTHORITY.text()
    );
    let expected = vec![pinned(&PVE2), pinned(&PVE1_ECDSA)];
    assert_eq!(
        verdict(&text, &host("pve1")),
        KeyVerdict::Changed { expected }
    );
    let garbage = known(&text).check_key(&host("pve1"), b"garbage");
    assert!(matches!(garbage, KeyVerdict::Changed { .. }), "{garbage:?}");
}

#[test]
fn revoked_pin_is_not_expected() {
    let text = format!("pve1 {0}\n@revoked * {0}", PVE2.text());
    assert_eq!(verdict(&text, &host("pve1")), KeyVerdict::Unknown);
}

#[test]
fn authority_is_no_host_key() {
    let text = format!("@cert-authority * {}", PVE1.text());
    assert_eq!(verdict(&text, &host("pve1")), KeyVerdict::Unknown);
}

#[test]
fn one_pinned_key_is_enough() {
    let text = format!(
        "pve1 {}\npve1 {}\npve1 {}",
        PVE2.text(),
        PVE1_RSA.text(),
        PVE1.text()
    );
    assert_eq!(verdict(&text, &host("pve1")), KeyVerdict::Trusted);
}

#[test]
fn pinned_key_types_are_offered() {
    let text = format!(
        "pve1 {}\npve* {}\npve1 {}\npve1 {}\npve2 {}\n@revoked pve1 {}",
        PVE1_RSA.text(),
        PVE1.text(),
        PVE2.text(),
        PVE1_ECDSA.text(),
        PVE1_RSA.text(),
        PVE1_ECDSA.text(),
    );
    let algorithms = known(&text).algorithms_for(&host("pve1"));
    let expected = PinnedAlgorithms {
        key_types: vec!["ssh-rsa".to_owned(), "ssh-ed25519".to_owned()],
        authority: false,
    };
    assert_eq!(algorithms, expected);
}

#[test]
fn authority_prefers_certificates() {
    let text = format!("@cert-authority *.x {}", AUTHORITY.text());
    assert!(known(&text).algorithms_for(&host("a.x")).authority);
    assert_eq!(
        known(&text).algorithms_for(&host("a.y")),
        PinnedAlgorithms::default()
    );
    let revoked = format!("{text}\n@revoked * {}", AUTHORITY.text());
    assert!(!known(&revoked).algorithms_for(&host("a.x")).authority);
}

#[test]
fn fingerprints_equal_ssh_keygens() {
    for key in [PVE1, PVE1_ECDSA, PVE1_RSA, PVE2, AUTHORITY] {
        assert_eq!(fingerprint(&key.blob()), key.fingerprint);
    }
    let shown = pinned(&PVE1).to_string();
    assert_eq!(shown, format!("ssh-ed25519 {}", PVE1.fingerprint));
}
