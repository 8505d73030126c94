//! The thread that runs all streams, and its commands.
//!
//! The thread is started while the daemon may still start threads, and waits until the daemon
//! is confined before it begins to work.

use crate::credentials;
use crate::cursor::CursorFile;
use crate::growth::QueueGrowth;
use crate::journal::Journal;
use crate::loss::Loss;
use crate::message::{self, RecordMessages};
use crate::orphaned;
use crate::route::{Lookup, Route};
use crate::spool::Spool;
use crate::state_file::StateFileError;
use crate::status::{CollectorStatus, LostRange, Status, StatusBoard, StreamStatus};
use crate::stream::message_stream::{MessageStream, Messages};
use crate::stream::{SHUTDOWN_TIMEOUT, Stream, StreamConfig};
use pulse_audit::{OnDisk, ThreadEnd, Worker};
use pulse_core::audit_log::retention;
use pulse_core::config::Forward;
use pulse_core::config::forward::{Collector, Mode, Protocol};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;

/// The protocol with acknowledgements, as named in the status.
const RELP: &str = "relp";
/// The interval of sending the stop command again to a stream whose queue is full.
const STOP_RETRY_INTERVAL: Duration = Duration::from_millis(10);
/// After a failed write, messages are written again this much later.
const SPOOL_RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// The longest time that the thread may take to end: a stream takes `SHUTDOWN_TIMEOUT` to send what is
/// left and to close its connection.
const STOP_TIMEOUT: Duration = Duration::from_secs(SHUTDOWN_TIMEOUT.as_secs() + 2);

/// The settings of the forwarder.
#[derive(Clone)]
pub struct Settings {
    /// The collectors.
    pub forward: Forward,
    /// The audit log's directory.
    pub log_directory: PathBuf,
    /// The directory of the cursors.
    pub state_directory: PathBuf,
    /// The log's id: a cursor belongs to one log.
    pub log_id: String,
    /// This host's name, for the messages' header.
    pub host: String,
    /// Looks up the addresses of collectors.
    pub lookup: Lookup,
    /// The daemon's own messages, if they are forwarded.
    pub journal: Option<Journal>,
}

/// A command to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamCommand {
    /// Send this record and all later ones again.
    Replay(u64),
    /// Check for new certificates.
    CheckCertificates,
    /// No longer show the loss of these records.
    AcceptLoss(Vec<LostRange>),
    /// Send what is left, and end.
    Stop,
}

/// The handle of the forwarding thread.
#[derive(Debug)]
pub struct Forwarder {
    board: Arc<StatusBoard>,
    durable: watch::Sender<u64>,
    /// The first record that the log holds.
    first: AtomicU64,
    commands: Vec<mpsc::Sender<StreamCommand>>,
    journal: Option<Journal>,
    /// One for each stream.
    growth: Mutex<Vec<QueueGrowth>>,
    thread: Worker,
}

