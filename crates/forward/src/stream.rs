//! One stream: reads the log, sends, and moves on by what is acknowledged.
//!
//! While it has a connection, it does whichever comes first: what the collector says, new
//! records, what it is asked to. Before a connection is given up in order (new
//! certificates, a better collector, the end) everything on its way is waited for, so
//! that nothing is sent twice.
#![expect(
    clippy::indexing_slicing,
    reason = "a stream has as many routes as collectors in the status, and knows its own place there"
)]

mod commands;
mod connecting;
mod flight;
mod sending;
pub(crate) mod telling;

use crate::credentials::{self, Look};
use crate::cursor::{CursorFile, Place};
use crate::forwarder::Command;
use crate::message::RecordMessages;
use crate::problem::Problem;
use crate::route::Route;
use crate::status::{Board, CollectorState};
use flight::Flight;
use pulse_audit::Reader;
use pulse_core::backoff::Backoff;
use pulse_core::config::forward::Protocol;
use pulse_relp::identity::Files;
use pulse_relp::link::Link;
use pulse_relp::message::Origin;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use telling::Telling;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// How often certificates are looked at, and the cursor is written while it moves.
const LOOK: Duration = Duration::from_secs(5);
/// It is written after so many records as well: as many are sent again after a kill.
const STRIDE: u64 = 2048;
/// Records that come one by one leave together, when they come so close together.
const GATHER: Duration = Duration::from_millis(10);
/// While there is much to send, acknowledgements are left to come together for so long:
/// each of them alone would wake us up.
const MOMENT: Duration = Duration::from_millis(1);
/// The same while records are being written: between two bursts most readings find the
/// processor free.
const PAUSE: Duration = Duration::from_millis(5);
/// Records are being written when the last one came so short a time ago.
const LIVELY: Duration = Duration::from_millis(100);
/// How often a better collector is tried while another one serves.
const PREFER: Duration = Duration::from_secs(60);
/// So long for a goodbye, and at the end for what is still to be sent.
pub(crate) const FAREWELL: Duration = Duration::from_secs(5);
/// What a collector said before its connection broke is read for so long.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What a stream is made of.
pub(crate) struct Parts {
    /// Its number among the streams of the status.
    pub(crate) index: usize,
    pub(crate) routes: Vec<Route>,
    pub(crate) files: Files,
    pub(crate) log: PathBuf,
    pub(crate) cursor: CursorFile,
    pub(crate) durable: watch::Receiver<u64>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) board: Arc<Board>,
    /// The daemon's own messages, if they are wanted.
    pub(crate) telling: Option<Telling>,
    pub(crate) records: RecordMessages,
    pub(crate) messages: Origin,
}

/// A stream at work.
pub(crate) struct Stream {
    parts: Parts,
    reader: Reader,
    /// Everything up to here is acknowledged.
    acknowledged: Place,
    cursor: Cursor,
    flight: Flight,
    /// When the log was last found longer.
    grown: Instant,
    backoff: Backoff,
    /// Whether this connection's collector has acknowledged anything.
    is_heard: bool,
    /// Who is tried first the next time.
    first: usize,
    /// When better collectors are tried next, while another one serves.
    prefer: Instant,
    /// The certificates that were last tried.
    seen: Look,
    /// When the daemon is stopped: until when a stream may go on sending.
    end: Option<Instant>,
    message: Vec<u8>,
}

/// The cursor's file, as far as it is known.
struct Cursor {
    /// What it says; none before it is written for the first time.
    stored: Option<Place>,
    /// The last attempt to write it.
    last_write: LastWrite,
}

enum LastWrite {
    Done,
    /// With this record acknowledged. It is tried again when there is as much to write as
    /// usual, not with every acknowledgement.
    Failed(u64),
}

/// A connection in use.
struct Serving {
    link: Link,
    /// Of the collector, in the order of preference.
    index: usize,
    phase: Phase,
    /// A connection to a collector that comes before this one.
    better: Option<(usize, Link)>,
}

#[derive(Clone, Copy)]
enum Phase {
    /// What the log has is sent.
    Sending,
    /// Nothing is sent any more; what is on its way is waited for.
    Draining(Over),
}

impl Serving {
    /// Lets the connection end in order, if there is a reason and none yet.
    fn drain(&mut self, reason: Option<Over>) {
        if let (Phase::Sending, Some(reason)) = (self.phase, reason) {
            self.phase = Phase::Draining(reason);
        }
    }

    /// As [`drain`](Self::drain), for what an operator asked: that comes before any other
    /// reason.
    fn drain_now(&mut self, reason: Option<Over>) {
        if let Some(reason) = reason {
            self.phase = Phase::Draining(reason);
        }
    }
}

