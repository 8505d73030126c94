//! An accepted node name has no character that a shell, a path or a terminal interprets.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::nodes::name::{MAX_NAME_BYTES, NodeName, shown};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let Ok(name) = NodeName::parse(text) else {
        // A refused name is displayed on one line and without control characters.
        let harmless = |c: char| c.is_ascii_graphic() || c == ' ' || c == '…';
        assert!(shown(text).chars().all(harmless));
        return;
    };
    let text = name.as_str();
    assert!(!text.is_empty() && text.len() <= MAX_NAME_BYTES);
    if let Some(address) = name.address() {
        assert_eq!(text, address.to_string(), "an address is canonical");
    } else {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        assert!(text.bytes().all(allowed), "only the listed characters");
        assert!(
            text.as_bytes()[0].is_ascii_alphanumeric(),
            "no option, no path"
        );
    }
    assert_eq!(NodeName::parse(text).as_ref(), Ok(&name));
});
