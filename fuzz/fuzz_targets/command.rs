//! An accepted command is one of the table, word for word.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_sensors::command::{MAX_ARGUMENT_BYTES, NodeCommand};

fuzz_target!(|bytes: &[u8]| {
    let Ok(command) = NodeCommand::parse(bytes) else {
        return;
    };
    assert!(bytes.len() <= MAX_ARGUMENT_BYTES);
    let text = command.to_string();
    assert_eq!(NodeCommand::parse(text.as_bytes()), Ok(command));
    assert_eq!(NodeCommand::from_words(command.words()), Ok(command));
    // Except for blanks it is the same text; the helper's name may be omitted.
    let said = String::from_utf8_lossy(bytes);
    let said: Vec<&str> = said.split(' ').filter(|word| !word.is_empty()).collect();
    let words = command.words();
    assert!(said == words || (words[0] == "pulse-sensor-node" && said == words[1..]));
});
