//! The backlog of the callers' socket, and the threads that empty it during a flood.
//!
//! All callers share the backlog. When it is full, the kernel lets a caller wait, or refuses a
//! non-blocking one (`EAGAIN`, connect(2)). Two processes that connect and close fill it
//! faster than a thread empties it that also does other work. So while connections arrive
//! faster than the runtime accepts them, guard threads accept: they close the connections
//! over their user's budget and pass on the rest. Otherwise the runtime accepts by itself,
//! since passing on costs each reading a change of threads.

use crate::state::{Daemon, Snapshot};
use crate::sys::accept;
use pulse_core::callers::accept::{
    AcceptBudgets, ConnectionAttempt, FLOOD_COOLDOWN, OverBudget, Standing,
};
use pulse_core::callers::capability::Capabilities;
use pulse_core::callers::limiter::Refusal;
use pulse_core::callers::peer::{Credentials, Peer, PeerId};
use pulse_core::event::Access;
use pulse_core::summary::{Account, Tally};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Guard threads. Connecting and accepting cost about the same processor time, so two
/// attackers need two guards; a third one keeps the backlog empty.
const GUARDS: u32 = 3;

/// The interval in which closed connections are put on record, and in which an idle guard
/// checks whether the flood is over.
const INTERVAL: Duration = Duration::from_millis(100);

/// Users whose closed connections are counted separately until then.
const MAX_CLOSED: usize = 256;

/// A connection within its user's budget.
pub(crate) struct Accepted {
    pub(crate) stream: UnixStream,
    pub(crate) credentials: Credentials,
    pub(crate) standing: Standing,
}

/// Accepts connections and closes those over a budget. Each thread has one of its own, with a
/// part of the budgets: with a shared lock, all would wait for a thread that the kernel has
/// preempted.
pub(crate) struct Acceptor {
    daemon: Arc<Daemon>,
    snapshot: Arc<Snapshot>,
    budgets: AcceptBudgets,
    closed: Closed,
    renew_at: Instant,
}

/// Connections that were closed unread and are not on record yet.
#[derive(Default)]
struct Closed {
    strangers: Option<Tally>,
    eligible: HashMap<PeerId, Tally>,
}

impl Acceptor {
    /// One of `parts` acceptors that work at the same time.
    pub(crate) fn new(daemon: &Arc<Daemon>, parts: u32) -> Self {
        let snapshot = daemon.snapshot();
        let config = &snapshot.config;
        Self {
            budgets: AcceptBudgets::new(&config.limits, config.nodes.len(), parts),
            daemon: Arc::clone(daemon),
            snapshot,
            closed: Closed::default(),
            renew_at: Instant::now(),
        }
    }

    /// Accepts a connection; `None` when it was closed unread.
    ///
    /// # Errors
    /// Those of accept(2), `WouldBlock` when there is none.
    pub(crate) fn accept(&mut self, listener: &UnixListener) -> io::Result<Option<Accepted>> {
        let (stream, _) = listener.accept()?;
        // Without credentials there is no caller to serve.
        let Ok(credentials) = crate::sys::credentials(&stream) else {
            return Ok(None);
        };
        let Ok(standing) = self.spend(credentials) else {
            return Ok(None);
        };
        // It does not inherit the listener's `O_NONBLOCK` (accept(2)).
        stream.set_nonblocking(true)?;
        Ok(Some(Accepted {
            stream,
            credentials,
            standing,
        }))
    }

    fn spend(&mut self, credentials: Credentials) -> Result<Standing, OverBudget> {
        let now = Instant::now();
        // Not for each connection: closing one has to stay cheap during a flood.
        if now >= self.renew_at {
            self.renew_at = now + INTERVAL;
            self.snapshot = self.daemon.snapshot();
            let config = &self.snapshot.config;
            self.budgets.set_limits(&config.limits, config.nodes.len());
            self.budgets.sweep(now);
            self.record_closed();
        }
        let policy = &self.snapshot.policy;
        let (standing, user) = (policy.standing(credentials), policy.user(credentials.uid));
        let attempt = ConnectionAttempt {
            user: &user,
            pid: credentials.pid,
            standing,
        };
        let spent = self.budgets.spend(attempt, now);
        if spent.is_err() {
            self.close(credentials, standing, user);
        }
        spent.map(|()| standing)
    }

    fn close(&mut self, credentials: Credentials, standing: Standing, id: PeerId) {
        self.daemon.metrics.closed_unread.inc();
        // `/proc` is not read for a connection that is closed unread.
        let peer = Peer {
            credentials,
            id,
            container: None,
            capabilities: Capabilities::NONE,
        };
        let tally = Tally::one(Access::Limited(Refusal::Accepts), &peer);
        match standing {
            Standing::Stranger => match &mut self.closed.strangers {
                Some(closed) => closed.add(tally),
                none => *none = Some(tally),
            },
            Standing::Eligible => match self.closed.eligible.get_mut(&peer.id) {
                Some(closed) => closed.add(tally),
                None => {
                    self.closed.eligible.insert(peer.id, tally);
                    if self.closed.eligible.len() >= MAX_CLOSED {
                        self.record_closed();
                    }
                }
            },
        }
    }

    /// True if connections were closed unread a moment ago.
    pub(crate) fn is_flooded(&self) -> bool {
        self.budgets.is_flooded(Instant::now())
    }

