//! Trying what an attacker would, from inside the confinement.
//!
//! The process that asks for this is confined for good and is of no use
//! afterwards. Every attempt has arguments that do no harm even where the call is
//! let through, or is left out unless a layer that stops it is in force: which is
//! found out by trying something harmless, not by believing what was reported.

mod attempts;
mod ground;

use crate::layers::{Hold, Layer, Layers};
use crate::privileges::ServiceUser;
use crate::rules::Places;
use crate::tables;
use attempts::{ATTEMPTS, Attempt, Care, Undo};
use ground::Ground;
use nix::errno::Errno;
use std::io;

/// What was tried, and what came of it.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What an attacker would want.
    pub what: &'static str,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was refused.
    Stopped {
        /// With this error.
        error: &'static str,
        /// By this.
        by: By,
    },
    /// It was not refused: it succeeded, or only its harmless arguments failed.
    LetThrough(&'static str),
    /// What is needed for trying it without harm is not in force.
    NotTried,
}

/// What stopped an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The filter of system calls.
    Seccomp,
    /// The rules for files, ports and processes.
    Landlock,
    /// Either Landlock, or what any user without privileges may not.
    LandlockOrPermissions,
    /// The process has no privilege for it.
    Permissions,
    /// The kernel has no such call.
    Kernel,
}

impl By {
    /// In a word or three.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
            Self::LandlockOrPermissions => "landlock or permissions",
            Self::Permissions => "permissions",
            Self::Kernel => "not in this kernel",
        }
    }
}

/// What the probe found.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The layers that were put on, and how they hold.
    pub layers: Vec<(Layer, Hold)>,
    /// Every attempt.
    pub tried: Vec<Tried>,
}

/// Confines this process, by `only` this layer or by all, and tries everything.
///
/// # Errors
/// When what the attempts need cannot be made.
pub fn run(
    kernel: &dyn Layers,
    only: Option<Layer>,
    user: &ServiceUser,
    places: &Places,
) -> io::Result<Findings> {
    let ground = Ground::prepare(places)?;
    let mut layers = Vec::new();
    let is_wanted = |layer| only.is_none_or(|only| only == layer);
    if is_wanted(Layer::Privileges) {
        layers.push((Layer::Privileges, kernel.drop_privileges(user)));
    }
    if is_wanted(Layer::Landlock) {
        layers.push((Layer::Landlock, kernel.restrict_access(&places.rules())));
    }
    if is_wanted(Layer::Seccomp) {
        layers.push((Layer::Seccomp, kernel.filter_calls(tables::SYSCALLS)));
    }
    let force = InForce::look();
    let tried = ATTEMPTS.iter().map(|attempt| Tried {
        what: attempt.what,
        outcome: force.attempt(attempt, &ground),
    });
    let tried = tried.collect();
    Ok(Findings { layers, tried })
}

/// Which layers are in force, as trying shows.
struct InForce {
    seccomp: bool,
    landlock: bool,
    is_root: bool,
    pid: u32,
}

impl InForce {
    fn look() -> Self {
        let nothing = [0; 6];
        // Neither can fail for anybody who is not confined.
        let parent = call(libc::SYS_getppid, nothing);
        let mut root = nothing;
        root[0] = attempts::HERE;
        root[1] = c"/".as_ptr().addr() as u64;
        root[2] = u64::from(libc::O_DIRECTORY.unsigned_abs());
        let root = call(libc::SYS_openat, root);
        if let Ok(descriptor) = root {
            close(descriptor);
        }
        Self {
            seccomp: parent == Err(Errno::EPERM),
            landlock: root == Err(Errno::EACCES),
            is_root: nix::unistd::geteuid().is_root(),
            pid: std::process::id(),
        }
    }

