//! What is taken for a record is one to every JSON parser, and says the same there;
//! and what we write is taken for a record.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_audit::{Body, LIVE, Line, Log, MAX_LINE_BYTES, Place, Settings, Timestamp};
use pulse_core::event::{Decision, Event, EventType};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

#[path = "../../crates/audit/tests/common/simulated.rs"]
#[allow(dead_code)]
mod simulated;

const START: &str = r#"{"seq":7,"ts":"2026-11-21T10:00:03.123456Z","event_type":""#;
const SIGNATURE_CHARS: usize = 88;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // The same bytes in the middle of a line whose hash is right.
    check(&framed(bytes));
    check_written(bytes);
});

fn framed(body: &[u8]) -> Vec<u8> {
    let mut line = [START.as_bytes(), body].concat();
    line.extend_from_slice(format!(",\"prev_hash\":\"{}\"", "0".repeat(64)).as_bytes());
    if body.starts_with(b"log.sealed\"") {
        let signature = "A".repeat(SIGNATURE_CHARS);
        line.extend_from_slice(format!(",\"signature\":\"{signature}\"").as_bytes());
    }
    let hash: String = Sha256::digest(&line)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    line.extend_from_slice(format!(",\"event_hash\":\"{hash}\"}}").as_bytes());
    line
}

fn check(text: &[u8]) {
    let Some(line) = Line::parse(text) else {
        return;
    };
    assert!(text.len() < MAX_LINE_BYTES);
    assert!(
        !text.iter().any(u8::is_ascii_control),
        "one line everywhere"
    );
    let members: Map<String, Value> = serde_json::from_slice(text).expect("JSON");
    assert_eq!(members["seq"].as_u64(), Some(line.seq));
    assert_eq!(members["ts"], line.ts.to_string());
    assert_eq!(
        members["event_type"].as_str().map(str::as_bytes),
        Some(line.event_type)
    );
    assert_eq!(members["event_hash"], line.head().hash());
    // A member that stood twice would be there once.
    let said = text.windows(2).filter(|pair| pair == b"\":").count();
    let in_texts: usize = members.values().map(colons).sum();
    assert_eq!(members.len(), said - in_texts);
    if line.is_whole() {
        let (hashed, _) = split(text);
        let hash: String = Sha256::digest(hashed)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(members["event_hash"], hash);
    }
}

/// Quotes within texts that a colon follows; they are written with a backslash.
fn colons(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.matches("\":").count())
}

fn split(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.len() - r#","event_hash":""}"#.len() - 64)
}

fn check_written(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut event = Event::new(EventType::ValidationFailed, Decision::Denied);
    event.correlation_id = Some(&text);
    event.reason = Some(&text);
    event.error = Some(&text);
    let disk = simulated::Simulated::default();
    let now = Timestamp::from_micros(0);
    let mut log = Log::open(disk.clone(), Settings::default(), now).expect("an empty disk");
    log.append(now, &[Body::of(&event)]).expect("a disk");
    let file = disk
        .disk
        .lock()
        .expect("a disk")
        .content(Place::Log, LIVE)
        .expect("a log");
    let line = file
        .split(|byte| *byte == b'\n')
        .nth(1)
        .expect("a second record");
    assert!(Line::parse(line).is_some_and(|line| line.is_whole()));
    check(line);
    let members: Value = serde_json::from_slice(line).expect("JSON");
    let kept = members["error"].as_str().expect("a text");
    assert!(kept == text || text.starts_with(kept.trim_end_matches('…')));
}
