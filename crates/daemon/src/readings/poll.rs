//! Background polling: reads every node once in an interval, so that callers find fresh
//! samples and open connections. The poller is a caller like others: it waits for slots, and
//! its readings are on record.
//!
//! The nodes are spread over the interval in groups rather than one by one, because waking up
//! costs more processor time than a reading.

use super::{Wait, WhenLate};
use crate::serve::Request;
use crate::state::Daemon;
use pulse_core::callers::capability::Capabilities;
use pulse_core::callers::peer::{Peer, PeerId};
use pulse_core::rpc::Retry;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Groups of nodes in an interval.
const GROUPS: u32 = 20;
/// The interval in which a poller that is switched off checks the configuration.
const CONFIG_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Polls for as long as the daemon lives.
pub(crate) async fn run(daemon: Arc<Daemon>) {
    let poller = Arc::new(Peer {
        credentials: crate::sys::own_credentials(),
        id: PeerId::Poller,
        container: None,
        capabilities: Capabilities::read_only(),
    });
    loop {
        let names: Vec<_> = daemon.readings.settings().nodes.names().cloned().collect();
        let interval = daemon.config().poll_interval;
        let (Some(interval), false) = (interval, names.is_empty()) else {
            sleep(CONFIG_CHECK_INTERVAL).await;
            continue;
        };
        let started = Instant::now();
        let count = names.len() as u64;
        for (i, node) in (0u64..).zip(names) {
            let group = u32::try_from(i * u64::from(GROUPS) / count).unwrap_or(GROUPS);
            sleep_until(started + interval * group / GROUPS).await;
            let request = Request {
                daemon: Arc::clone(&daemon),
                peer: Arc::clone(&poller),
                correlation_id: crate::sys::random::correlation_id().into(),
                wait: Wait {
                    until: Instant::now() + interval,
                    then: WhenLate::GiveUp,
                },
                retry: Retry::WhenDue,
            };
            tokio::spawn(async move {
                // Failures are counted and logged where they happen.
                let _ = request.read_admitted(&node).await;
            });
        }
        // The next round starts on schedule, however long the readings of this one take.
        sleep_until(started + interval).await;
    }
}
