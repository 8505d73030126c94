//! AppArmor profiles, the OCI seccomp profile and systemd units, rendered from [`crate::tables`],
//! and the files that are rendered from the table of the configuration's keys.
//!
//! `cargo xtask policy` writes them to `security/`, `packaging/` and `fuzz/`, and CI fails when a
//! file there differs. So a path or a system call is permitted in one place, with its reason,
//! and a key of the configuration is described in one.

#![allow(
    clippy::disallowed_methods,
    reason = "runs in a checkout, never in the daemon"
)]

mod apparmor;
mod oci;
mod paths;
mod systemd;

use pulse_core::config;
use std::fs;
use std::io;
use std::path::Path;

/// A rendered file.
#[derive(Clone, Debug)]
pub struct Artefact {
    /// Its path from the root of the repository.
    pub path: &'static str,
    text: String,
}

impl Artefact {
    fn new(path: &'static str, text: String) -> Self {
        Self { path, text }
    }

    /// True if the file in the repository at `root` has this content.
    #[must_use]
    pub fn is_current(&self, root: &Path) -> bool {
        fs::read_to_string(root.join(self.path)).is_ok_and(|text| text == self.text)
    }

    /// Writes the file to the repository at `root`.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, root: &Path) -> io::Result<()> {
        let file = root.join(self.path);
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(file, &self.text)
    }
}

/// Every rendered file.
#[must_use]
pub fn artefacts() -> Vec<Artefact> {
    vec![
        Artefact::new(
            "security/apparmor/pulse-sensor-proxy.apparmor",
            apparmor::daemon(),
        ),
        Artefact::new(
            "security/apparmor/pulse-sensor-node.apparmor",
            apparmor::helper(),
        ),
        Artefact::new("security/seccomp/pulse-sensor-proxy.json", oci::daemon()),
        Artefact::new(
            "packaging/systemd/pulse-sensor-proxy.service",
            systemd::service(),
        ),
        Artefact::new(
            "packaging/systemd/pulse-sensor-proxy.socket",
            systemd::socket(),
        ),
        Artefact::new(
            "packaging/systemd/pulse-sensor-proxy-control.socket",
            systemd::control_socket(),
        ),
        Artefact::new(
            "packaging/tmpfiles.d/pulse-sensor-proxy.conf",
            systemd::tmpfiles(),
        ),
        Artefact::new(
            "packaging/sysusers.d/pulse-sensor-proxy.conf",
            systemd::sysusers(),
        ),
        Artefact::new("packaging/config.toml", config::packaged()),
        Artefact::new("fuzz/dictionaries/config.dict", config::dictionary()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(
        not(target_arch = "x86_64"),
        ignore = "the files are rendered on x86-64"
    )]
    fn checked_in_files_match_tables() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        for artefact in artefacts() {
            assert!(
                artefact.is_current(root),
                "{} differs: run `cargo xtask policy` and review the changes",
                artefact.path
            );
        }
    }
}