/// Why a connection is over that was not broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// There are other certificates.
    Renewed,
    /// Records are sent again; what is on its way belongs to before.
    Replayed,
    /// A collector that comes first takes records again.
    Preferred,
    /// The daemon ends.
    Ended,
}

impl Stream {
    /// A stream that goes on where it was.
    pub(crate) fn begin(parts: Parts) -> Self {
        let stored = parts.cursor.load();
        let place = stored.unwrap_or(Place::START);
        Self {
            reader: Reader::from(&parts.log, place.seq() + 1),
            acknowledged: place,
            cursor: Cursor {
                stored,
                last_write: LastWrite::Done,
            },
            flight: Flight::default(),
            grown: Instant::now(),
            backoff: Backoff::default(),
            is_heard: false,
            first: 0,
            prefer: Instant::now(),
            seen: credentials::look(&parts.files),
            end: None,
            message: Vec::with_capacity(4096),
            parts,
        }
    }

    /// Goes on until the daemon ends.
    pub(crate) async fn run(mut self) {
        self.publish();
        let mut next = None;
        while self.end.is_none() {
            let connected = match next.take() {
                Some(connected) => Some(connected),
                None => self.connect().await,
            };
            if let Some((index, link)) = connected {
                next = self.serve(index, link).await;
            }
        }
        self.store();
    }

    /// Uses a connection for as long as it is of use. Gives the one to go on with, if there
    /// is one.
    async fn serve(&mut self, index: usize, link: Link) -> Option<(usize, Link)> {
        self.went_up(index, &link);
        self.is_heard = false;
        let mut serving = Serving {
            link,
            index,
            phase: Phase::Sending,
            better: None,
        };
        let outcome = match self.go_back() {
            Ok(()) => self.carry(&mut serving).await,
            Err(problem) => Err(problem),
        };
        let Serving { link, better, .. } = serving;
        let is_broken = outcome.is_err();
        match outcome {
            Ok(over) => {
                tracing::info!(collector = %self.name(index), ?over, "connection to the collector ended in order");
                self.set_state(index, CollectorState::Idle);
                self.part(link).await;
            }
            Err(problem) => {
                self.failed(index, &problem);
                self.hear_the_last(link).await;
                if !self.is_heard {
                    // It takes connections and no records: another one may take both.
                    self.first = index + 1;
                }
            }
        }
        self.flight.clear();
        self.store();
        if is_broken && better.is_none() {
            self.pause().await;
        }
        better
    }

    /// Says goodbye, for as long as a farewell lasts.
    async fn part(&self, link: Link) {
        let over = self.end.unwrap_or_else(|| Instant::now() + FAREWELL);
        // Whoever does not answer a goodbye is left without one.
        let _ = timeout_at(over, link.close()).await;
    }

    /// What a collector said before its connection broke counts.
    async fn hear_the_last(&mut self, mut link: Link) {
        let over = Instant::now() + LAST_WORDS;
        while let Ok(Ok(tag)) = timeout_at(over, link.acknowledged()).await {
            self.settle(tag);
        }
    }

