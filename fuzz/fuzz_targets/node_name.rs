//! An accepted node name has no character that a shell, a path or a terminal interprets.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::nodes::name::{MAX_NAME_BYTES, NodeName, shown};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match NodeName::parse(text) {
        Ok(name) => check_name(&name),
        Err(_) => check_shown(&shown(text)),
    }
});

fn check_name(name: &NodeName) {
    let text = name.as_str();
    assert!(!text.is_empty() && text.len() <= MAX_NAME_BYTES);
    match name.address() {
        Some(address) => assert_eq!(text, address.to_string(), "an address is canonical"),
        None => check_host(text),
    }
    assert_eq!(NodeName::parse(text).as_ref(), Ok(name));
}

fn check_host(text: &str) {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    assert!(text.bytes().all(allowed), "only the listed characters");
    assert!(
        text.as_bytes()[0].is_ascii_alphanumeric(),
        "no option, no path"
    );
}

/// A refused name is displayed on one line and without control characters.
fn check_shown(shown: &str) {
    let harmless = |c: char| c.is_ascii_graphic() || c == ' ' || c == '…';
    assert!(shown.chars().all(harmless));
}
