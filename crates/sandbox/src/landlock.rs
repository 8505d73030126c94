//! Files and ports, by Landlock: made from the tables.
//!
//! It holds the thread that asks for it and those that this one starts, so it
//! comes before all of them. What the kernel is too old for is left out and
//! reported.

use crate::layers::Hold;
use crate::rules::Rules;
use crate::tables;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope,
};
use nix::fcntl::{self, OFlag};
use nix::sys::stat::Mode;
use std::os::fd::OwnedFd;
use std::path::Path;

/// What newer kernels can refuse beyond what is asked for is refused too.
const NEWEST: ABI = ABI::V9;

/// Puts this thread, and those that it will start, under the rules, for good.
#[must_use]
pub(crate) fn enforce(rules: &Rules) -> Hold {
    match restrict(rules) {
        Ok(hold) => hold,
        Err(error) => Hold::Missing(format!("the kernel did not take the rules: {error}")),
    }
}

fn restrict(rules: &Rules) -> Result<Hold, RulesetError> {
    let ruleset = ruleset()?.create()?;
    let status = with_ports(with_paths(ruleset, rules)?, rules)?.restrict_self()?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as u32,
        LandlockStatus::NotEnabled => return Ok(missing("is switched off (lsm= at boot)")),
        LandlockStatus::NotImplemented => return Ok(missing("has none (Linux 5.13 brings it)")),
    };
    Ok(match status.ruleset {
        RulesetStatus::NotEnforced => missing("enforces nothing"),
        _ if abi >= rules.since => Hold::Whole(format!("ABI {abi}")),
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
fn with_paths(mut set: RulesetCreated, rules: &Rules) -> Result<RulesetCreated, RulesetError> {
    for (path, permitted) in &rules.paths {
        if let Ok(path) = named(path) {
            set = set.add_rule(PathBeneath::new(path, access(permitted)))?;
        }
    }
    Ok(set)
}

/// The path and no more: nothing is read, no device opened, no right to read needed.
/// The crate's own way goes through the standard library, which leaves `O_PATH` out
/// where the C library is musl.
fn named(path: &Path) -> nix::Result<OwnedFd> {
    fcntl::open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
}

fn with_ports(mut set: RulesetCreated, rules: &Rules) -> Result<RulesetCreated, RulesetError> {
    for port in &rules.ports {
        set = set.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(set)
}

fn access(permitted: &[tables::Access]) -> BitFlags<AccessFs> {
    let one = |access: &tables::Access| match access {
        tables::Access::ReadFile => Some(AccessFs::ReadFile),
        tables::Access::ReadDirectory => Some(AccessFs::ReadDir),
        tables::Access::WriteFile => Some(AccessFs::WriteFile),
        tables::Access::Truncate => Some(AccessFs::Truncate),
        tables::Access::MakeFile => Some(AccessFs::MakeReg),
        tables::Access::RemoveFile => Some(AccessFs::RemoveFile),
        tables::Access::Execute => Some(AccessFs::Execute),
        tables::Access::ControlDevice => Some(AccessFs::IoctlDev),
        tables::Access::MakeDirectory => Some(AccessFs::MakeDir),
        tables::Access::Lock => None,
    };
    permitted.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Places;

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
    fn a_path_that_may_not_be_read_is_named_all_the_same() {
        let path = named(Path::new("/proc/self/mem")).unwrap();
        // A descriptor of a path can do nothing.
        let read = nix::unistd::read(&path, &mut [0]);
        assert_eq!(read, Err(nix::errno::Errno::EBADF));
    }

    #[test]
    fn the_rules_hold_the_thread_that_asked() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        std::fs::create_dir(&log).unwrap();
        let rules = Places {
            log_directory: log.clone(),
            ..Places::default()
        }
        .rules();
        let outside = home.path().join("outside");
        std::thread::spawn(move || {
            if let Hold::Missing(why) = enforce(&rules) {
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
