//! Where the programs are that the demo shows.

use super::{DemoError, trying};
use std::path::{Path, PathBuf};

/// Where a package puts what nobody starts by hand.
const LIBEXEC: &str = "/usr/libexec";

/// The three programs.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// This one.
    pub(super) control: PathBuf,
    /// The daemon.
    pub(super) daemon: PathBuf,
    /// The node helper.
    pub(super) helper: PathBuf,
}

impl Programs {
    /// Beside this program, where cargo puts them, or where a package does.
    ///
    /// # Errors
    /// [`DemoError::Missing`] says what to build.
    pub(super) fn find() -> Result<Self, DemoError> {
        let control = std::env::current_exe().map_err(trying("finding this program"))?;
        Ok(Self {
            daemon: find("pulse-sensor-proxy", &control)?,
            helper: find("pulse-sensor-node", &control)?,
            control,
        })
    }
}

fn find(name: &'static str, control: &Path) -> Result<PathBuf, DemoError> {
    let beside = control.with_file_name(name);
    let packaged = Path::new(LIBEXEC).join(name);
    let found = [beside, packaged].into_iter().find(|path| path.is_file());
    found.ok_or_else(|| DemoError::Missing {
        name,
        beside: control.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_named_with_how_to_build_it() {
        let directory = tempfile::tempdir().unwrap();
        let control = directory.path().join("pulse-sensorctl");
        let text = find("no-such-program", &control).unwrap_err().to_string();
        assert!(text.contains("--package no-such-program"), "{text}");
        std::fs::write(directory.path().join("no-such-program"), "").unwrap();
        assert!(find("no-such-program", &control).is_ok());
    }
}
