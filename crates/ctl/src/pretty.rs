//! JSON made readable without changing it: the members keep their order and the
//! numbers their digits, which parsing and writing again would not promise.

use crate::shown::escaped;
use pulse_sensors::shown::is_active;

const INDENT: &str = "  ";

/// The text of a JSON value over several lines. Only for valid JSON.
pub(crate) fn pretty(json: &str) -> String {
    let mut printer = Printer::default();
    let mut characters = json.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' => printer.string(&mut characters),
            '{' | '[' => {
                while characters.next_if(|next| next.is_whitespace()).is_some() {}
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => printer.text.extend([c, end]),
                    None => printer.open(c),
                }
            }
            '}' | ']' => printer.close(c),
            ',' => printer.next_member(),
            ':' => printer.text.push_str(": "),
            c if c.is_whitespace() => {}
            c => printer.text.push(c),
        }
    }
    printer.text
}

#[derive(Default)]
struct Printer {
    text: String,
    depth: usize,
}

impl Printer {
    fn open(&mut self, bracket: char) {
        self.text.push(bracket);
        self.depth += 1;
        self.new_line();
    }

    fn close(&mut self, bracket: char) {
        self.depth = self.depth.saturating_sub(1);
        self.new_line();
        self.text.push(bracket);
    }

    fn next_member(&mut self) {
        self.text.push(',');
        self.new_line();
    }

    fn new_line(&mut self) {
        self.text.push('\n');
        self.text.push_str(&INDENT.repeat(self.depth));
    }

    /// The rest of a string, up to its closing quote.
    fn string(&mut self, characters: &mut impl Iterator<Item = char>) {
        self.text.push('"');
        while let Some(c) = characters.next() {
            match c {
                '\\' => self
                    .text
                    .extend(std::iter::once(c).chain(characters.next())),
                // The same string, but nothing that a terminal would obey.
                c if is_active(c) => self.text.push_str(&escaped(c)),
                c => self.text.push(c),
            }
            if c == '"' {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn members_keep_their_order_and_numbers_their_digits() {
        let text = r#"{"b":1.50,"a":{"x":[1,2,[]],"y":{ }},"c":"a:{,\"}"}"#;
        let expected = "{\n  \"b\": 1.50,\n  \"a\": {\n    \"x\": [\n      1,\n      2,\n      []\n    ],\n    \
                        \"y\": {}\n  },\n  \"c\": \"a:{,\\\"}\"\n}";
        assert_eq!(pretty(text), expected);
        assert_eq!(pretty(" [ ] "), "[]");
        assert_eq!(pretty("null"), "null");
    }

    #[test]
    fn the_value_stays_the_same_and_no_control_character_is_printed() {
        let text = "{\"a\\\\\":\"\u{9b}2J\\u001b\u{202e}\",\"\\\"\":[true,{\"e\":-1e-9}]}";
        let printed = pretty(text);
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parse(&printed), parse(text));
        assert!(!printed.contains(['\u{9b}', '\u{202e}']), "{printed}");
    }
}
