//! Heads: printed by `audit head`, and taken by `audit verify --head`.

use super::arguments::{HeadOptions, VerifyOptions};
use super::place::Place;
use super::{AuditError, print_json};
use crate::failure::{Ending, Failure};
use crate::screen::Screen;
use pulse_audit::HeadLine;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// 16 KiB hold some 100 heads, and one is enough.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Carries `audit head` out.
///
/// # Errors
/// [`Failure`] when the log has no last record that could be noted.
pub(crate) fn run(mut screen: Screen, options: &HeadOptions) -> Result<Ending, Failure> {
    let sources = Place::find(&options.place)?.sources()?;
    let line = HeadLine::of(sources).map_err(AuditError::Head)?;
    if options.json {
        print_json(&mut screen, &as_json(&line))?;
    } else {
        screen.print_text(&line.to_string())?;
    }
    Ok(Ending::Done)
}

fn as_json(line: &HeadLine) -> Value {
    json!({
        "seq": line.head.seq,
        "epoch": line.epoch,
        "ts": line.ts.to_string(),
        "log_id": line.log_id,
        "event_hash": line.head.hash(),
        "line": line.to_string(),
    })
}

/// The heads that a log must hold, from the command line and from a file.
///
/// # Errors
/// [`AuditError`] when the file cannot be read, or something in it is no head.
pub(crate) fn given(options: &VerifyOptions) -> Result<Vec<HeadLine>, AuditError> {
    let mut heads = options.heads.clone();
    if let Some(path) = &options.head_file {
        heads.extend(in_file(path)?);
    }
    Ok(heads)
}

/// One on each line; empty lines and those that begin with "#" are passed over.
fn in_file(path: &Path) -> Result<Vec<HeadLine>, AuditError> {
    let mut text = String::new();
    // Named by whoever asks, and a pipe if they like.
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text))
        .map_err(|error| AuditError::unreadable(path, error))?;
    let wrong = |reason: String| AuditError::HeadFile {
        path: path.to_owned(),
        reason,
    };
    if text.len() as u64 == MAX_FILE_BYTES {
        return Err(wrong("it is too long for a file of heads".to_owned()));
    }
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let parse = |(at, line): (usize, &str)| {
        line.parse()
            .map_err(|error| wrong(format!("line {}: {error}", at + 1)))
    };
    let heads: Vec<HeadLine> = lines.map(parse).collect::<Result<_, _>>()?;
    if heads.is_empty() {
        return Err(wrong("there is no head in it".to_owned()));
    }
    Ok(heads)
}
