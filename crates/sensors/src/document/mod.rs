//! What a node's answer says: the model, its strict writer and its tolerant reader.
//!
//! The helper fills a [`Document`] from `/sys` and writes it; the daemon reads
//! whatever a node printed (a helper's document, an older wrapper's, bare
//! `sensors -j`) into the same model, drops what cannot be true, and writes it in
//! the one form that Pulse accepts.
//!
//! ```text
//! bytes ─► read ─┬─► strict ──────────────┬─► builder ─► Reading ─► normalise ─► to_json
//!                └─► noise ─ scanner ─ tolerant ┘  bounds, plausibility, counts
//! ```

mod board;
mod builder;
mod disk;
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
mod strict;
mod text;
mod timestamp;
mod tolerant;
mod writer;

pub use model::{Chip, Disk, Document, Feature, HelperInfo};
pub use normalise::normalise;
pub use reader::{Dropped, ReadError, Reading, read};
/// A short text that is kept without an allocation.
pub use smol_str::SmolStr;
