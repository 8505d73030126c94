//! Background polling: every node in turn, spread evenly over the interval, so
//! that callers find fresh samples and connections are open before they ask. The
//! poller is a caller like others and waits for slots like them.

use crate::daemon::Daemon;
use pulse_core::peer::PeerId;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How often a switched-off poller looks whether it is switched on.
const LOOK: Duration = Duration::from_secs(5);

/// Polls for as long as the daemon lives.
pub(crate) async fn run(daemon: Arc<Daemon>) {
    loop {
        let names: Vec<_> = daemon.readings.settings().nodes.names().cloned().collect();
        let interval = daemon.config().poll_interval;
        let (Some(interval), false) = (interval, names.is_empty()) else {
            sleep(LOOK).await;
            continue;
        };
        let started = Instant::now();
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
        for (i, node) in (0u32..).zip(names) {
            sleep_until(started + interval.mul_f64(f64::from(i) / f64::from(count))).await;
            let daemon = Arc::clone(&daemon);
            let deadline = Instant::now() + interval;
            tokio::spawn(async move {
                // Failures are counted and logged where they happen.
                let _ = daemon.readings.read(&PeerId::Poller, &node, deadline).await;
            });
        }
        sleep_until(started + interval).await;
    }
}