/// The forwarder cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The thread or its runtime cannot be started.
    #[error("the forwarder's thread")]
    Thread(#[from] io::Error),
    /// A state file is of a later release.
    #[error(transparent)]
    StateFile(#[from] StateFileError),
}

/// A thread that waits for the permission to work.
#[derive(Debug)]
pub struct Prepared(oneshot::Sender<()>);

impl Prepared {
    /// Lets the thread work.
    pub fn begin(self) {
        // The thread may have ended already.
        let _ = self.0.send(());
    }
}

impl Forwarder {
    /// Starts the thread, which waits for [`Prepared::begin`].
    ///
    /// # Errors
    /// [`PrepareError`].
    pub fn prepare(settings: &Settings) -> Result<(Self, Prepared), PrepareError> {
        // A runtime on one thread: the daemon starts no threads once it is confined.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let groups = groups(&settings.forward);
        // A watch channel has the latest number only, so nothing is queued for a slow stream.
        let (durable, watched) = watch::channel(0);
        let Settings {
            forward, lookup, ..
        } = settings;
        let status = initial_status(forward, &groups);
        orphaned::report(&settings.state_directory, &settings.log_id, &status.streams);
        let board = Arc::new(StatusBoard::new(status));
        let messages = messages(settings, &groups)?;
        let mut commands = Vec::new();
        let mut streams = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let (sender, receiver) = mpsc::channel(8);
            commands.push(sender);
            let name = stream_name(forward, group);
            streams.push(StreamConfig {
                index,
                routes: group
                    .iter()
                    .map(|collector| Route::new(forward, collector, lookup))
                    .collect(),
                files: credentials::files(forward),
                log: settings.log_directory.clone(),
                cursor: settings.cursor("forward", &name)?,
                loss: settings.loss(&name)?,
                durable: watched.clone(),
                commands: receiver,
                board: Arc::clone(&board),
                messages: match &messages {
                    Some(messages) => {
                        let cursor = settings.cursor("messages", &name)?;
                        Some(MessageStream::begin(messages, cursor))
                    }
                    None => None,
                },
                records: RecordMessages::new(&settings.host),
                message_origin: message::daemon_origin(&settings.host),
            });
        }
        let (prepared, begun) = oneshot::channel();
        let (started, starting) = std::sync::mpsc::channel();
        let thread = Worker::start("forward", move || {
            // Without a receiver the daemon is stopping.
            let _ = started.send(());
            run(&runtime, streams, messages, begun);
        })?;
        // A thread's first system calls are forbidden later, so it must be past them when the
        // filter is loaded.
        starting.recv().map_err(io::Error::other)?;
        let forwarder = Self {
            board,
            durable,
            first: AtomicU64::new(1),
            commands,
            journal: settings.journal.clone(),
            growth: Mutex::new(
                groups
                    .iter()
                    .map(|_| QueueGrowth::new(forward.timeout))
                    .collect(),
            ),
            thread,
        };
        Ok((forwarder, Prepared(prepared)))
    }

    /// Notifies the streams of the records on disk. Does not block.
    pub fn notify_on_disk(&self, on_disk: OnDisk) {
        self.first.store(on_disk.first.max(1), Ordering::Relaxed);
        // Called for each write of the log: streams are woken only when it has grown.
        self.durable.send_if_modified(|durable| {
            let has_grown = on_disk.last > *durable;
            *durable = (*durable).max(on_disk.last);
            has_grown
        });
    }

    /// The cursors on disk of all streams, for retention. A stream with any collector that does
    /// not acknowledge counts as one without acknowledgements.
    #[must_use]
    pub fn cursors(&self) -> Vec<retention::Stream> {
        let status = self.board.lock();
        let acknowledges = |stream: &StreamStatus| {
            let mut collectors = stream.collectors.iter();
            collectors.all(|collector| collector.protocol == RELP)
        };
        let streams = status.streams.iter().map(|stream| retention::Stream {
            name: stream.name.clone(),
            acknowledges: acknowledges(stream),
            passed: stream.stored_seq,
        });
        streams.collect()
    }

    /// The current status.
    #[must_use]
    pub fn status(&self) -> Status {
        let seq = *self.durable.borrow();
        let mut status = self.board.lock().clone();
        (status.first_seq, status.seq) = (self.first.load(Ordering::Relaxed), seq);
        for stream in &mut status.streams {
            // Records that retention removed are not waiting to be sent.
            stream.queue = seq.saturating_sub(stream.acknowledged_seq.max(status.first_seq - 1));
            if let (Some(journal), Some(messages)) = (&self.journal, &mut stream.messages) {
                messages.queue = journal.last().saturating_sub(messages.acknowledged);
            }
        }
        status
    }

    /// Checks the ages of the queues; to be called every few seconds. Records that remain
    /// unacknowledged for minutes are logged, and shown until they are acknowledged: the collector
    /// may be up and too slow, or acknowledge nothing.
    pub fn watch_queues(&self, now: Instant) {
        let mut growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        let Status { seq, streams, .. } = self.status();
        for (index, (stream, growth)) in streams.iter().zip(growth.iter_mut()).enumerate() {
            let (name, queue) = (&stream.name, stream.queue);
            let Some(is_growing) = growth.observe(now, seq, seq.saturating_sub(queue)) else {
                continue;
            };
            if is_growing {
                tracing::warn!(
                    "stream {name} has records that were not acknowledged for {} minutes, its queue has {queue} records; \
                     `pulse-sensorctl forward status` shows whether its collector is down or too slow",
                    growth.limit().as_secs() / 60
                );
            } else {
                tracing::info!(
                    "the overdue records of stream {name} are acknowledged, its queue has {queue} records"
                );
            }
            if let Some(stream) = self.board.lock().streams.get_mut(index) {
                stream.queue_grows_since = is_growing.then(crate::status::now);
            }
        }
    }

    /// Sends a command to every stream; false when the queue of one is full.
    pub fn send_command(&self, command: &StreamCommand) -> bool {
        let refused = self
            .commands
            .iter()
            .filter(|stream| stream.try_send(command.clone()).is_err());
        refused.count() == 0
    }

    /// Accepts the losses that `status` shows up to record `through`, and no others: each stream
    /// gets its own. False when the queue of one is full.
    pub fn accept_losses(&self, status: &Status, through: u64) -> bool {
        let mut is_accepted = true;
        for (commands, stream) in self.commands.iter().zip(&status.streams) {
            let lost = stream.lost_through(through);
            if !lost.is_empty() {
                is_accepted &= commands.try_send(StreamCommand::AcceptLoss(lost)).is_ok();
            }
        }
        is_accepted
    }

    /// Stops the streams, which send what is left within `SHUTDOWN_TIMEOUT`, and waits for the
    /// thread. A thread that does not end is left running, and logged.
    pub fn stop(&self) {
        self.stop_within(STOP_TIMEOUT);
    }

    fn stop_within(&self, timeout: Duration) -> ThreadEnd {
        let end = Instant::now() + timeout;
        for stream in &self.commands {
            // A full queue must not lose this command. A closed one belongs to a stream that has
            // ended.
            while let Err(TrySendError::Full(_)) = stream.try_send(StreamCommand::Stop)
                && Instant::now() < end
            {
                std::thread::sleep(STOP_RETRY_INTERVAL);
            }
        }
        // Unsent records are sent after the next start.
        let ending = self
            .thread
            .wait(end.saturating_duration_since(Instant::now()));
        if ending == ThreadEnd::StillRunning {
            tracing::error!(
                "the forwarding thread did not end within {} s, the daemon stops without it: unacknowledged records are sent after the next start",
                timeout.as_secs()
            );
        }
        ending
    }
}

