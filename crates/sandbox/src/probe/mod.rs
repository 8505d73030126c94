//! The confinement probe: makes the system calls that an attacker would make, from inside the
//! confinement, and reports what stops each.
//!
//! The calling process is confined irrevocably and must exit afterwards. No attempt does harm,
//! even if nothing stops it: most have arguments that are wrong in any case, and the others are
//! made only if a layer that stops them is in force. Whether a layer is in force is found out
//! by a harmless call, since the status that it reported may be wrong.

mod attempts;
mod fixtures;

use crate::layers::{Layer, LayerStatus, Layers};
use crate::limits;
use crate::outside::{OuterConfinement, OuterFilter};
use crate::privileges::ServiceUser;
use crate::rules::DaemonPaths;
use crate::tables::{self, startup};
use attempts::{Attempt, Cleanup, Precondition, Target};
use fixtures::Fixtures;
use nix::errno::Errno;
use std::io;

/// An attempt and its outcome.
#[derive(Clone, Debug)]
pub struct AttemptResult {
    /// The attempt, as a verb phrase or the name of a kernel interface.
    pub attempt: &'static str,
    /// The outcome.
    pub outcome: Outcome,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was refused.
    Stopped {
        /// The name of the error (errno(3)).
        error: &'static str,
        /// The layer that refused it.
        by: StoppedBy,
    },
    /// It was not refused: it succeeded, or failed only because of its harmless arguments.
    LetThrough(&'static str),
    /// Not made, because nothing that stops it is in force and it could do harm.
    NotTried,
}

/// The layer that stopped an attempt, as far as the error tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoppedBy {
    /// The daemon's seccomp filter.
    Seccomp,
    /// Landlock.
    Landlock,
    /// Landlock or the permissions of an unprivileged user.
    LandlockOrPermissions,
    /// `RLIMIT_NPROC` or `PR_SET_MDWE`.
    Limits,
    /// The enforced `AppArmor` profile or the permissions of an unprivileged user.
    AppArmorOrPermissions,
    /// The filter of a unit or a container's runtime.
    Outside,
    /// The mount namespace: the file is not in it.
    Hidden,
    /// A file system that is mounted read-only.
    ReadOnly,
    /// The permissions of an unprivileged user.
    Permissions,
    /// A kernel that lacks the call.
    Kernel,
}

/// The layers that the probe applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeLayers {
    /// All, as the daemon does.
    All,
    /// This one.
    Only(Layer),
    /// None: only the outer confinement is in force.
    None,
}

impl StoppedBy {
    /// The words of the probe's output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
            Self::LandlockOrPermissions => "landlock or permissions",
            Self::Limits => "limits",
            Self::AppArmorOrPermissions => "apparmor or permissions",
            Self::Outside => "outside",
            Self::Hidden => "hidden",
            Self::ReadOnly => "read-only file system",
            Self::Permissions => "permissions",
            Self::Kernel => "not in this kernel",
        }
    }
}

/// The result of the probe.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The confinement of the process before the probe.
    pub outside: OuterConfinement,
    /// The layers that the probe applied, and their status.
    pub layers: Vec<(Layer, LayerStatus)>,
    /// Every attempt.
    pub attempts: Vec<AttemptResult>,
}

/// Confines this process and makes every attempt.
///
/// # Errors
/// A socket or path that the attempts need cannot be created.
pub fn run(
    kernel: &dyn Layers,
    layers: ProbeLayers,
    user: &ServiceUser,
    paths: &DaemonPaths,
) -> io::Result<Findings> {
    // First: a confined process can neither detect nor create these.
    let outside = OuterConfinement::detect();
    let fixtures = Fixtures::create(paths)?;
    // `Layer::ALL` has the order in which the daemon applies its layers.
    let wanted = Layer::ALL.into_iter().filter(|layer| match layers {
        ProbeLayers::All => true,
        ProbeLayers::Only(only) => only == *layer,
        ProbeLayers::None => false,
    });
    let layers: Vec<_> = wanted
        .map(|layer| {
            let status = match layer {
                Layer::Privileges => kernel.drop_privileges(user),
                Layer::Landlock => kernel.restrict_access(&paths.rules()),
                Layer::Limits => kernel.set_limits(),
                Layer::Seccomp => kernel.filter_calls(tables::SYSCALLS),
            };
            (layer, status)
        })
        .collect();
    let in_force = InForce::detect(&outside, &layers);
    let attempts = attempts::all().map(|attempt| AttemptResult {
        attempt: attempt.name,
        outcome: in_force.outcome(attempt, &fixtures),
    });
    Ok(Findings {
        attempts: attempts.collect(),
        outside,
        layers,
    })
}

