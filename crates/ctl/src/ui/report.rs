//! Errors of commands on stderr, so that stdout has results only.

use super::escape::{escape, escape_json};
use super::screen::{stderr_columns, versioned_json};
use super::wrap::wrapped;
use crate::error::{CommandError, message};
use serde_json::json;
use std::io::{self, Write};

/// The error, its causes and what to do about it, safe for a terminal.
pub(crate) fn sentence(error: &dyn CommandError) -> String {
    let mut text = message(error);
    if let Some(remedy) = error.remedy() {
        text += &format!(": {remedy}");
    }
    // The whole sentence: a cause may quote what a file or the daemon says.
    escape(&text)
}

/// Prints an error: a sentence, or an object for programs.
pub(crate) fn report(error: &dyn CommandError, is_json: bool) {
    let line = if is_json {
        let error = json!({
            "code": error.code().name(),
            "message": message(error),
            "remedy": error.remedy(),
        });
        // An object of texts always has a representation in JSON.
        escape_json(&versioned_json(&json!({ "error": error })).unwrap_or_default())
    } else {
        let text = format!("pulse-sensorctl: {}", sentence(error));
        wrapped(&text, stderr_columns()).join("\n")
    };
    // Without an stderr there is still the exit code.
    let _ = writeln!(io::stderr(), "{line}");
}
