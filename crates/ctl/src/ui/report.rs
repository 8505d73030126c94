//! Errors of commands on stderr, so that stdout has results only.

use super::escape::{escape, escape_json};
use super::screen::JSON_VERSION;
use crate::error::{CommandError, message};
use serde_json::json;
use std::io::{self, Write};

/// The error, its causes and what to do about it, safe for a terminal.
pub(crate) fn sentence(error: &dyn CommandError) -> String {
    let remedy = error.remedy();
    let remedy = remedy.map_or_else(String::new, |remedy| format!(": {remedy}"));
    escape(&format!("{}{remedy}", message(error)))
}

/// Prints an error: a sentence, or an object for programs.
pub(crate) fn report(error: &dyn CommandError, is_json: bool) {
    let line = if is_json {
        let members = json!({
            "code": error.code().name(),
            "message": message(error),
            "remedy": error.remedy(),
        });
        escape_json(&json!({"version": JSON_VERSION, "error": members}).to_string())
    } else {
        format!("pulse-sensorctl: {}", sentence(error))
    };
    // Without an stderr there is still the exit code.
    let _ = writeln!(io::stderr(), "{line}");
}
