//! Confinement of the helper, before it reads any sensor.
//!
//! The helper parses request lines and data from devices. If an attacker can inject code through
//! either, the kernel restricts that code to the actions of a reading. A kernel that lacks a layer
//! still has temperatures, so by default the helper warns on stderr and continues.

use crate::error::HelperError;
use pulse_sandbox::tables::Syscall;
use pulse_sandbox::tables::helper::{IPMITOOL_SYSCALLS, SYSCALLS};
use pulse_sandbox::{LandlockRules, Layer, LayerStatus, Layers};
use std::io::{self, Write};
use std::path::Path;

/// The behaviour if a layer is not in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Warn and continue.
    #[default]
    BestEffort,
    /// Fail.
    Required,
    /// Do not apply any layer.
    Off,
}

impl Mode {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "best-effort" => Some(Self::BestEffort),
            "required" => Some(Self::Required),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

/// The layers and the mode in which they are applied.
pub(crate) struct Confinement<'a> {
    mode: Mode,
    layers: &'a dyn Layers,
}

impl<'a> Confinement<'a> {
    pub(crate) fn new(mode: Mode, layers: &'a dyn Layers) -> Self {
        Self { mode, layers }
    }

    /// Applies every layer for readings of this tree. The process must have one thread.
    ///
    /// # Errors
    /// [`HelperError::Confinement`] if a layer is required and not in force; the same applies to
    /// the other methods.
    pub(crate) fn for_readings(&self, sys_root: &Path) -> Result<(), HelperError> {
        self.restrict(&LandlockRules::for_reading(sys_root))?;
        self.filter(SYSCALLS)
    }

    /// Applies the layers that `ipmitool` inherits.
    pub(crate) fn before_ipmitool(&self) -> Result<(), HelperError> {
        self.restrict(&LandlockRules::for_ipmitool())
    }

    /// Applies the seccomp filter, once `ipmitool` runs.
    pub(crate) fn after_starting_ipmitool(&self) -> Result<(), HelperError> {
        self.filter(&[SYSCALLS, IPMITOOL_SYSCALLS].concat())
    }

    fn restrict(&self, rules: &LandlockRules) -> Result<(), HelperError> {
        // First: without `no_new_privs`, landlock_restrict_self(2) and seccomp(2) need
        // CAP_SYS_ADMIN.
        self.apply(Layer::Privileges, |layers| layers.forbid_new_privileges())?;
        self.apply(Layer::Landlock, |layers| layers.restrict_access(rules))
    }

    fn filter(&self, calls: &[Syscall]) -> Result<(), HelperError> {
        self.apply(Layer::Seccomp, |layers| layers.filter_calls(calls))
    }

    fn apply(
        &self,
        layer: Layer,
        apply: impl FnOnce(&dyn Layers) -> LayerStatus,
    ) -> Result<(), HelperError> {
        if self.mode == Mode::Off {
            return Ok(());
        }
        let Some(problem) = apply(self.layers).problem(layer) else {
            return Ok(());
        };
        if self.mode == Mode::Required {
            return Err(HelperError::Confinement(problem));
        }
        // If stderr is closed, the reading is still wanted.
        let _ = writeln!(
            io::stderr(),
            "pulse-sensor-node: the confinement is incomplete: {problem}"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_sandbox::ServiceUser;
    use std::cell::RefCell;

    /// A kernel in which one layer has the given status, and the layers that were applied.
    struct Lacking(Layer, LayerStatus, RefCell<Vec<Layer>>);

    impl Lacking {
        fn new(layer: Layer, status: LayerStatus) -> Self {
            Self(layer, status, RefCell::default())
        }

        fn status(&self, layer: Layer) -> LayerStatus {
            self.2.borrow_mut().push(layer);
            if self.0 == layer {
                self.1.clone()
            } else {
                LayerStatus::Full("fine".into())
            }
        }
    }

    impl Layers for Lacking {
        fn drop_privileges(&self, _: &ServiceUser) -> LayerStatus {
            LayerStatus::Missing("the helper has no privileges".into())
        }

        fn forbid_new_privileges(&self) -> LayerStatus {
            self.status(Layer::Privileges)
        }

        fn restrict_access(&self, _: &LandlockRules) -> LayerStatus {
            self.status(Layer::Landlock)
        }

        fn set_limits(&self) -> LayerStatus {
            LayerStatus::Missing("the helper starts threads".into())
        }

        fn filter_calls(&self, _: &[Syscall]) -> LayerStatus {
            self.status(Layer::Seccomp)
        }
    }

    const LAYERS: [Layer; 3] = [Layer::Privileges, Layer::Landlock, Layer::Seccomp];

    fn confine(mode: Mode, kernel: &Lacking) -> [Result<(), HelperError>; 2] {
        let confinement = Confinement::new(mode, kernel);
        let for_ipmitool = || {
            confinement.before_ipmitool()?;
            confinement.after_starting_ipmitool()
        };
        [confinement.for_readings(Path::new("/sys")), for_ipmitool()]
    }

    #[test]
    fn only_required_layers_are_fatal() {
        for layer in LAYERS {
            for status in [
                LayerStatus::Missing("old".into()),
                LayerStatus::Partial("ABI 2".into()),
            ] {
                let kernel = Lacking::new(layer, status);
                assert!(confine(Mode::BestEffort, &kernel).iter().all(Result::is_ok));
                for outcome in confine(Mode::Required, &kernel) {
                    let error = outcome.unwrap_err();
                    assert_eq!(error.exit_code(), 71);
                    assert!(error.to_string().contains(&layer.to_string()), "{error}");
                }
            }
        }
    }

    #[test]
    fn layers_are_applied_in_order() {
        let kernel = Lacking::new(Layer::Seccomp, LayerStatus::Full("fine".into()));
        assert!(confine(Mode::Required, &kernel).iter().all(Result::is_ok));
        assert_eq!(*kernel.2.borrow(), [LAYERS, LAYERS].concat());
    }

    #[test]
    fn off_applies_no_layer() {
        let kernel = Lacking::new(Layer::Seccomp, LayerStatus::Missing("none".into()));
        assert!(confine(Mode::Off, &kernel).iter().all(Result::is_ok));
        assert!(kernel.2.borrow().is_empty());
    }
}
