//! The request loop of the `serve` command: one line for each request and each reply.
//!
//! The daemon opens the channel once for a node, so each reading takes one round trip. Each reply
//! is written with a single write(2), so that sshd sends it in one packet and the daemon wakes
//! once.

use crate::error::HelperError;
use crate::reader::{SensorReader, to_line};
use crate::write_flushed;
use std::io::{BufRead, Read, Write};
use std::time::{Instant, SystemTime};

/// The first line, with the protocol and the version. From a node that sends another line, the
/// daemon concludes that it has no helper.
const GREETING: &str = concat!(
    r#"{"pulse_sensor_node":{"protocol":1,"version":""#,
    env!("CARGO_PKG_VERSION"),
    "\"}}\n"
);

/// The only request.
const READ: &[u8] = b"read";

/// The reply to any other line.
const UNKNOWN: &str = "{\"error\":\"unknown request; send read\"}\n";

/// The maximum length of a request line without its newline, in bytes.
const MAX_LINE_BYTES: usize = 1024;

/// Replies to requests until the end of the input.
///
/// # Errors
/// [`HelperError::LongLine`] for a line over the limit, [`HelperError::Channel`] if reading or
/// writing fails.
pub fn serve(
    mut input: impl BufRead,
    mut output: impl Write,
    reader: &mut SensorReader,
) -> Result<(), HelperError> {
    write_flushed(&mut output, GREETING.as_bytes())?;
    let mut line = Vec::new();
    while next_line(&mut input, &mut line)? {
        if line == READ {
            let document = reader.read(SystemTime::now(), Instant::now());
            write_flushed(&mut output, to_line(document).as_bytes())?;
        } else {
            write_flushed(&mut output, UNKNOWN.as_bytes())?;
        }
    }
    Ok(())
}

/// Reads the next complete line, without its newline; false at the end. Bytes after the last
/// newline are an incomplete request and are ignored.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, HelperError> {
    line.clear();
    // One more byte for the newline.
    let limit = MAX_LINE_BYTES as u64 + 1;
    input
        .take(limit)
        .read_until(b'\n', line)
        .map_err(HelperError::Channel)?;
    if line.pop_if(|last| *last == b'\n').is_some() {
        return Ok(true);
    }
    if line.len() > MAX_LINE_BYTES {
        return Err(HelperError::LongLine);
    }
    Ok(false)
}
