//! The program of a channel: a child process, or an in-process substitute.

use tokio::task::JoinSet;

use crate::behaviour::MAX_REQUEST_BYTES;
use crate::helper::Helper;

/// The program of a command.
#[derive(Debug)]
pub(crate) enum Program {
    Child(Helper),
    InProcess(InProcess),
}

/// The substitute for a helper process.
#[derive(Debug, Default)]
pub(crate) struct InProcess {
    /// The incomplete request line.
    partial: Vec<u8>,
    /// Allocated on first use: most channels never need one.
    tasks: Option<JoinSet<()>>,
}

impl Program {
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self, Self::Child(helper) if helper.has_ended())
    }
}

impl InProcess {
    /// Runs a task that ends with its channel.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let tasks = self.tasks.get_or_insert_default();
        // A set keeps the results of ended tasks until they are taken.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// The next complete line, without its newline, or one that is already too long. Removes
    /// the used bytes from `bytes`.
    pub(crate) fn next_line(&mut self, bytes: &mut &[u8]) -> Option<Vec<u8>> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (now, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        self.partial.extend_from_slice(now);
        *bytes = rest.get(1..).unwrap_or_default();
        // A line that is too long is given at once, so that what is held stays bounded.
        (end.is_some() || self.partial.len() > MAX_REQUEST_BYTES)
            .then(|| std::mem::take(&mut self.partial))
    }
}
