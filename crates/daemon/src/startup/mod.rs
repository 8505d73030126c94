//! From the arguments to the exit code: opens, confines and starts everything.

pub(crate) mod cli;
pub(crate) mod confinement;
pub(crate) mod failure;
pub(crate) mod key;
mod logging;
pub(crate) mod opened;
mod probe;
pub(crate) mod remedy;
pub(crate) mod settings;
mod socket_access;
mod trusted_path;

pub(crate) use failure::Failure;

use crate::node::host_file;
use crate::observe::forwarding;
use crate::observe::recorder::{AuditLog, Recorder};
use crate::serve::Guards;
use crate::state::demand;
use crate::supervisor;
use cli::Command;
use confinement::Confinement;
use opened::Opened;
use pulse_core::config::Config;
use pulse_sandbox::{Kernel, Layers, ServiceUser};
use sd_notify::NotifyState;
use settings::Loaded;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Opens the recorder of a configuration.
pub(crate) type OpenRecorder = dyn Fn(&Config) -> Result<Arc<dyn Recorder>, Failure>;

/// The parts of the daemon that programs for benchmarks and tests replace. The daemon that is
/// shipped has the default ones, and no setting for others.
pub struct Parts<'a> {
    /// The recorder.
    pub recorder: &'a OpenRecorder,
    /// The layers of the confinement.
    pub layers: &'a dyn Layers,
}

impl Default for Parts<'_> {
    fn default() -> Self {
        Self {
            recorder: &open_audit_log,
            layers: &Kernel,
        }
    }
}

/// The usual soft limit of open files, where the limit is not known.
const DEFAULT_MAX_FILES: u64 = 1024;

/// Runs the program; gives its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    main_with(arguments, &Parts::default())
}

/// As [`main`], with other parts.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>, parts: &Parts<'_>) -> ExitCode {
    let outcome = cli::parse(arguments)
        .map_err(Failure::Usage)
        .and_then(|command| match command {
            Command::Help => {
                say(&cli::USAGE.help());
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
            Command::Probe {
                config,
                layers,
                json,
            } => probe::run(config, layers, json).map(|text| say(&text)),
            Command::Check { config } => {
                let path = settings::config_path(config);
                let Loaded { config, remark } = settings::load(&path)?;
                settings::check_all(&config)?;
                say(&format!(
                    "{}: {} node(s), no mistakes\n",
                    path.display(),
                    config.nodes.len()
                ));
                if let Some(remark) = remark {
                    say(&format!("{remark}\n"));
                }
                Ok(())
            }
            Command::Run { config } => run(&settings::config_path(config), parts),
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Failure::LetThrough(text) = &failure {
                say(text);
            }
            let _ = writeln!(io::stderr(), "pulse-sensor-proxy: {}", failure.message());
            ExitCode::from(failure.code())
        }
    }
}

/// A reader that closed the pipe has read enough.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn open_audit_log(config: &Config) -> Result<Arc<dyn Recorder>, Failure> {
    let log = AuditLog::open(&config.audit)?;
    if let Some(key) = log.new_key() {
        tracing::warn!(
            "created the audit log {}; keep its verification key where this host cannot change it: {key}",
            config.audit.log.display()
        );
    }
    Ok(Arc::new(log))
}

/// Opens what needs privileges, drops them, and opens the rest: so the key and the log belong
/// to the service user, and every thread is confined.
fn run(path: &Path, parts: &Parts<'_>) -> Result<(), Failure> {
    let loaded = settings::load(path)?;
    let journal = forwarding::journal(&loaded.config.forward);
    logging::start(loaded.config.log_level, journal.as_ref());
    let config = loaded.with_warning();
    let max_files = pulse_sandbox::raise_descriptor_limit().unwrap_or_else(|error| {
        tracing::warn!("cannot raise the limit of open files: {error}");
        DEFAULT_MAX_FILES
    });
    let needed = demand(&config).needed();
    if max_files < needed {
        tracing::warn!(
            "the limit of open files is {max_files}, and this configuration needs {needed}: callers \
             get fewer connections; set LimitNOFILE={needed} or more for the service, or the \
             container's limit (nofile)"
        );
    }
    let user = find_user(&pulse_trust::service_user())?;
    let opened = Opened::open(&config, &user)?;
    host_file::read_all();
    let mut confinement = Confinement::new(config.confinement, parts.layers);
    // Under the unit `Nice=` has set it already.
    if pulse_sandbox::own_uid() == 0
        && let Err(error) = pulse_sandbox::raise_priority()
    {
        tracing::info!("cannot raise the daemon's priority: {error}");
    }
    confinement.drop_privileges(&user)?;
    // After the directories were created, and before anything in them is read.
    settings::check_directories(&config)?;
    let key = key::find_or_create(key::credentials().as_deref(), &config.ssh_dir)?;
    confinement.restrict_access(path, &config)?;
    // A Landlock domain covers the calling thread and those that it starts later (landlock(7)),
    // so the threads of the guards, the log and the forwarder come after it.
    let guards = Guards::start().map_err(|error| Failure::Resource {
        what: "the accept threads",
        error,
    })?;
    // A long log takes a while.
    opened
        .manager
        .notify(&[NotifyState::Status("starting: opening the audit log")]);
    let recorder = (parts.recorder)(&config)?;
    let forwarder = forwarding::prepare(&config, &recorder, journal)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Resource {
            what: "the runtime",
            error,
        })?;
    runtime.block_on(supervisor::serve(supervisor::Start {
        path,
        config,
        opened,
        guards,
        key,
        recorder,
        forwarder,
        max_files,
        confinement,
    }))
}

pub(crate) fn find_user(name: &str) -> Result<ServiceUser, Failure> {
    ServiceUser::find(name).map_err(|error| Failure::User {
        name: name.to_owned(),
        error,
    })
}
