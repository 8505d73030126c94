//! Parsers that nothing but the fuzz targets needs from outside.

pub use crate::node::fuzzing::Node;
use crate::observe::scrape::{Request, parse};
use pulse_core::metrics::host_header::HostNames;

/// The head of an HTTP request, as the metrics port understands it.
#[derive(Debug, PartialEq, Eq)]
pub enum HttpHead {
    /// The metrics, with this `Content-Type`.
    Metrics(&'static str),
    /// The readiness: 200 while requests are served.
    Readiness,
    /// Nothing that is answered; the reason.
    Refused(String),
}

/// Parses a head; `None` when it is not whole yet.
#[must_use]
pub fn http_head(head: &[u8], names: &HostNames) -> Option<HttpHead> {
    parse(head, names).map(|request| match request {
        Request::Metrics(format) => HttpHead::Metrics(format.content_type()),
        Request::Readiness => HttpHead::Readiness,
        Request::Refused(refusal) => HttpHead::Refused(refusal.to_string()),
    })
}
