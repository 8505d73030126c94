//! What a node's answer says: the model, its strict writer and its tolerant reader.
//!
//! The helper fills a [`Document`] from `/sys` and writes it; the daemon reads
//! whatever a node printed (a helper's document, an older wrapper's, bare
//! `sensors -j`) into the same model, drops what cannot be true, and writes it in
//! the one form that Pulse accepts.

mod model;
mod writer;

pub use model::{Chip, Disk, Document, Feature, HelperInfo};
