//! An accepted record is valid JSON with the same content for every parser; and a record that we
//! write is accepted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_audit::{Body, Dir, LIVE, Log, MAX_LINE_BYTES, RecordLine, Settings, Timestamp};
use pulse_core::event::Event;
use pulse_sensors::shown::is_active;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;

#[path = "../../crates/audit/tests/common/simulated.rs"]
#[allow(dead_code)]
mod simulated;

const START: &str = r#"{"seq":7,"ts":"2026-11-21T10:00:03.123456Z","event_type":""#;
const SIGNATURE_CHARS: usize = 88;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // The same bytes within a line with a correct hash, which no input would contain by chance.
    let mut line = [START.as_bytes(), bytes].concat();
    line.extend_from_slice(format!(",\"prev_hash\":\"{}\"", "0".repeat(64)).as_bytes());
    // The parser requires a signature of this type alone; the verifier checks it, not the parser.
    if bytes.starts_with(b"log.sealed\"") {
        let signature = "A".repeat(SIGNATURE_CHARS);
        line.extend_from_slice(format!(",\"signature\":\"{signature}\"").as_bytes());
    }
    line.extend_from_slice(format!(",\"event_hash\":\"{}\"}}", hash(&line)).as_bytes());
    check(&line);
    check_written(bytes);
});

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn check(text: &[u8]) {
    let Some(line) = RecordLine::parse(text) else {
        return;
    };
    // The limit includes the newline, which a line lacks here.
    assert!(text.len() < MAX_LINE_BYTES);
    let shown = str::from_utf8(text).expect("text");
    assert!(!shown.chars().any(char::is_control), "one line everywhere");
    let members: Map<String, Value> = serde_json::from_slice(text).expect("JSON");
    assert_eq!(members["seq"].as_u64(), Some(line.seq));
    assert_eq!(members["ts"], line.ts.to_string());
    assert_eq!(
        members["event_type"].as_str().map(str::as_bytes),
        Some(line.event_type)
    );
    assert_eq!(members["event_hash"], line.head().hash());
    // `Map` keeps the last member of a name; another parser may keep the first.
    let Names(names) = serde_json::from_slice(text).expect("an object");
    assert_eq!(names.len(), members.len(), "a member stands twice");
    if line.is_whole() {
        // The hash covers the line up to its own member.
        let (hashed, _) = text.split_at(text.len() - r#","event_hash":""}"#.len() - 64);
        assert_eq!(members["event_hash"], hash(hashed));
    }
}

/// The names of an object's members, in their order.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Names {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self, A::Error> {
        while let Some((name, IgnoredAny)) = members.next_entry()? {
            self.0.push(name);
        }
        Ok(self)
    }
}

fn check_written(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let disk = simulated::Simulated::default();
    let now = Timestamp::from_micros(0);
    let mut log = Log::open(disk.clone(), Settings::default(), now).expect("an empty disk");
    let event = Event::Confinement {
        active: &text,
        missing: &text,
    };
    log.append(now, &[Body::of(&event)]).expect("a disk");
    let disk = disk.disk.lock().expect("a disk");
    let file = disk.content(Dir::Log, LIVE).expect("a log");
    // Its own record is the first.
    let mut lines = file.split(|byte| *byte == b'\n');
    let line = lines.nth(1).expect("a second record");
    assert!(RecordLine::parse(line).is_some_and(|line| line.is_whole()));
    check(line);
    let members: Value = serde_json::from_slice(line).expect("JSON");
    // An empty text is omitted.
    let kept = members["error"].as_str().unwrap_or_default();
    // Those below have escapes, so that they are kept; a text over its limit ends with `…`.
    let text = text.replace(|c| is_active(c) && c >= '\u{100}', "\u{fffd}");
    assert!(kept == text || text.starts_with(kept.trim_end_matches('…')));
}
