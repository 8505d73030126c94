//! The service while it runs: its tasks, signals, reloads, and the end.

use crate::node::NodeContext;
use crate::node::known_hosts::KnownHostsFile;
use crate::node::login_key::LoginKey;
use crate::node::resolve::{AnyUnicast, Resolver};
use crate::observe::config_watch::{ConfigCheck, ConfigWatch};
use crate::observe::recorder::{self, Incident, Recorder};
use crate::observe::socket_watch::SocketWatch;
use crate::observe::{retention, scrape, service_status};
use crate::readings::poll;
use crate::serve::{self, BoundSocket, Guards};
use crate::startup::confinement::Confinement;
use crate::startup::key::FoundKey;
use crate::startup::opened::Opened;
use crate::startup::{Failure, settings};
use crate::state::{Daemon, Parts};
use crate::sys::systemd::ServiceManager;
use pulse_core::config::{Config, Confinement as Mode};
use pulse_core::event::Event;
use pulse_forward::forwarder::StreamCommand;
use pulse_forward::{Forwarder, Prepared};
use sd_notify::NotifyState;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

/// The interval in which the limiter forgets callers, sums are put on record, the audit log's
/// retention is logged and systemd's watchdog is fed.
const TICK: Duration = Duration::from_secs(5);

/// The most changed files of the audit log that are named in one report of the log.
const MAX_LOGGED_FILES: usize = 20;

/// The interval in which `known_hosts` and the other files that may change are checked, and so the
/// time for which a revoked host key is trusted.
const FILE_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The parts that the service starts from.
pub(crate) struct Start<'a> {
    pub(crate) path: &'a Path,
    pub(crate) config: Config,
    pub(crate) opened: Opened,
    pub(crate) guards: Guards,
    pub(crate) key: FoundKey,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) forwarder: Option<(Arc<Forwarder>, Prepared)>,
    pub(crate) max_files: u64,
    pub(crate) confinement: Confinement<'a>,
}

/// Serves until a signal ends the daemon, or a failure does.
///
/// # Errors
/// [`Failure`] says what could not be opened or has ended.
pub(crate) async fn serve(start: Start<'_>) -> Result<(), Failure> {
    // First, because until a handler is installed SIGHUP, SIGUSR1 and SIGTERM end the process
    // (signal(7)).
    let signals = Signals::new().map_err(|error| Failure::Resource {
        what: "the signal handlers",
        error,
    })?;
    let recorder = Arc::clone(&start.recorder);
    // A daemon that cannot record refuses every request, so it does not start.
    if recorder.record(&Event::ProxyStart).await.is_err() {
        return Err(match recorder.health().last_error {
            Some(error) => Failure::Recorder(error.to_string()),
            None => Failure::RecorderTimeout,
        });
    }
    let mut confinement = start.confinement;
    // No task may act before the last layer is in force: the runtime has one thread, so
    // tasks that are spawned here run once this one waits.
    let (forwarder, prepared) = start.forwarder.unzip();
    let parts = Parts {
        recorder: Arc::clone(&recorder),
        forwarder: forwarder.clone(),
        max_files: start.max_files,
    };
    let configuration = ConfigWatch::over(start.path, start.config.clone());
    let mut service = open(
        start.config,
        start.opened,
        start.guards,
        start.key,
        parts,
        configuration,
    )?;
    let confined = confinement
        .limit()
        .and_then(|()| confinement.filter_calls());
    // Before an error is returned, so that the record names the layer that was missing.
    confinement.report(|event| recorder.note(event));
    confined?;
    service.daemon.set_confinement(confinement.health());
    if let Some(prepared) = prepared {
        prepared.begin();
    }
    service.retain();
    service.manager.notify(&[NotifyState::Ready]);
    service.show_status();
    let outcome = service.supervise(start.path, signals).await;
    service.manager.notify(&[
        NotifyState::Stopping,
        NotifyState::Status("stopping: waiting for requests under way"),
    ]);
    service.drain().await;
    service.daemon.finish();
    recorder.note(&Event::ProxyStop);
    // The log before the forwarder, which can then still send the last records.
    recorder.stop();
    // What the last check of the log's files found.
    service.log_incidents();
    if let Some(forwarder) = forwarder {
        forwarder.stop();
    }
    outcome
}

/// The tasks of the service.
struct Service {
    daemon: Arc<Daemon>,
    manager: ServiceManager,
    /// The SSH ports that the confinement permits.
    ports: BTreeSet<u16>,
    /// One for each socket.
    listeners: JoinSet<()>,
    /// Pending for ever without a metrics port.
    metrics: JoinHandle<()>,
    poller: JoinHandle<()>,
    drain: watch::Sender<bool>,
    /// Notified when the audit log has incidents to take.
    incidents: Arc<Notify>,
    /// The reason that its file could not be rotated at the last check.
    rotation_refused: Option<String>,
    retention: retention::Watch,
    sockets: SocketWatch,
    configuration: ConfigWatch,
    /// The sentence that systemd was sent last.
    shown: String,
}

