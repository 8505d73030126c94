//! Ctrl-C, `kill` and a closed terminal: each ends the demo in order.

use crate::{DemoError, trying};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) struct Signals([Signal; 3]);

impl Signals {
    /// From now on, none of them ends the process by itself.
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

    /// Completes when one has come.
    pub(crate) async fn ended(&mut self) {
        let [interrupt, terminate, hang_up] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
}
