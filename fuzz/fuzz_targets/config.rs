//! A configuration, or a node's file, is accepted with exactly its values, or the position of an
//! error is reported.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::config::{Config, ConfigError, Keys, NodeFiles};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Config::parse(text) {
        Ok(config) => {
            // Zero is an error in each of these: it would permit nothing, or everything.
            assert!(config.caps.per_peer > 0 && config.caps.total > 0);
            assert!(config.limits.burst > 0 && !config.limits.interval.is_zero());
            assert!(config.max_ssh_output_bytes > 0);
            let deadlines = config.timeouts;
            assert!(!deadlines.read.is_zero() && !deadlines.write.is_zero());
            assert!(!deadlines.request.is_zero() && !deadlines.connect.is_zero());
            // A reload of the same file changes nothing.
            assert_eq!(config.reloaded(config.clone()), (config.clone(), vec![]));
            // A misspelt key never results in a default.
            assert!(Config::parse(&format!("alowed_nodes = []\n{text}")).is_err());
        }
        Err(error) => check_place(text, &error),
    }
    // The same text as the file of a node.
    let mut nodes = NodeFiles::beside(Keys::parse("").expect("defaults are values of their keys"));
    match nodes.add("pve1", text) {
        Ok(()) => {
            // Another file cannot have the same node.
            assert!(nodes.add("pve1", text).is_err());
            let config = Config::from(nodes.into_keys());
            assert!(config.nodes.keys().map(|name| name.as_str()).eq(["pve1"]));
            assert!(config.ports().iter().all(|port| *port > 0));
        }
        Err(error) => check_place(text, &error),
    }
});

/// The place of an error is in the text.
fn check_place(text: &str, error: &ConfigError) {
    let line = text.split('\n').nth(error.line - 1);
    let columns = line.expect("the line is in the file").chars().count();
    // One more column: an error may be at the end of the line.
    assert!((1..=columns + 1).contains(&error.column), "{error}");
    assert!(!error.message.is_empty());
}