fn open(
    config: Config,
    opened: Opened,
    guards: Guards,
    key: FoundKey,
    parts: Parts,
    configuration: ConfigWatch,
) -> Result<Service, Failure> {
    let sockets = SocketWatch::over(&opened.socket, opened.control.as_ref());
    let socket = opened.socket.into_socket();
    let control = opened.control.map(BoundSocket::into_socket);
    let metrics = opened
        .metrics
        .map(|listener| {
            // `from_std` takes the socket as it is, and a blocking one would stop the runtime.
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        })
        .transpose()
        .map_err(|error| Failure::Resource {
            what: "the metrics port",
            error,
        })?;
    let context = NodeContext {
        key: LoginKey::new(key),
        resolver: Resolver::new(AnyUnicast),
        known_hosts: KnownHostsFile::new(config.ssh_dir.join("known_hosts")),
        recorder: Arc::clone(&parts.recorder),
    };
    tracing::info!(
        "serving {} with {} nodes; metrics on {}; version {}",
        config.socket.display(),
        config.nodes.len(),
        config
            .metrics_address
            .map_or("no port".to_owned(), |address| address.to_string()),
        env!("CARGO_PKG_VERSION")
    );
    if config.nodes.is_empty() {
        tracing::warn!("no node can be read: name some in allowed_nodes, or add files to nodes.d");
    }
    let ports = config.ssh_ports();
    let daemon = Arc::new(Daemon::new(config, Box::new(Arc::new(context)), parts));
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
        metrics: match metrics {
            Some(listener) => tokio::spawn(scrape::serve(listener, Arc::clone(&daemon))),
            None => tokio::spawn(std::future::pending()),
        },
        poller: tokio::spawn(poll::run(Arc::clone(&daemon))),
        incidents: observed(&*daemon.recorder),
        rotation_refused: None,
        shown: String::new(),
        retention: retention::Watch::over(&daemon.config().audit),
        sockets,
        configuration,
        daemon,
        drain,
        manager: opened.manager,
        ports,
    })
}

/// Notified by the recorder. Incidents are taken when they happen and not at each tick: an outage
/// of a second would be over.
fn observed(recorder: &dyn Recorder) -> Arc<Notify> {
    let incidents = Arc::new(Notify::new());
    let notify = Arc::clone(&incidents);
    recorder.observe(Box::new(move || notify.notify_one()));
    incidents
}

