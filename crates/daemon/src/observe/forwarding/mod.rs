//! Forwarding of the audit log, as the daemon starts and measures it.

mod journal;
mod metrics;

pub(crate) use journal::{ToCollectors, journal};
pub(crate) use metrics::ForwardMetrics;

use crate::node::host_file::HOSTS;
use crate::observe::recorder::Recorder;
use crate::startup::Failure;
use pulse_core::config::Config;
use pulse_forward::{Forwarder, Journal, Prepared, Settings};
use std::sync::Arc;

/// Starts the forwarder's thread, if anything is to be forwarded; it waits for its start.
///
/// # Errors
/// [`Failure::Forwarder`].
pub(crate) fn prepare(
    config: &Config,
    recorder: &Arc<dyn Recorder>,
    journal: Option<Journal>,
) -> Result<Option<(Arc<Forwarder>, Prepared)>, Failure> {
    if !config.forward.is_wanted() {
        return Ok(None);
    }
    let settings = Settings {
        forward: config.forward.clone(),
        log_directory: config.audit.directory().to_owned(),
        state_directory: config.audit.state_dir.clone(),
        log_id: recorder.health().log_id,
        host: pulse_sandbox::host_name(),
        lookup: Arc::new(|name| {
            let found = HOSTS.read().lookup(name);
            if found.is_empty() {
                // After the read, since it is the last read's problem.
                HOSTS.problem().map_or(Ok(found), Err)
            } else {
                Ok(found)
            }
        }),
        journal,
    };
    let (forwarder, prepared) = Forwarder::prepare(&settings)?;
    let forwarder = Arc::new(forwarder);
    let told = Arc::clone(&forwarder);
    // The log's thread calls this after a sync: no record leaves the host before it is on disk.
    recorder.tell(Box::new(move |on_disk| told.notify_on_disk(on_disk)));
    Ok(Some((forwarder, prepared)))
}
