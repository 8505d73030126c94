//! Trying what an attacker would, from inside the confinement.
//!
//! The process that asks for this is confined for good and is of no use
//! afterwards. Every attempt has arguments that do no harm even where the call is
//! let through, or is left out unless a layer that stops it is in force: which is
//! found out by trying something harmless, not by believing what was reported.

mod attempts;
mod ground;

use crate::layers::{Hold, Layer, Layers};
use crate::limits;
use crate::outside::Outside;
use crate::privileges::ServiceUser;
use crate::rules::Places;
use crate::tables::{self, startup};
use attempts::{Attempt, Care, Undo};
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
    /// The number of tasks, or the memory, may not grow.
    Limits,
    /// Either the enforced profile, or what any user without privileges may not.
    AppArmorOrPermissions,
    /// What holds the process from outside: a unit's or a container's filter.
    Outside,
    /// It is not there in the file system that the process sees.
    Hidden,
    /// That file system cannot be written.
    ReadOnly,
    /// The process has no privilege for it.
    Permissions,
    /// The kernel has no such call.
    Kernel,
}

/// Which layers the probe puts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wear {
    /// All, as the daemon.
    All,
    /// This one.
    One(Layer),
    /// None: what stops the attempts holds from outside.
    Nothing,
}

impl Wear {
    fn includes(self, layer: Layer) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => one == layer,
            Self::Nothing => false,
        }
    }
}

impl By {
    /// In a word or three.
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

/// What the probe found.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What held the process before.
    pub outside: Outside,
    /// The layers that were put on, and how they hold.
    pub layers: Vec<(Layer, Hold)>,
    /// Every attempt.
    pub tried: Vec<Tried>,
}

/// Confines this process and tries everything.
///
/// # Errors
/// When what the attempts need cannot be made.
pub fn run(
    kernel: &dyn Layers,
    wear: Wear,
    user: &ServiceUser,
    places: &Places,
) -> io::Result<Findings> {
    let outside = Outside::look();
    let ground = Ground::prepare(places)?;
    let worn = Layer::ALL.into_iter().filter(|layer| wear.includes(*layer));
    let layers: Vec<_> = worn
        .map(|layer| (layer, put_on(layer, kernel, user, places)))
        .collect();
    let force = InForce::look(&outside, &layers);
    let tried = attempts::all().map(|attempt| Tried {
        what: attempt.what,
        outcome: force.attempt(attempt, &ground),
    });
    let tried = tried.collect();
    Ok(Findings {
        outside,
        layers,
        tried,
    })
}

fn put_on(layer: Layer, kernel: &dyn Layers, user: &ServiceUser, places: &Places) -> Hold {
    match layer {
        Layer::Privileges => kernel.drop_privileges(user),
        Layer::Landlock => kernel.restrict_access(&places.rules()),
        Layer::Limits => kernel.limit(),
        Layer::Seccomp => kernel.filter_calls(tables::SYSCALLS),
    }
}

/// What is in force, as trying shows.
struct InForce<'a> {
    outside: &'a Outside,
    seccomp: bool,
    landlock: bool,
    limits: bool,
    no_more_tasks: bool,
    is_root: bool,
    pid: u32,
}

impl<'a> InForce<'a> {
    fn look(outside: &'a Outside, layers: &[(Layer, Hold)]) -> Self {
        let is_worn = |wanted| {
            let mut worn = layers.iter();
            worn.any(|(layer, hold)| *layer == wanted && !matches!(hold, Hold::Missing(_)))
        };
        Self {
            outside,
            seccomp: is_worn(Layer::Seccomp) && is_filter_felt(),
            landlock: is_worn(Layer::Landlock) && is_root_directory_closed(),
            limits: is_worn(Layer::Limits),
            no_more_tasks: limits::are_tasks_forbidden(),
            is_root: nix::unistd::geteuid().is_root(),
            pid: std::process::id(),
        }
    }

