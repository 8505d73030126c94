//! What clients did to a node, for tests to assert on and to wait for.

use tokio::sync::watch;

/// Numbers since the node started, unless they say "now".
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
    /// Commands (and shells) that were asked for.
    pub execs: u64,
    /// Documents sent. Of a helper process: its lines after the greeting, or one
    /// for a run that ended well.
    pub readings: u64,
    /// Helper processes that run now.
    pub helpers: u64,
    /// Channels the node tried to open and the client refused.
    pub channels_refused: u64,
    /// Channels the node opened and the client took.
    pub channels_taken: u64,
}

/// The counters of one node, and those who wait for them.
#[derive(Debug, Default)]
pub(crate) struct Tally(watch::Sender<Counters>);

impl Tally {
    pub(crate) fn now(&self) -> Counters {
        *self.0.borrow()
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Counters)) {
        self.0.send_modify(change);
    }

    pub(crate) async fn wait_for(&self, reached: impl FnMut(&Counters) -> bool) -> Counters {
        let mut watching = self.0.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        watching.wait_for(reached).await.map_or(self.now(), |c| *c)
    }
}
