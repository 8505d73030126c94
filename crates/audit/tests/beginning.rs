//! A log that does not begin with a key.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{check, join, one, pinned, sample};
use pulse_audit::verify::{Attack, Options, Verdict};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// A complete chain that anyone can make.
fn forged(records: u64, first: &str) -> Vec<u8> {
    let (mut log, mut prev) = (String::new(), "0".repeat(64));
    for seq in 1..=records {
        let members = match seq {
            1 => first,
            _ => r#""event_type":"command.start","node":"pve1""#,
        };
        let body = format!(
            r#"{{"seq":{seq},"ts":"2026-11-21T10:00:03.123456Z",{members},"prev_hash":"{prev}""#
        );
        prev = String::new();
        for byte in Sha256::digest(&body) {
            write!(prev, "{byte:02x}").unwrap();
        }
        writeln!(log, "{body},\"event_hash\":\"{prev}\"}}").unwrap();
    }
    log.into_bytes()
}

const NO_KEY: &str = r#""event_type":"command.start","node":"pve1""#;

#[test]
fn a_log_begins_with_its_key() {
    let sample = sample(1, 1, 3, "a");
    for options in [Options::default(), pinned(sample.key)] {
        for records in 1..4 {
            let report = check(&one(forged(records, NO_KEY)), &options);
            assert_eq!(report.verdict, Verdict::Broken, "{report:?}");
            assert_eq!(report.findings[0].attack, Attack::WrongKey);
            assert_eq!(report.findings[0].record, 1);
        }
    }
    let whole = check(&one(join(&sample.files)), &pinned(sample.key));
    assert_eq!(whole.verdict, Verdict::Intact);
}

#[test]
fn the_first_key_is_always_compared() {
    let (own, other) = (sample(1, 1, 3, "a"), sample(1, 1, 3, "b"));
    for epoch in [0, 1, 5] {
        let first = format!(
            r#""event_type":"log.open","log_id":"x","host":"h","epoch":{epoch},"key":"{}""#,
            other.key
        );
        let report = check(&one(forged(3, &first)), &pinned(own.key));
        assert_eq!(report.verdict, Verdict::Broken, "{epoch}: {report:?}");
        assert_eq!(report.findings[0].attack, Attack::WrongKey);
    }
}
