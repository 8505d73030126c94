//! A log: its lines, and its verification key.

use pulse_audit::{Body, Log, PublicKey, Settings, Timestamp};
use pulse_core::event::Event;
use std::time::Duration;

#[path = "../../crates/audit/tests/common/simulated.rs"]
#[allow(dead_code)]
pub mod simulated;

/// Records of several kinds in three segments, sealed at the end.
#[allow(dead_code, reason = "no target uses all of it")]
pub struct Sample {
    pub lines: Vec<Vec<u8>>,
    /// The number of lines of each segment.
    pub segments: Vec<usize>,
    pub key: PublicKey,
}

impl Sample {
    pub fn new() -> Self {
        let disk = simulated::Simulated::default();
        let at = |second| Timestamp::from_micros(0).plus(Duration::from_secs(second));
        let mut log = Log::open(disk.clone(), Settings::default(), at(0)).expect("a disk");
        let key = log.public_key();
        for round in 0..3 {
            for error in [None, Some("because \"of\" it")] {
                log.append(at(round), &[Body::of(&Event::ConfigReloaded { error })])
                    .expect("a disk");
            }
            log.seal(at(round)).expect("a disk");
            // A rotation after the last seal would begin a fourth segment.
            if round < 2 {
                log.rotate(at(round)).expect("a disk");
            }
        }
        let lines_of = |(_, content): (String, Vec<u8>)| -> Vec<Vec<u8>> {
            let lines = content.split_inclusive(|byte| *byte == b'\n');
            lines.map(<[u8]>::to_vec).collect()
        };
        let files: Vec<_> = disk
            .disk
            .lock()
            .expect("a disk")
            .log()
            .into_iter()
            .map(lines_of)
            .collect();
        Self {
            segments: files.iter().map(Vec::len).collect(),
            lines: files.concat(),
            key,
        }
    }
}
