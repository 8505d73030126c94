//! Paths of the programs that the demo starts.

use crate::{DemoError, trying};
use std::path::{Path, PathBuf};

/// The directory of programs that users do not start themselves.
const LIBEXEC: &str = "/usr/libexec";

/// The shipped programs, and this one.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// This program.
    pub(crate) demo: PathBuf,
    /// `pulse-sensorctl`.
    pub(crate) control: PathBuf,
    /// The daemon.
    pub(crate) daemon: PathBuf,
    /// The node helper.
    pub(crate) helper: PathBuf,
}

impl Programs {
    /// Finds them beside this program, as cargo builds them, or where a package installs them.
    ///
    /// # Errors
    /// [`DemoError::Missing`] says what to build.
    pub(crate) fn find() -> Result<Self, DemoError> {
        let demo = std::env::current_exe().map_err(trying("finding this program"))?;
        Ok(Self {
            control: find("pulse-sensorctl", &demo)?,
            daemon: find("pulse-sensor-proxy", &demo)?,
            helper: find("pulse-sensor-node", &demo)?,
            demo,
        })
    }
}

fn find(name: &'static str, demo: &Path) -> Result<PathBuf, DemoError> {
    // Those beside this program first, so that a source tree uses its own build.
    [demo.with_file_name(name), Path::new(LIBEXEC).join(name)]
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| DemoError::Missing {
            name,
            beside: demo.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_program_has_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let demo = directory.path().join("pulse-demo");
        let text = find("no-such-program", &demo).unwrap_err().to_string();
        assert!(text.contains("needs no-such-program beside"), "{text}");
        assert!(text.contains("cargo xtask demo"), "{text}");
        std::fs::write(directory.path().join("no-such-program"), "").unwrap();
        assert!(find("no-such-program", &demo).is_ok());
    }
}