fn run(
    runtime: &Runtime,
    streams: Vec<StreamConfig>,
    messages: Option<Messages>,
    begun: oneshot::Receiver<()>,
) {
    let tasks = LocalSet::new();
    let work = tasks.run_until(async {
        if begun.await.is_err() {
            return;
        }
        // In a task of its own, so that messages reach the disk while no collector is connected.
        if let Some(messages) = messages.clone() {
            tokio::task::spawn_local(async move {
                let mut news = messages.journal.watch();
                loop {
                    messages.store();
                    tokio::select! {
                        _ = news.changed() => (),
                        // A write that failed may succeed now.
                        () = tokio::time::sleep(SPOOL_RETRY_INTERVAL) => (),
                    }
                }
            });
        }
        let streams = streams
            .into_iter()
            .map(|config| Stream::begin(config).run());
        let tasks: Vec<_> = streams.map(tokio::task::spawn_local).collect();
        for task in tasks {
            // A panic aborts the daemon in release builds.
            let _ = task.await;
        }
    });
    runtime.block_on(work);
    // The streams have ended; their last messages are not on disk yet.
    if let Some(messages) = messages {
        messages.store();
    }
}

/// The daemon's own messages with those of earlier runs, if they are forwarded.
fn messages(
    settings: &Settings,
    groups: &[Vec<Collector>],
) -> Result<Option<Messages>, StateFileError> {
    let Some(journal) = settings.journal.clone() else {
        return Ok(None);
    };
    let names = groups
        .iter()
        .map(|group| stream_name(&settings.forward, group));
    let cursors = names
        .map(|name| settings.cursor("messages", &name))
        .collect::<Result<Vec<_>, _>>()?;
    let spool = Spool::open(&settings.state_directory)?;
    Ok(Some(Messages::new(journal, spool, &cursors)))
}

