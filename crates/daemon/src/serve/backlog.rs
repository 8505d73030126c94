//! The backlog of the callers' socket, and who empties it.
//!
//! All callers share the backlog, and the kernel refuses a caller that does not wait
//! (`EAGAIN`), or lets it wait, when it is full. Two processes that connect and close fill
//! it faster than a thread empties it that does anything else, or that shares a processor
//! with them on equal terms. So while connections come faster than the runtime takes them,
//! threads that do nothing else accept: they close what is over its user's budget and hand
//! over the rest. Otherwise the runtime accepts by itself, since handing over costs each
//! reading a change of threads.

use crate::state::{Daemon, MAX_CONNECTIONS, Snapshot};
use pulse_core::accept::{AcceptBudgets, ConnectionAttempt, FLOOD_COOLDOWN, OverBudget, Standing};
use pulse_core::capability::Capabilities;
use pulse_core::event::Access;
use pulse_core::limiter::Refusal;
use pulse_core::peer::{Credentials, Peer, PeerId};
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

/// Threads that accept during a flood. A connection costs whoever makes it and whoever
/// takes it about the same, so two attackers need as many; one more keeps the backlog
/// empty.
const GUARDS: u32 = 3;

/// Connections on their way from the guards to the runtime, each with its descriptor: as
/// many as may be open of callers with a capability, and some of the others.
const HANDED_OVER: usize = MAX_CONNECTIONS;
const HANDED_OVER_OF_STRANGERS: usize = 256;

/// How often at most it is said that connections cannot be accepted.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// How often what was closed is put on record, and how long a guard with nothing to accept
/// waits before it looks whether it is still wanted.
const INTERVAL: Duration = Duration::from_millis(100);

/// Users whose closed connections are counted apart until then.
const MAX_CLOSED: usize = 256;

/// A connection within its user's budget.
pub(crate) struct Accepted {
    pub(crate) stream: UnixStream,
    pub(crate) credentials: Credentials,
    pub(crate) standing: Standing,
}

/// Takes connections off the backlog and closes those that are over a budget. One thread
/// has it to itself: a lock would have each wait for the others, of which the kernel may
/// just have stopped one.
pub(crate) struct Sieve {
    daemon: Arc<Daemon>,
    snapshot: Arc<Snapshot>,
    budgets: AcceptBudgets,
    closed: Closed,
    renew_at: Instant,
    warn_at: Instant,
}

/// Connections that were closed unread and are not on record yet.
#[derive(Default)]
struct Closed {
    strangers: Option<Tally>,
    eligible: HashMap<PeerId, Tally>,
}

impl Sieve {
    /// One of `parts` that work at the same time.
    pub(crate) fn new(daemon: &Arc<Daemon>, parts: u32) -> Self {
        let snapshot = daemon.snapshot();
        let config = &snapshot.config;
        Self {
            budgets: AcceptBudgets::new(&config.limits, config.nodes.len(), parts),
            daemon: Arc::clone(daemon),
            snapshot,
            closed: Closed::default(),
            renew_at: Instant::now(),
            warn_at: Instant::now(),
        }
    }

    /// Takes one connection; `None` when it was closed unread.
    ///
    /// # Errors
    /// Those of accept(2), `WouldBlock` when there is none.
    pub(crate) fn accept(&mut self, listener: &UnixListener) -> io::Result<Option<Accepted>> {
        let (stream, _) = listener.accept()?;
        // A caller that the kernel cannot name is nobody.
        let Ok(credentials) = crate::sys::credentials(&stream) else {
            return Ok(None);
        };
        let Ok(standing) = self.spend(credentials) else {
            return Ok(None);
        };
        stream.set_nonblocking(true)?;
        Ok(Some(Accepted {
            stream,
            credentials,
            standing,
        }))
    }

