//! Any output of a node, in any pieces: each line is unchanged, nothing above a limit is accepted,
//! and only the start of standard error is kept.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_sensors::output::{MAX_STDERR_BYTES, OutputBuffer, Oversized, is_greeting};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let [limit, script @ ..] = bytes else {
        return;
    };
    // At most 255 bytes, which an input can exceed.
    let limit = usize::from(*limit);
    let mut printing = OutputBuffer::new(limit);
    let mut model = Model::default();
    let mut script = script;
    while let [verb, length, rest @ ..] = script {
        let (data, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        script = rest;
        match verb % 6 {
            0 | 1 => {
                printing.add_stdout(data);
                model.stdout.extend_from_slice(data);
            }
            2 => {
                printing.add_stderr(data);
                model.stderr.extend_from_slice(data);
            }
            3 => {
                printing.exit(u32::from(*length));
                model.code = Some(u32::from(*length));
            }
            4 => {
                let line = printing.line();
                assert_eq!(line, model.line(limit));
                match line {
                    Ok(Some(line)) => {
                        let greets = match serde_json::from_slice(&line) {
                            Ok(Value::Object(members)) => members.contains_key("pulse_sensor_node"),
                            _ => false,
                        };
                        assert_eq!(is_greeting(&line), greets);
                    }
                    Ok(None) => assert!(model.stdout.len() <= limit),
                    // The reading fails, and the rest of the output is not used.
                    Err(_) => return,
                }
            }
            _ => {
                if let Ok(Some(line)) = printing.line() {
                    assert_eq!(model.line(limit), Ok(Some(line.clone())));
                    printing.put_back(line.clone());
                    // An empty line is not put back.
                    if !line.is_empty() {
                        model.stdout = [line, b"\n".to_vec(), model.stdout].concat();
                    }
                } else {
                    return;
                }
            }
        }
        // `check` limits all output of a command that is not read by lines.
        assert_eq!(printing.check().is_ok(), model.stdout.len() <= limit);
    }
    let printed = printing.finish();
    assert_eq!(printed.stdout, model.stdout);
    model.stderr.truncate(MAX_STDERR_BYTES);
    assert_eq!(
        (printed.stderr, printed.exit_code),
        (model.stderr, model.code)
    );
});

/// The simplest model of it.
#[derive(Default)]
struct Model {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    code: Option<u32>,
}

impl Model {
    fn line(&mut self, limit: usize) -> Result<Option<Vec<u8>>, Oversized> {
        let found = self.stdout.iter().position(|byte| *byte == b'\n');
        // An incomplete line counts as well, or a node without newlines would fill memory.
        if found.unwrap_or(self.stdout.len()) > limit {
            return Err(Oversized { limit });
        }
        Ok(found.map(|end| {
            let mut line: Vec<u8> = self.stdout.drain(..=end).collect();
            line.pop();
            line
        }))
    }
}
