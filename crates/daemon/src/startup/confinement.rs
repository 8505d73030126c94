//! The daemon confines itself, layer by layer. Each layer is reported, and required where
//! the configuration says so.

use crate::serve::ConfinementHealth;
use crate::startup::Failure;
use pulse_core::config::{Config, Confinement as Mode, NODES_DIRECTORY};
use pulse_core::event::Event;
use pulse_sandbox::tables::SYSCALLS;
use pulse_sandbox::{DaemonPaths, Layer, LayerStatus, Layers, OuterConfinement, ServiceUser};
use std::path::{Path, PathBuf};

/// The layers applied so far.
pub(crate) struct Confinement<'a> {
    mode: Mode,
    layers: &'a dyn Layers,
    active: Vec<String>,
    missing: Vec<String>,
    /// The confinement that the process was started with; the daemon requires none of it.
    outside: OuterConfinement,
}

impl<'a> Confinement<'a> {
    /// Nothing yet.
    pub(crate) fn new(mode: Mode, layers: &'a dyn Layers) -> Self {
        let mut missing = Vec::new();
        if mode == Mode::Off {
            tracing::warn!("the daemon does not confine itself: confinement = \"off\"");
            missing.push("switched off by the configuration".to_owned());
        }
        let outside = OuterConfinement::detect();
        tracing::info!("confinement from outside: {outside}");
        Self {
            mode,
            layers,
            active: Vec::new(),
            missing,
            outside,
        }
    }

    /// The first layer. From here on files are opened with the service user's rights.
    ///
    /// # Errors
    /// As the other layers: [`Failure::Confinement`] when the layer is required and not
    /// wholly in force.
    pub(crate) fn drop_privileges(&mut self, user: &ServiceUser) -> Result<(), Failure> {
        self.apply(Layer::Privileges, |layers| layers.drop_privileges(user))
    }

    /// The second layer, for this thread and those that it starts from here on.
    pub(crate) fn restrict_access(&mut self, path: &Path, config: &Config) -> Result<(), Failure> {
        self.apply(Layer::Landlock, |layers| {
            layers.restrict_access(&daemon_paths(path, config).rules())
        })
    }

    /// The third layer, when every thread runs.
    pub(crate) fn limit(&mut self) -> Result<(), Failure> {
        self.apply(Layer::Limits, |layers| layers.set_limits())
    }

    /// The last layer, on all threads: from here on no file can be executed, no socket can
    /// listen and no thread can start.
    pub(crate) fn filter_calls(&mut self) -> Result<(), Failure> {
        self.apply(Layer::Seccomp, |layers| layers.filter_calls(SYSCALLS))
    }

    fn apply(
        &mut self,
        layer: Layer,
        apply: impl FnOnce(&dyn Layers) -> LayerStatus,
    ) -> Result<(), Failure> {
        if self.mode == Mode::Off {
            return Ok(());
        }
        let hold = apply(self.layers);
        if let LayerStatus::Full(detail) = &hold {
            tracing::info!("confinement by {layer}: {detail}");
            self.active.push(format!("{layer} ({detail})"));
        }
        let Some(lacking) = hold.problem(layer) else {
            return Ok(());
        };
        // Before the mode decides: a problem that ends the start is logged too, and kept for
        // `report`.
        tracing::warn!("confinement is incomplete: {lacking}");
        self.missing.push(lacking.clone());
        match self.mode {
            Mode::Required => Err(Failure::Confinement(lacking)),
            _ => Ok(()),
        }
    }

    /// The layers in force, and those that are not.
    pub(crate) fn health(&self) -> ConfinementHealth {
        let mut active = self.active.clone();
        if self.outside != OuterConfinement::default() {
            active.push(format!("outside ({})", self.outside));
        }
        ConfinementHealth {
            active,
            missing: self.missing.clone(),
        }
    }

