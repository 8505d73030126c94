//! Counters of a node, for tests to check and to wait for.

use tokio::sync::watch;

/// Numbers since the node started, except those with "now".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// TCP connections accepted.
    pub connections: u64,
    /// TCP connections open now.
    pub open_connections: u64,
    /// Keys that were offered and refused.
    pub auth_refusals: u64,
    /// Logins that succeeded.
    pub logins: u64,
    /// Requested commands and shells.
    pub execs: u64,
    /// Documents sent. Of a helper process: its lines after the greeting, or one for a run with
    /// exit status 0.
    pub readings: u64,
    /// Helper processes that are running now.
    pub helpers: u64,
    /// Channels the node tried to open and the client refused.
    pub channels_refused: u64,
    /// Channels the node opened and the client took.
    pub channels_taken: u64,
}

/// The counters of one node, which can be awaited.
#[derive(Debug, Default)]
pub(crate) struct CounterWatch(watch::Sender<Counters>);

impl CounterWatch {
    pub(crate) fn now(&self) -> Counters {
        *self.0.borrow()
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Counters)) {
        self.0.send_modify(change);
    }

    pub(crate) async fn wait_for(&self, reached: impl FnMut(&Counters) -> bool) -> Counters {
        let mut watching = self.0.subscribe();
        // The sender lives in `self`, so waiting cannot fail. `now` is called only without the
        // guard that waiting returns: a second read lock deadlocks when a writer waits.
        let reached = watching.wait_for(reached).await.map(|counters| *counters);
        reached.unwrap_or_else(|_| self.now())
    }
}
