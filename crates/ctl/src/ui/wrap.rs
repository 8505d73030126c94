//! Text broken into lines for a terminal.

use super::width::width;

/// The least width that text is wrapped to, in columns.
const MIN_COLUMNS: usize = 24;

/// The text in lines of at most so many columns, broken at blanks; whole when there is no
/// limit. A word that is longer stays whole.
pub(crate) fn wrapped(text: &str, columns: Option<usize>) -> Vec<String> {
    // In a narrower window the terminal breaks lines itself.
    let room = columns.map_or(usize::MAX, |columns| columns.max(MIN_COLUMNS));
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let longer = width(&line) + 1 + width(word);
        if line.is_empty() {
            word.clone_into(&mut line);
        } else if longer <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(std::mem::replace(&mut line, word.to_owned()));
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_blanks() {
        let text = "one two three four five six seven";
        assert_eq!(wrapped(text, None), [text]);
        assert_eq!(
            wrapped(text, Some(24)),
            ["one two three four five", "six seven"]
        );
        assert_eq!(wrapped(text, Some(1)).len(), 2);
        let long = "x".repeat(40);
        assert_eq!(
            wrapped(&format!("a {long} b"), Some(30)),
            ["a", long.as_str(), "b"]
        );
        assert_eq!(wrapped("", Some(30)), [""]);
    }
}