    /// Passes the event for the audit log to `take`.
    pub(crate) fn report<T>(&self, take: impl FnOnce(&Event<'_>) -> T) -> T {
        let ConfinementHealth { active, missing } = self.health();
        take(&Event::Confinement {
            active: &active.join(", "),
            missing: &missing.join("; "),
        })
    }
}

/// The paths and ports that the confinement leaves open.
pub(crate) fn daemon_paths(path: &Path, config: &Config) -> DaemonPaths {
    DaemonPaths {
        configuration: path.to_owned(),
        nodes_directory: path.with_file_name(NODES_DIRECTORY),
        ssh_directory: config.ssh_dir.clone(),
        log_directory: config.audit.directory().to_owned(),
        state_directory: config.audit.state_dir.clone(),
        socket_directory: directory_of(&config.socket),
        control_directory: directory_of(&config.control_socket),
        credentials: (config.forward.is_wanted()).then(|| config.forward.credentials.clone()),
        ports: config.ports().into_iter().collect(),
    }
}

fn directory_of(socket: &Path) -> PathBuf {
    socket.parent().unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_core::event::Decision;
    use pulse_sandbox::LandlockRules;
    use pulse_sandbox::tables::Syscall;

    /// A kernel of which one layer is as given.
    struct Lacking(Layer, LayerStatus);

    impl Lacking {
        fn answer(&self, layer: Layer) -> LayerStatus {
            if self.0 == layer {
                self.1.clone()
            } else {
                LayerStatus::Full("fine".into())
            }
        }
    }

    impl Layers for Lacking {
        fn drop_privileges(&self, _: &ServiceUser) -> LayerStatus {
            self.answer(Layer::Privileges)
        }

        fn forbid_new_privileges(&self) -> LayerStatus {
            self.answer(Layer::Privileges)
        }

        fn restrict_access(&self, _: &LandlockRules) -> LayerStatus {
            self.answer(Layer::Landlock)
        }

        fn set_limits(&self) -> LayerStatus {
            self.answer(Layer::Limits)
        }

        fn filter_calls(&self, _: &[Syscall]) -> LayerStatus {
            self.answer(Layer::Seccomp)
        }
    }

    fn confine(mode: Mode, kernel: &Lacking) -> (Result<(), Failure>, Decision, String, String) {
        let mut confinement = Confinement::new(mode, kernel);
        let user = ServiceUser {
            name: "nobody".into(),
            ids: None,
        };
        let outcome = confinement
            .drop_privileges(&user)
            .and_then(|()| confinement.restrict_access(Path::new("/c"), &Config::default()))
            .and_then(|()| confinement.limit())
            .and_then(|()| confinement.filter_calls());
        confinement.report(|event| {
            let members = event.members();
            let reason = members.reason.unwrap_or_default().to_owned();
            let error = members.error.unwrap_or_default().into_owned();
            (outcome, members.decision, reason, error)
        })
    }

    #[test]
    fn incomplete_layer_is_reported() {
        for layer in Layer::ALL {
            for hold in [
                LayerStatus::Missing("too old".into()),
                LayerStatus::Partial("ABI 2".into()),
            ] {
                let kernel = Lacking(layer, hold);
                let (outcome, decision, reason, error) = confine(Mode::BestEffort, &kernel);
                assert!(outcome.is_ok());
                assert_eq!(decision, Decision::Failed);
                assert!(error.starts_with(&layer.to_string()), "{error}");
                assert!(!reason.contains(&layer.to_string()), "{reason}");
                assert_eq!(reason.matches("fine").count(), 3, "{reason}");
                let (outcome, ..) = confine(Mode::Required, &kernel);
                let text = outcome.unwrap_err().to_string();
                assert!(text.contains(&layer.to_string()), "{text}");
            }
        }
    }

    #[test]
    fn complete_confinement_succeeds() {
        let kernel = Lacking(Layer::Seccomp, LayerStatus::Full("fine".into()));
        let (outcome, decision, reason, error) = confine(Mode::Required, &kernel);
        assert!(outcome.is_ok());
        assert_eq!((decision, error.as_str()), (Decision::Completed, ""));
        let all = "privileges (fine), landlock (fine), limits (fine), seccomp (fine)";
        assert_eq!(reason, all);
    }

    #[test]
    fn switched_off_is_reported() {
        let kernel = Lacking(Layer::Seccomp, LayerStatus::Missing("none".into()));
        let (outcome, decision, reason, error) = confine(Mode::Off, &kernel);
        assert!(outcome.is_ok());
        assert_eq!((decision, reason.as_str()), (Decision::Failed, ""));
        assert!(error.contains("switched off"), "{error}");
    }
}
