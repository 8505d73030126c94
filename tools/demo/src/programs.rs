//! Where the programs are that the demo shows.

use crate::{DemoError, trying};
use std::path::{Path, PathBuf};

/// Where a package puts what nobody starts by hand.
const LIBEXEC: &str = "/usr/libexec";

/// The programs that are shown, and this one.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// This one.
    pub(crate) demo: PathBuf,
    /// The operator's tool.
    pub(crate) control: PathBuf,
    /// The daemon.
    pub(crate) daemon: PathBuf,
    /// The node helper.
    pub(crate) helper: PathBuf,
}

impl Programs {
    /// Beside this program, where cargo puts them, or where a package does.
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
    let beside = demo.with_file_name(name);
    let packaged = Path::new(LIBEXEC).join(name);
    let found = [beside, packaged].into_iter().find(|path| path.is_file());
    found.ok_or_else(|| DemoError::Missing {
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
