//! A configuration is accepted with exactly its values, or the position of an error is reported.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::config::{Config, ConfigError};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Config::parse(text) {
        Ok(config) => check_config(text, &config),
        Err(error) => check_error(text, &error),
    }
});

fn check_config(text: &str, config: &Config) {
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

fn check_error(text: &str, error: &ConfigError) {
    let line = text.split('\n').nth(error.line - 1);
    let line = line.expect("the line is in the file");
    assert!(
        (1..=line.chars().count() + 1).contains(&error.column),
        "{error}"
    );
    assert!(!error.message.is_empty());
}
