//! The long-lived channel: one request a line in, one answer a line out.
//!
//! The daemon opens it once per node and then pays one round trip per reading.
//! Every line leaves in one write, so that it is one packet on the wire and the
//! other end wakes once for it.

use crate::failure::Failure;
use crate::reader::{Reader, to_line};
use std::io::{BufRead, Read, Write};
use std::time::{Instant, SystemTime};

/// The first line: that this is a helper, which protocol it speaks, and its
/// version. Anything else than this line, and the node has no helper.
const GREETING: &str = concat!(
    r#"{"pulse_sensor_node":{"protocol":1,"version":""#,
    env!("CARGO_PKG_VERSION"),
    "\"}}\n"
);

/// The one request.
const READ: &[u8] = b"read";

/// What any other line gets.
const UNKNOWN: &str = "{\"error\":\"unknown request; send read\"}\n";

/// The longest request line, its newline not counted.
const MAX_LINE_BYTES: usize = 1024;

/// Answers requests until there are no more.
///
/// # Errors
/// [`Failure::LongLine`] when a line cannot be a request, [`Failure::Channel`]
/// when reading or writing fails.
pub fn serve(
    mut input: impl BufRead,
    mut output: impl Write,
    reader: &mut Reader,
) -> Result<(), Failure> {
    send(&mut output, GREETING)?;
    let mut line = Vec::new();
    while next_line(&mut input, &mut line)? {
        if line == READ {
            let document = reader.read(SystemTime::now(), Instant::now());
            send(&mut output, &to_line(document))?;
        } else {
            send(&mut output, UNKNOWN)?;
        }
    }
    Ok(())
}

fn send(output: &mut impl Write, line: &str) -> Result<(), Failure> {
    let written = output.write_all(line.as_bytes());
    written
        .and_then(|()| output.flush())
        .map_err(Failure::Channel)
}

/// Reads the next whole line, without its newline; false at the end. What comes
/// after the last newline was cut short on its way and is no request.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, Failure> {
    line.clear();
    let limit = MAX_LINE_BYTES as u64 + 1;
    let mut limited = input.take(limit);
    limited.read_until(b'\n', line).map_err(Failure::Channel)?;
    if line.pop_if(|last| *last == b'\n').is_some() {
        return Ok(true);
    }
    if line.len() > MAX_LINE_BYTES {
        return Err(Failure::LongLine);
    }
    Ok(false)
}
