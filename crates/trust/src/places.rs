//! The places that a configuration names, and what others may not do there: one table for
//! the daemon, its `--check` and `pulse-sensorctl config check`.

use crate::steps;
use pulse_core::config::Config;
use pulse_core::trust::{Demand, FileKind, Owners, Untrusted};
use std::path::PathBuf;

/// A file or a directory that decides something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name for an operator: the key of the configuration, or the file's own.
    pub name: &'static str,
    /// Where it is.
    pub path: PathBuf,
    kind: FileKind,
    demand: Demand,
    above: Above,
}

/// What a flaw of a directory above means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Above {
    /// As much as one of the place itself.
    Refused,
    /// It is reported and no more.
    Reported,
}

/// A flaw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The daemon does not use the place.
    Refused(Untrusted),
    /// The daemon uses it.
    Reported(Untrusted),
}

impl Place {
    /// What is wrong with it, if anything. What is not there, or may not be looked at, has
    /// no flaw: who needs it says so.
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

/// The directories that the daemon looks at when it starts.
#[must_use]
pub fn directories(config: &Config) -> Vec<Place> {
    let directory = |name, path: PathBuf, above| Place {
        name,
        path,
        kind: FileKind::Directory,
        demand: Demand::Unwritable,
        above,
    };
    vec![
        // Who can write here gives the daemon another key, and other pins.
        directory("ssh_dir", config.ssh_dir.clone(), Above::Refused),
        // Who can write here takes the key of the next seal away.
        directory("state_dir", config.audit.state_dir.clone(), Above::Refused),
        // Who can write here removes records; who can write above exchanges the whole log.
        // Both show, in a collector's copy or a noted head. /var/log belongs to a group on
        // some distributions (Ubuntu's is writable for syslog), and a log that is exposed
        // to rsyslog is better than no daemon.
        directory(
            "the audit log's directory",
            config.audit.directory().to_owned(),
            Above::Reported,
        ),
    ]
}

/// The files that the daemon looks at each time it reads them.
#[must_use]
pub fn files(config: &Config) -> Vec<Place> {
    let file = |name, path: PathBuf, demand| Place {
        name,
        path,
        kind: FileKind::File,
        demand,
        above: Above::Refused,
    };
    let known_hosts = config.ssh_dir.join("known_hosts");
    let mut files = vec![file("known_hosts", known_hosts, Demand::Unwritable)];
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

/// What others may not do with a collector's authority: who changes it chooses who the
/// collector is.
pub const CA: Demand = Demand::Unwritable;
/// The same for our certificate.
pub const CERTIFICATE: Demand = Demand::Unwritable;
/// The same for its key. A group that may read it is how it gets to the daemon's user
/// without belonging to it.
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
    fn directory_above_the_log_is_reported_and_no_more() {
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
    fn what_is_not_there_has_no_flaw() {
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
