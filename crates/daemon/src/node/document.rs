//! A node's output, read, judged and written for Pulse.

use super::failure::NodeFailure;
use pulse_sensors::document::{self, Answering, Dropped, History, SensorState};
use serde_json::value::{RawValue, to_raw_value};
use std::sync::{Arc, Mutex, PoisonError};

/// The history of a node's sensors. It belongs to the node and not to its connection, so that a
/// sensor that has shown real values stays known after a reconnect or a reload.
pub(crate) type SharedHistory = Arc<Mutex<History>>;

/// A node's document, and counts of what is not in it.
pub(super) struct NodeDocument {
    /// The normalised document.
    pub(super) json: Box<RawValue>,
    /// The values that were left out.
    pub(super) dropped: Dropped,
    pub(super) sensors: SensorCounts,
    /// The time of the reading by the node's clock, in seconds since 1970, if the helper gave one.
    pub(super) collected_at: Option<u64>,
}

/// Sensors that a document does not have as usual, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SensorCounts {
    /// Sensors that exceeded a limit.
    pub(crate) omitted: u64,
    /// Chips in each state, in the order of [`Answering::ALL`].
    pub(crate) answering: [usize; Answering::ALL.len()],
}

impl SensorCounts {
    fn of(state: &SensorState) -> Self {
        let chips = |answering| {
            let chips = state.chips.iter();
            chips.filter(|chip| chip.answering == answering).count()
        };
        Self {
            omitted: state
                .omitted
                .iter()
                .fold(0, |sum, omitted| omitted.sensors.saturating_add(sum)),
            answering: Answering::ALL.map(chips),
        }
    }
}

/// Reads the output of a node.
///
/// # Errors
/// [`NodeFailure::NoDocument`] if it contains none.
pub(super) fn read(stdout: &[u8], history: &Mutex<History>) -> Result<NodeDocument, NodeFailure> {
    let mut reading = document::read(stdout).map_err(|e| NodeFailure::NoDocument(e.to_string()))?;
    let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
    // Before normalising, which renames and merges chips.
    reading.dropped.implausible += history.drop_meaningless(&mut reading.document);
    drop(history);
    let document = document::normalise(reading.document);
    Ok(NodeDocument {
        json: to_raw_value(&document).map_err(|e| NodeFailure::NoDocument(e.to_string()))?,
        dropped: reading.dropped,
        sensors: SensorCounts::of(&document.state),
        collected_at: document.collected_seconds(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document with one zone.
    fn zone(degrees: &str) -> String {
        format!(r#"{{"acpitz-acpi-0":{{"temp1":{{"temp1_input":{degrees},"temp1_crit":128.0}}}}}}"#)
    }

    fn temperature(printed: &str, history: &SharedHistory) -> (bool, u64) {
        let document = read(printed.as_bytes(), history).unwrap();
        let has_input = document.json.get().contains("temp1_input");
        (has_input, document.dropped.implausible)
    }

    #[test]
    fn history_outlives_a_reading() {
        let history = SharedHistory::default();
        assert_eq!(temperature(&zone("127.0"), &history), (false, 1));
        assert_eq!(temperature(&zone("80.0"), &history), (true, 0));
        assert_eq!(temperature(&zone("127.0"), &history), (true, 0));
        let restarted = SharedHistory::default();
        assert_eq!(temperature(&zone("127.0"), &restarted), (false, 1));
    }

    #[test]
    fn dropped_values_are_in_the_answer() {
        let document = read(zone("127.0").as_bytes(), &SharedHistory::default()).unwrap();
        let expected = r#""sensor_state":{"dropped":[{"chip":"acpitz-acpi-0","sensor":"temp1","value":127.0,"reason":"open_input"}]}"#;
        assert!(
            document.json.get().contains(expected),
            "{}",
            document.json.get()
        );
    }

    #[test]
    fn states_are_counted() {
        let printed = r#"{"sensors":{},"sensor_state":{
            "chips":[{"chip":"a","state":"slow","age_ms":61000},{"chip":"b","state":"slow"},{"chip":"c","state":"pending"}],
            "omitted":[{"chip":"a","sensors":3},{"chip":"b","sensors":4}]}}"#;
        let document = read(printed.as_bytes(), &SharedHistory::default()).unwrap();
        let expected = SensorCounts {
            omitted: 7,
            // Pending, slow, stale, unreadable: a value that is too old counts as unreadable.
            answering: [1, 1, 0, 1],
        };
        assert_eq!(document.sensors, expected);
    }
}
