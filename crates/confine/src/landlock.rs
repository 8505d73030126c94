//! Files and ports, by Landlock: made from the tables.
//!
//! It holds the thread that asks for it and those that this one starts, so it
//! comes before all of them. What the kernel is too old for is left out and
//! reported.

use crate::layers::Hold;
use crate::tables::{self, Whose};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope,
};
use std::path::{Path, PathBuf};

/// With this ABI (Linux 6.12) everything in the tables is enforced.
const WHOLE: ABI = ABI::V6;
/// What newer kernels can refuse beyond that is refused too.
const NEWEST: ABI = ABI::V9;

/// The places of this daemon, as its configuration says them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The configuration's file.
    pub configuration: PathBuf,
    /// `ssh_dir`.
    pub ssh_directory: PathBuf,
    /// The directory of the audit log.
    pub log_directory: PathBuf,
    /// `audit.state_dir`.
    pub state_directory: PathBuf,
    /// The directory of the Unix socket.
    pub socket_directory: PathBuf,
    /// The SSH ports.
    pub ports: Vec<u16>,
}

impl Places {
    fn path(&self, whose: Whose) -> &Path {
        match whose {
            Whose::Configuration => own_directory(&self.configuration),
            Whose::SshDirectory => &self.ssh_directory,
            Whose::LogDirectory => &self.log_directory,
            Whose::StateDirectory => &self.state_directory,
            Whose::SocketDirectory => &self.socket_directory,
            Whose::Fixed(path) => Path::new(path),
        }
    }
}

/// The directory of a file, so that the file can be replaced; but the file alone
/// where the directory is one that much else is in, like `/etc` or `/root`.
fn own_directory(file: &Path) -> &Path {
    let deep_enough = |directory: &&Path| directory.components().count() > 2;
    file.parent().filter(deep_enough).unwrap_or(file)
}

/// Puts this thread, and those that it will start, under rules that permit these
/// paths of these places alone, for good.
#[must_use]
pub fn permit_paths(paths: &[tables::Path], places: &Places) -> Hold {
    match restrict(paths, places) {
        Ok(hold) => hold,
        Err(error) => Hold::Missing(format!("the kernel did not take the rules: {error}")),
    }
}

fn restrict(paths: &[tables::Path], places: &Places) -> Result<Hold, RulesetError> {
    let rules = ruleset()?.create()?;
    let status = with_ports(with_paths(rules, paths, places)?, places)?.restrict_self()?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as u32,
        LandlockStatus::NotEnabled => return Ok(missing("is switched off (lsm= at boot)")),
        LandlockStatus::NotImplemented => return Ok(missing("has none (Linux 5.13 brings it)")),
    };
    Ok(match status.ruleset {
        RulesetStatus::NotEnforced => missing("enforces nothing"),
        _ if abi >= WHOLE as u32 => Hold::Whole(format!("ABI {abi}")),
        _ => Hold::Partly(shortcoming(abi)),
    })
}

fn missing(why: &str) -> Hold {
    Hold::Missing(format!("the kernel {why}"))
}

/// What a kernel of this ABI does not refuse.
fn shortcoming(abi: u32) -> String {
    let newer = [
        (3, "cutting files off"),
        (4, "TCP ports"),
        (5, "ioctl on devices"),
        (6, "abstract sockets and signals"),
    ];
    let missing = newer.iter().filter(|(since, _)| abi < *since);
    let missing: Vec<&str> = missing.map(|(_, what)| *what).collect();
    format!("ABI {abi}, which does not restrict {}", missing.join(", "))
}

fn ruleset() -> Result<Ruleset, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))
}

/// A path that is not there needs no rule.
fn with_paths(
    mut rules: RulesetCreated,
    paths: &[tables::Path],
    places: &Places,
) -> Result<RulesetCreated, RulesetError> {
    for line in paths {
        if let Ok(path) = PathFd::new(places.path(line.whose)) {
            rules = rules.add_rule(PathBeneath::new(path, access(line.access)))?;
        }
    }
    Ok(rules)
}

fn with_ports(mut rules: RulesetCreated, places: &Places) -> Result<RulesetCreated, RulesetError> {
    for port in &places.ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(rules)
}

fn access(permitted: &[tables::Access]) -> BitFlags<AccessFs> {
    let one = |access: &tables::Access| match access {
        tables::Access::ReadFile => AccessFs::ReadFile,
        tables::Access::ReadDirectory => AccessFs::ReadDir,
        tables::Access::WriteFile => AccessFs::WriteFile,
        tables::Access::Truncate => AccessFs::Truncate,
        tables::Access::MakeFile => AccessFs::MakeReg,
        tables::Access::RemoveFile => AccessFs::RemoveFile,
    };
    permitted.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_among_other_things_does_not_open_them() {
        for (file, permitted) in [
            (
                "/etc/pulse-sensor-proxy/config.toml",
                "/etc/pulse-sensor-proxy",
            ),
            ("/etc/config.toml", "/etc/config.toml"),
            ("/config.toml", "/config.toml"),
            ("config.toml", "config.toml"),
        ] {
            assert_eq!(own_directory(Path::new(file)), Path::new(permitted));
        }
    }

    #[test]
    fn an_old_kernel_is_named_with_what_it_lets_through() {
        let text = shortcoming(3);
        assert!(
            text.contains("ABI 3") && text.contains("TCP ports"),
            "{text}"
        );
        assert!(!text.contains("cutting"), "{text}");
    }

    #[test]
    fn the_rules_hold_the_thread_that_asked() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        std::fs::create_dir(&log).unwrap();
        let places = Places {
            log_directory: log.clone(),
            ..Places::default()
        };
        let outside = home.path().join("outside");
        std::thread::spawn(move || {
            if let Hold::Missing(why) = permit_paths(tables::PATHS, &places) {
                // This kernel has none: the daemon says so too.
                println!("not tried: {why}");
                return;
            }
            std::fs::write(log.join("a"), "x").unwrap();
            std::fs::rename(log.join("a"), log.join("b")).unwrap();
            let denied =
                |error: std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
            assert!(denied(std::fs::write(outside, "x").unwrap_err()));
            assert!(denied(std::fs::read("/etc/passwd").unwrap_err()));
        })
        .join()
        .unwrap();
    }
}
