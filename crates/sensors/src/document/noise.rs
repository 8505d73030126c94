//! What lm-sensors says on stderr, when a forced command mixes it into stdout.
//!
//! stdout into a pipe is written in blocks, stderr at once: so an error line can
//! stand in the middle of a word of the document (`"temp1_inERROR: …\nput": 45`).
//! Cutting the line out, with its line break, puts the word together again.

use std::borrow::Cow;

/// How the lines start that `sensors -j` prints on stderr.
const ERROR_LINES: [&[u8]; 2] = [b"ERROR: Can't get ", b"Can't get adapter name\n"];

/// The text without lm-sensors' error lines, and how many there were.
pub(super) fn without_error_lines(bytes: &[u8]) -> (Cow<'_, [u8]>, u64) {
    let Some(first) = find_error_line(bytes) else {
        return (Cow::Borrowed(bytes), 0);
    };
    let (kept, mut rest) = bytes.split_at(first);
    let mut kept = kept.to_vec();
    let mut count = 1;
    loop {
        rest = after_line(rest);
        let Some(next) = find_error_line(rest) else {
            kept.extend_from_slice(rest);
            return (Cow::Owned(kept), count);
        };
        let (between, line) = rest.split_at(next);
        kept.extend_from_slice(between);
        rest = line;
        count += 1;
    }
}

fn find_error_line(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len()).find(|at| {
        let from_here = bytes.get(*at..).unwrap_or_default();
        ERROR_LINES.iter().any(|start| from_here.starts_with(start))
    })
}

fn after_line(bytes: &[u8]) -> &[u8] {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n').skip(1);
    lines.next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_an_error_line_split_is_whole_again() {
        let text = b"{\"temp1_inERROR: Can't get value of subfeature temp3_input: Can't read\n\
            ERROR: Can't get label of feature temp4!\nput\": 45}";
        let (clean, count) = without_error_lines(text);
        assert_eq!((&*clean, count), (b"{\"temp1_input\": 45}".as_slice(), 2));
    }

    #[test]
    fn an_error_line_at_either_end_goes() {
        let text = b"Can't get adapter name\n{}\nERROR: Can't get label of feature x!";
        let (clean, count) = without_error_lines(text);
        assert_eq!((&*clean, count), (b"{}\n".as_slice(), 2));
    }
}
