//! Decisions about the size of the audit log. Records, chain and seals are in `pulse-audit`.

pub mod growth;
pub mod retention;
