//! Text from elsewhere, fit for a terminal.

/// The text with everything escaped that a terminal could take for an order:
/// control characters, and marks that change the direction of writing.
pub(crate) fn shown(text: &str) -> String {
    if !text.chars().any(is_order) {
        return text.to_owned();
    }
    let escape = |c: char| {
        if is_order(c) {
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
    let escape = |c: char| match is_order(c) {
        true => format!("\\u{:04x}", u32::from(c)),
        false => String::from(c),
    };
    json.chars().map(escape).collect()
}

/// Whether a character does something rather than show something.
pub(crate) fn is_order(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
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
        let json = "{\"error\":\"a\u{9b}2J\u{202e}\"}";
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown_json(json)), value(json));
        assert!(!shown_json(json).chars().any(is_order));
    }
}
