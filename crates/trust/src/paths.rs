//! The trusted paths of a configuration and the demands on each: one table for the daemon, its
//! `--check` and `pulse-sensorctl config check`.

use crate::steps;
use pulse_core::config::Config;
use pulse_core::trust::{Demand, FileKind, Owners, Untrusted};
use std::path::PathBuf;

/// A file or directory that only trusted users may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedPath {
    /// Its name in messages: the configuration key, or the name of the file.
    pub name: &'static str,
    path: PathBuf,
    kind: FileKind,
    demand: Demand,
    above: Above,
}

/// The consequence of a flaw in a directory above the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Above {
    /// The path is refused, as for a flaw of its own.
    Refused,
    /// The flaw is only reported.
    Reported,
}

/// A flaw and its consequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The daemon does not use the path.
    Refused(Untrusted),
    /// The daemon uses the path and reports the flaw.
    Reported(Untrusted),
}

impl TrustedPath {
    /// The first flaw. A path that does not exist or cannot be examined has none: whoever
    /// opens it reports the error.
    #[must_use]
    pub fn flaw(&self, owners: &Owners) -> Option<Flaw> {
        let steps = steps(&self.path).ok()?;
        let untrusted = owners.judge(&steps, self.kind, self.demand).err()?;
        Some(match self.above {
            Above::Reported if !untrusted.is_target() => Flaw::Reported(untrusted),
            Above::Refused | Above::Reported => Flaw::Refused(untrusted),
        })
    }
}

/// The directories that the daemon checks at the start.
#[must_use]
pub fn directories(config: &Config) -> Vec<TrustedPath> {
    let directory = |name, path: PathBuf, above| TrustedPath {
        name,
        path,
        kind: FileKind::Directory,
        demand: Demand::Unwritable,
        above,
    };
    vec![
        // A user who can write here can replace the SSH key and known_hosts.
        directory("ssh_dir", config.ssh_dir.clone(), Above::Refused),
        // A user who can write here can remove the key of the next seal.
        directory("state_dir", config.audit.state_dir.clone(), Above::Refused),
        // A user who can write here can remove records; one who can write above can replace the
        // whole log. Verification against a collector's copy or a noted head detects both.
        // /var/log is writable for a group on some distributions (syslog on Ubuntu), and an
        // exposed log is better than no daemon.
        directory(
            "the audit log's directory",
            config.audit.directory().to_owned(),
            Above::Reported,
        ),
    ]
}

/// The files that the daemon checks each time it reads them.
#[must_use]
pub fn files(config: &Config) -> Vec<TrustedPath> {
    let file = |name, path: PathBuf, demand| TrustedPath {
        name,
        path,
        kind: FileKind::File,
        demand,
        above: Above::Refused,
    };
    let mut files = vec![file(
        "known_hosts",
        config.ssh_dir.join("known_hosts"),
        Demand::Unwritable,
    )];
    if config.forward.is_wanted() {
        let credentials = [
            ("ca.pem", CA),
            ("certificate.pem", CERTIFICATE),
            ("key.pem", KEY),
        ];
        for (name, demand) in credentials {
            files.push(file(name, config.forward.credential(name), demand));
        }
    }
    files
}

/// The demand on the certificate authority of collectors: a user who can change it can
/// impersonate them.
pub const CA: Demand = Demand::Unwritable;
/// The demand on the daemon's certificate.
pub const CERTIFICATE: Demand = Demand::Unwritable;
/// The demand on its private key. Its group may read it, so that root can own the key and the
/// daemon's user read it.
pub const KEY: Demand = Demand::Secret;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owners;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn flaw_above_the_log_is_reported() {
        let home = tempfile::tempdir().unwrap();
        let below = |name: &str| home.path().join(name);
        for name in ["ssh", "state", "log", "log/pulse"] {
            fs::create_dir(below(name)).unwrap();
            set(&below(name), 0o755);
        }
        let mut config = Config {
            ssh_dir: below("ssh"),
            ..Config::default()
        };
        config.audit.state_dir = below("state");
        config.audit.log = below("log/pulse/audit.log");
        let flaws = || {
            let places = directories(&config);
            let flaws = places.iter().filter_map(|place| place.flaw(owners()));
            flaws.collect::<Vec<_>>()
        };
        assert_eq!(flaws(), []);
        set(&below("log"), 0o775);
        assert!(matches!(flaws()[..], [Flaw::Reported(_)]));
        set(&below("log/pulse"), 0o775);
        set(&below("log"), 0o755);
        assert!(matches!(flaws()[..], [Flaw::Refused(_)]));
        set(home.path(), 0o775);
        assert!(matches!(
            flaws()[..],
            [Flaw::Refused(_), Flaw::Refused(_), Flaw::Reported(_)]
        ));
    }

    #[test]
    fn missing_file_has_no_flaw() {
        let home = tempfile::tempdir().unwrap();
        let config = Config {
            ssh_dir: home.path().join("none"),
            ..Config::default()
        };
        let [known_hosts] = &files(&config)[..] else {
            panic!("nothing is forwarded");
        };
        assert_eq!(known_hosts.flaw(owners()), None);
    }
}
