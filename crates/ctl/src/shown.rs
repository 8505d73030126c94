//! Text from elsewhere, fit for a terminal. Nothing is lost: who reads an audit log wants
//! to know what was there.

use pulse_sensors::shown::is_active;

/// The text with everything escaped that does something rather than show something.
pub(crate) fn shown(text: &str) -> String {
    if !text.chars().any(is_active) {
        return text.to_owned();
    }
    let escape = |c: char| {
        if is_active(c) {
            c.escape_unicode().collect()
        } else {
            String::from(c)
        }
    };
    text.chars().map(escape).collect()
}

/// JSON of one line with the same escaped as JSON itself does it: other bytes, but
/// the same value.
pub(crate) fn shown_json(json: &str) -> String {
    let escape = |c: char| {
        if is_active(c) {
            escaped(c)
        } else {
            String::from(c)
        }
    };
    json.chars().map(escape).collect()
}

/// A character as JSON escapes it: in UTF-16, so that some take two.
pub(crate) fn escaped(c: char) -> String {
    let units = c.encode_utf16(&mut [0; 2]).to_vec();
    units.iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_cannot_drive_the_terminal() {
        assert_eq!(shown("Core 0 · 41 °C"), "Core 0 · 41 °C");
        assert_eq!(shown("a\u{1b}[2Jb\r"), "a\\u{1b}[2Jb\\u{d}");
        assert_eq!(shown("\u{9b}1m\u{202e}x"), "\\u{9b}1m\\u{202e}x");
    }

    #[test]
    fn json_means_the_same_when_it_is_safe() {
        let json = "{\"error\":\"a\u{9b}2J\u{202e}\u{e0041}\"}";
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown_json(json)), value(json));
        assert!(!shown_json(json).chars().any(is_active));
    }
}