/// The layers that are in force, as harmless calls show.
struct InForce<'a> {
    outside: &'a OuterConfinement,
    seccomp: bool,
    landlock: bool,
    limits: bool,
    no_new_tasks: bool,
    is_root: bool,
    pid: u32,
}

impl<'a> InForce<'a> {
    fn detect(outside: &'a OuterConfinement, layers: &[(Layer, LayerStatus)]) -> Self {
        let is_applied = |wanted| {
            layers.iter().any(|(layer, status)| {
                *layer == wanted && !matches!(status, LayerStatus::Missing(_))
            })
        };
        // Every user may list `/`, unless Landlock, or a profile with the same effect, is in force.
        let root = attempts::open(fixtures::c_str(c"/"), libc::O_DIRECTORY);
        let opened = call(libc::SYS_openat, root);
        if let Ok(descriptor) = opened {
            close(descriptor);
        }
        Self {
            outside,
            // getppid(2) never fails, except by a filter.
            seccomp: is_applied(Layer::Seccomp)
                && call(libc::SYS_getppid, [0; 6]) == Err(Errno::EPERM),
            landlock: is_applied(Layer::Landlock) && opened == Err(Errno::EACCES),
            limits: is_applied(Layer::Limits),
            no_new_tasks: limits::are_tasks_forbidden(),
            is_root: nix::unistd::geteuid().is_root(),
            pid: std::process::id(),
        }
    }

    fn outcome(&self, attempt: &Attempt, fixtures: &Fixtures) -> Outcome {
        let arguments = (attempt.arguments)(fixtures);
        let filter = self.refusing_filter(attempt.number, &arguments);
        let is_safe = match attempt.precondition {
            Precondition::None => true,
            Precondition::FilterOrLandlock => filter.is_some() || self.landlock,
            Precondition::Filter => filter.is_some(),
            Precondition::FilterOrTaskLimit => filter.is_some() || self.no_new_tasks,
        };
        if !is_safe {
            return Outcome::NotTried;
        }
        if arguments[0] == fixtures::UNAVAILABLE {
            return Outcome::Stopped {
                error: "EAFNOSUPPORT",
                by: StoppedBy::Kernel,
            };
        }
        match call(attempt.number, arguments) {
            Ok(result) => {
                clean_up(attempt.cleanup, result, &arguments);
                Outcome::LetThrough("success")
            }
            Err(errno) => self.judge(attempt, errno, filter),
        }
    }

    /// The seccomp filter that refuses this call: ours, or else an outer one. The rules of an
    /// outer filter cannot be read. It is taken for the one rendered from the tables, and
    /// refuses what the startup tables do not permit; a filter that compares numbers alone
    /// refuses only what they do not list.
    fn refusing_filter(&self, number: i64, arguments: &[u64; 6]) -> Option<StoppedBy> {
        if self.seccomp && !tables::permits(number, arguments, self.pid) {
            return Some(StoppedBy::Seccomp);
        }
        let is_permitted = match self.outside.filter {
            OuterFilter::None => return None,
            OuterFilter::ByArguments => startup::permits(number, arguments, self.pid),
            OuterFilter::ByNumber => startup::lists(number),
        };
        (!is_permitted).then_some(StoppedBy::Outside)
    }

    fn judge(&self, attempt: &Attempt, errno: Errno, filter: Option<StoppedBy>) -> Outcome {
        let is_file = attempt.target == Target::File;
        let by = match (errno, filter) {
            (Errno::EPERM, Some(filter)) => filter,
            (Errno::EPERM | Errno::EACCES, _) => self.denied_by(attempt),
            (Errno::EAGAIN, _) if self.no_new_tasks => StoppedBy::Limits,
            // systemd's RestrictAddressFamilies= and runc's default action give these errors.
            (Errno::EAFNOSUPPORT | Errno::ENOSYS, _)
                if self.outside.filter != OuterFilter::None =>
            {
                StoppedBy::Outside
            }
            (Errno::EAFNOSUPPORT | Errno::ENOSYS, _) => StoppedBy::Kernel,
            (Errno::ENOENT, _) if is_file => StoppedBy::Hidden,
            (Errno::EROFS, _) if is_file => StoppedBy::ReadOnly,
            _ => return Outcome::LetThrough(name(errno)),
        };
        let error = name(errno);
        Outcome::Stopped { error, by }
    }

    /// The layer behind an `EPERM` or `EACCES` that no filter explains. Landlock and the usual
    /// permissions give the same errors; only root, which has all permissions, can tell them
    /// apart.
    fn denied_by(&self, attempt: &Attempt) -> StoppedBy {
        // The target tells which of the daemon's own layers can refuse it.
        if self.landlock && matches!(attempt.target, Target::File | Target::Landlock) {
            if self.is_root {
                StoppedBy::Landlock
            } else {
                StoppedBy::LandlockOrPermissions
            }
        } else if self.limits && attempt.target == Target::Memory {
            StoppedBy::Limits
        } else if self.outside.is_profile_enforced() {
            StoppedBy::AppArmorOrPermissions
        } else if self.outside.filter != OuterFilter::None {
            StoppedBy::Outside
        } else {
            StoppedBy::Permissions
        }
    }
}

