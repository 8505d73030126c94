//! Sensor documents: the model, a strict writer and a tolerant reader.
//!
//! The helper fills a [`Document`] from `/sys` and writes it. The daemon reads what a node printed
//! (the helper's document, an older wrapper's, plain `sensors -j`) into the same model, drops values
//! that mean nothing, and writes it in the form that Pulse accepts.
//!
//! ```text
//! bytes ─► read ─┬─► strict ──────────────┬─► builder ─► Reading ─► History ─► normalise ─► to_json
//!                └─► noise ─ scanner ─ tolerant ┘  bounds, counts   meaning
//! ```

mod age;
mod board;
mod builder;
mod component;
mod disk;
mod history;
mod limits;
mod model;
mod noise;
mod normalise;
mod processor;
mod quotes;
mod reader;
mod scalar;
mod scanner;
mod sentinel;
mod shape;
mod state;
mod state_entry;
mod strict;
mod substitute;
mod text;
mod timestamp;
mod tolerant;
mod writer;

pub use component::Component;
pub use history::History;
pub use limits::{
    MAX_AGE_MS, MAX_CHIPS, MAX_DISKS, MAX_FEATURES, MAX_FEATURES_IN_ALL, MAX_STATE_ENTRIES, level,
};
pub use model::{Chip, Disk, Document, Feature, HelperInfo};
pub use normalise::normalise;
pub use reader::{Dropped, ReadError, Reading, read};
/// A string type that stores short text without an allocation.
pub use smol_str::SmolStr;
pub use state::{Answering, ChipState, DropReason, DroppedValue, Omitted, SensorState};
