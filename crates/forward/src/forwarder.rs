//! The thread, and what is asked of it.
//!
//! It is prepared while the daemon may still start threads, and begins when it is let:
//! by then it is confined like everything else.

use crate::credentials;
use crate::cursor::CursorFile;
use crate::journal::Journal;
use crate::message::{self, RecordMessages};
use crate::route::{Lookup, Route};
use crate::spool::Spool;
use crate::status::{Board, CollectorStatus, Status, StreamStatus};
use crate::stream::telling::{Messages, Telling};
use crate::stream::{FAREWELL, Parts, Stream};
use pulse_audit::{Ending, OnDisk, Worker};
use pulse_core::config::Forward;
use pulse_core::config::forward::{Collector, Mode, Protocol};
use pulse_core::retention;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;

/// What a collector speaks that acknowledges records.
const RELP: &str = "relp";
/// A stream that is too busy to hear of the end is told again after so long.
const ASKED_AGAIN: Duration = Duration::from_millis(10);
/// Messages that the disk did not take are tried again after so long.
const STORED_AGAIN: Duration = Duration::from_secs(5);

/// The thread is waited for so long: a stream takes [`FAREWELL`] for what is left and its
/// goodbye.
const STOP_TIMEOUT: Duration = Duration::from_secs(FAREWELL.as_secs() + 2);

/// What is forwarded, and where to.
#[derive(Clone)]
pub struct Settings {
    /// The collectors.
    pub forward: Forward,
    /// The audit log's directory.
    pub log_directory: PathBuf,
    /// Where the cursors are.
    pub state_directory: PathBuf,
    /// The log's own name: a cursor is about one log.
    pub log_id: String,
    /// This host's name, for the messages' header.
    pub host: String,
    /// Looks collectors up.
    pub lookup: Lookup,
    /// Where the daemon's own messages come from, if they are wanted.
    pub journal: Option<Journal>,
}

/// What is asked of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send this record again, and all after it.
    Replay(u64),
    /// There may be new certificates.
    Look,
    /// The daemon ends.
    End,
}

/// The forwarder, as the rest of the daemon sees it.
#[derive(Debug)]
pub struct Forwarder {
    board: Arc<Board>,
    durable: watch::Sender<u64>,
    /// The first record that the log holds.
    first: AtomicU64,
    commands: Vec<mpsc::Sender<Command>>,
    journal: Option<Journal>,
    thread: Worker,
}

/// Lets the thread begin.
#[derive(Debug)]
pub struct Prepared(oneshot::Sender<()>);

impl Prepared {
    /// Lets it begin.
    pub fn begin(self) {
        // It may have ended already.
        let _ = self.0.send(());
    }
}

impl Forwarder {
    /// Prepares the thread, which runs when this returns, and waits.
    ///
    /// # Errors
    /// The operating system's, when it cannot be started.
    pub fn prepare(settings: &Settings) -> io::Result<(Self, Prepared)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let groups = groups(&settings.forward);
        let (durable, watched) = watch::channel(0);
        let common = Common {
            settings,
            board: Arc::new(Board::new(beginning(&settings.forward, &groups))),
            durable: watched,
            messages: messages(settings, &groups),
        };
        let mut commands = Vec::new();
        let mut streams = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let (sender, receiver) = mpsc::channel(8);
            commands.push(sender);
            streams.push(common.parts(group, index, receiver));
        }
        let Common {
            board, messages, ..
        } = common;
        let (prepared, begun) = oneshot::channel();
        let (started, starting) = std::sync::mpsc::channel();
        let thread = Worker::start("forward", move || {
            // Nobody waits any more when the daemon ends meanwhile.
            let _ = started.send(());
            run(&runtime, streams, messages, begun);
        })?;
        // A thread that has only just begun makes calls that it must not make later.
        starting.recv().map_err(io::Error::other)?;
        let forwarder = Self {
            board,
            durable,
            first: AtomicU64::new(1),
            commands,
            journal: settings.journal.clone(),
            thread,
        };
        Ok((forwarder, Prepared(prepared)))
    }

    /// These records are on disk. Does not wait.
    pub fn tell(&self, on_disk: OnDisk) {
        self.first.store(on_disk.first.max(1), Ordering::Relaxed);
        self.durable.send_if_modified(|durable| {
            let is_news = on_disk.last > *durable;
            *durable = (*durable).max(on_disk.last);
            is_news
        });
    }

    /// The streams, and how far their cursors on disk are: what retention has to know.
    /// One that may send to a collector without acknowledgements counts as one of these.
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

    /// How it fares.
    #[must_use]
    pub fn status(&self) -> Status {
        let seq = *self.durable.borrow();
        let mut status = self.board.lock().clone();
        (status.first_seq, status.seq) = (self.first.load(Ordering::Relaxed), seq);
        for stream in &mut status.streams {
            // What was removed will not be sent.
            let behind = stream.acknowledged_seq.max(status.first_seq - 1);
            stream.queue = seq.saturating_sub(behind);
            if let (Some(journal), Some(messages)) = (&self.journal, &mut stream.messages) {
                messages.queue = journal.last().saturating_sub(messages.acknowledged);
            }
        }
        status
    }

    /// Asks something of every stream; false when one of them is too busy to be asked.
    pub fn ask(&self, command: Command) -> bool {
        let refused = self
            .commands
            .iter()
            .filter(|stream| stream.try_send(command).is_err());
        refused.count() == 0
    }

    /// Sends what is left, if that takes no longer than some seconds, and ends. A thread that
    /// cannot end is left alone, and the log says so.
    pub fn stop(&self) {
        self.stop_within(STOP_TIMEOUT);
    }

    fn stop_within(&self, timeout: Duration) -> Ending {
        let end = Instant::now() + timeout;
        for stream in &self.commands {
            // It must hear this, however much it was asked before; one that has ended need not.
            while let Err(TrySendError::Full(_)) = stream.try_send(Command::End)
                && Instant::now() < end
            {
                std::thread::sleep(ASKED_AGAIN);
            }
        }
        // What it did not send, the next one will.
        let ending = self
            .thread
            .wait(end.saturating_duration_since(Instant::now()));
        if ending == Ending::StillRunning {
            tracing::error!(
                "the forwarding thread did not end within {} s: the daemon ends without it; what no collector has acknowledged is sent after the next start",
                timeout.as_secs()
            );
        }
        ending
    }
}

