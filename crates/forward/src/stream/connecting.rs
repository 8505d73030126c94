//! To a collector: the first that takes us, tried for ever.

use super::Stream;
use crate::credentials;
use crate::problem::Problem;
use crate::status::Board;
use pulse_core::backoff::FailureKind;
use pulse_relp::identity::Identity;
use pulse_relp::link::Link;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep_until};

impl Stream {
    /// Tries each collector once; none when all refused and the wait after that is over,
    /// or the daemon ends.
    pub(super) async fn connect(&mut self) -> Option<(usize, Link)> {
        self.seen = credentials::look(&self.parts.files);
        let (first, count) = (std::mem::take(&mut self.first), self.parts.routes.len());
        for index in (first..first + count).map(|turn| turn % count) {
            match self.try_one(index).await {
                Ok(link) => return link.map(|link| (index, link)),
                Err(problem) => self.failed(index, &problem),
            }
        }
        self.pause().await;
        None
    }

    /// None when the daemon ends meanwhile.
    async fn try_one(&mut self, index: usize) -> Result<Option<Link>, Problem> {
        let route = self.parts.routes[index].clone();
        let board = std::sync::Arc::clone(&self.parts.board);
        let look = |identity: &Identity| note(&board, identity);
        let opening = route.open(|_| (), look);
        tokio::pin!(opening);
        loop {
            tokio::select! {
                opened = &mut opening => {
                    if let Err(Problem::Identity(error)) = &opened {
                        self.parts.board.lock().certificates.error = Some(error.to_string());
                    }
                    return opened.map(Some);
                }
                command = self.parts.commands.recv() => {
                    self.heed(command);
                    if self.end.is_some() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Waits before the next try: longer each time, but not when there are new
    /// certificates, or somebody asks.
    pub(super) async fn pause(&mut self) {
        let wait = self
            .backoff
            .failed(FailureKind::Transient, std::time::Instant::now(), jitter());
        let over = tokio::time::Instant::now() + wait;
        let mut look = interval(super::LOOK);
        look.reset();
        while self.end.is_none() {
            tokio::select! {
                () = sleep_until(over) => return,
                command = self.parts.commands.recv() => {
                    self.heed(command);
                    return;
                }
                _ = look.tick() => if self.has_other_certificates() {
                    return;
                }
            }
        }
    }

    /// Tries collectors that come before this one, beside the work.
    pub(super) fn look_for_better(&self, index: usize, found: mpsc::Sender<(usize, Link)>) {
        let routes = self.parts.routes[..index].to_vec();
        tokio::spawn(async move {
            for (index, route) in routes.into_iter().enumerate() {
                if let Ok(link) = route.open(|_| (), |_| ()).await {
                    // Nobody waits for it any more: then it is let go.
                    let _ = found.send((index, link)).await;
                    return;
                }
            }
        });
    }
}

fn note(board: &Board, identity: &Identity) {
    let (own, authority) = credentials::ends(identity);
    let mut status = board.lock();
    status.certificates.own = own;
    status.certificates.authority = authority;
    status.certificates.error = None;
}

/// From 0 up to and without 1; not a secret, so zero is bearable.
fn jitter() -> f64 {
    let mut bytes = [0; 4];
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}
