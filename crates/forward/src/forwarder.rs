//! The thread, and what is asked of it.
//!
//! It is prepared while the daemon may still start threads, and begins when it is let:
//! by then it is confined like everything else.

use crate::credentials;
use crate::cursor::CursorFile;
use crate::journal::Journal;
use crate::message::{self, RecordMessages};
use crate::route::{Lookup, Route};
use crate::status::{Board, CollectorStatus, Status, StreamStatus};
use crate::stream::{Parts, Stream};
use pulse_core::config::Forward;
use pulse_core::config::forward::{Collector, Mode, Protocol};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;

/// A stream that is too busy to hear of the end is told again after so long.
const ASKED_AGAIN: Duration = Duration::from_millis(10);

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
    /// Where the daemon's own messages come from: one for each stream, or none at all.
    pub journals: Vec<Journal>,
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
    commands: Vec<mpsc::Sender<Command>>,
    journals: Vec<Journal>,
    thread: Mutex<Option<JoinHandle<()>>>,
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

/// How many streams there are: each with a cursor, and a journal if one is wanted.
#[must_use]
pub fn streams(forward: &Forward) -> usize {
    groups(forward).len()
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
        let board = Arc::new(Board::new(beginning(&groups)));
        let (durable, watched) = watch::channel(0);
        let mut commands = Vec::new();
        let mut streams = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let (sender, receiver) = mpsc::channel(8);
            commands.push(sender);
            streams.push(parts(
                settings,
                group,
                index,
                &board,
                receiver,
                watched.clone(),
            ));
        }
        let (prepared, begun) = oneshot::channel();
        let (started, starting) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("forward".to_owned());
        let thread = thread.spawn(move || {
            // Nobody waits any more when the daemon ends meanwhile.
            let _ = started.send(());
            run(&runtime, streams, begun);
        })?;
        // A thread that has only just begun makes calls that it must not make later.
        starting.recv().map_err(io::Error::other)?;
        let forwarder = Self {
            board,
            durable,
            commands,
            journals: settings.journals.clone(),
            thread: Mutex::new(Some(thread)),
        };
        Ok((forwarder, Prepared(prepared)))
    }

    /// Records up to this one are on disk. Does not wait.
    pub fn tell(&self, seq: u64) {
        self.durable.send_if_modified(|durable| {
            let is_news = seq > *durable;
            *durable = (*durable).max(seq);
            is_news
        });
    }

    /// How it fares.
    #[must_use]
    pub fn status(&self) -> Status {
        let seq = *self.durable.borrow();
        let mut status = self.board.lock().clone();
        status.seq = seq;
        for stream in &mut status.streams {
            stream.queue = seq.saturating_sub(stream.acknowledged_seq);
        }
        if !self.journals.is_empty() {
            let dropped = self.journals.iter().map(Journal::dropped).max();
            status.messages_dropped = dropped;
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

    /// Sends what is left, if that takes no longer than some seconds, and ends.
    pub fn stop(&self) {
        for stream in &self.commands {
            // It must hear this, however much it was asked before; one that has ended need not.
            while let Err(TrySendError::Full(_)) = stream.try_send(Command::End) {
                std::thread::sleep(ASKED_AGAIN);
            }
        }
        let thread = self.thread.lock();
        if let Some(thread) = thread.unwrap_or_else(PoisonError::into_inner).take() {
            // It ends by itself; what it did not send, the next one will.
            let _ = thread.join();
        }
    }
}

fn run(runtime: &Runtime, streams: Vec<Parts>, begun: oneshot::Receiver<()>) {
    let tasks = LocalSet::new();
    let work = tasks.run_until(async {
        if begun.await.is_err() {
            return;
        }
        let streams = streams.into_iter().map(|parts| Stream::begin(parts).run());
        let tasks: Vec<_> = streams.map(tokio::task::spawn_local).collect();
        for task in tasks {
            // One that panicked ends the daemon, where panics abort.
            let _ = task.await;
        }
    });
    runtime.block_on(work);
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

fn parts(
    settings: &Settings,
    group: &[Collector],
    index: usize,
    board: &Arc<Board>,
    commands: mpsc::Receiver<Command>,
    durable: watch::Receiver<u64>,
) -> Parts {
    let forward = &settings.forward;
    let name = name(forward, group);
    board.lock().streams[index].name.clone_from(&name);
    let cursor = settings
        .state_directory
        .join(format!("forward-{name}.cursor"));
    let routes = group.iter();
    Parts {
        index,
        routes: routes
            .map(|collector| Route::new(forward, collector, &settings.lookup))
            .collect(),
        files: credentials::files(forward),
        log: settings.log_directory.clone(),
        cursor: CursorFile::new(cursor, &settings.log_id),
        durable,
        commands,
        board: Arc::clone(board),
        journal: settings.journals.get(index).cloned(),
        records: RecordMessages::of(&settings.host),
        messages: message::own(&settings.host),
    }
}

fn beginning(groups: &[Vec<Collector>]) -> Status {
    let collector = |collector: &Collector| CollectorStatus {
        name: collector.name.to_string(),
        port: collector.port,
        protocol: match collector.protocol {
            Protocol::Relp => "relp".to_owned(),
            Protocol::Syslog => "syslog".to_owned(),
        },
        ..CollectorStatus::default()
    };
    let stream = |group: &Vec<Collector>| StreamStatus {
        collectors: group.iter().map(collector).collect(),
        ..StreamStatus::default()
    };
    Status {
        streams: groups.iter().map(stream).collect(),
        ..Status::default()
    }
}
