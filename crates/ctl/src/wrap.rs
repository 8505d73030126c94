//! Text broken into lines where somebody looks at it.

/// What no text is wrapped to less than, in characters.
const LEAST: usize = 24;

/// The text in lines of at most this many characters, broken at blanks; whole
/// when there is no limit. A word that is longer stays whole.
pub(crate) fn wrapped(text: &str, columns: Option<usize>) -> Vec<String> {
    let width = columns.map_or(usize::MAX, |columns| columns.max(LEAST));
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let longer = count(&line).saturating_add(1 + count(word));
        if line.is_empty() {
            word.clone_into(&mut line);
        } else if longer <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(std::mem::replace(&mut line, word.to_owned()));
        }
    }
    lines.push(line);
    lines
}

fn count(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_blanks_and_words_are_not() {
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
