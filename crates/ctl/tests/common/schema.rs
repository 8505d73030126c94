//! Output for programs, held against `docs/schema`.
//!
//! Python's `jsonschema` validates, an implementation that others keep: a Rust crate that knows
//! the same draft would bring many others for tests alone.

use super::Run;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

/// Objects and the schemas that they have to follow.
#[derive(Default)]
pub(crate) struct Outputs(String);

impl Outputs {
    /// Adds the lines that a run printed on stdout, for this schema.
    pub(crate) fn add(&mut self, schema: &str, run: &Run) {
        assert!(!run.output.is_empty(), "{schema}: {run:?}");
        self.add_lines(schema, &run.output);
    }

    /// Adds the error that a run printed on stderr, with its code and exit code.
    pub(crate) fn add_error(&mut self, code: &str, exit_code: i32, run: &Run) {
        assert_eq!(run.code, Some(exit_code), "{run:?}");
        let error: Value = serde_json::from_str(&run.errors).unwrap_or_else(|_| panic!("{run:?}"));
        assert_eq!(error["error"]["code"], code, "{run:?}");
        self.add_lines("error", &run.errors);
    }

    /// The lines have to follow the schema. With another member, or of another version, they
    /// must not.
    fn add_lines(&mut self, schema: &str, lines: &str) {
        for line in lines.lines() {
            let with = |member: &str, value: u32| {
                let mut wrong: Value = serde_json::from_str(line).unwrap();
                wrong[member] = value.into();
                format!("!{schema}\t{wrong}\n")
            };
            self.0 += &format!("{schema}\t{line}\n");
            self.0 += &with("undocumented", 1);
            self.0 += &with("version", 2);
        }
    }

    /// Validates everything; each schema has to have been used. Skipped without Python.
    pub(crate) fn validate(&self) {
        let found = Command::new("python3")
            .args(["-c", "import jsonschema"])
            .output();
        if !found.is_ok_and(|output| output.status.success()) {
            // In CI it is among the counterparts that have to be here.
            let missing = std::env::var("PULSE_TEST_MISSING");
            let is_known = missing.map_or(true, |names| names.contains("jsonschema"));
            assert!(is_known, "python3 has no jsonschema package");
            eprintln!("SKIPPED: python3 with its jsonschema package is not here");
            return;
        }
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let mut validator = Command::new("python3")
            .arg(format!("{root}/testing/validate_schema.py"))
            .arg(format!("{root}/docs/schema"))
            .arg("--all")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = validator.stdin.take().unwrap();
        stdin.write_all(self.0.as_bytes()).unwrap();
        drop(stdin);
        let output = validator.wait_with_output().unwrap();
        let problems = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{problems}");
    }
}
