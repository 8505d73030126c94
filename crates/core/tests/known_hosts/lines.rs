//! Lines: their syntax, and the mistakes in them.

use crate::keys::{AUTHORITY, CERTIFICATE, PVE1, PVE2};
use crate::{host, known, trusts};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pulse_core::nodes::known_hosts::{
    FileError, KeyVerdict, KnownHosts, LineError, MAX_BYTES, MAX_LINES, has_byte_order_mark,
};

fn error(text: &str) -> LineError {
    let (known, bad_lines) = KnownHosts::parse(text).unwrap();
    assert!(known.is_empty(), "{text}");
    assert_eq!(bad_lines.len(), 1, "{text}: {bad_lines:?}");
    bad_lines[0].error
}

#[test]
fn blanks_separate_fields() {
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
fn comment_is_never_compared() {
    let text = format!("pve1 {} {}", PVE1.text(), PVE2.text());
    assert!(trusts(&text, "pve1"));
    let other = known(&text).check_key(&host("pve1"), &PVE2.blob());
    assert!(matches!(other, KeyVerdict::Changed { .. }), "{other:?}");
    let mut latin = format!("pve1 {} caf", PVE1.text()).into_bytes();
    latin.push(0xe9);
    let (known, bad_lines) = KnownHosts::parse(latin).unwrap();
    assert_eq!(bad_lines, []);
    assert_eq!(
        known.check_key(&host("pve1"), &PVE1.blob()),
        KeyVerdict::Trusted
    );
}

#[test]
fn commented_line_pins_nothing() {
    let text = format!("# pve1 {0}\n #pve1 {0}\n#\n", PVE1.text());
    assert!(known(&text).is_empty());
}

#[test]
fn each_mistake_is_named() {
    let key = PVE1.text();
    let cut = &PVE1.encoded[..PVE1.encoded.len() - 4];
    let glued = format!("{}{}", PVE1.encoded, PVE2.encoded);
    let cases = [
        (format!("@revoke * {key}"), LineError::BadMarker),
        (format!("@Revoked * {key}"), LineError::BadMarker),
        (
            format!("@cert-authority @revoked * {key}"),
            LineError::BadMarker,
        ),
        (format!("@ * {key}"), LineError::BadMarker),
        (format!("pvе1 {key}"), LineError::BadPattern),
        (format!("pve1\u{feff} {key}"), LineError::BadPattern),
        (format!("pve1\0 {key}"), LineError::BadPattern),
        (format!(", {key}"), LineError::BadPattern),
        (format!("!,! {key}"), LineError::BadPattern),
        (format!("{} {key}", "a".repeat(1024)), LineError::BadPattern),
        (format!("pve1,|1|AA==|AA== {key}"), LineError::BadPattern),
        (format!("|1|AA==|AA== {key}"), LineError::BadHash),
        (format!("| {key}"), LineError::BadHash),
        ("@revoked".to_owned(), LineError::MissingKey),
        ("pve1".to_owned(), LineError::MissingKey),
        (format!("pve1 {}", PVE1.encoded), LineError::MissingKey),
        (
            "pve1 1024 35 1234567890".to_owned(),
            LineError::KeyNotBase64,
        ),
        (
            format!("pve1 ssh-ed25519 {}", &cut[1..]),
            LineError::KeyNotBase64,
        ),
        (format!("pve1 ssh-ed25519 {cut}"), LineError::KeyMalformed),
        (format!("pve1 ssh-ed25519 {glued}"), LineError::KeyMalformed),
        (
            "pve1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5".to_owned(),
            LineError::KeyMalformed,
        ),
        ("pve1 ssh-ed25519 AAAA".to_owned(), LineError::KeyMalformed),
        (
            "pve1 ssh-future AAAACnNzaC1mdXR1cmU=".to_owned(),
            LineError::KeyMalformed,
        ),
        (
            format!("pve1 ssh-rsa {}", PVE1.encoded),
            LineError::KeyTypeMismatch,
        ),
        (
            format!("pve1 SSH-ED25519 {}", PVE1.encoded),
            LineError::KeyTypeMismatch,
        ),
        (format!("pve1 {CERTIFICATE}"), LineError::Certificate),
    ];
    for (text, expected) in cases {
        assert_eq!(error(&text), expected, "{text:?}");
    }
}

#[test]
fn future_key_type_can_be_pinned() {
    let mut blob = b"\0\0\0\x0assh-future".to_vec();
    blob.extend(b"\0\0\0\x03key\0\0\0\0");
    let known = known(&format!("pve1 ssh-future {}", STANDARD.encode(&blob)));
    assert_eq!(known.check_key(&host("pve1"), &blob), KeyVerdict::Trusted);
    assert_eq!(
        known.algorithms_for(&host("pve1")).key_types,
        ["ssh-future"]
    );
}

#[test]
fn damaged_hash_is_an_error() {
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
            LineError::BadPattern
        } else {
            LineError::BadHash
        };
        assert_eq!(
            error(&format!("{field} {}", PVE1.text())),
            expected,
            "{field}"
        );
    }
}

