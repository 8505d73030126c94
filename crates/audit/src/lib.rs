//! The audit log: every decision on record, in one chain that proves itself.
#![forbid(unsafe_code)]

mod directory;
mod error;
mod key;
mod line;
mod log;
mod queue;
mod record;
mod recovery;
mod storage;
mod tail;
mod text;
mod time;
pub mod verify;
mod writer;

pub use directory::Directory;
pub use error::LogError;
pub use key::{NotAKey, PublicKey};
pub use line::Line;
pub use log::{Log, Rotation, Settings};
pub use record::{Body, Head, MAX_LINE_BYTES};
pub use recovery::Occasion;
pub use storage::{LIVE, Live, Place, Storage};
pub use tail::MAX_WRITE_BYTES;
pub use time::Timestamp;
pub use writer::{Completion, Health, Receipt, Unavailable, Writer};
