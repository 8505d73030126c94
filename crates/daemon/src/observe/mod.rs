//! Records, metrics, readiness and forwarding: all that tells others what the daemon does.

pub(crate) mod config_watch;
pub(crate) mod exposition;
pub(crate) mod files;
pub(crate) mod forwarding;
pub(crate) mod ledger;
pub(crate) mod metrics;
pub(crate) mod recorder;
pub(crate) mod retention;
pub(crate) mod scrape;
pub(crate) mod service_status;
pub(crate) mod socket_watch;
