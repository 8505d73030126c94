//! Lines: their syntax, what is wrong with them, and what a bad one costs.

use crate::keys::{AUTHORITY, CERTIFICATE, PVE1, PVE2};
use crate::{host, known, trusts};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pulse_core::known_hosts::{KnownHosts, MAX_BYTES, MAX_LINES, Reason, Verdict};

fn reason(text: &str) -> Reason {
    let (known, problems) = KnownHosts::parse(text);
    assert!(known.is_empty(), "{text}");
    assert_eq!(problems.len(), 1, "{text}: {problems:?}");
    problems[0].reason
}

#[test]
fn tabs_and_several_blanks_separate_fields() {
    let (key_type, encoded) = (PVE1.key_type, PVE1.encoded);
    for text in [
        format!("pve1\t{key_type}\t{encoded}"),
        format!(" \t pve1 \t  {key_type}\t \t{encoded}\t\tcomment here \t"),
        format!("pve1 {key_type} {encoded}\r\n"),
        format!("# x\r\n\r\n \t\r\npve1 {key_type} {encoded} x\r\n# y\r\n"),
    ] {
        assert!(trusts(&text, "pve1"), "{text:?}");
    }
}

#[test]
fn a_comment_is_never_compared() {
    let text = format!("pve1 {} {}", PVE1.text(), PVE2.text());
    assert!(trusts(&text, "pve1"));
    let other = known(&text).check_key(&host("pve1"), &PVE2.blob());
    assert!(matches!(other, Verdict::Changed { .. }), "{other:?}");
    let mut latin = format!("pve1 {} caf", PVE1.text()).into_bytes();
    latin.push(0xe9);
    let (known, problems) = KnownHosts::parse(latin);
    assert_eq!(problems, []);
    assert_eq!(
        known.check_key(&host("pve1"), &PVE1.blob()),
        Verdict::Trusted
    );
}

#[test]
fn a_line_in_a_comment_pins_nothing() {
    let text = format!("# pve1 {0}\n #pve1 {0}\n#\n", PVE1.text());
    assert!(known(&text).is_empty());
}

#[test]
fn each_mistake_is_named() {
    let key = PVE1.text();
    let cut = &PVE1.encoded[..PVE1.encoded.len() - 4];
    let glued = format!("{}{}", PVE1.encoded, PVE2.encoded);
    let cases = [
        (format!("@revoke * {key}"), Reason::BadMarker),
        (format!("@Revoked * {key}"), Reason::BadMarker),
        (
            format!("@cert-authority @revoked * {key}"),
            Reason::BadMarker,
        ),
        (format!("@ * {key}"), Reason::BadMarker),
        (format!("pvе1 {key}"), Reason::BadPattern),
        (format!("\u{feff}pve1 {key}"), Reason::BadPattern),
        (format!("pve1\0 {key}"), Reason::BadPattern),
        (format!(", {key}"), Reason::BadPattern),
        (format!("!,! {key}"), Reason::BadPattern),
        (format!("{} {key}", "a".repeat(1024)), Reason::BadPattern),
        (format!("pve1,|1|AA==|AA== {key}"), Reason::BadPattern),
        (format!("|1|AA==|AA== {key}"), Reason::BadHash),
        (format!("| {key}"), Reason::BadHash),
        ("@revoked".to_owned(), Reason::MissingKey),
        ("pve1".to_owned(), Reason::MissingKey),
        (format!("pve1 {}", PVE1.encoded), Reason::MissingKey),
        ("pve1 1024 35 1234567890".to_owned(), Reason::KeyNotBase64),
        (
            format!("pve1 ssh-ed25519 {}", &cut[1..]),
            Reason::KeyNotBase64,
        ),
        (format!("pve1 ssh-ed25519 {cut}"), Reason::KeyMalformed),
        (format!("pve1 ssh-ed25519 {glued}"), Reason::KeyMalformed),
        (
            "pve1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5".to_owned(),
            Reason::KeyMalformed,
        ),
        ("pve1 ssh-ed25519 AAAA".to_owned(), Reason::KeyMalformed),
        (
            "pve1 ssh-future AAAACnNzaC1mdXR1cmU=".to_owned(),
            Reason::KeyMalformed,
        ),
        (
            format!("pve1 ssh-rsa {}", PVE1.encoded),
            Reason::KeyTypeMismatch,
        ),
        (
            format!("pve1 SSH-ED25519 {}", PVE1.encoded),
            Reason::KeyTypeMismatch,
        ),
        (format!("pve1 {CERTIFICATE}"), Reason::Certificate),
    ];
    for (text, expected) in cases {
        assert_eq!(reason(&text), expected, "{text:?}");
    }
}

