//! Removal of error messages of lm-sensors, for forced commands that redirect stderr to stdout.
//!
//! stdout is block-buffered in a pipe and stderr is not, so an error line can split a word of the
//! document (`"temp1_inERROR: …\nput": 45`). Removing the line with its newline restores the word.

use std::borrow::Cow;

/// The beginnings of the lines that `sensors -j` prints to stderr.
const ERROR_LINES: [&[u8]; 2] = [b"ERROR: Can't get ", b"Can't get adapter name\n"];

/// The text without error lines, and the number of lines removed.
pub(super) fn without_error_lines(bytes: &[u8]) -> (Cow<'_, [u8]>, u64) {
    let Some(first) = find_error_line(bytes) else {
        return (Cow::Borrowed(bytes), 0);
    };
    let (kept, mut rest) = bytes.split_at(first);
    let mut kept = kept.to_vec();
    let mut count = 1;
    loop {
        // An error line that ends the output can lack its newline.
        rest = rest
            .splitn(2, |byte| *byte == b'\n')
            .nth(1)
            .unwrap_or_default();
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
        bytes
            .get(*at..)
            .is_some_and(|rest| ERROR_LINES.iter().any(|start| rest.starts_with(start)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_word_is_restored() {
        let text = b"{\"temp1_inERROR: Can't get value of subfeature temp3_input: Can't read\n\
            ERROR: Can't get label of feature temp4!\nput\": 45}";
        let (clean, count) = without_error_lines(text);
        assert_eq!((&*clean, count), (b"{\"temp1_input\": 45}".as_slice(), 2));
    }

    #[test]
    fn error_lines_at_the_ends_go() {
        let text = b"Can't get adapter name\n{}\nERROR: Can't get label of feature x!";
        let (clean, count) = without_error_lines(text);
        assert_eq!((&*clean, count), (b"{}\n".as_slice(), 2));
    }
}
