//! Log messages are whole sentences: what a call gives as a field stands in its sentence too,
//! because `journalctl` shows the sentence and not the fields.

use crate::workspace::root;
use std::fs;
use std::path::PathBuf;

/// The sources of the programs.
fn sources() -> Vec<PathBuf> {
    let mut directories = vec![root().join("crates")];
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(path);
            }
        }
    }
    sources
}

/// A call of a log macro: its fields, and its sentence with placeholders.
#[derive(Debug, PartialEq, Eq)]
struct LogCall<'a> {
    fields: Vec<&'a str>,
    sentence: &'a str,
}

/// The calls in a source. A sentence is the first string literal; what precedes it are fields:
/// `name`, `%name`, `?name`, or `name = value`.
fn log_calls(source: &str) -> Vec<LogCall<'_>> {
    let levels = ["error!(", "warn!(", "info!(", "debug!(", "trace!("];
    let rests = source.split("tracing::").skip(1);
    rests
        .filter_map(|rest| {
            let call = levels.iter().find_map(|level| rest.strip_prefix(level))?;
            let (before, literal) = call.split_once('"')?;
            let mut is_escaped = false;
            let end = literal.find(|c| {
                let is_end = c == '"' && !is_escaped;
                is_escaped = c == '\\' && !is_escaped;
                is_end
            })?;
            let fields = before.split(',').filter_map(|field| {
                let name = field.split('=').next()?.trim();
                let name = name.trim_start_matches(['%', '?']);
                (!name.is_empty()).then_some(name)
            });
            Some(LogCall {
                fields: fields.collect(),
                sentence: &literal[..end],
            })
        })
        .collect()
}

impl LogCall<'_> {
    /// The fields that the sentence leaves out.
    fn left_out(&self) -> Vec<&str> {
        let is_said = |field: &&str| {
            [format!("{{{field}}}"), format!("{{{field}:")]
                .iter()
                .any(|placeholder| self.sentence.contains(placeholder))
        };
        let fields = self.fields.iter().copied();
        fields.filter(|field| !is_said(field)).collect()
    }
}

#[test]
fn sentences_have_every_field() {
    let mut calls = 0;
    for path in sources() {
        let source = fs::read_to_string(&path).unwrap();
        for call in log_calls(&source) {
            calls += 1;
            let left_out = call.left_out();
            assert_eq!(left_out, [""; 0], "{}: {call:?}", path.display());
        }
    }
    assert!(calls > 50, "{calls}");
}

#[test]
fn omitted_fields_are_found() {
    let source = r#"
        tracing::warn!(node = %self.name, ?address, "node \"{node}\" refused our key");
        tracing::info!("serving {} nodes", nodes.len());
        tracing::error!(queue, "{queue:>3} records wait, \"{error}\"");
    "#;
    let calls = log_calls(source);
    assert_eq!(calls.len(), 3, "{calls:?}");
    assert_eq!(calls[0].left_out(), ["address"]);
    for call in &calls[1..] {
        assert_eq!(call.left_out(), [""; 0], "{call:?}");
    }
}
