//! The states of single sensors: the member `sensor_state` of a document.
//!
//! Pulse ignores the member. docs/protocol.md has its form.

use super::limits::MAX_STATE_ENTRIES;
use smol_str::SmolStr;

/// Facts about single sensors that their values do not show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SensorState {
    /// Chips that do not answer, or answer slowly.
    pub chips: Vec<ChipState>,
    /// Values that mean nothing and were dropped.
    pub dropped: Vec<DroppedValue>,
    /// Sensors that exceed a limit of documents and were left out.
    pub omitted: Vec<Omitted>,
}

/// A chip that does not answer at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChipState {
    /// The chip's name on the node, before chips of processors are merged.
    pub chip: String,
    /// The way in which it answers.
    pub answering: Answering,
    /// The age of its last value, in milliseconds; `None` if there is none.
    pub age_ms: Option<u64>,
}

/// The way in which a chip answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answering {
    /// It was not asked yet.
    Pending,
    /// It takes long to answer; its last value is in the document.
    Slow,
    /// It does not answer now; its last value is in the document.
    Stale,
    /// It does not answer, and the document has no value of it.
    Unreadable,
}

/// A value that was dropped, because it means nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct DroppedValue {
    /// The chip's name on the node, or the device of a disk.
    pub chip: String,
    /// The label of the sensor.
    pub sensor: SmolStr,
    /// The value, in degrees Celsius.
    pub value: f64,
    /// The reason.
    pub reason: DropReason,
}

/// The reason why a value means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// No sensor of a computer has such a temperature.
    OutOfRange,
    /// The chip reports a fault of the sensor.
    Fault,
    /// The input has no sensor.
    OpenInput,
    /// The firmware or the driver never sets the value.
    NotSet,
    /// The sensor has not measured since it was powered on.
    PowerOn,
    /// The driver could not read the sensor, and reports a number all the same.
    ReadError,
}

/// A chip with sensors that exceed a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Omitted {
    /// The chip's name.
    pub chip: String,
    /// The number of its sensors that were left out.
    pub sensors: u64,
}

impl Answering {
    /// All states, in their order.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Slow, Self::Stale, Self::Unreadable];

    /// The name in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Slow => "slow",
            Self::Stale => "stale",
            Self::Unreadable => "unreadable",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::OutOfRange,
        Self::Fault,
        Self::OpenInput,
        Self::NotSet,
        Self::PowerOn,
        Self::ReadError,
    ];

    /// The name in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutOfRange => "out_of_range",
            Self::Fault => "fault",
            Self::OpenInput => "open_input",
            Self::NotSet => "not_set",
            Self::PowerOn => "power_on",
            Self::ReadError => "read_error",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

impl SensorState {
    /// True if there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chips.is_empty() && self.dropped.is_empty() && self.omitted.is_empty()
    }

    /// Adds a value that was dropped, unless the list is full.
    pub(super) fn add_dropped(&mut self, dropped: DroppedValue) {
        if self.dropped.len() < MAX_STATE_ENTRIES {
            self.dropped.push(dropped);
        }
    }

    /// Adds sensors of a chip that were left out. False if the list is full.
    pub fn omit(&mut self, omitted: Omitted) -> bool {
        let mut known = self.omitted.iter_mut();
        if let Some(known) = known.find(|known| known.chip == omitted.chip) {
            known.sensors = known.sensors.saturating_add(omitted.sensors);
            return true;
        }
        let has_room = self.omitted.len() < MAX_STATE_ENTRIES;
        if has_room {
            self.omitted.push(omitted);
        }
        has_room
    }
}
