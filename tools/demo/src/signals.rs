//! SIGINT, SIGTERM and SIGHUP: each stops the demo.

use crate::{DemoError, trying};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) struct Signals([Signal; 3]);

impl Signals {
    /// Installs handlers, so that none of them ends the process directly.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn new() -> Result<Self, DemoError> {
        let handle = |kind| signal(kind).map_err(trying("waiting for signals"));
        Ok(Self([
            handle(SignalKind::interrupt())?,
            handle(SignalKind::terminate())?,
            handle(SignalKind::hangup())?,
        ]))
    }

    /// Completes when one is received.
    pub(crate) async fn ended(&mut self) {
        let [interrupt, terminate, hang_up] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
}
