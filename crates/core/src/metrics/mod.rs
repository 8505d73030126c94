//! Decisions of the metrics listener.

pub mod host_header;
pub mod scrapers;