impl Service {
    /// Handles signals and ticks, and watches the tasks; returns when the daemon is to end.
    async fn supervise(&mut self, path: &Path, mut signals: Signals) -> Result<(), Failure> {
        let mut tick = tokio::time::interval(TICK);
        let mut file_check = tokio::time::interval(FILE_CHECK_INTERVAL);
        // After a pause of the process (SIGSTOP, a frozen control group) one tick covers all that
        // were missed. The default would repeat them at once, and `Skip` keeps a rhythm that
        // nothing here needs: the watchdog's limit is several ticks.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        file_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                _ = signals.hangup.recv() => {
                    self.reload(path).await;
                    self.show_status();
                }
                _ = signals.user.recv() => self.daemon.recorder.reopen(),
                _ = tick.tick() => {
                    self.daemon.sweep();
                    self.check_recorder();
                    if let Some(forwarder) = &self.daemon.forwarder {
                        forwarder.watch_queues(crate::sys::now());
                    }
                    self.show_status();
                    self.manager.notify(&[NotifyState::Watchdog]);
                }
                () = self.incidents.notified() => self.log_incidents(),
                _ = file_check.tick() => self.check_files(),
                _ = self.listeners.join_next() => return Err(Failure::TaskEnded("listener")),
                _ = &mut self.poller => return Err(Failure::TaskEnded("poller")),
                _ = &mut self.metrics => return Err(Failure::TaskEnded("metrics")),
            }
        }
    }

    /// Reads the files again that have changed, and looks whether the sockets still have theirs.
    fn check_files(&mut self) {
        self.daemon.check_files();
        let mut is_other = self.sockets.check();
        if let ConfigCheck::Changed { problem } = self.configuration.check() {
            self.daemon.set_config_problem(problem);
            is_other = true;
        }
        self.daemon.set_socket_problems(self.sockets.problems());
        self.daemon
            .metrics
            .set_file_problems(&self.daemon.file_problems());
        if is_other {
            self.show_status();
        }
    }

    /// Sends systemd the daemon's state, if it has changed.
    fn show_status(&mut self) {
        let forwarding = self.daemon.forwarder.as_ref().map(|one| one.status());
        let state = service_status::serving(
            &self.daemon.readings.settings().nodes,
            &self.daemon.recorder.health(),
            forwarding.as_ref(),
            &self.daemon.file_problems(),
        );
        if state != self.shown {
            self.manager.notify(&[NotifyState::Status(&state)]);
            self.shown = state;
        }
    }

    /// Reads the configuration again; a mistake leaves the previous one in force.
    async fn reload(&mut self, path: &Path) {
        // `RELOADING=1` needs `MONOTONIC_USEC=` in the same message (sd_notify(3)).
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.manager.notify(&[NotifyState::Reloading, now]);
        }
        self.configuration.about_to_load();
        let error = match settings::load(path) {
            Ok(loaded) => {
                let config = loaded.with_warning();
                let found = config.clone();
                tracing::info!("reloaded the configuration: {} nodes", config.nodes.len());
                let kept = self.daemon.reload(config);
                for key in &kept {
                    tracing::warn!("{key} has changed in the configuration: restart required");
                }
                let problem = (!kept.is_empty()).then(|| {
                    format!(
                        "{}: {} {} changed, and the previous value stays in force: restart the \
                         daemon (systemctl restart pulse-sensor-proxy)",
                        path.display(),
                        kept.join(", "),
                        if kept.len() == 1 { "has" } else { "have" },
                    )
                });
                self.configuration.loaded(found, problem.clone());
                self.daemon.set_config_problem(problem);
                self.warn_of_ports(&self.daemon.config());
                self.retain();
                if let Some(forwarder) = &self.daemon.forwarder {
                    // New certificates are used at once too, not only after their next check.
                    forwarder.send_command(&StreamCommand::CheckCertificates);
                }
                None
            }
            Err(error) => {
                let error = error.message();
                tracing::error!(
                    "cannot reload the configuration, the previous one stays in force: {error}"
                );
                self.daemon.set_config_problem(Some(format!(
                    "the configuration was not reloaded, the previous one stays in force: \
                     {error}; then reload the daemon (systemctl reload pulse-sensor-proxy)"
                )));
                Some(error)
            }
        };
        // The reload has happened, so nothing waits for the record.
        self.daemon.recorder.note(&Event::ConfigReloaded {
            error: error.as_deref(),
        });
        self.manager.notify(&[NotifyState::Ready]);
    }

    /// Passes the configuration's retention to the recorder.
    fn retain(&self) {
        retention::apply(
            &*self.daemon.recorder,
            self.daemon.forwarder.as_ref(),
            self.daemon.config().audit.retention,
        );
    }

    /// Warns of new SSH ports, which the confinement of the start does not permit.
    fn warn_of_ports(&self, config: &Config) {
        if config.confinement == Mode::Off {
            return;
        }
        for port in config.ssh_ports().difference(&self.ports) {
            tracing::warn!(
                "the confinement permits no connections to SSH port {port}: restart required"
            );
        }
    }

    /// Logs changes of the audit log's retention and rotation.
    fn check_recorder(&mut self) {
        let health = self.daemon.recorder.health();
        self.retention
            .look(&health, &self.daemon.config().audit.retention);
        if let (Some(why), None) = (&health.rotation_refused, &self.rotation_refused) {
            tracing::warn!(
                "cannot rotate the audit log: {why}: run `pulse-sensorctl audit rotate` as root"
            );
        }
        self.rotation_refused.clone_from(&health.rotation_refused);
    }

    /// Logs what happened to the audit log.
    fn log_incidents(&mut self) {
        for incident in self.daemon.recorder.take_incidents() {
            match incident {
                Incident::Failed(error) => {
                    tracing::error!(
                        "cannot write the audit log, every request is refused: {error}"
                    );
                }
                Incident::Changed(files) => {
                    for file in files.iter().take(MAX_LOGGED_FILES) {
                        tracing::error!("{}", pulse_audit::LogError::Disturbed(file.clone()));
                    }
                    if let Some(more @ 1..) = files.len().checked_sub(MAX_LOGGED_FILES) {
                        tracing::error!("{more} more files of the audit log were changed");
                    }
                    tracing::error!("the audit log has stopped, every request is refused");
                }
                Incident::Resumed(seq) => {
                    tracing::info!("the audit log can be written again: last record {seq}");
                }
                Incident::Accepted { by, files } => {
                    tracing::warn!(
                        "{by} accepted the loss in {} files of the audit log, which continues",
                        files.len()
                    );
                }
            }
        }
        self.show_status();
    }

    /// Stops accepting, and waits for the requests under way.
    async fn drain(&mut self) {
        let _ = self.drain.send(true);
        // A request may take all of its time, and then its outcome is still to be recorded.
        let longest = self.daemon.config().timeouts.request + recorder::RECORD_TIMEOUT;
        // Polled, because nothing but a shutdown waits for the number of connections.
        let idle = async {
            while self.daemon.connections().total() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(longest, idle).await.is_err() {
            tracing::warn!("ending with requests under way");
        }
        // The listeners remove the socket's file.
        while self.listeners.join_next().await.is_some() {}
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