    async fn carry(&mut self, serving: &mut Serving) -> Result<Over, Problem> {
        let index = serving.index;
        let mut look = tokio::time::interval(LOOK);
        let (found, mut finding) = mpsc::channel(1);
        let protocol = self.parts.routes[index].collector.protocol;
        self.prefer = Instant::now() + PREFER;
        loop {
            let caught_up = match serving.phase {
                Phase::Sending => self.fill(&mut serving.link, index)?,
                Phase::Draining(_) => true,
            };
            tokio::select! {
                flushed = serving.link.flush() => flushed?,
                // It takes its time: one who ends does not.
                command = self.parts.commands.recv(), if self.end.is_none() => {
                    serving.drain_now(self.obey(command, index));
                    continue;
                }
                () = sleep_until(self.end.unwrap_or_else(far)) => return Ok(Over::Ended),
            }
            let is_empty = serving.link.on_their_way() == 0;
            match serving.phase {
                // There it would take long, and be for nothing.
                Phase::Draining(Over::Replayed) if protocol == Protocol::Syslog => {
                    return Ok(Over::Replayed);
                }
                Phase::Draining(over) if is_empty => return Ok(over),
                _ if self.end.is_some() && is_empty && caught_up => return Ok(Over::Ended),
                _ => (),
            }
            let is_idle = caught_up && matches!(serving.phase, Phase::Sending);
            let telling = self.parts.telling.as_mut();
            let message = async move {
                match telling {
                    Some(telling) => telling.news().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                tag = serving.link.acknowledged() => {
                    self.settle(tag?);
                    if !caught_up && serving.link.room() < sending::WORTHWHILE {
                        sleep(self.rest()).await;
                    }
                }
                _ = self.parts.durable.changed(), if is_idle => {
                    sleep(GATHER).await;
                }
                () = message, if is_idle => (),
                command = self.parts.commands.recv(), if self.end.is_none() => {
                    serving.drain_now(self.obey(command, index));
                }
                _ = look.tick() => {
                    self.store();
                    serving.drain(self.renewed(index));
                }
                () = sleep_until(self.prefer), if index > 0 && matches!(serving.phase, Phase::Sending) => {
                    self.prefer = Instant::now() + PREFER;
                    self.look_for_better(index, found.clone());
                }
                Some(link) = finding.recv() => {
                    serving.better = Some(link);
                    serving.drain(Some(Over::Preferred));
                }
                // There is more to send, and room for it.
                () = std::future::ready(()), if !caught_up && serving.link.room() >= sending::WORTHWHILE => (),
                () = sleep_until(self.end.unwrap_or_else(far)) => return Ok(Over::Ended),
            }
        }
    }

    /// How long more acknowledgements are waited for.
    fn rest(&self) -> Duration {
        if self.grown.elapsed() < LIVELY {
            PAUSE
        } else {
            MOMENT
        }
    }

    fn settle(&mut self, tag: u64) {
        self.is_heard = true;
        self.backoff.succeeded();
        let count = self.flight.settle(tag);
        if let Some(head) = count.last {
            self.acknowledged = Place::After(head);
        }
        if let (Some(telling), Some(number)) = (&mut self.parts.telling, count.message) {
            telling.acknowledge(number);
        }
        let written = match self.cursor.last_write {
            LastWrite::Done => self.cursor.stored.map_or(0, Place::seq),
            LastWrite::Failed(seq) => seq,
        };
        if self.acknowledged.seq() >= written + STRIDE {
            self.store();
        }
        let mut status = self.parts.board.lock();
        let stream = &mut status.streams[self.parts.index];
        stream.acknowledged += count.records;
        stream.last_ack = Some(crate::status::now());
        stream.acknowledged_seq = self.acknowledged.seq();
        stream.messages = self.parts.telling.as_ref().map(Telling::status);
    }

    /// Has the cursors say how far everything is acknowledged.
    fn store(&mut self) {
        let records = self.store_records();
        let messages = self.parts.telling.as_mut().map_or(Ok(()), Telling::store);
        self.cursor.last_write = match records.and(messages) {
            Ok(()) => LastWrite::Done,
            Err(error) => {
                // Tried again at the next occasion; at worst some of it is sent twice.
                if let LastWrite::Done = self.cursor.last_write {
                    tracing::warn!(%error, "how far the audit log is forwarded cannot be stored");
                }
                LastWrite::Failed(self.acknowledged.seq())
            }
        };
    }

    fn store_records(&mut self) -> io::Result<()> {
        if self.acknowledged != self.cursor.stored.unwrap_or(Place::START) {
            self.parts.cursor.store(self.acknowledged)?;
            self.cursor.stored = Some(self.acknowledged);
            self.publish();
        }
        Ok(())
    }

    fn publish(&self) {
        let mut status = self.parts.board.lock();
        let stream = &mut status.streams[self.parts.index];
        stream.acknowledged_seq = self.acknowledged.seq();
        stream.stored_seq = self.cursor.stored.map(Place::seq);
        stream.messages = self.parts.telling.as_ref().map(Telling::status);
    }

    fn stream_name(&self) -> String {
        self.parts.board.lock().streams[self.parts.index]
            .name
            .clone()
    }

    fn name(&self, index: usize) -> String {
        let collector = &self.parts.routes[index].collector;
        format!("{}:{}", collector.name, collector.port)
    }

    fn went_up(&mut self, index: usize, link: &Link) {
        let mut status = self.parts.board.lock();
        let stream = &mut status.streams[self.parts.index];
        stream.connections += 1;
        stream.collectors[index].state = CollectorState::Up { tls: agreed(link) };
        drop(status);
        tracing::info!(collector = %self.name(index), tls = %agreed(link), "records go to the collector");
    }

    fn set_state(&self, index: usize, state: CollectorState) {
        let mut status = self.parts.board.lock();
        status.streams[self.parts.index].collectors[index].state = state;
    }

    fn failed(&self, index: usize, problem: &Problem) {
        let mut status = self.parts.board.lock();
        let stream = &mut status.streams[self.parts.index];
        let is_news = stream.collectors[index].fail(problem);
        drop(status);
        if is_news {
            tracing::warn!(
                collector = %self.name(index),
                step = problem.step(),
                "records do not get to the collector: {problem}: {}",
                problem.remedy()
            );
        }
    }
}

fn agreed(link: &Link) -> String {
    link.agreed()
        .map_or_else(String::new, |agreed| agreed.to_string())
}

/// Later than anything.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(86_400)
}
