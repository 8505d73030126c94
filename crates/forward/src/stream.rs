//! A stream: reads the log, sends records, and advances its cursor as they are acknowledged.
//!
//! While it is connected, it serves in turn the collector's acknowledgements, new records,
//! commands, and checks for new certificates. Before it closes a connection in order (for new
//! certificates, a preferred collector, or the daemon's end), it waits for the
//! acknowledgements of everything in flight, so that nothing is sent twice.
#![expect(
    clippy::indexing_slicing,
    reason = "a stream has as many routes as collectors in the status, and its index is within the status"
)]

mod commands;
mod connecting;
mod in_flight;
pub(crate) mod message_stream;
mod sending;
mod state;
#[cfg(test)]
mod tests;

use crate::credentials::{self, Fingerprint};
use crate::cursor::{CursorFile, ResumePoint};
use crate::forwarder::StreamCommand;
use crate::loss::Loss;
use crate::message::RecordMessages;
use crate::problem::Problem;
use crate::route::Route;
use crate::status::{CollectorStatus, StatusBoard};
use in_flight::InFlight;
use message_stream::MessageStream;
use pulse_audit::LogReader;
use pulse_core::config::forward::Protocol;
use pulse_core::nodes::backoff::Backoff;
use pulse_relp::connection::Connection;
use pulse_relp::identity::Files;
use pulse_relp::message::Origin;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// The interval of checking the certificates, and of writing the cursor while it moves.
const CERT_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The cursor is also written after this many records: as many are sent again after a kill.
const CURSOR_FLUSH_RECORDS: u64 = 2048;
/// A new record waits this long for others, so that they share one write.
const BATCH_DELAY: Duration = Duration::from_millis(10);
/// With a backlog, acknowledgements are read in intervals: each of them alone would wake the
/// thread up.
const ACK_COALESCE_DELAY: Duration = Duration::from_millis(1);
/// The same while records are being written: most readings find the processor free between
/// two bursts.
const ACK_COALESCE_DELAY_BUSY: Duration = Duration::from_millis(5);
/// Records count as being written for this long after the last one.
const BUSY_WINDOW: Duration = Duration::from_millis(100);
/// The interval of trying preferred collectors while another one serves.
const FAILBACK_INTERVAL: Duration = Duration::from_secs(60);
/// The time for closing a connection, and at the daemon's end for sending what is left.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Acknowledgements that arrived before a connection broke are read for this long.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);

/// The parts of a stream that do not change.
pub(crate) struct StreamConfig {
    /// Its index among the streams of the status.
    pub(crate) index: usize,
    /// The collectors, in the order of preference.
    pub(crate) routes: Vec<Route>,
    pub(crate) files: Files,
    pub(crate) log: PathBuf,
    pub(crate) cursor: CursorFile,
    /// Records that can never be sent.
    pub(crate) loss: Loss,
    pub(crate) durable: watch::Receiver<u64>,
    pub(crate) commands: mpsc::Receiver<StreamCommand>,
    pub(crate) board: Arc<StatusBoard>,
    /// The daemon's own messages, if they are forwarded.
    pub(crate) messages: Option<MessageStream>,
    pub(crate) records: RecordMessages,
    pub(crate) message_origin: Origin,
}

pub(crate) struct Stream {
    config: StreamConfig,
    reader: LogReader,
    /// All records up to here are acknowledged.
    acknowledged: ResumePoint,
    cursor: Cursor,
    /// The number of the next record to be read, unless the log lacks some.
    next: u64,
    in_flight: InFlight,
    /// The time of the last acknowledgement, or the last time that there was nothing to
    /// acknowledge, in seconds since 1970.
    last_good: u64,
    /// When the log was last found to have grown.
    last_growth: Instant,
    /// One for each route.
    attempts: Vec<Attempts>,
    /// The collector of this connection has acknowledged something.
    has_acknowledged: bool,
    /// The route that is tried first.
    first_route: usize,
    /// When preferred collectors are tried next, while another one serves.
    failback_at: Instant,
    /// The certificates of the last attempt to connect.
    fingerprint: Fingerprint,
    /// Set when the daemon stops: until then the stream may go on sending.
    stop_at: Option<Instant>,
    message: Vec<u8>,
}

/// The failed attempts of one route. A collector that is down and one that refuses us are each tried
/// at their own pace.
struct Attempts {
    backoff: Backoff,
    /// It is left alone until then.
    until: Instant,
}

