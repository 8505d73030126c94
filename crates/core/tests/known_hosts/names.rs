//! The hosts of a line.

use crate::keys::{HASHED, PVE1, PVE1_RSA};
use crate::{host, host_at, host_on, known, trusts, verdict};
use pulse_core::nodes::known_hosts::{HostQuery, KeyVerdict};

fn pin(hosts: &str) -> String {
    format!("{hosts} {}", PVE1.text())
}

fn pins(hosts: &str, host: &HostQuery) -> bool {
    verdict(&pin(hosts), host) == KeyVerdict::Trusted
}

#[test]
fn each_listed_name_is_pinned() {
    let text = pin("pve1,PVE2.example.org,,10.0.0.1,pve1");
    for name in ["pve1", "PVE1", "pve2.example.org", "10.0.0.1"] {
        assert!(trusts(&text, name), "{name}");
    }
    for name in ["pve", "pve11", "pve2", "10.0.0.10", "example.org"] {
        assert!(!trusts(&text, name), "{name}");
    }
}

#[test]
fn wildcards_match() {
    for (hosts, name) in [
        ("*", "pve1"),
        ("pve?", "pve1"),
        ("*.example.org", "pve1.example.org"),
        ("*.Example.org", "a.b.EXAMPLE.org"),
        ("10.0.*.?", "10.0.17.1"),
        ("2001:db8:*", "2001:db8::1"),
        ("x,p*1", "pve1"),
    ] {
        assert!(trusts(&pin(hosts), name), "{hosts} {name}");
    }
    for (hosts, name) in [
        ("pve?", "pve"),
        ("pve?", "pve12"),
        ("*.example.org", "example.org"),
        ("*.example.org", "pve1.example.org.evil.net"),
        ("[p]ve1", "pve1"),
        ("pve[1]", "pve1"),
    ] {
        assert!(!trusts(&pin(hosts), name), "{hosts} {name}");
    }
}

#[test]
fn negated_name_is_excluded() {
    for hosts in [
        "*.example.org,!pve1.example.org",
        "!PVE1.*,*.example.org",
        "!*1.*,*",
    ] {
        assert!(!trusts(&pin(hosts), "pve1.example.org"), "{hosts}");
        assert!(trusts(&pin(hosts), "pve2.example.org"), "{hosts}");
    }
    assert!(
        !trusts(&pin("!pve2"), "pve1"),
        "a negation alone pins nobody"
    );
    let two_lines = format!("{}\n{}", pin("*,!pve1"), pin("pve1"));
    assert!(
        trusts(&two_lines, "pve1"),
        "a negation is of its own line only"
    );
}

#[test]
fn port_is_part_of_the_name() {
    assert!(pins("[pve1]:2222", &host_on("pve1", 2222)));
    assert!(pins("[2001:db8::1]:2222", &host_on("2001:db8::1", 2222)));
    assert!(pins("[*]:2222", &host_on("pve1", 2222)));
    assert!(pins("[pve1]:*", &host_on("pve1", 2222)));
    assert!(!pins("[pve1]:2222", &host_on("pve1", 22)));
    assert!(!pins("[pve1]:2222", &host_on("pve1", 222)));
    assert!(!pins("pve1", &host_on("pve1", 2222)));
    assert_eq!(host_on("PVE1", 2222).known_as(), "[pve1]:2222");
    assert_eq!(host_on("PVE1", 22).known_as(), "pve1");
}

#[test]
fn pinned_address_covers_no_name() {
    assert!(!pins("10.0.0.1", &host_at("pve1", "10.0.0.1", 22)));
    assert!(!pins("[10.0.0.1]:2222", &host_at("pve1", "10.0.0.1", 2222)));
    assert!(pins("10.0.0.1", &host_at("10.0.0.1", "10.0.0.1", 22)));
}

#[test]
fn hashed_names_are_found() {
    let known = known(HASHED);
    let trusted = |host| known.check_key(&host, &PVE1.blob()) == KeyVerdict::Trusted;
    assert!(trusted(host_on("pve1.example.org", 22)));
    assert!(trusted(host_on("PVE1.EXAMPLE.ORG", 22)));
    assert!(trusted(host_on("10.0.0.1", 22)));
    assert!(trusted(host_on("pve1", 2222)));
    assert!(trusted(host_on("2001:db8::1", 22)));
    assert!(trusted(host_on("[2001:db8::1]", 2222)));
    assert!(!trusted(host_on("pve1", 22)));
    assert!(!trusted(host_on("10.0.0.1", 2222)));
    assert!(!trusted(host_on("pve2.example.org", 22)));
}

#[test]
fn pins_of_other_names_are_found() {
    let text = format!(
        "pve1 {0}\npve1 {0}\npve1 {1}\n10.0.0.1 {0}\n[pve2]:2222 {1}\n@revoked pve3 {1}",
        PVE1_RSA.text(),
        PVE1.text()
    );
    let known = known(&text);
    let elsewhere = |host: &HostQuery| known.pinned_elsewhere(host);
    let found = elsewhere(&host_at("pve1", "10.0.0.1", 22022)).unwrap();
    assert_eq!(found.name, "pve1");
    assert_eq!(found.key_types, ["ssh-rsa", "ssh-ed25519"]);
    let found = elsewhere(&host_at("pve9", "10.0.0.1", 22)).unwrap();
    assert_eq!(
        (found.name.as_str(), &found.key_types[..]),
        ("10.0.0.1", &["ssh-rsa".to_owned()][..])
    );
    for host in [host("pve2"), host("pve3"), host_on("pve1", 22)] {
        assert_eq!(elsewhere(&host), None, "{host:?}");
    }
}
