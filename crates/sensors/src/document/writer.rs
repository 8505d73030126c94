//! The writer of the form that Pulse accepts.
//!
//! `{"sensors":{chip:{"Adapter":…,feature:{subfeature:number}}},"smart":[…]}`. `sensors` is always
//! present. A disk's temperature is an integer or null: with a decimal point Pulse drops the whole
//! document. Unknown members are left out, and only finite numbers are written.

use super::{Chip, ChipState, Disk, Document, DroppedValue, Feature, Omitted, SensorState};
use serde::ser::{Serialize, SerializeMap, Serializer};

impl Document {
    /// The document as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps with string keys and finite numbers cannot fail to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("sensors", &Chips(&self.chips))?;
        map.serialize_entry("smart", &self.disks)?;
        if let Some(at) = &self.collected_at {
            map.serialize_entry("collected_at", at)?;
        }
        if let Some(helper) = &self.helper {
            map.serialize_entry("node_helper", &Helper(&helper.version))?;
        }
        if !self.state.is_empty() {
            map.serialize_entry("sensor_state", &self.state)?;
        }
        map.end()
    }
}

struct Helper<'a>(&'a str);

impl Serialize for Helper<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("version", self.0)?;
        map.end()
    }
}

struct Chips<'a>(&'a [Chip]);

impl Serialize for Chips<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|chip| (&chip.name, chip)))
    }
}

impl Serialize for Chip {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(adapter) = &self.adapter {
            map.serialize_entry("Adapter", adapter)?;
        }
        for feature in &self.features {
            map.serialize_entry(feature.label.as_str(), feature)?;
        }
        map.end()
    }
}

impl Serialize for Feature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.values
                .iter()
                .filter(|(_, value)| value.is_finite())
                .map(|(name, value)| (name.as_str(), value)),
        )
    }
}

impl Serialize for Disk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("device", &self.device)?;
        map.serialize_entry("serial", &self.serial)?;
        map.serialize_entry("wwn", &self.wwn)?;
        map.serialize_entry("model", &self.model)?;
        map.serialize_entry("type", &self.kind)?;
        map.serialize_entry("temperature", &self.temperature)?;
        if let Some(at) = &self.last_updated {
            map.serialize_entry("lastUpdated", at)?;
        }
        map.serialize_entry("standbySkipped", &self.standby_skipped)?;
        map.end()
    }
}

impl Serialize for SensorState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.chips.is_empty() {
            map.serialize_entry("chips", &self.chips)?;
        }
        if !self.dropped.is_empty() {
            map.serialize_entry("dropped", &self.dropped)?;
        }
        if !self.omitted.is_empty() {
            map.serialize_entry("omitted", &self.omitted)?;
        }
        map.end()
    }
}

impl Serialize for ChipState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("chip", &self.chip)?;
        map.serialize_entry("state", self.answering.as_str())?;
        if let Some(age) = self.age_ms {
            map.serialize_entry("age_ms", &age)?;
        }
        map.end()
    }
}

impl Serialize for DroppedValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("chip", &self.chip)?;
        map.serialize_entry("sensor", self.sensor.as_str())?;
        map.serialize_entry("value", &self.value)?;
        map.serialize_entry("reason", self.reason.as_str())?;
        map.end()
    }
}

impl Serialize for Omitted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("chip", &self.chip)?;
        map.serialize_entry("sensors", &self.sensors)?;
        map.end()
    }
}
