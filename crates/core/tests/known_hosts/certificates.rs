//! Verdicts on host certificates.

use crate::keys::{AUTHORITY, Key, PVE1, PVE2};
use crate::{host, host_at, host_on, known};
use pulse_core::nodes::known_hosts::{CertVerdict, CertificateFacts, HostQuery, KeyVerdict};

const NOW: u64 = 1_800_000_000;

/// A certificate that is valid now, for tests to change.
struct Certificate {
    key: Vec<u8>,
    ca: Vec<u8>,
    principals: Vec<String>,
    valid: std::ops::Range<u64>,
    is_host: bool,
    critical_options: bool,
}

fn certificate(principals: &[&str]) -> Certificate {
    Certificate {
        key: PVE1.blob(),
        ca: AUTHORITY.blob(),
        principals: principals.iter().map(|&p| p.to_owned()).collect(),
        valid: NOW - 60..NOW + 60,
        is_host: true,
        critical_options: false,
    }
}

impl Certificate {
    fn check(&self, text: &str, host: &HostQuery) -> CertVerdict {
        let facts = CertificateFacts {
            key_blob: &self.key,
            ca_blob: &self.ca,
            principals: &self.principals,
            valid_after: self.valid.start,
            valid_before: self.valid.end,
            is_host: self.is_host,
            critical_options: self.critical_options,
        };
        known(text).check_certificate(host, &facts, NOW)
    }
}

fn authority(hosts: &str) -> String {
    format!("@cert-authority {hosts} {}", AUTHORITY.text())
}

fn check(certificate: &Certificate) -> CertVerdict {
    certificate.check(&authority("*"), &host("pve1"))
}

#[test]
fn authority_is_for_its_hosts() {
    let certificate = certificate(&["pve1.example.org", "pve2.example.org"]);
    for hosts in ["*", "*.Example.org", "x,pve1.*", "\tpve1.example.org"] {
        let verdict = certificate.check(&authority(hosts), &host("PVE1.example.org"));
        assert_eq!(verdict, CertVerdict::Trusted, "{hosts}");
    }
    for hosts in ["pve2.example.org", "*,!pve1.*", "[pve1.example.org]:2222"] {
        let verdict = certificate.check(&authority(hosts), &host("pve1.example.org"));
        assert_eq!(
            verdict,
            CertVerdict::NotACertificateAuthorityForHost,
            "{hosts}"
        );
    }
}

#[test]
fn only_marker_makes_authority() {
    let pinned_as_host = format!("* {}", AUTHORITY.text());
    let other_authority = format!("@cert-authority * {}", PVE2.text());
    let key_inside = format!("@cert-authority * {}", PVE1.text());
    for text in [String::new(), pinned_as_host, other_authority, key_inside] {
        let verdict = certificate(&["pve1"]).check(&text, &host("pve1"));
        assert_eq!(
            verdict,
            CertVerdict::NotACertificateAuthorityForHost,
            "{text}"
        );
    }
}

#[test]
fn revoked_key_or_authority_first() {
    let revoked =
        |key: &Key, hosts: &str| format!("{}\n@revoked {hosts} {}", authority("*"), key.text());
    let mut expired = certificate(&["pve2"]);
    expired.valid = 0..1;
    for key in [PVE1, AUTHORITY] {
        for certificate in [&certificate(&["pve1"]), &expired] {
            let verdict = certificate.check(&revoked(&key, "pve1"), &host("pve1"));
            assert_eq!(verdict, CertVerdict::Revoked);
        }
        let elsewhere = certificate(&["pve1"]).check(&revoked(&key, "pve2"), &host("pve1"));
        assert_eq!(elsewhere, CertVerdict::Trusted);
        let by_address = host_at("pve1", "10.0.0.1", 22);
        let verdict = certificate(&["pve1"]).check(&revoked(&key, "10.0.0.1"), &by_address);
        assert_eq!(verdict, CertVerdict::Revoked);
    }
}

#[test]
fn other_principals_are_refused() {
    for principals in [
        &["pve2"] as &[&str],
        &["pve", "pve11", "Pve1", "PVE1"],
        &["", "[pve1]:22", "!pve2", "pve2,pve1", "root"],
    ] {
        let verdict = check(&certificate(principals));
        assert_eq!(verdict, CertVerdict::PrincipalMismatch, "{principals:?}");
    }
}

#[test]
fn no_principal_matches_no_host() {
    assert_eq!(check(&certificate(&[])), CertVerdict::PrincipalMismatch);
}

#[test]
fn principals_may_have_wildcards() {
    for principal in ["*", "pve?", "p*1"] {
        assert_eq!(
            check(&certificate(&[principal])),
            CertVerdict::Trusted,
            "{principal}"
        );
    }
    for principal in ["pve?1", "*.example.org", "?"] {
        assert_eq!(
            check(&certificate(&[principal])),
            CertVerdict::PrincipalMismatch,
            "{principal}"
        );
    }
}

#[test]
fn principals_are_bounded() {
    let mut principals = vec!["x"; 255];
    principals.push("pve1");
    assert_eq!(check(&certificate(&principals)), CertVerdict::Trusted);
    principals.push("pve1");
    assert_eq!(
        check(&certificate(&principals)),
        CertVerdict::PrincipalMismatch
    );
    let long = "*".repeat(1024);
    assert_eq!(
        check(&certificate(&[&long])),
        CertVerdict::PrincipalMismatch
    );
}

#[test]
fn principal_has_no_port() {
    let text = authority("[pve1]:2222");
    let on_port = host_on("pve1", 2222);
    assert_eq!(
        certificate(&["pve1"]).check(&text, &on_port),
        CertVerdict::Trusted
    );
    let with_port = certificate(&["[pve1]:2222"]).check(&text, &on_port);
    assert_eq!(with_port, CertVerdict::PrincipalMismatch);
}

#[test]
fn address_is_no_principal() {
    let verdict =
        certificate(&["10.0.0.1"]).check(&authority("*"), &host_at("pve1", "10.0.0.1", 22));
    assert_eq!(verdict, CertVerdict::PrincipalMismatch);
}

#[test]
fn validity_excludes_its_end() {
    let mut certificate = certificate(&["pve1"]);
    for (valid, expected) in [
        (NOW..NOW + 1, CertVerdict::Trusted),
        (0..u64::MAX, CertVerdict::Trusted),
        (NOW + 1..NOW + 2, CertVerdict::NotYetValid),
        (NOW - 1..NOW, CertVerdict::Expired),
        (u64::MAX..u64::MAX, CertVerdict::NotYetValid),
    ] {
        certificate.valid = valid.clone();
        assert_eq!(check(&certificate), expected, "{valid:?}");
    }
}

#[test]
fn user_certificate_is_refused() {
    let mut certificate = certificate(&["pve1"]);
    certificate.is_host = false;
    assert_eq!(check(&certificate), CertVerdict::NotAHostCertificate);
}

#[test]
fn critical_option_is_refused() {
    let mut certificate = certificate(&["pve1"]);
    certificate.critical_options = true;
    assert_eq!(check(&certificate), CertVerdict::UnknownCriticalOption);
}

#[test]
fn certified_key_may_be_pinned() {
    let text = format!("pve1 {}", PVE1.text());
    let certificate = certificate(&["pve1"]);
    let verdict = certificate.check(&text, &host("pve1"));
    assert_eq!(verdict, CertVerdict::NotACertificateAuthorityForHost);
    let plain = known(&text).check_key(&host("pve1"), &certificate.key);
    assert_eq!(plain, KeyVerdict::Trusted);
}