/// The state of the cursor's file.
struct Cursor {
    /// Its content; none before it is written for the first time.
    stored: Option<ResumePoint>,
    last_write: LastWrite,
}

enum LastWrite {
    Done,
    /// It failed at this record. The next attempt is as far away as after a success: a full
    /// disk must not cost a write for each acknowledgement.
    Failed(u64),
}

/// A connection in use.
struct Serving {
    connection: Connection,
    /// The index of its route.
    index: usize,
    phase: Phase,
    /// A connection to a preferred collector, to continue with.
    better: Option<(usize, Connection)>,
}

#[derive(Clone, Copy)]
enum Phase {
    /// Records are sent.
    Sending,
    /// No more are sent; the connection closes when nothing is in flight.
    Draining(CloseReason),
}

/// Why a connection that is in order is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CloseReason {
    /// The certificates have changed.
    CertificatesRenewed,
    /// Records are sent again. The tags in flight are those of the time before.
    Replay,
    /// A preferred collector takes connections again.
    Failback,
    /// The daemon stops.
    Stopped,
}

impl Serving {
    /// Starts draining, unless it has started.
    fn drain(&mut self, reason: Option<CloseReason>) {
        if let (Phase::Sending, Some(reason)) = (self.phase, reason) {
            self.phase = Phase::Draining(reason);
        }
    }

    /// Starts draining for a command, which takes precedence over other reasons.
    fn drain_for_command(&mut self, reason: Option<CloseReason>) {
        if let Some(reason) = reason {
            self.phase = Phase::Draining(reason);
        }
    }
}

impl Stream {
    /// A stream that continues at its cursor.
    pub(crate) fn begin(mut config: StreamConfig) -> Self {
        let stored = config.cursor.found();
        let point = stored.unwrap_or(ResumePoint::START);
        config.loss.deliver(point.seq());
        Self {
            reader: LogReader::from(&config.log, point.seq() + 1),
            acknowledged: point,
            cursor: Cursor {
                stored,
                last_write: LastWrite::Done,
            },
            next: point.seq() + 1,
            in_flight: InFlight::default(),
            last_good: crate::status::now(),
            last_growth: Instant::now(),
            attempts: config
                .routes
                .iter()
                .map(|_| Attempts {
                    backoff: Backoff::default(),
                    until: Instant::now(),
                })
                .collect(),
            has_acknowledged: false,
            first_route: 0,
            failback_at: Instant::now(),
            fingerprint: credentials::fingerprint(&config.files),
            stop_at: None,
            message: Vec::with_capacity(4096),
            config,
        }
    }

    /// Runs until the daemon stops.
    pub(crate) async fn run(mut self) {
        // An unreadable log is reported by the first connection.
        let _ = self.take_position();
        self.publish();
        let mut next = None;
        while self.stop_at.is_none() {
            let connected = match next.take() {
                Some(connected) => Some(connected),
                None => self.connect().await,
            };
            if let Some((index, connection)) = connected {
                next = self.serve(index, connection).await;
            }
        }
        self.store();
    }

    /// Uses a connection until it breaks or is closed. Gives the connection to continue with,
    /// if there is one.
    async fn serve(&mut self, index: usize, connection: Connection) -> Option<(usize, Connection)> {
        let tls = connection.tls_parameters();
        self.connected(index, tls.map_or_else(String::new, |tls| tls.to_string()));
        let mut serving = Serving {
            connection,
            index,
            phase: Phase::Sending,
            better: None,
        };
        let outcome = match self.rewind() {
            Ok(()) => self.transfer(&mut serving).await,
            Err(problem) => Err(problem),
        };
        let Serving {
            mut connection,
            better,
            ..
        } = serving;
        let mut broken = None;
        match outcome {
            Ok(reason) => {
                tracing::info!(
                    "connection to the collector {} closed: {reason:?}",
                    self.collector_name(index)
                );
                self.collector(index, CollectorStatus::disconnect);
                let limit = self
                    .stop_at
                    .unwrap_or_else(|| Instant::now() + SHUTDOWN_TIMEOUT);
                // A collector that does not close its side is disconnected.
                let _ = timeout_at(limit, connection.close()).await;
            }
            Err(problem) => {
                broken = Some(problem.kind());
                // Acknowledgements that arrived before the connection broke count.
                let limit = Instant::now() + DRAIN_TIMEOUT;
                while let Ok(Ok(tag)) = timeout_at(limit, connection.acknowledged()).await {
                    self.acknowledge(index, tag);
                }
                self.mark_failed(index, &problem);
                // The socket does not stay open during the pause.
                drop(connection);
                if !self.has_acknowledged {
                    // A collector that accepts connections and no records must not keep a
                    // failover stream from trying the next one.
                    self.first_route = index + 1;
                }
            }
        }
        // What is still in flight is read from the log again for the next connection.
        self.in_flight.clear();
        self.store();
        // A connection that was closed in order is followed by the next one at once.
        if let (Some(kind), None) = (broken, &better) {
            let over = self.leave_alone(index, kind);
            self.pause(over).await;
        }
        better
    }

