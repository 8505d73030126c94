//! The end of a quoted string in which quotes are not escaped.
//!
//! lm-sensors prints labels unescaped, with quotes and backslashes. So the end of a string is
//! recognised by what follows: a colon and a value after a key, a comma or a closing bracket after
//! a value. The search ends after [`MAX_TEXT`] bytes, which keeps its time linear.

/// The search limit for the end of a string, in bytes.
const MAX_TEXT: usize = 1_024;

/// The search limit for the end of a label in parentheses, in bytes.
const MAX_LABEL: usize = 300;

/// The maximum number of blanks between a string and what follows it.
const MAX_BLANKS: usize = 64;

/// The position of the quote that closes the key opened at `open`, and of its value. The error is
/// the position at which to continue if the key is not closed.
pub(super) fn key_end(bytes: &[u8], open: usize) -> Result<(usize, usize), usize> {
    let limit = bytes.len().min(open + MAX_TEXT);
    let mut last_quote = open;
    for (at, byte) in between(bytes, open, limit) {
        match byte {
            b'"' => match value_after(bytes, at) {
                Some(value_at) => return Ok((at, value_at)),
                None => last_quote = at,
            },
            // A label can contain a newline. But if the next line looks like a line of the
            // document, the key has lost its end.
            b'\n' if starts_anew(bytes, at + 1) => return Err(at),
            _ => {}
        }
    }
    Err(resume_at(bytes, open, last_quote, limit))
}

/// The position of the quote that closes the value opened at `open`. The error is the position at
/// which to continue if the value is not closed.
pub(super) fn text_end(bytes: &[u8], open: usize) -> Result<usize, usize> {
    let limit = bytes.len().min(open + MAX_TEXT);
    let mut last_quote = open;
    for (at, byte) in between(bytes, open, limit) {
        match byte {
            b'"' if ends_value(bytes, at) => return Ok(at),
            // This quote closes a key, so the one before it opened the key and the value has
            // lost its end.
            b'"' if value_after(bytes, at).is_some() => return Err(last_quote),
            b'"' => last_quote = at,
            b'\n' => return Err(at),
            _ => {}
        }
    }
    Err(resume_at(bytes, open, last_quote, limit))
}

/// The bytes after the opening quote up to `limit`, with their positions.
fn between(bytes: &[u8], open: usize, limit: usize) -> impl Iterator<Item = (usize, u8)> {
    bytes.iter().copied().enumerate().take(limit).skip(open + 1)
}

/// The position at which to continue after an unclosed string: the last quote seen, which may open
/// the next string; without one, the end of the searched bytes.
fn resume_at(bytes: &[u8], open: usize, last_quote: usize, limit: usize) -> usize {
    if limit < bytes.len() && last_quote > open {
        last_quote
    } else {
        limit
    }
}

/// The position of the value, if the quote at `quote` closes a key.
fn value_after(bytes: &[u8], quote: usize) -> Option<usize> {
    let colon = skip_blanks(bytes, quote + 1);
    if bytes.get(colon) != Some(&b':') {
        return None;
    }
    let value_at = skip_blanks(bytes, colon + 1);
    // An escaped quote closes a key only if its line ends after the opening brace.
    let starts = match bytes.get(value_at) {
        Some(b'{') if is_escaped(bytes, quote) => is_line_end(bytes, value_at + 1),
        _ if is_escaped(bytes, quote) => false,
        // The value can be missing (`"temp1_input": ,`).
        Some(b'{' | b'[' | b'"' | b'-' | b'+' | b'.' | b',' | b'}' | b']') => true,
        Some(byte) => byte.is_ascii_alphanumeric() || is_line_end(bytes, value_at),
        None => false,
    };
    starts.then_some(value_at)
}

/// True if the quote at `quote` closes a value.
fn ends_value(bytes: &[u8], quote: usize) -> bool {
    let next = skip_blanks(bytes, quote + 1);
    match bytes.get(next) {
        Some(b',') if is_escaped(bytes, quote) => is_line_end(bytes, next + 1),
        Some(b',' | b'}' | b']') => !is_escaped(bytes, quote),
        _ => is_line_end(bytes, next),
    }
}

/// True if an odd number of backslashes precedes the quote. lm-sensors escapes nothing, so such a
/// quote still closes a string if it is at the end of a line.
fn is_escaped(bytes: &[u8], quote: usize) -> bool {
    bytes
        .iter()
        .take(quote)
        .rev()
        .take_while(|byte| **byte == b'\\')
        .count()
        % 2
        == 1
}

fn skip_blanks(bytes: &[u8], from: usize) -> usize {
    let blanks = bytes
        .get(from..)
        .unwrap_or_default()
        .iter()
        .take(MAX_BLANKS);
    from + blanks
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count()
}

fn is_line_end(bytes: &[u8], at: usize) -> bool {
    matches!(
        bytes.get(at..).unwrap_or_default(),
        [] | [b'\n', ..] | [b'\r', b'\n', ..]
    )
}

fn starts_anew(bytes: &[u8], line: usize) -> bool {
    let at = skip_blanks(bytes, line);
    is_line_end(bytes, at) || matches!(bytes.get(at), Some(b'"' | b'{' | b'}' | b'[' | b']'))
}

/// The length of a label in parentheses; `None` if it does not end on its line, or contains a key,
/// a brace or a bracket.
pub(super) fn closing_parenthesis(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in bytes.iter().enumerate().take(MAX_LABEL) {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth -= 1,
            b'"' if value_after(bytes, at).is_some() => return None,
            b'\n' | b'{' | b'}' | b'[' | b']' => return None,
            _ => {}
        }
    }
    None
}
