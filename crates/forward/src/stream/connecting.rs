//! Connecting to the first collector that accepts, with endless retries.

use super::Stream;
use crate::credentials;
use crate::problem::Problem;
use pulse_core::causes::Causes;
use pulse_core::nodes::backoff::FailureKind;
use pulse_relp::connection::Connection;
use pulse_relp::identity::Identity;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep_until};

impl Stream {
    /// Tries each collector that is not left alone once. None when the daemon stops, or when all
    /// failed and the first of them may be tried again.
    pub(super) async fn connect(&mut self) -> Option<(usize, Connection)> {
        // Before the files are read: a change in between is then noticed by the next check.
        self.fingerprint = credentials::fingerprint(&self.config.files);
        let (first, count) = (
            std::mem::take(&mut self.first_route),
            self.config.routes.len(),
        );
        // Each collector once, beginning with `first`; those before it come last.
        for index in (first..first + count).map(|turn| turn % count) {
            if self.attempts[index].until > Instant::now() {
                continue;
            }
            match self.try_one(index).await {
                Ok(connection) => return connection.map(|connection| (index, connection)),
                Err(problem) => {
                    self.leave_alone(index, problem.kind());
                    self.mark_failed(index, &problem);
                }
            }
        }
        let first = self.attempts.iter().map(|attempts| attempts.until).min();
        self.pause(first.unwrap_or_else(Instant::now)).await;
        None
    }

    /// Tries one collector. None when the daemon stops meanwhile.
    async fn try_one(&mut self, index: usize) -> Result<Option<Connection>, Problem> {
        let route = self.config.routes[index].clone();
        let board = std::sync::Arc::clone(&self.config.board);
        let inspect = |identity: &Identity| {
            let (own, authority) = credentials::expiry(identity);
            let mut status = board.lock();
            status.certificates.own = own;
            status.certificates.authority = authority;
            status.certificates.error = None;
        };
        // Pinned outside the loop: a command must not start the attempt again.
        let opening = route.open(|_| (), inspect);
        tokio::pin!(opening);
        loop {
            tokio::select! {
                opened = &mut opening => {
                    if let Err(Problem::Identity(error)) = &opened {
                        self.config.board.lock().certificates.error = Some(Causes(error).to_string());
                    }
                    return opened.map(Some);
                }
                command = self.config.commands.recv() => {
                    self.handle_unconnected(command);
                    if self.stop_at.is_some() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Leaves a collector alone after a failure, longer each time. Gives the end of that.
    pub(super) fn leave_alone(&mut self, index: usize, kind: FailureKind) -> Instant {
        // A random number in 0..1. Where the kernel has none, 0 is good enough for a delay.
        let mut random = [0; 4];
        let _ = getrandom::fill(&mut random);
        let jitter = f64::from(u32::from_le_bytes(random)) / (f64::from(u32::MAX) + 1.0);
        let attempts = &mut self.attempts[index];
        attempts.until = Instant::now() + attempts.backoff.failed(kind, jitter);
        attempts.until
    }

    /// Waits before the next attempt. New certificates and commands end the wait, for every
    /// collector.
    pub(super) async fn pause(&mut self, over: Instant) {
        let mut inspect = interval(super::CERT_CHECK_INTERVAL);
        // The first tick of an interval would be immediate.
        inspect.reset();
        while self.stop_at.is_none() {
            tokio::select! {
                () = sleep_until(over) => return,
                command = self.config.commands.recv() => {
                    self.handle_unconnected(command);
                    break;
                }
                _ = inspect.tick() => {
                    // What could not be written may be now, which the status must not wait for.
                    self.store();
                    if self.has_other_certificates() {
                        break;
                    }
                }
            }
        }
        for attempts in &mut self.attempts {
            attempts.until = Instant::now();
        }
    }

    /// Tries the collectors that are preferred to this one, in a task of its own.
    pub(super) fn try_preferred(&self, index: usize, found: mpsc::Sender<(usize, Connection)>) {
        let routes = self.config.routes[..index].to_vec();
        tokio::spawn(async move {
            for (index, route) in routes.into_iter().enumerate() {
                if let Ok(connection) = route.open(|_| (), |_| ()).await {
                    // Without a receiver the stream has moved on, and the connection is dropped.
                    let _ = found.send((index, connection)).await;
                    return;
                }
            }
        });
    }
}