    fn attempt(&self, attempt: &Attempt, ground: &Ground) -> Outcome {
        let arguments = (attempt.arguments)(ground);
        let refused = self.refuses(attempt.number, &arguments);
        let may_try = match attempt.care {
            Care::None => true,
            Care::Either => refused.is_some() || self.landlock,
            Care::Filter => refused.is_some(),
            Care::FilterOrLimit => refused.is_some() || self.no_more_tasks,
        };
        if !may_try {
            return Outcome::NotTried;
        }
        if arguments[0] == ground::NOT_HERE {
            let (error, by) = ("EAFNOSUPPORT", By::Kernel);
            return Outcome::Stopped { error, by };
        }
        match call(attempt.number, arguments) {
            Ok(result) => {
                undo(attempt.undo, result, &arguments);
                Outcome::LetThrough("success")
            }
            Err(errno) => self.judge(attempt, errno, refused),
        }
    }

    /// Which filter refuses this call: ours, or the one around us, of which only that
    /// is believed which it could not permit.
    fn refuses(&self, number: i64, arguments: &[u64; 6]) -> Option<By> {
        if self.seccomp && !tables::permits(number, arguments, self.pid) {
            return Some(By::Seccomp);
        }
        let filter = self.outside.filter?;
        let is_permitted = if filter.sees_arguments {
            startup::permits(number, arguments, self.pid)
        } else {
            startup::knows(number)
        };
        (!is_permitted).then_some(By::Outside)
    }

    fn judge(&self, attempt: &Attempt, errno: Errno, refused: Option<By>) -> Outcome {
        let by = match (errno, refused) {
            (Errno::EPERM, Some(filter)) => filter,
            (Errno::EPERM | Errno::EACCES, _) => self.denied_by(attempt),
            (Errno::EAGAIN, _) if self.no_more_tasks => By::Limits,
            (Errno::EAFNOSUPPORT | Errno::ENOSYS, _) if self.outside.filter.is_some() => {
                By::Outside
            }
            (Errno::EAFNOSUPPORT | Errno::ENOSYS, _) => By::Kernel,
            (Errno::ENOENT, _) if attempt.of_files => By::Hidden,
            (Errno::EROFS, _) if attempt.of_files => By::ReadOnly,
            _ => return Outcome::LetThrough(name(errno)),
        };
        let error = name(errno);
        Outcome::Stopped { error, by }
    }

    fn denied_by(&self, attempt: &Attempt) -> By {
        match attempt.landlock && self.landlock {
            true if self.is_root => By::Landlock,
            true => By::LandlockOrPermissions,
            false if attempt.of_memory && self.limits => By::Limits,
            false if self.outside.is_profile_enforced() => By::AppArmorOrPermissions,
            false if self.outside.filter.is_some() => By::Outside,
            false => By::Permissions,
        }
    }
}

/// Nobody is refused this call but by a filter.
fn is_filter_felt() -> bool {
    call(libc::SYS_getppid, [0; 6]) == Err(Errno::EPERM)
}

/// Nobody may not list `/` but by Landlock, or by a profile that does the same.
fn is_root_directory_closed() -> bool {
    let mut root = [0; 6];
    root[0] = attempts::HERE;
    root[1] = c"/".as_ptr().addr() as u64;
    root[2] = u64::from(libc::O_DIRECTORY.unsigned_abs());
    let opened = call(libc::SYS_openat, root);
    if let Ok(descriptor) = opened {
        close(descriptor);
    }
    opened == Err(Errno::EACCES)
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
#[expect(clippy::many_single_char_names, reason = "six arguments without names")]
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
        (Errno::EROFS, "EROFS"),
        (Errno::EAGAIN, "EAGAIN"),
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
        let names: HashSet<_> = attempts::all().map(|attempt| attempt.what).collect();
        assert_eq!(names.len(), attempts::all().count());
        assert!(names.len() >= 30, "{}", names.len());
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
        for attempt in attempts::all().filter(|a| a.care != Care::None) {
            let arguments = (attempt.arguments)(&ground);
            let permitted = tables::permits(attempt.number, &arguments, 1);
            assert!(!permitted, "{}", attempt.what);
        }
    }
}
