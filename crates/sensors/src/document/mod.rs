//! Sensor documents: the model, a strict writer and a tolerant reader.
//!
//! The helper fills a [`Document`] from `/sys` and writes it. The daemon reads what a node printed
//! (the helper's document, an older wrapper's, plain `sensors -j`) into the same model, drops
//! implausible values, and writes it in the form that Pulse accepts.
//!
//! ```text
//! bytes ─► read ─┬─► strict ──────────────┬─► builder ─► Reading ─► normalise ─► to_json
//!                └─► noise ─ scanner ─ tolerant ┘  bounds, plausibility, counts
//! ```

mod age;
mod board;
mod builder;
mod disk;
mod limits;
mod model;
mod noise;
mod normalise;
mod plausible;
mod processor;
mod quotes;
mod reader;
mod scalar;
mod scanner;
mod shape;
mod state;
mod state_entry;
mod strict;
mod substitute;
mod text;
mod timestamp;
mod tolerant;
mod writer;

pub use limits::{
    MAX_AGE_MS, MAX_CHIPS, MAX_DISKS, MAX_FEATURES, MAX_FEATURES_IN_ALL, MAX_STATE_ENTRIES, level,
};
pub use model::{Chip, Disk, Document, Feature, HelperInfo};
pub use normalise::normalise;
pub use reader::{Dropped, ReadError, Reading, read};
/// A string type that stores short text without an allocation.
pub use smol_str::SmolStr;
pub use state::{Answering, ChipState, DropReason, DroppedValue, Omitted, SensorState};
