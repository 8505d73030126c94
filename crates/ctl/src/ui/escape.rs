//! Characters of others made visible: text of nodes, callers and files must not control the
//! terminal. Nothing is left out, since the reader of an audit log wants to see what was there.

use pulse_sensors::shown::is_active;
use std::fmt::Write;

/// The text with active characters escaped as Rust does: `\u{1b}`.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_active(c) {
            escaped.extend(c.escape_unicode());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// One line of JSON with active characters escaped as JSON does: `\u001b`. The bytes change,
/// the value does not.
pub(crate) fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_active(c) {
            // JSON escapes UTF-16, in which some characters take two units.
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_visible() {
        assert_eq!(escape("Core 0 · 41 °C"), "Core 0 · 41 °C");
        assert_eq!(escape("a\u{1b}[2Jb\r"), "a\\u{1b}[2Jb\\u{d}");
        assert_eq!(escape("\u{9b}1m\u{202e}x"), "\\u{9b}1m\\u{202e}x");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let json = "{\"error\":\"a\u{9b}2J\u{202e}\u{e0041}\"}";
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&escape_json(json)), value(json));
        assert!(!escape_json(json).chars().any(is_active));
    }
}
