//! The malformed output that nodes are known to print, as files.
//!
//! `corpus/documents/NAME.txt` is the output of a node, `NAME.json` the expected document for Pulse
//! with its counts, or the error message if it contains no document. Several files are the output
//! of lm-sensors 3.6.0 for a simulated `/sys`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pulse_sensors::document::{Document, Dropped, History, normalise, read};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[test]
fn corpus_is_read_as_expected() {
    let inputs = inputs();
    assert!(
        inputs.len() >= 50,
        "files are missing from the corpus: {}",
        inputs.len()
    );
    let wrong: Vec<String> = inputs.iter().filter_map(|path| difference(path)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn inputs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/documents");
    let files = std::fs::read_dir(folder).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let mut inputs: Vec<_> = paths
        .filter(|path| path.extension() == Some("txt".as_ref()))
        .collect();
    inputs.sort();
    inputs
}

fn difference(input: &Path) -> Option<String> {
    let name = input.file_stem().unwrap().to_string_lossy();
    let actual = outcome(&std::fs::read(input).unwrap());
    let Ok(expected) = std::fs::read_to_string(input.with_extension("json")) else {
        return Some(format!(
            "{name}: no expected outcome; check this one:\n{actual}"
        ));
    };
    let expected: Value = serde_json::from_str(&expected).unwrap();
    (actual != expected).then(|| format!("{name}:\n  is       {actual}\n  expected {expected}"))
}

fn outcome(bytes: &[u8]) -> Value {
    match read(bytes) {
        Ok(mut reading) => {
            // The first reading of a node: without a history.
            let meaningless = History::default().drop_meaningless(&mut reading.document);
            reading.dropped.implausible += meaningless;
            let document = normalise(reading.document);
            assert_unambiguous(&document);
            let document: Value = serde_json::from_str(&document.to_json()).unwrap();
            json!({"dropped": counts(reading.dropped), "document": document})
        }
        Err(error) => json!({"error": error.to_string()}),
    }
}

fn counts(dropped: Dropped) -> Value {
    json!({"implausible": dropped.implausible, "malformed": dropped.malformed})
}

/// A repeated key would be lost in a comparison of maps, and in Pulse.
fn assert_unambiguous(document: &Document) {
    let reading = read(document.to_json().as_bytes()).unwrap();
    assert_eq!(
        (reading.document, reading.dropped),
        (document.clone(), Dropped::default())
    );
}