/// Removes what an attempt created although it should have been stopped.
fn clean_up(cleanup: Cleanup, result: i64, arguments: &[u64; 6]) {
    let [first, second, third, ..] = *arguments;
    match cleanup {
        Cleanup::None => (),
        Cleanup::Close => close(result),
        Cleanup::CloseAndUnlink => {
            close(result);
            unlink(first, second, 0);
        }
        Cleanup::Unlink => unlink(first, second, 0),
        Cleanup::UnlinkSymlink => unlink(second, third, 0),
        Cleanup::RemoveDirectory => unlink(first, second, libc::AT_REMOVEDIR.unsigned_abs()),
    }
}

fn close(descriptor: i64) {
    if let Ok(descriptor) = i32::try_from(descriptor) {
        // The attempt has just created it. If it cannot be closed, it closes with the process.
        let _ = nix::unistd::close(descriptor);
    }
}

fn unlink(directory: u64, name: u64, flags: u32) {
    let arguments = [directory, name, u64::from(flags), 0, 0, 0];
    // A file that cannot be removed either stays; the attempt is reported as let through.
    let _ = call(libc::SYS_unlinkat, arguments);
}

#[expect(
    unsafe_code,
    reason = "the probe makes calls that no library wraps, with arguments that are wrong"
)]
#[expect(clippy::many_single_char_names, reason = "six arguments without names")]
fn call(number: i64, arguments: [u64; 6]) -> Result<i64, Errno> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the numbers and arguments are those of the table of attempts and of the three
    // calls above. Each pointer among them is null, or 1, which no process can map
    // (mmap_min_addr), or points to a static C string, or into the fixtures, which outlive the
    // call. None of the calls writes through a valid pointer, except process_vm_readv(2), into
    // the fixture's own page, which nothing else uses. mmap(2) is called without MAP_FIXED, so it
    // replaces no mapping; mprotect(2) only adds rights to that page. A call that makes a task,
    // or ends or replaces this process, is made only if a filter or limit refuses it.
    Errno::result(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

/// The name of an error, as errno(3) has it.
fn name(errno: Errno) -> &'static str {
    const NAMES: &[(Errno, &str)] = &[
        (Errno::EPERM, "EPERM"),
        (Errno::EACCES, "EACCES"),
        (Errno::ENOSYS, "ENOSYS"),
        (Errno::EINVAL, "EINVAL"),
        (Errno::EFAULT, "EFAULT"),
        (Errno::EBADF, "EBADF"),
        (Errno::ENOENT, "ENOENT"),
        (Errno::EEXIST, "EEXIST"),
        (Errno::ECONNREFUSED, "ECONNREFUSED"),
        (Errno::EOPNOTSUPP, "EOPNOTSUPP"),
        (Errno::EPROTONOSUPPORT, "EPROTONOSUPPORT"),
        (Errno::EAFNOSUPPORT, "EAFNOSUPPORT"),
        (Errno::ENODEV, "ENODEV"),
        (Errno::ENOTTY, "ENOTTY"),
        (Errno::ENOTBLK, "ENOTBLK"),
        (Errno::EXDEV, "EXDEV"),
        (Errno::ESRCH, "ESRCH"),
        (Errno::EROFS, "EROFS"),
        (Errno::EAGAIN, "EAGAIN"),
    ];
    NAMES
        .iter()
        .find(|(known, _)| *known == errno)
        .map_or_else(|| errno.desc(), |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn attempts_have_unique_names() {
        let names: HashSet<_> = attempts::all().map(|attempt| attempt.name).collect();
        assert_eq!(names.len(), attempts::all().count());
        assert!(names.len() >= 30, "{}", names.len());
    }

    #[test]
    fn harmful_attempts_are_refused_calls() {
        let paths = DaemonPaths {
            configuration: "/nowhere/config.toml".into(),
            ssh_directory: "/nowhere/ssh".into(),
            log_directory: "/nowhere/log".into(),
            ..DaemonPaths::default()
        };
        let fixtures = Fixtures::create(&paths).unwrap();
        for attempt in attempts::all().filter(|a| a.precondition != Precondition::None) {
            let arguments = (attempt.arguments)(&fixtures);
            let permitted = tables::permits(attempt.number, &arguments, 1);
            assert!(!permitted, "{}", attempt.name);
        }
    }
}