fn run(
    runtime: &Runtime,
    streams: Vec<Parts>,
    messages: Option<Messages>,
    begun: oneshot::Receiver<()>,
) {
    let tasks = LocalSet::new();
    let work = tasks.run_until(async {
        if begun.await.is_err() {
            return;
        }
        if let Some(messages) = messages.clone() {
            tokio::task::spawn_local(keep(messages));
        }
        let streams = streams.into_iter().map(|parts| Stream::begin(parts).run());
        let tasks: Vec<_> = streams.map(tokio::task::spawn_local).collect();
        for task in tasks {
            // One that panicked ends the daemon, where panics abort.
            let _ = task.await;
        }
    });
    runtime.block_on(work);
    if let Some(messages) = messages {
        messages.store();
    }
}

/// Brings the daemon's own messages to disk, for as long as there may be more.
async fn keep(messages: Messages) {
    let mut news = messages.journal.watch();
    loop {
        messages.store();
        tokio::select! {
            _ = news.changed() => (),
            // The disk may take again what it did not take.
            () = tokio::time::sleep(STORED_AGAIN) => (),
        }
    }
}

/// The daemon's own messages, if they are wanted: those of earlier runs, too.
fn messages(settings: &Settings, groups: &[Vec<Collector>]) -> Option<Messages> {
    let journal = settings.journal.clone()?;
    let names = groups.iter().map(|group| name(&settings.forward, group));
    let cursors: Vec<_> = names
        .map(|name| settings.cursor("messages", &name))
        .collect();
    let spool = Spool::open(&settings.state_directory);
    Some(Messages::new(journal, spool, &cursors))
}

/// One list of collectors for each stream.
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

/// What a stream's cursor is named after.
fn name(forward: &Forward, group: &[Collector]) -> String {
    match (forward.mode, group) {
        (Mode::All, [collector]) => collector.name.to_string(),
        _ => "failover".to_owned(),
    }
}

impl Settings {
    /// How far a stream is with something.
    fn cursor(&self, with: &str, stream: &str) -> CursorFile {
        let file = format!("{with}-{stream}.cursor");
        CursorFile::new(self.state_directory.join(file), &self.log_id)
    }
}

/// What all streams have in common.
struct Common<'a> {
    settings: &'a Settings,
    board: Arc<Board>,
    durable: watch::Receiver<u64>,
    messages: Option<Messages>,
}

impl Common<'_> {
    fn parts(&self, group: &[Collector], index: usize, commands: mpsc::Receiver<Command>) -> Parts {
        let Settings {
            forward, lookup, ..
        } = self.settings;
        let name = name(forward, group);
        let telling = |messages| Telling::begin(messages, self.settings.cursor("messages", &name));
        let routes = group.iter();
        Parts {
            index,
            routes: routes
                .map(|collector| Route::new(forward, collector, lookup))
                .collect(),
            files: credentials::files(forward),
            log: self.settings.log_directory.clone(),
            cursor: self.settings.cursor("forward", &name),
            durable: self.durable.clone(),
            commands,
            board: Arc::clone(&self.board),
            telling: self.messages.as_ref().map(telling),
            records: RecordMessages::of(&self.settings.host),
            messages: message::own(&self.settings.host),
        }
    }
}

fn beginning(forward: &Forward, groups: &[Vec<Collector>]) -> Status {
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
        name: name(forward, group),
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

    #[test]
    fn a_thread_that_cannot_end_does_not_hold_up_the_end() {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let thread = Worker::start("forward", move || {
            let _ = released.recv();
        });
        // A stream that never looks at what it is asked.
        let (commands, _never_read) = mpsc::channel(1);
        let forwarder = Forwarder {
            board: Arc::default(),
            durable: watch::channel(0).0,
            first: AtomicU64::new(1),
            commands: vec![commands],
            journal: None,
            thread: thread.unwrap(),
        };
        assert!(forwarder.ask(Command::Look));
        let soon = Duration::from_millis(20);
        assert_eq!(forwarder.stop_within(soon), Ending::StillRunning);
        drop(release);
        let long = Duration::from_secs(60);
        assert_eq!(forwarder.thread.wait(long), Ending::Ended);
    }
}