    fn spend(&mut self, credentials: Credentials) -> Result<Standing, OverBudget> {
        let now = Instant::now();
        if now >= self.renew_at {
            self.renew(now);
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
                        self.put_on_record();
                    }
                }
            },
        }
    }

    /// Whether connections were closed unread a moment ago.
    pub(crate) fn is_flooded(&self) -> bool {
        self.budgets.is_flooded(Instant::now())
    }

    /// Says why a connection could not be accepted.
    pub(crate) fn warn(&mut self, error: &io::Error) {
        let now = Instant::now();
        if now >= self.warn_at {
            self.warn_at = now + WARNING_INTERVAL;
            crate::sys::accept::warn_of_accept_error("rpc", error);
        }
    }

    /// Follows a reload, forgets idle users, puts on record what was closed.
    fn renew(&mut self, now: Instant) {
        self.renew_at = now + INTERVAL;
        self.snapshot = self.daemon.snapshot();
        let config = &self.snapshot.config;
        self.budgets.set_limits(&config.limits, config.nodes.len());
        self.budgets.sweep(now);
        self.put_on_record();
    }

    /// Puts on record what was closed.
    pub(crate) fn put_on_record(&mut self) {
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

/// The threads. They are started while the daemon may still start any, and wait.
pub(crate) struct Guards(Vec<std_mpsc::Sender<Job>>);

/// What a guard is to do during one flood.
struct Job {
    listener: Arc<UnixListener>,
    daemon: Arc<Daemon>,
    /// Until then at least: what called the guards in may not have reached them yet.
    until: Instant,
    eligible: mpsc::Sender<Accepted>,
    strangers: mpsc::Sender<Accepted>,
    /// Dropped with the job, when all that the guard closed is on record.
    _at_work: mpsc::Sender<Infallible>,
}

/// What the guards hand over.
pub(crate) struct HandedOver {
    eligible: mpsc::Receiver<Accepted>,
    strangers: mpsc::Receiver<Accepted>,
    at_work: mpsc::Receiver<Infallible>,
}

impl HandedOver {
    /// The next connection, of one who may have a capability if there is any; `None` when
    /// all guards have ended.
    pub(crate) async fn next(&mut self) -> Option<Accepted> {
        tokio::select! {
            biased;
            Some(accepted) = self.eligible.recv() => Some(accepted),
            Some(accepted) = self.strangers.recv() => Some(accepted),
            else => None,
        }
    }

    /// Has the guards end, and waits for it.
    pub(crate) async fn end(mut self) {
        self.eligible.close();
        self.strangers.close();
        while self.next().await.is_some() {}
        // A closed channel has no more to give although its senders are still there.
        while self.at_work.recv().await.is_some() {}
    }
}

impl Guards {
    /// Starts the threads, which run when this returns.
    ///
    /// # Errors
    /// The operating system's, when one cannot be started.
    pub(crate) fn start() -> io::Result<Self> {
        let (started, starting) = std_mpsc::channel();
        let start = |_| {
            let (jobs, given) = std_mpsc::channel::<Job>();
            let started = started.clone();
            let thread = thread::Builder::new().name("accept".to_owned());
            thread.spawn(move || {
                // Nobody waits any more when the daemon ends meanwhile.
                let _ = started.send(());
                guard(&given);
            })?;
            // A thread that has only just begun makes calls that it must not make later.
            starting.recv().map_err(io::Error::other)?;
            Ok(jobs)
        };
        (0..GUARDS).map(start).collect::<io::Result<_>>().map(Self)
    }

    /// Has the guards accept until the flood is over.
    pub(crate) fn accept(&self, listener: &Arc<UnixListener>, daemon: &Arc<Daemon>) -> HandedOver {
        let (eligible, of_eligible) = mpsc::channel(HANDED_OVER);
        let (strangers, of_strangers) = mpsc::channel(HANDED_OVER_OF_STRANGERS);
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
            // They live as long as we do.
            let _ = guard.send(job);
        }
        HandedOver {
            eligible: of_eligible,
            strangers: of_strangers,
            at_work: of_work,
        }
    }
}

/// A guard's work, for as long as the daemon lives.
fn guard(jobs: &std_mpsc::Receiver<Job>) {
    let mut sieve = None;
    for job in jobs {
        // What was spent in one flood stays spent in the next.
        let sieve = sieve.get_or_insert_with(|| Sieve::new(&job.daemon, GUARDS));
        job.work(sieve);
    }
}

impl Job {
    fn work(&self, sieve: &mut Sieve) {
        while !self.eligible.is_closed() {
            match sieve.accept(&self.listener) {
                Ok(None) => (),
                Ok(Some(accepted)) => self.hand_over(accepted, sieve),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !sieve.is_flooded() && Instant::now() >= self.until {
                        break;
                    }
                    // Whatever poll(2) says, accept(2) says it again.
                    let _ = crate::sys::wait_readable(&*self.listener, INTERVAL);
                }
                Err(error) => {
                    sieve.warn(&error);
                    thread::sleep(crate::sys::accept::AFTER_ACCEPT_ERROR);
                }
            }
        }
        sieve.put_on_record();
    }

    fn hand_over(&self, accepted: Accepted, sieve: &mut Sieve) {
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
            // With so many before it, the runtime would not get to it in time.
            let user = sieve.snapshot.policy.user(credentials.uid);
            sieve.close(credentials, standing, user);
        }
    }
}
