//! Parsers that are nobody's business but the fuzz targets'.

pub use crate::node::fuzzing::Node;
pub use crate::observe::scrape::{Request, parse};