#[test]
fn bad_line_leaves_others_valid() {
    let text = format!(
        "pve1 nonsense\n@what pve1 {0}\npve1 {0}\n\n@revoked * ssh-ed25519 AAAA\npve2 {1}\npve3",
        PVE1.text(),
        PVE2.text()
    );
    let (known, bad_lines) = KnownHosts::parse(&text).unwrap();
    let lines: Vec<_> = bad_lines.iter().map(|p| (p.line, p.revocation)).collect();
    assert_eq!(lines, [(1, false), (2, false), (5, true), (7, false)]);
    assert_eq!(known.len(), 2);
    assert_eq!(
        known.check_key(&host("pve1"), &PVE1.blob()),
        KeyVerdict::Trusted
    );
    assert_eq!(
        known.check_key(&host("pve2"), &PVE2.blob()),
        KeyVerdict::Trusted
    );
}

#[test]
fn bad_line_has_number_and_remedy() {
    let (_, bad_lines) = KnownHosts::parse("\npve1 ssh-ed25519 AAA").unwrap();
    let text = bad_lines[0].to_string();
    assert_eq!(
        text,
        "line 2: the key is not valid base64; copy the whole key again"
    );
}

#[test]
fn huge_file_is_not_read() {
    let pin = format!("pve1 {}\n", PVE1.text());
    let full = pin.clone() + &"#\n".repeat(MAX_LINES - 1);
    assert!(trusts(&full, "pve1"));
    let long = format!("{pin}#{}", "x".repeat(MAX_BYTES - pin.len() - 1));
    assert!(trusts(&long, "pve1"));
    for text in [full + "#", long + "x"] {
        assert_eq!(KnownHosts::parse(&text).unwrap_err(), FileError::TooLarge);
    }
}

#[test]
fn utf16_is_named() {
    let text = format!("pve1 {}\n", PVE1.text());
    for encode in [u16::to_le_bytes, u16::to_be_bytes] {
        let units = ['\u{feff}'].into_iter().chain(text.chars());
        let units = units.flat_map(|c| encode(u16::try_from(u32::from(c)).unwrap()));
        let error = KnownHosts::parse(units.collect::<Vec<u8>>()).unwrap_err();
        assert_eq!(error, FileError::Utf16);
        assert!(error.to_string().contains("save it as UTF-8"), "{error}");
    }
}

#[test]
fn byte_order_mark_hides_no_line() {
    let revoked = format!("\u{feff}@revoked * {0}\npve1 {0}\n", PVE1.text());
    assert!(has_byte_order_mark(revoked.as_bytes()));
    assert_eq!(
        known(&revoked).check_key(&host("pve1"), &PVE1.blob()),
        KeyVerdict::Revoked
    );
    let pinned = format!("\u{feff}pve1 {}\n", PVE1.text());
    assert!(trusts(&pinned, "pve1"));
    // Only at the beginning of a file.
    let (known, bad_lines) = KnownHosts::parse(format!("\n{pinned}")).unwrap();
    assert!(known.is_empty() && bad_lines.len() == 1, "{bad_lines:?}");
}

#[test]
fn files_are_merged() {
    let mut all = known(&format!("pve1 {}", PVE1.text()));
    all.extend(known(&format!("pve* {}\n@revoked pve2 {0}", PVE2.text())));
    all.extend(known(&format!("@cert-authority pve3 {}", AUTHORITY.text())));
    assert_eq!(all.len(), 4);
    assert_eq!(
        all.check_key(&host("pve1"), &PVE1.blob()),
        KeyVerdict::Trusted
    );
    assert_eq!(
        all.check_key(&host("pve1"), &PVE2.blob()),
        KeyVerdict::Trusted
    );
    assert_eq!(
        all.check_key(&host("pve2"), &PVE2.blob()),
        KeyVerdict::Revoked
    );
    assert!(all.algorithms_for(&host("pve3")).authority);
}