#[test]
fn a_key_type_that_is_not_invented_yet_can_be_pinned() {
    let mut blob = b"\0\0\0\x0assh-future".to_vec();
    blob.extend(b"\0\0\0\x03key\0\0\0\0");
    let known = known(&format!("pve1 ssh-future {}", STANDARD.encode(&blob)));
    assert_eq!(known.check_key(&host("pve1"), &blob), Verdict::Trusted);
    assert_eq!(
        known.algorithms_for(&host("pve1")).key_types,
        ["ssh-future"]
    );
}

#[test]
fn damaged_hashes_are_named_rather_than_never_matching() {
    let (salt, hash) = (
        "C2+eK4AaSGrtKWa/z2ghXVxA4m8=",
        "J2SsIM/EjmbtmtthVGkW37QAbOI=",
    );
    for field in [
        format!("|1|{salt}|{hash},pve1"),
        format!("|1|{salt}|{hash}|"),
        format!("|1|{salt}"),
        format!("|2|{salt}|{hash}"),
        format!("|1|{}|{hash}", &salt[4..]),
        format!("|1|{salt}|{}", &hash[4..]),
        format!("!|1|{salt}|{hash}"),
    ] {
        let expected = if field.starts_with('!') {
            Reason::BadPattern
        } else {
            Reason::BadHash
        };
        assert_eq!(
            reason(&format!("{field} {}", PVE1.text())),
            expected,
            "{field}"
        );
    }
}

#[test]
fn a_bad_line_costs_no_other() {
    let text = format!(
        "pve1 nonsense\n@what pve1 {0}\npve1 {0}\n\n@revoked * ssh-ed25519 AAAA\npve2 {1}\npve3",
        PVE1.text(),
        PVE2.text()
    );
    let (known, problems) = KnownHosts::parse(&text);
    let lines: Vec<_> = problems.iter().map(|p| (p.line, p.revocation)).collect();
    assert_eq!(lines, [(1, false), (2, false), (5, true), (7, false)]);
    assert_eq!(known.len(), 2);
    assert_eq!(
        known.check_key(&host("pve1"), &PVE1.blob()),
        Verdict::Trusted
    );
    assert_eq!(
        known.check_key(&host("pve2"), &PVE2.blob()),
        Verdict::Trusted
    );
}

#[test]
fn a_problem_tells_its_line_and_the_remedy() {
    let (_, problems) = KnownHosts::parse("\npve1 ssh-ed25519 AAA");
    let text = problems[0].to_string();
    assert_eq!(
        text,
        "line 2: the key is not valid base64; copy the whole key again"
    );
}

#[test]
fn half_a_file_is_not_read_since_its_revocations_may_be_in_the_other_half() {
    let pin = format!("pve1 {}\n", PVE1.text());
    let full = pin.clone() + &"#\n".repeat(MAX_LINES - 1);
    assert!(trusts(&full, "pve1"));
    let long = format!("{pin}#{}", "x".repeat(MAX_BYTES - pin.len() - 1));
    assert!(trusts(&long, "pve1"));
    for text in [full + "#", long + "x"] {
        let (known, problems) = KnownHosts::parse(&text);
        assert!(known.is_empty());
        assert_eq!(problems.len(), 1);
        assert_eq!(
            (problems[0].line, problems[0].reason),
            (0, Reason::FileTooLarge)
        );
        assert!(problems[0].revocation);
    }
}

#[test]
fn several_files_are_one() {
    let mut all = known(&format!("pve1 {}", PVE1.text()));
    all.extend(known(&format!("pve* {}\n@revoked pve2 {0}", PVE2.text())));
    all.extend(known(&format!("@cert-authority pve3 {}", AUTHORITY.text())));
    assert_eq!(all.len(), 4);
    assert_eq!(all.check_key(&host("pve1"), &PVE1.blob()), Verdict::Trusted);
    assert_eq!(all.check_key(&host("pve1"), &PVE2.blob()), Verdict::Trusted);
    assert_eq!(all.check_key(&host("pve2"), &PVE2.blob()), Verdict::Revoked);
    assert!(all.algorithms_for(&host("pve3")).authority);
}
