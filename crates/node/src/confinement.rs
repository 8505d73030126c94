//! The helper confines itself before it looks at anything.
//!
//! What reaches it is a caller's line and what devices say of themselves. Should one
//! of them be made to run code in here, the kernel keeps that code to what a reading
//! does anyway. On a kernel that lacks a layer temperatures are still wanted: it is
//! said on standard error, and refused only where that was asked for.

use crate::failure::Failure;
use pulse_confine::tables::Syscall;
use pulse_confine::tables::helper::{BESIDE_IPMITOOL, SYSCALLS};
use pulse_confine::{Hold, Layer, Layers, Rules};
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