/// The collectors of each stream.
fn groups(forward: &Forward) -> Vec<Vec<Collector>> {
    match forward.mode {
        Mode::Failover if forward.is_wanted() => vec![forward.collectors.clone()],
        Mode::Failover => Vec::new(),
        Mode::All => forward
            .collectors
            .iter()
            .map(|one| vec![one.clone()])
            .collect(),
    }
}

/// The name of a stream, which is part of its cursor's file name.
fn stream_name(forward: &Forward, group: &[Collector]) -> String {
    match (forward.mode, group) {
        (Mode::All, [collector]) => collector.name.to_string(),
        _ => "failover".to_owned(),
    }
}

impl Settings {
    /// A stream's cursor in the records (`forward`) or in the messages.
    fn cursor(&self, queue: &str, stream: &str) -> Result<CursorFile, StateFileError> {
        CursorFile::open(
            self.state_directory
                .join(format!("{queue}-{stream}.cursor")),
            &self.log_id,
        )
    }

    /// A stream's lost records.
    fn loss(&self, stream: &str) -> Result<Loss, StateFileError> {
        let path = self.state_directory.join(format!("forward-{stream}.lost"));
        Loss::open(path, &self.log_id)
    }
}

fn initial_status(forward: &Forward, groups: &[Vec<Collector>]) -> Status {
    let collector = |collector: &Collector| CollectorStatus {
        name: collector.name.to_string(),
        port: collector.port,
        protocol: match collector.protocol {
            Protocol::Relp => RELP.to_owned(),
            Protocol::Syslog => "syslog".to_owned(),
        },
        ..CollectorStatus::default()
    };
    let stream = |group: &Vec<Collector>| StreamStatus {
        name: stream_name(forward, group),
        collectors: group.iter().map(collector).collect(),
        ..StreamStatus::default()
    };
    Status {
        streams: groups.iter().map(stream).collect(),
        ..Status::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A forwarder with these command queues, whose thread does not do anything else.
    fn forwarder(thread: Worker, commands: Vec<mpsc::Sender<StreamCommand>>) -> Forwarder {
        Forwarder {
            board: Arc::default(),
            durable: watch::channel(0).0,
            first: AtomicU64::new(1),
            commands,
            journal: None,
            growth: Mutex::default(),
            thread,
        }
    }

    #[test]
    fn losses_are_accepted_as_shown() {
        let range = |first, last| LostRange { first, last };
        let (a, mut of_a) = mpsc::channel(1);
        let (b, mut of_b) = mpsc::channel(1);
        let (c, mut of_c) = mpsc::channel(1);
        let forwarder = forwarder(Worker::start("forward", || ()).unwrap(), vec![a, b, c]);
        let lost = [
            vec![range(6, 10), range(14, 20)],
            vec![range(30, 40)],
            vec![range(8, 9)],
        ];
        let status = Status {
            streams: lost
                .into_iter()
                .map(|lost| StreamStatus {
                    lost,
                    ..StreamStatus::default()
                })
                .collect(),
            ..Status::default()
        };
        assert!(forwarder.accept_losses(&status, 15));
        let of_first = StreamCommand::AcceptLoss(vec![range(6, 10), range(14, 15)]);
        assert_eq!(of_a.try_recv(), Ok(of_first));
        assert!(of_b.try_recv().is_err());
        // The queue of the third is still full.
        assert!(!forwarder.accept_losses(&status, 15));
        let of_third = StreamCommand::AcceptLoss(vec![range(8, 9)]);
        assert_eq!(of_c.try_recv(), Ok(of_third));
    }

    #[test]
    fn a_stuck_thread_delays_no_stop() {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let thread = Worker::start("forward", move || {
            let _ = released.recv();
        });
        // A stream that never reads its commands.
        let (commands, _never_read) = mpsc::channel(1);
        let forwarder = forwarder(thread.unwrap(), vec![commands]);
        assert!(forwarder.send_command(&StreamCommand::CheckCertificates));
        let soon = Duration::from_millis(20);
        assert_eq!(forwarder.stop_within(soon), ThreadEnd::StillRunning);
        drop(release);
        let long = Duration::from_secs(60);
        assert_eq!(forwarder.thread.wait(long), ThreadEnd::Ended);
    }
}
