//! The helper confines itself before it looks at anything.
//!
//! What reaches it is a caller's line and what devices say of themselves. Should one
//! of them be made to run code in here, the kernel keeps that code to what a reading
//! does anyway. On a kernel that lacks a layer temperatures are still wanted: it is
//! said on standard error, and refused only where that was asked for.

use crate::failure::Failure;
use pulse_sandbox::tables::Syscall;
use pulse_sandbox::tables::helper::{BESIDE_IPMITOOL, SYSCALLS};
use pulse_sandbox::{Hold, Layer, Layers, Rules};
use std::io::{self, Write};
use std::path::Path;

/// What becomes of a reading when a layer does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is made, and what is lacking said.
    #[default]
    BestEffort,
    /// There is none.
    Required,
    /// The helper is not confined at all.
    Off,
}

impl Mode {
    /// Reads the option's value.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "best-effort" => Some(Self::BestEffort),
            "required" => Some(Self::Required),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

/// What holds this process.
pub(crate) struct Confinement<'a> {
    mode: Mode,
    layers: &'a dyn Layers,
}

impl<'a> Confinement<'a> {
    /// Nothing yet.
    pub(crate) fn new(mode: Mode, layers: &'a dyn Layers) -> Self {
        Self { mode, layers }
    }

    /// Everything, for readings of this tree. No thread may have been started.
    ///
    /// # Errors
    /// Like the others: [`Failure::Confinement`] when a layer is required and does
    /// not hold.
    pub(crate) fn for_readings(&self, sys_root: &Path) -> Result<(), Failure> {
        self.restrict(&Rules::of_reading(sys_root))?;
        self.filter(SYSCALLS)
    }

    /// What `ipmitool` is to be under too, before it is started.
    pub(crate) fn before_ipmitool(&self) -> Result<(), Failure> {
        self.restrict(&Rules::of_ipmitool())
    }

    /// The rest, once it has been started.
    pub(crate) fn beside_ipmitool(&self) -> Result<(), Failure> {
        self.filter(&[SYSCALLS, BESIDE_IPMITOOL].concat())
    }

    fn restrict(&self, rules: &Rules) -> Result<(), Failure> {
        self.put_on(Layer::Privileges, |layers| layers.refuse_privileges())?;
        self.put_on(Layer::Landlock, |layers| layers.restrict_access(rules))
    }

    fn filter(&self, calls: &[Syscall]) -> Result<(), Failure> {
        self.put_on(Layer::Seccomp, |layers| layers.filter_calls(calls))
    }

    fn put_on(
        &self,
        layer: Layer,
        put_on: impl FnOnce(&dyn Layers) -> Hold,
    ) -> Result<(), Failure> {
        if self.mode == Mode::Off {
            return Ok(());
        }
        let Some(lacking) = put_on(self.layers).lacking(layer) else {
            return Ok(());
        };
        if self.mode == Mode::Required {
            return Err(Failure::Confinement(lacking));
        }
        // Nobody may be there to read it; the reading counts.
        let _ = writeln!(
            io::stderr(),
            "pulse-sensor-node: not confined as it should be: {lacking}"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_sandbox::ServiceUser;
    use std::cell::RefCell;

    /// A kernel of which one layer is as given, and what was asked of it.
    struct Lacking(Layer, Hold, RefCell<Vec<Layer>>);

    impl Lacking {
        fn new(layer: Layer, hold: Hold) -> Self {
            Self(layer, hold, RefCell::default())
        }

        fn answer(&self, layer: Layer) -> Hold {
            self.2.borrow_mut().push(layer);
            if self.0 == layer {
                self.1.clone()
            } else {
                Hold::Whole("fine".into())
            }
        }
    }

    impl Layers for Lacking {
        fn drop_privileges(&self, _: &ServiceUser) -> Hold {
            Hold::Missing("the helper has none".into())
        }

        fn refuse_privileges(&self) -> Hold {
            self.answer(Layer::Privileges)
        }

        fn restrict_access(&self, _: &Rules) -> Hold {
            self.answer(Layer::Landlock)
        }

        fn limit(&self) -> Hold {
            Hold::Missing("the helper starts threads".into())
        }

        fn filter_calls(&self, _: &[Syscall]) -> Hold {
            self.answer(Layer::Seccomp)
        }
    }

    const LAYERS: [Layer; 3] = [Layer::Privileges, Layer::Landlock, Layer::Seccomp];

    fn confine(mode: Mode, kernel: &Lacking) -> [Result<(), Failure>; 2] {
        let confinement = Confinement::new(mode, kernel);
        let for_ipmitool = || {
            confinement.before_ipmitool()?;
            confinement.beside_ipmitool()
        };
        [confinement.for_readings(Path::new("/sys")), for_ipmitool()]
    }

    #[test]
    fn a_layer_that_is_lacking_costs_no_reading_unless_it_is_required() {
        for layer in LAYERS {
            for hold in [Hold::Missing("old".into()), Hold::Partly("ABI 2".into())] {
                let kernel = Lacking::new(layer, hold);
                assert!(confine(Mode::BestEffort, &kernel).iter().all(Result::is_ok));
                for outcome in confine(Mode::Required, &kernel) {
                    let failure = outcome.unwrap_err();
                    assert_eq!(failure.exit_code(), 71);
                    assert!(
                        failure.to_string().contains(&layer.to_string()),
                        "{failure}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_layer_is_put_on_in_its_order_in_either_form() {
        let kernel = Lacking::new(Layer::Seccomp, Hold::Whole("fine".into()));
        assert!(confine(Mode::Required, &kernel).iter().all(Result::is_ok));
        assert_eq!(*kernel.2.borrow(), [LAYERS, LAYERS].concat());
    }

    #[test]
    fn switched_off_nothing_is_asked_of_the_kernel() {
        let kernel = Lacking::new(Layer::Seccomp, Hold::Missing("none".into()));
        assert!(confine(Mode::Off, &kernel).iter().all(Result::is_ok));
        assert!(kernel.2.borrow().is_empty());
    }
}
