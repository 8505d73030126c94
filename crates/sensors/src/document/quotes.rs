//! Where a text in quotes ends, when nothing in it was escaped.
//!
//! lm-sensors prints labels as they are, quotes and backslashes included. So the
//! end of a text is known by what follows it: a colon and a value after a key, a
//! comma or a closing bracket after a value. Nothing is looked for further than
//! [`MAX_TEXT`] bytes ahead.

/// How far the end of a text is looked for, in bytes.
const MAX_TEXT: usize = 1_024;

/// How far the end of a label in parentheses is looked for, in bytes.
const MAX_LABEL: usize = 300;

/// How many blanks are skipped between a text and what follows it.
const MAX_BLANKS: usize = 64;

/// Where the key that opens at `open` ends and where its value starts, or where to
/// go on when it has no end.
pub(super) fn key_end(bytes: &[u8], open: usize) -> Result<(usize, usize), usize> {
    let limit = bytes.len().min(open + MAX_TEXT);
    let mut last_quote = open;
    for (at, byte) in between(bytes, open, limit) {
        match byte {
            b'"' => match value_after(bytes, at) {
                Some(value_at) => return Ok((at, value_at)),
                None => last_quote = at,
            },
            // A label can have a line break in it, but then its second line does
            // not look like a line of the document.
            b'\n' if starts_anew(bytes, at + 1) => return Err(at),
            _ => {}
        }
    }
    Err(resume_at(bytes, open, last_quote, limit))
}

/// Where the value that opens at `open` ends, or where to go on when it has no end.
pub(super) fn text_end(bytes: &[u8], open: usize) -> Result<usize, usize> {
    let limit = bytes.len().min(open + MAX_TEXT);
    let mut last_quote = open;
    for (at, byte) in between(bytes, open, limit) {
        match byte {
            b'"' if ends_value(bytes, at) => return Ok(at),
            // These are the quotes at the end of a key, so the ones before them
            // opened it.
            b'"' if value_after(bytes, at).is_some() => return Err(last_quote),
            b'"' => last_quote = at,
            b'\n' => return Err(at),
            _ => {}
        }
    }
    Err(resume_at(bytes, open, last_quote, limit))
}

/// What comes after the opening quotes, with its place.
fn between(bytes: &[u8], open: usize, limit: usize) -> impl Iterator<Item = (usize, u8)> {
    let places = bytes.iter().copied().enumerate();
    places.take(limit).skip(open + 1)
}

/// After a text without an end: at the last quotes seen, which may open the next
/// text; behind everything when there were none.
fn resume_at(bytes: &[u8], open: usize, last_quote: usize, limit: usize) -> usize {
    if limit < bytes.len() && last_quote > open {
        last_quote
    } else {
        limit
    }
}

/// Where the value starts, when these quotes end a key.
fn value_after(bytes: &[u8], quote: usize) -> Option<usize> {
    let colon = skip_blanks(bytes, quote + 1);
    if bytes.get(colon) != Some(&b':') {
        return None;
    }
    let value_at = skip_blanks(bytes, colon + 1);
    let starts = match bytes.get(value_at) {
        Some(b'{') if is_escaped(bytes, quote) => is_line_end(bytes, value_at + 1),
        _ if is_escaped(bytes, quote) => false,
        // The value itself may be missing (`"temp1_input": ,`).
        Some(b'{' | b'[' | b'"' | b'-' | b'+' | b'.' | b',' | b'}' | b']') => true,
        Some(byte) => byte.is_ascii_alphanumeric() || is_line_end(bytes, value_at),
        None => false,
    };
    starts.then_some(value_at)
}

/// Whether these quotes end a value.
fn ends_value(bytes: &[u8], quote: usize) -> bool {
    let next = skip_blanks(bytes, quote + 1);
    match bytes.get(next) {
        Some(b',') if is_escaped(bytes, quote) => is_line_end(bytes, next + 1),
        Some(b',' | b'}' | b']') => !is_escaped(bytes, quote),
        _ => is_line_end(bytes, next),
    }
}

/// Whether an odd number of backslashes stands before these quotes. They may still
/// end a text, at the end of a line: lm-sensors escapes nothing.
fn is_escaped(bytes: &[u8], quote: usize) -> bool {
    let before = bytes.iter().take(quote).rev();
    before.take_while(|byte| **byte == b'\\').count() % 2 == 1
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

/// The length of a label in parentheses, when it ends on its line with neither a
/// key nor a brace or bracket in it.
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