    /// Sends records and takes acknowledgements, until the connection can be closed in order.
    ///
    /// Each round first writes what was given, then waits for the first of several events. All
    /// of their futures are cancel safe, so that a round can drop those that did not come.
    async fn transfer(&mut self, serving: &mut Serving) -> Result<CloseReason, Problem> {
        let index = serving.index;
        let mut check = tokio::time::interval(CERT_CHECK_INTERVAL);
        // `found` stays open here: otherwise `recv` would give `None` in each round without a search.
        let (found, mut finding) = mpsc::channel(1);
        let protocol = self.config.routes[index].collector.protocol;
        self.failback_at = Instant::now() + FAILBACK_INTERVAL;
        loop {
            let caught_up = match serving.phase {
                Phase::Sending => self.send_records(&mut serving.connection, index)?,
                Phase::Draining(_) => true,
            };
            tokio::select! {
                flushed = serving.connection.flush() => flushed?,
                // A slow collector keeps the write waiting; a stop must not wait with it.
                command = self.config.commands.recv(), if self.stop_at.is_none() => {
                    serving.drain_for_command(self.handle_command(command, index));
                    continue;
                }
                () = sleep_until(self.stop_at.unwrap_or_else(far_future)) => {
                    return Ok(CloseReason::Stopped);
                }
            }
            let is_empty = serving.connection.in_flight() == 0;
            let is_sending = matches!(serving.phase, Phase::Sending);
            if is_empty && caught_up && is_sending {
                self.mark_up(index);
            }
            match serving.phase {
                // Messages count as delivered only after a timeout there, and those in flight
                // are sent again anyway.
                Phase::Draining(CloseReason::Replay) if protocol == Protocol::Syslog => {
                    return Ok(CloseReason::Replay);
                }
                Phase::Draining(reason) if is_empty => return Ok(reason),
                _ if self.stop_at.is_some() && is_empty && caught_up => {
                    return Ok(CloseReason::Stopped);
                }
                _ => (),
            }
            // Borrows only the messages, because other branches use the rest of `self`.
            let messages = self.config.messages.as_mut();
            let new_message = async move {
                match messages {
                    Some(messages) => messages.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                tag = serving.connection.acknowledged() => {
                    self.acknowledge(index, tag?);
                    // With room for a batch, sending goes on at once.
                    if !caught_up && serving.connection.room() < sending::MIN_BATCH {
                        sleep(self.ack_delay()).await;
                    }
                }
                // While there is a backlog, new records are found by reading on.
                _ = self.config.durable.changed(), if caught_up && is_sending => {
                    sleep(BATCH_DELAY).await;
                }
                () = new_message, if caught_up && is_sending => (),
                command = self.config.commands.recv(), if self.stop_at.is_none() => {
                    serving.drain_for_command(self.handle_command(command, index));
                }
                _ = check.tick() => {
                    self.store();
                    serving.drain(self.check_certificates(index));
                }
                () = sleep_until(self.failback_at), if index > 0 && is_sending => {
                    self.failback_at = Instant::now() + FAILBACK_INTERVAL;
                    self.try_preferred(index, found.clone());
                }
                Some(connection) = finding.recv() => {
                    serving.better = Some(connection);
                    serving.drain(Some(CloseReason::Failback));
                }
                // There is more to send, and room for it.
                () = std::future::ready(()),
                    if !caught_up && serving.connection.room() >= sending::MIN_BATCH => (),
                () = sleep_until(self.stop_at.unwrap_or_else(far_future)) => {
                    return Ok(CloseReason::Stopped);
                }
            }
        }
    }

    fn ack_delay(&self) -> Duration {
        if self.last_growth.elapsed() < BUSY_WINDOW {
            ACK_COALESCE_DELAY_BUSY
        } else {
            ACK_COALESCE_DELAY
        }
    }
}

/// A deadline that is never reached.
fn far_future() -> Instant {
    Instant::now() + Duration::from_secs(86_400)
}
