//! Everything that serves: opened, watched over, reloaded, drained.

use crate::daemon::Daemon;
use crate::known_hosts::KnownHostsFile;
use crate::listener::{self, Socket};
use crate::node::Access;
use crate::recorder::Recorder;
use crate::resolve::{AnyUnicast, Resolver};
use crate::run::Failure;
use crate::{key, poll, scrape, settings};
use pulse_core::config::Config;
use pulse_core::event::{Decision, Event, EventType};
use sd_notify::NotifyState;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often the limiter forgets, the audit log is looked at and systemd's watchdog
/// is fed.
const TICK: Duration = Duration::from_secs(5);

/// Serves until it is told to end, or cannot go on.
///
/// # Errors
/// [`Failure`] says what could not be opened or has ended.
pub(crate) async fn serve(
    path: &Path,
    config: Config,
    recorder: Arc<dyn Recorder>,
) -> Result<(), Failure> {
    let signals = Signals::new().map_err(|error| Failure::Open {
        what: "signals".into(),
        error,
    })?;
    let start = Event::new(EventType::ProxyStart, Decision::Allowed);
    if recorder.record(&start).await.is_err() {
        let why = recorder.health().last_error;
        return Err(Failure::Recorder(why.unwrap_or_default().to_string()));
    }
    let mut service = open(config, Arc::clone(&recorder)).await?;
    notify(&[NotifyState::Ready]);
    let outcome = service.supervise(path, signals).await;
    notify(&[NotifyState::Stopping]);
    service.drain().await;
    recorder.note(&Event::new(EventType::ProxyStop, Decision::Completed));
    recorder.stop();
    outcome
}

/// Everything that serves, once it is open.
struct Service {
    daemon: Arc<Daemon>,
    listener: JoinHandle<()>,
    metrics: Option<JoinHandle<()>>,
    poller: JoinHandle<()>,
    drain: watch::Sender<bool>,
    /// Whether the audit log could be written when we last looked.
    recording: bool,
    /// Why its file could not be rotated when we last looked.
    rotation_refused: Option<String>,
}

async fn open(config: Config, recorder: Arc<dyn Recorder>) -> Result<Service, Failure> {
    let key = key::load_or_create(&config.ssh_dir)?;
    let public_key = key::public_line(&key)?;
    let metrics_listener = match config.metrics_address {
        Some(address) => {
            let what = || format!("metrics_address {address}");
            let listener = TcpListener::bind(address).await;
            Some(listener.map_err(|error| Failure::Open {
                what: what(),
                error,
            })?)
        }
        None => None,
    };
    // Last: whoever finds the socket finds everything behind it.
    let socket = Socket::bind(&config.socket).map_err(opening(&config.socket))?;
    let access = Access {
        key: Arc::new(key),
        resolver: Resolver::new(AnyUnicast),
        known_hosts: KnownHostsFile::new(config.ssh_dir.join("known_hosts")),
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        socket = %config.socket.display(),
        metrics = ?config.metrics_address,
        nodes = config.nodes.len(),
        "serving"
    );
    if config.nodes.is_empty() {
        tracing::warn!("allowed_nodes is empty: no node can be read");
    }
    let daemon = Arc::new(Daemon::new(config, access, public_key, recorder));
    let (drain, draining) = watch::channel(false);
    Ok(Service {
        listener: tokio::spawn(listener::serve(socket, Arc::clone(&daemon), draining)),
        metrics: metrics_listener.map(|l| tokio::spawn(scrape::serve(l, Arc::clone(&daemon)))),
        poller: tokio::spawn(poll::run(Arc::clone(&daemon))),
        recording: true,
        rotation_refused: None,
        daemon,
        drain,
    })
}

fn opening(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let what = path.display().to_string();
    move |error| Failure::Open { what, error }
}

impl Service {
    /// Waits for signals and watches over the tasks; returns when it is to end.
    async fn supervise(&mut self, path: &Path, mut signals: Signals) -> Result<(), Failure> {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                _ = signals.hangup.recv() => self.reload(path).await,
                _ = signals.user.recv() => self.daemon.recorder.reopen(),
                _ = tick.tick() => {
                    self.daemon.sweep();
                    self.look_at_recorder();
                    notify(&[NotifyState::Watchdog]);
                }
                _ = &mut self.listener => return Err(Failure::TaskEnded("listener")),
                _ = &mut self.poller => return Err(Failure::TaskEnded("poller")),
                () = ended(&mut self.metrics) => return Err(Failure::TaskEnded("metrics")),
            }
        }
    }

    /// A file that is wrong leaves the running configuration in force.
    async fn reload(&self, path: &Path) {
        let began = NotifyState::monotonic_usec_now();
        if let Ok(now) = began {
            notify(&[NotifyState::Reloading, now]);
        }
        let (decision, reason) = match settings::load(path) {
            Ok(config) => {
                warn_unchangeable(&self.daemon.config(), &config);
                tracing::info!(nodes = config.nodes.len(), "configuration read again");
                self.daemon.reload(config);
                (Decision::Completed, None)
            }
            Err(error) => {
                tracing::error!("configuration not read, the running one stays in force: {error}");
                (Decision::Failed, Some(error.to_string()))
            }
        };
        let event = Event::new(EventType::ConfigReloaded, decision);
        // The reload has happened; there is nothing left to stop.
        self.daemon.recorder.note(&Event {
            error: reason.as_deref(),
            ..event
        });
        notify(&[NotifyState::Ready]);
    }

    /// Says so when the audit log stops or starts being written, and when its file
    /// ought to be rotated and may not.
    fn look_at_recorder(&mut self) {
        let health = self.daemon.recorder.health();
        if let (Some(why), None) = (&health.rotation_refused, &self.rotation_refused) {
            tracing::warn!(%why, "the audit log may not be rotated: run `pulse-sensorctl audit rotate` as root");
        }
        self.rotation_refused.clone_from(&health.rotation_refused);
        if health.available == self.recording {
            return;
        }
        self.recording = health.available;
        if health.available {
            tracing::info!(seq = health.seq, "the audit log is written again");
            notify(&[NotifyState::Status("serving")]);
        } else {
            let error = health.last_error.unwrap_or_default();
            tracing::error!(%error, "the audit log cannot be written: every request is refused");
            notify(&[NotifyState::Status(
                "audit log unavailable: refusing every request",
            )]);
        }
    }

    /// Stops accepting, and waits for the requests in hand.
    async fn drain(&mut self) {
        let _ = self.drain.send(true);
        let patience = self.daemon.config().timeouts.request;
        let idle = async {
            while self.daemon.gate().total() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(patience, idle).await.is_err() {
            tracing::warn!("ending with requests still in hand");
        }
        if !self.listener.is_finished() {
            // Its socket's file is taken away before we end.
            let _ = (&mut self.listener).await;
        }
    }
}

/// A task that there is none of never ends.
async fn ended(task: &mut Option<JoinHandle<()>>) {
    match task {
        Some(task) => {
            let _ = task.await;
        }
        None => std::future::pending().await,
    }
}

fn warn_unchangeable(old: &Config, new: &Config) {
    let changed: [(&str, bool); 5] = [
        ("socket", old.socket != new.socket),
        ("ssh_dir", old.ssh_dir != new.ssh_dir),
        (
            "metrics_address",
            old.metrics_address != new.metrics_address,
        ),
        ("log_level", old.log_level != new.log_level),
        ("audit", old.audit != new.audit),
    ];
    for (key, _) in changed.iter().filter(|(_, changed)| *changed) {
        tracing::warn!(key, "changed in the file: it takes a restart");
    }
}

/// systemd may be absent; then nobody is told.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }
}
