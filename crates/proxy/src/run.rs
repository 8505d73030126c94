//! Start, signals, end.

use crate::cli::{self, Command};
use crate::daemon::Daemon;
use crate::known_hosts::KnownHostsFile;
use crate::listener::{self, Socket};
use crate::node::Access;
use crate::recorder::{AuditLog, OpenError, Recorder};
use crate::resolve::{AnyUnicast, Resolver};
use crate::settings::{self, SettingsError};
use crate::{key, logging, poll, scrape};
use pulse_core::config::Config;
use pulse_core::event::{Decision, Event, EventType};
use sd_notify::NotifyState;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often the limiter forgets and systemd's watchdog is fed.
const TICK: Duration = Duration::from_secs(5);

/// Why the daemon ended, other than in order.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments are wrong.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong.
    #[error("{0}")]
    Settings(#[from] SettingsError),
    /// The key is missing or unusable.
    #[error("{0}")]
    Key(#[from] key::KeyError),
    /// The audit log cannot be opened, so nothing may be done.
    #[error("audit log: {0}")]
    Audit(#[from] OpenError),
    /// The first record could not be written.
    #[error("audit log unavailable: {0}")]
    Recorder(String),
    /// Something could not be opened.
    #[error("{what}: {error}")]
    Open {
        /// What it is.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// A task that lives as long as the daemon ended.
    #[error("the {0} task ended")]
    TaskEnded(&'static str),
}

impl Failure {
    /// The exit codes of sysexits(3), as `--help` lists them.
    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Settings(_) => 78,
            Self::Key(_) | Self::Open { .. } | Self::Audit(_) | Self::Recorder(_) => 73,
            Self::TaskEnded(_) => 70,
        }
    }
}

/// Runs the program and says how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    main_with(arguments, open_audit_log)
}

/// As [`main`], with another recorder: for measuring the reading path alone.
pub fn main_with(
    arguments: impl IntoIterator<Item = OsString>,
    recorder: impl Fn(&Config) -> Result<Arc<dyn Recorder>, Failure>,
) -> ExitCode {
    let outcome = cli::parse(arguments).map_err(Failure::Usage);
    let outcome = outcome.and_then(|command| match command {
        Command::Help => {
            say(cli::HELP);
            Ok(())
        }
        Command::Version => {
            say(concat!(
                "pulse-sensor-proxy ",
                env!("CARGO_PKG_VERSION"),
                "\n"
            ));
            Ok(())
        }
        Command::Check { config } => check(&settings::config_path(config)),
        Command::Run { config } => run(&settings::config_path(config), recorder),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "pulse-sensor-proxy: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// A reader that closed the pipe has read enough.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn check(path: &Path) -> Result<(), Failure> {
    let config = settings::load(path)?;
    say(&format!(
        "{}: {} node(s), no mistakes\n",
        path.display(),
        config.nodes.len()
    ));
    Ok(())
}

fn open_audit_log(config: &Config) -> Result<Arc<dyn Recorder>, Failure> {
    let log = AuditLog::open(&config.audit)?;
    if let Some(key) = log.new_key() {
        tracing::warn!(
            log = %config.audit.log.display(),
            "a new audit log has begun; keep its verification key where this host cannot change it: {key}"
        );
    }
    Ok(Arc::new(log))
}

fn run(
    path: &Path,
    recorder: impl Fn(&Config) -> Result<Arc<dyn Recorder>, Failure>,
) -> Result<(), Failure> {
    let config = settings::load(path)?;
    logging::start(config.log_level);
    let recorder = recorder(&config)?;
    if let Err(error) = pulse_confine::raise_descriptor_limit() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::Open {
        what: "runtime".into(),
        error,
    })?;
    runtime.block_on(serve(path, config, recorder))
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
}

async fn serve(path: &Path, config: Config, recorder: Arc<dyn Recorder>) -> Result<(), Failure> {
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

async fn open(config: Config, recorder: Arc<dyn Recorder>) -> Result<Service, Failure> {
    let key = key::load_or_create(&config.ssh_dir)?;
    let public_key = key::public_line(&key)?;
    let socket = Socket::bind(&config.socket).map_err(opening(&config.socket))?;
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

    /// Says so when the audit log stops or starts being written.
    fn look_at_recorder(&mut self) {
        let health = self.daemon.recorder.health();
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
