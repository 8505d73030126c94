//! Landlock rules for files and TCP ports.
//!
//! Landlock restricts the calling thread and the threads that it starts later, so it is
//! applied before any of them. What the kernel is too old for is left out and reported.

use crate::layers::LayerStatus;
use crate::rules::LandlockRules;
use crate::tables;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use nix::fcntl::{self, OFlag};
use nix::sys::stat::Mode;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Everything that this ABI can refuse is refused unless a rule permits it, and so is what
/// newer kernels can refuse beyond the ABI that the rules need.
const NEWEST: ABI = ABI::V9;

/// Applies the rules to this thread, and to threads that it starts later, irrevocably.
#[must_use]
pub(crate) fn enforce(rules: &LandlockRules) -> LayerStatus {
    restrict(rules).unwrap_or_else(|error| {
        LayerStatus::Missing(format!("the kernel did not take the rules: {error}"))
    })
}

fn restrict(rules: &LandlockRules) -> Result<LayerStatus, RulesetError> {
    // Best effort: an older kernel enforces the restrictions that it knows, and
    // `missing_restrictions` names the others.
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for (path, access) in &rules.paths {
        // A path that does not exist needs no rule.
        if let Ok(path) = open_path(path) {
            let access = access.iter().copied().filter_map(landlock_access);
            let access: BitFlags<AccessFs> = access.collect();
            ruleset = ruleset.add_rule(PathBeneath::new(path, access))?;
        }
    }
    for port in &rules.ports {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    let status = ruleset.restrict_self()?;
    let missing = |why| LayerStatus::Missing(format!("the kernel {why}"));
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as u32,
        LandlockStatus::NotEnabled => return Ok(missing("is switched off (lsm= at boot)")),
        LandlockStatus::NotImplemented => return Ok(missing("has none (Linux 5.13 brings it)")),
    };
    Ok(match status.ruleset {
        RulesetStatus::NotEnforced => missing("enforces nothing"),
        _ if abi >= rules.min_abi => LayerStatus::Full(format!("ABI {abi}")),
        _ => LayerStatus::Partial(missing_restrictions(abi)),
    })
}

/// The restrictions that a kernel of this ABI lacks.
fn missing_restrictions(abi: u32) -> String {
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

/// Opens a path with `O_PATH`: no device is opened, and no permission to read is needed. The
/// `PathFd` of the landlock crate opens through the standard library, which drops `O_PATH`
/// where the C library is musl.
fn open_path(path: &Path) -> nix::Result<OwnedFd> {
    fcntl::open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
}

fn landlock_access(access: tables::Access) -> Option<AccessFs> {
    Some(match access {
        tables::Access::ReadFile => AccessFs::ReadFile,
        tables::Access::ReadDirectory => AccessFs::ReadDir,
        tables::Access::WriteFile => AccessFs::WriteFile,
        tables::Access::Truncate => AccessFs::Truncate,
        tables::Access::MakeFile => AccessFs::MakeReg,
        tables::Access::RemoveFile => AccessFs::RemoveFile,
        tables::Access::Execute => AccessFs::Execute,
        tables::Access::ControlDevice => AccessFs::IoctlDev,
        tables::Access::MakeDirectory => AccessFs::MakeDir,
        // Landlock has no right for flock(2).
        tables::Access::Lock => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::DaemonPaths;
    use std::path::PathBuf;

    #[test]
    fn old_abi_names_missing_parts() {
        let text = missing_restrictions(3);
        assert!(
            text.contains("ABI 3") && text.contains("TCP ports"),
            "{text}"
        );
        assert!(!text.contains("cutting"), "{text}");
    }

    #[test]
    fn unreadable_path_gets_a_rule() {
        let path = open_path(Path::new("/proc/self/mem")).unwrap();
        // An O_PATH descriptor cannot be read from.
        let read = nix::unistd::read(&path, &mut [0]);
        assert_eq!(read, Err(nix::errno::Errno::EBADF));
    }

    #[test]
    fn rules_restrict_the_calling_thread() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        std::fs::create_dir(&log).unwrap();
        // In a shared directory: only the file is permitted, and only to be read.
        let configuration = PathBuf::from("/etc/hostname");
        let rules = DaemonPaths {
            configuration: configuration.clone(),
            log_directory: log.clone(),
            ..DaemonPaths::default()
        }
        .rules();
        let outside = home.path().join("outside");
        std::thread::spawn(move || {
            if let LayerStatus::Missing(why) = enforce(&rules) {
                // This kernel has no Landlock, which the daemon reports too.
                println!("skipped: {why}");
                return;
            }
            std::fs::write(log.join("a"), "x").unwrap();
            std::fs::rename(log.join("a"), log.join("b")).unwrap();
            let denied =
                |error: std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
            assert!(denied(std::fs::write(outside, "x").unwrap_err()));
            assert!(denied(std::fs::read("/etc/passwd").unwrap_err()));
            assert_eq!(configuration.exists(), std::fs::read(configuration).is_ok());
        })
        .join()
        .unwrap();
    }
}