    fn attempt(&self, attempt: &Attempt, ground: &Ground) -> Outcome {
        let may_try = match attempt.care {
            Care::None => true,
            Care::Either => self.seccomp || self.landlock,
            Care::Seccomp => self.seccomp,
        };
        let arguments = (attempt.arguments)(ground);
        let is_filtered = self.seccomp && !tables::permits(attempt.number, &arguments, self.pid);
        if !may_try || (attempt.care == Care::Seccomp && !is_filtered) {
            return Outcome::NotTried;
        }
        match call(attempt.number, arguments) {
            Ok(result) => {
                undo(attempt.undo, result, &arguments);
                Outcome::LetThrough("success")
            }
            Err(errno) => self.judge(attempt, errno, is_filtered),
        }
    }

    fn judge(&self, attempt: &Attempt, errno: Errno, is_filtered: bool) -> Outcome {
        let by = match errno {
            Errno::EPERM if is_filtered => By::Seccomp,
            Errno::EPERM | Errno::EACCES => match attempt.landlock && self.landlock {
                true if self.is_root => By::Landlock,
                true => By::LandlockOrPermissions,
                false => By::Permissions,
            },
            Errno::ENOSYS => By::Kernel,
            _ => return Outcome::LetThrough(name(errno)),
        };
        let error = name(errno);
        Outcome::Stopped { error, by }
    }
}

/// Takes back what an attempt made that should not have succeeded.
fn undo(how: Undo, result: i64, arguments: &[u64; 6]) {
    let [first, second, third, ..] = *arguments;
    match how {
        Undo::Nothing => (),
        Undo::Close => close(result),
        Undo::CloseAndUnlink => {
            close(result);
            unlink(first, second, 0);
        }
        Undo::Unlink => unlink(first, second, 0),
        Undo::UnlinkLink => unlink(second, third, 0),
        Undo::RemoveDirectory => unlink(first, second, libc::AT_REMOVEDIR.unsigned_abs()),
    }
}

fn close(descriptor: i64) {
    if let Ok(descriptor) = i32::try_from(descriptor) {
        // It is ours, and what we cannot close closes with us.
        let _ = nix::unistd::close(descriptor);
    }
}

fn unlink(directory: u64, name: u64, flags: u32) {
    let arguments = [directory, name, u64::from(flags), 0, 0, 0];
    // What may not be removed either is left: the attempt is reported anyway.
    let _ = call(libc::SYS_unlinkat, arguments);
}

#[expect(unsafe_code, reason = "the probe makes calls that nobody wraps")]
fn call(number: i64, arguments: [u64; 6]) -> Result<i64, Errno> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: pointers in the attempts are null, invalid on purpose, to static
    // text, or to what the ground holds; none of the calls writes through them but
    // into the ground's own buffer, maps over memory or ends a thread.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    Errno::result(result)
}

/// The name of an error as errno(3) has it.
fn name(errno: Errno) -> &'static str {
    const KNOWN: &[(Errno, &str)] = &[
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
    ];
    let known = KNOWN.iter().find(|(known, _)| *known == errno);
    known.map_or_else(|| errno.desc(), |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn there_are_enough_attempts_and_none_twice() {
        let names: HashSet<_> = ATTEMPTS.iter().map(|attempt| attempt.what).collect();
        assert_eq!(names.len(), ATTEMPTS.len());
        assert!(ATTEMPTS.len() >= 30, "{}", ATTEMPTS.len());
    }

    #[test]
    fn what_could_do_harm_is_never_a_call_that_the_filter_lets_through() {
        let places = Places {
            configuration: "/nowhere/config.toml".into(),
            ssh_directory: "/nowhere/ssh".into(),
            log_directory: "/nowhere/log".into(),
            ..Places::default()
        };
        let ground = Ground::prepare(&places).unwrap();
        for attempt in ATTEMPTS.iter().filter(|a| a.care != Care::None) {
            let arguments = (attempt.arguments)(&ground);
            let permitted = tables::permits(attempt.number, &arguments, 1);
            assert!(!permitted, "{}", attempt.what);
        }
    }
}
