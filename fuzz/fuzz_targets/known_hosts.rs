//! A file never makes a key trusted that it does not list, or that it revokes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::nodes::known_hosts::{HostQuery, KeyVerdict, KnownHosts};
use pulse_core::nodes::name::NodeName;

/// The requested host's key: an Ed25519 key of 32 times `K`. It is in
/// `dictionaries/known_hosts.dict`, so that inputs list it.
const KEY_TEXT: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIEtLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tL";

fuzz_target!(|file: &[u8]| {
    let Ok((known, bad)) = KnownHosts::parse(file) else {
        return;
    };
    let lines = file.split(|byte| *byte == b'\n').count();
    assert!(bad.iter().all(|bad| (1..=lines).contains(&bad.line)));
    assert!(
        bad.is_sorted_by(|a, b| a.line < b.line),
        "each once, in order"
    );
    let key = [&b"\0\0\0\x0bssh-ed25519\0\0\0\x20"[..], &[b'K'; 32]].concat();
    let mut windows = file.windows(KEY_TEXT.len());
    let lists_key = windows.any(|window| window == KEY_TEXT.as_bytes());
    // Looked up by name, by name and port, and by address: each has lines of another form.
    for (name, address, port) in [
        ("pve1", None, 22),
        ("pve1", Some("10.0.0.1"), 2222),
        ("2001:db8::1", Some("2001:db8::1"), 22),
    ] {
        let name = NodeName::parse(name).expect("a name");
        let host = HostQuery::new(&name, address.and_then(|a| a.parse().ok()), port);
        let verdict = known.check_key(&host, &key);
        match &verdict {
            KeyVerdict::Trusted | KeyVerdict::Revoked => assert!(lists_key, "out of nowhere"),
            KeyVerdict::Changed { expected } => assert!(!expected.is_empty()),
            KeyVerdict::Unknown => {}
        }
        // Whatever follows, an earlier pin pins and an earlier revocation revokes.
        let pinned = with_line(file, &format!("{} ssh-ed25519 {KEY_TEXT}", host.known_as()));
        let kept = if verdict == KeyVerdict::Revoked {
            KeyVerdict::Revoked
        } else {
            KeyVerdict::Trusted
        };
        assert_eq!(pinned.check_key(&host, &key), kept);
        let revoked = with_line(file, &format!("@revoked * ssh-ed25519 {KEY_TEXT}"));
        assert_eq!(revoked.check_key(&host, &key), KeyVerdict::Revoked);
        // The order of algorithms is not checked, only that there is no panic.
        let _ = known.algorithms_for(&host);
    }
});

/// The file with a line before it, as two files that are read in order.
fn with_line(file: &[u8], line: &str) -> KnownHosts {
    let parse = |text: &[u8]| KnownHosts::parse(text).expect("the file is not too large");
    let (mut first, bad) = parse(line.as_bytes());
    assert_eq!(bad, [], "{line}");
    first.extend(parse(file).0);
    first
}