    /// Records the closed connections.
    pub(crate) fn record_closed(&mut self) {
        let Closed {
            strangers,
            eligible,
        } = std::mem::take(&mut self.closed);
        if let Some(tally) = strangers {
            self.daemon.note_all(tally, Account::Strangers);
        }
        for tally in eligible.into_values() {
            self.daemon.note_all(tally, Account::Own);
        }
    }
}

/// The guard threads. They are started before the filter forbids new threads, and wait.
pub(crate) struct Guards(Vec<std_mpsc::Sender<Job>>);

/// A guard's work during one flood.
struct Job {
    listener: Arc<UnixListener>,
    daemon: Arc<Daemon>,
    /// The earliest end: the first excess connections may not have reached the guards yet.
    until: Instant,
    eligible: mpsc::Sender<Accepted>,
    strangers: mpsc::Sender<Accepted>,
    /// Dropped with the job, when the connections that the guard closed are on record.
    _at_work: mpsc::Sender<Infallible>,
}

/// The connections that the guards pass on.
pub(crate) struct HandedOver {
    eligible: mpsc::Receiver<Accepted>,
    strangers: mpsc::Receiver<Accepted>,
    at_work: mpsc::Receiver<Infallible>,
}

impl HandedOver {
    /// The next connection, those of callers that may have a capability first; `None` when all
    /// guards have finished.
    pub(crate) async fn next(&mut self) -> Option<Accepted> {
        tokio::select! {
            biased;
            Some(accepted) = self.eligible.recv() => Some(accepted),
            Some(accepted) = self.strangers.recv() => Some(accepted),
            else => None,
        }
    }

    /// Stops the guards and waits for them.
    pub(crate) async fn end(mut self) {
        self.eligible.close();
        self.strangers.close();
        while self.next().await.is_some() {}
        // A closed channel is empty although its senders may still be at work.
        while self.at_work.recv().await.is_some() {}
    }
}

impl Guards {
    /// Starts the threads, and waits until they run.
    ///
    /// # Errors
    /// Those of `pthread_create(3)`.
    pub(crate) fn start() -> io::Result<Self> {
        let (started, starting) = std_mpsc::channel();
        let start = |_| {
            let (jobs, given) = std_mpsc::channel::<Job>();
            let started = started.clone();
            thread::Builder::new()
                .name("accept".to_owned())
                .spawn(move || {
                    // The daemon may have ended meanwhile.
                    let _ = started.send(());
                    guard(&given);
                })?;
            // A new thread makes system calls that the filter forbids later.
            starting.recv().map_err(io::Error::other)?;
            Ok(jobs)
        };
        (0..GUARDS).map(start).collect::<io::Result<_>>().map(Self)
    }

    /// Has the guards accept until the flood is over.
    pub(crate) fn accept(&self, listener: &Arc<UnixListener>, daemon: &Arc<Daemon>) -> HandedOver {
        // Each connection in the channels has a descriptor.
        let descriptors = daemon.caller_descriptors();
        let (eligible, of_eligible) = mpsc::channel(descriptors.handed_over);
        let (strangers, of_strangers) = mpsc::channel(descriptors.strangers);
        let (at_work, of_work) = mpsc::channel(1);
        let until = Instant::now() + FLOOD_COOLDOWN;
        for guard in &self.0 {
            let job = Job {
                listener: Arc::clone(listener),
                daemon: Arc::clone(daemon),
                until,
                eligible: eligible.clone(),
                strangers: strangers.clone(),
                _at_work: at_work.clone(),
            };
            // The threads end with the daemon.
            let _ = guard.send(job);
        }
        HandedOver {
            eligible: of_eligible,
            strangers: of_strangers,
            at_work: of_work,
        }
    }
}

/// The loop of a guard thread.
fn guard(jobs: &std_mpsc::Receiver<Job>) {
    let mut acceptor = None;
    for job in jobs {
        // Budgets that were spent in one flood stay spent in the next.
        let acceptor = acceptor.get_or_insert_with(|| Acceptor::new(&job.daemon, GUARDS));
        job.work(acceptor);
    }
}

impl Job {
    fn work(&self, acceptor: &mut Acceptor) {
        // The runtime closes the channel to stop the guards.
        while !self.eligible.is_closed() {
            match acceptor.accept(&self.listener) {
                Ok(None) => (),
                Ok(Some(accepted)) => self.hand_over(accepted, acceptor),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !acceptor.is_flooded() && Instant::now() >= self.until {
                        break;
                    }
                    // An error of poll(2) shows in accept(2) too.
                    let _ = crate::sys::wait_readable(&*self.listener, INTERVAL);
                }
                Err(error) => {
                    accept::CALLERS.report(&error);
                    thread::sleep(accept::RETRY_DELAY);
                }
            }
        }
        acceptor.record_closed();
    }

    fn hand_over(&self, accepted: Accepted, acceptor: &mut Acceptor) {
        // Separate channels, so that strangers cannot fill that of eligible callers.
        let to = match accepted.standing {
            Standing::Eligible => &self.eligible,
            Standing::Stranger => &self.strangers,
        };
        if let Err(TrySendError::Full(Accepted {
            credentials,
            standing,
            ..
        })) = to.try_send(accepted)
        {
            // The channel is full: the runtime would not serve it in time.
            let user = acceptor.snapshot.policy.user(credentials.uid);
            acceptor.close(credentials, standing, user);
        }
    }
}
