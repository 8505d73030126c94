//! Everything that serves: opened, watched over, reloaded, drained.

use crate::node::NodeContext;
use crate::node::known_hosts::KnownHostsFile;
use crate::node::resolve::{AnyUnicast, Resolver};
use crate::observe::recorder::{self, Recorder};
use crate::observe::{retention, scrape};
use crate::readings::poll;
use crate::serve::{self, BoundSocket, Guards};
use crate::startup::Failure;
use crate::startup::confinement::Confinement;
use crate::startup::opened::Opened;
use crate::startup::{key, settings};
use crate::state::{Daemon, Parts};
use crate::sys::systemd::ServiceManager;
use pulse_core::config::{Config, Confinement as Mode};
use pulse_core::event::Event;
use pulse_forward::forwarder::Command;
use pulse_forward::{Forwarder, Prepared};
use russh::keys::PrivateKey;
use sd_notify::NotifyState;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

/// How often the limiter forgets, the audit log is looked at and systemd's watchdog
/// is fed.
const TICK: Duration = Duration::from_secs(5);

/// How often `known_hosts` is looked at: a host key that is revoked is trusted no longer
/// than that.
const LOOK: Duration = Duration::from_secs(2);

/// What the service starts from.
pub(crate) struct Start<'a> {
    pub(crate) path: &'a Path,
    pub(crate) config: Config,
    pub(crate) opened: Opened,
    pub(crate) guards: Guards,
    pub(crate) key: PrivateKey,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) forwarder: Option<(Arc<Forwarder>, Prepared)>,
    pub(crate) confinement: Confinement<'a>,
}

/// Serves until it is told to end, or cannot go on.
///
/// # Errors
/// [`Failure`] says what could not be opened or has ended.
pub(crate) async fn serve(start: Start<'_>) -> Result<(), Failure> {
    let signals = Signals::new().map_err(|error| Failure::Open {
        what: "signals".into(),
        error,
    })?;
    let recorder = Arc::clone(&start.recorder);
    must_record(&*recorder, &Event::ProxyStart).await?;
    let mut confinement = start.confinement;
    // Nothing that the tasks do may come before the last layer: they are spawned
    // and wait until this one waits.
    let (forwarder, prepared) = start.forwarder.unzip();
    let parts = Parts {
        recorder: Arc::clone(&recorder),
        forwarder: forwarder.clone(),
    };
    let mut service = open(start.config, start.opened, start.guards, start.key, parts)?;
    let confined = confinement.limit();
    let confined = confined.and_then(|()| confinement.filter_calls());
    confinement.report(|event| recorder.note(event));
    confined?;
    if let Some(prepared) = prepared {
        prepared.begin();
    }
    service.retain();
    service.manager.tell(&[NotifyState::Ready]);
    let outcome = service.supervise(start.path, signals).await;
    service.manager.tell(&[NotifyState::Stopping]);
    service.drain().await;
    service.daemon.finish();
    recorder.note(&Event::ProxyStop);
    recorder.stop();
    if let Some(forwarder) = forwarder {
        forwarder.stop();
    }
    outcome
}

async fn must_record(recorder: &dyn Recorder, event: &Event<'_>) -> Result<(), Failure> {
    let recorded = recorder.record(event).await;
    recorded.map_err(|_| {
        let why = recorder.health().last_error;
        let late = || "its disk did not take the first record in time".into();
        Failure::Recorder(why.unwrap_or_else(late).to_string())
    })
}

/// Everything that serves, once it is open.
struct Service {
    daemon: Arc<Daemon>,
    manager: ServiceManager,
    /// The SSH ports that the confinement lets through.
    ports: BTreeSet<u16>,
    /// One for each socket.
    listeners: JoinSet<()>,
    metrics: Option<JoinHandle<()>>,
    poller: JoinHandle<()>,
    drain: watch::Sender<bool>,
    /// Whether the audit log could be written when we last looked.
    recording: bool,
    /// Why its file could not be rotated when we last looked.
    rotation_refused: Option<String>,
    retention: retention::Watch,
}

fn open(
    config: Config,
    opened: Opened,
    guards: Guards,
    key: PrivateKey,
    parts: Parts,
) -> Result<Service, Failure> {
    let public_key = key::public_line(&key)?;
    let socket = opened.socket.into_socket();
    let control = opened.control.map(BoundSocket::into_socket);
    let metrics = opened.metrics.map(watch_port).transpose();
    let metrics = metrics.map_err(opening("metrics_address"))?;
    let context = NodeContext {
        key: Arc::new(key),
        resolver: Resolver::new(AnyUnicast),
        known_hosts: KnownHostsFile::new(config.ssh_dir.join("known_hosts")),
        recorder: Arc::clone(&parts.recorder),
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
    let ports = config.ssh_ports();
    let daemon = Arc::new(Daemon::new(
        config,
        Box::new(Arc::new(context)),
        public_key,
        parts,
    ));
    let (drain, draining) = watch::channel(false);
    let mut listeners = JoinSet::new();
    listeners.spawn(serve::serve_callers(
        socket,
        guards,
        Arc::clone(&daemon),
        draining.clone(),
    ));
    if let Some(control) = control {
        listeners.spawn(serve::serve_administrators(
            control,
            Arc::clone(&daemon),
            draining,
        ));
    }
    Ok(Service {
        listeners,
        metrics: metrics.map(|l| tokio::spawn(scrape::serve(l, Arc::clone(&daemon)))),
        poller: tokio::spawn(poll::run(Arc::clone(&daemon))),
        recording: true,
        rotation_refused: None,
        retention: retention::Watch::over(&daemon.config().audit),
        daemon,
        drain,
        manager: opened.manager,
        ports,
    })
}

fn watch_port(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn opening(what: &str) -> impl FnOnce(io::Error) -> Failure {
    let what = what.to_owned();
    move |error| Failure::Open { what, error }
}

impl Service {
    /// Waits for signals and watches over the tasks; returns when it is to end.
    async fn supervise(&mut self, path: &Path, mut signals: Signals) -> Result<(), Failure> {
        let mut tick = tokio::time::interval(TICK);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                _ = signals.hangup.recv() => self.reload(path).await,
                _ = signals.user.recv() => self.daemon.recorder.reopen(),
                _ = tick.tick() => {
                    self.daemon.sweep();
                    self.look_at_recorder();
                    self.manager.tell(&[NotifyState::Watchdog]);
                }
                _ = look.tick() => self.daemon.check_pins(),
                _ = self.listeners.join_next() => return Err(Failure::TaskEnded("listener")),
                _ = &mut self.poller => return Err(Failure::TaskEnded("poller")),
                () = ended(&mut self.metrics) => return Err(Failure::TaskEnded("metrics")),
            }
        }
    }

    /// A file that is wrong leaves the running configuration in force.
    async fn reload(&self, path: &Path) {
        let began = NotifyState::monotonic_usec_now();
        if let Ok(now) = began {
            self.manager.tell(&[NotifyState::Reloading, now]);
        }
        let error = match settings::load(path) {
            Ok(config) => {
                warn_unchangeable(&self.daemon.config(), &config);
                self.warn_of_ports(&config);
                tracing::info!(nodes = config.nodes.len(), "configuration read again");
                self.daemon.reload(config);
                self.retain();
                if let Some(forwarder) = &self.daemon.forwarder {
                    forwarder.ask(Command::Look);
                }
                None
            }
            Err(error) => {
                tracing::error!("configuration not read, the running one stays in force: {error}");
                Some(error.to_string())
            }
        };
        // The reload has happened; there is nothing left to stop.
        self.daemon.recorder.note(&Event::ConfigReloaded {
            error: error.as_deref(),
        });
        self.manager.tell(&[NotifyState::Ready]);
    }

    /// Puts the configuration's retention into force.
    fn retain(&self) {
        let forwarder = self.daemon.forwarder.as_ref();
        let limits = self.daemon.config().audit.retention;
        retention::apply(&*self.daemon.recorder, forwarder, limits);
    }

    /// The confinement can be narrowed and never widened.
    fn warn_of_ports(&self, new: &Config) {
        for port in new.ssh_ports().difference(&self.ports) {
            if new.confinement != Mode::Off {
                tracing::warn!(
                    port,
                    "the confinement does not let connections to this SSH port through: it takes a restart"
                );
            }
        }
    }

    /// Says so when the audit log stops or starts being written, and when its file
    /// ought to be rotated and may not.
    fn look_at_recorder(&mut self) {
        let health = self.daemon.recorder.health();
        let limits = self.daemon.config().audit.retention;
        self.retention.look(&health, &limits);
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
            self.manager.tell(&[NotifyState::Status("serving")]);
        } else {
            let error = health.last_error.unwrap_or_default();
            tracing::error!(%error, "the audit log cannot be written: every request is refused");
            self.manager.tell(&[NotifyState::Status(
                "audit log unavailable: refusing every request",
            )]);
        }
    }

    /// Stops accepting, and waits for the requests in hand.
    async fn drain(&mut self) {
        let _ = self.drain.send(true);
        // One that takes all of its time still has its outcome to be recorded.
        let patience = self.daemon.config().timeouts.request + recorder::PATIENCE;
        let idle = async {
            while self.daemon.connections().total() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(patience, idle).await.is_err() {
            tracing::warn!("ending with requests still in hand");
        }
        // The callers' socket's file is taken away before we end.
        while self.listeners.join_next().await.is_some() {}
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
    let (old_access, new_access) = (&old.socket_access, &new.socket_access);
    let changed: [(&str, bool); 10] = [
        ("socket", old.socket != new.socket),
        ("socket_mode", old_access.mode != new_access.mode),
        ("socket_group", old_access.group != new_access.group),
        ("control_socket", old.control_socket != new.control_socket),
        ("ssh_dir", old.ssh_dir != new.ssh_dir),
        (
            "metrics_address",
            old.metrics_address != new.metrics_address,
        ),
        ("log_level", old.log_level != new.log_level),
        ("confinement", old.confinement != new.confinement),
        ("audit", old.audit.needs_restart_for(&new.audit)),
        ("forward", old.forward != new.forward),
    ];
    for (key, _) in changed.iter().filter(|(_, changed)| *changed) {
        tracing::warn!(key, "changed in the file: it takes a restart");
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
