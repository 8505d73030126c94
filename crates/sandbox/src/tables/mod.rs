//! The permissions of the daemon while it serves, and of the [`helper`], as data.
//!
//! Everything else is refused. Each line has its reason, so that it can be removed once the
//! reason is gone. From these tables are made the seccomp filter, the Landlock rules, the
//! verdicts of the probe and, by the `render` feature, the files for systemd, `AppArmor` and
//! container runtimes.

pub mod helper;
mod network;
#[cfg(feature = "render")]
pub(crate) mod outer;
mod paths;
pub(crate) mod startup;
mod syscalls;

pub use network::{FAMILIES, Family};
pub use paths::{Access, ConfiguredPath, PATHS, PathRule};
pub use syscalls::SYSCALLS;

/// A permitted system call.
#[derive(Clone, Copy, Debug)]
pub struct Syscall {
    /// Its constant, `SYS_` and the kernel's name.
    pub constant: &'static str,
    /// Its number on this architecture.
    pub number: i64,
    /// Alternatives: the call is permitted if its arguments pass every test of one of these
    /// lines. Without a line, any arguments are permitted.
    pub arguments: &'static [&'static [Argument]],
    /// The filter's action for a call that passes.
    pub action: Action,
    /// The builds that need it.
    pub need: Need,
    /// Why it is permitted.
    pub reason: &'static str,
}

impl Syscall {
    /// The kernel's name for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.constant.trim_start_matches("SYS_")
    }

    pub(crate) fn permits(&self, arguments: &[u64; 6], pid: u32) -> bool {
        let passes = |line: &&[Argument]| line.iter().all(|test| test.passes(arguments, pid));
        self.action == Action::Allow
            && (self.arguments.is_empty() || self.arguments.iter().any(passes))
    }
}

/// The filter's action for a listed call. A call that is not listed fails with `EPERM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The kernel executes the call.
    Allow,
    /// The call fails with `ENOSYS`, as on a kernel that lacks it. The C library then falls back
    /// to an older call, whose arguments a filter can compare.
    Enosys,
}

/// The builds that need a system call. A test leaves out each call that the tested build
/// needs, and checks that something fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Every build.
    Everywhere,
    /// The dynamic build.
    Glibc,
    /// The static build: musl makes other calls than glibc.
    Musl,
    /// Builds for another architecture, or any build on another kernel or machine. No test
    /// covers them.
    Elsewhere,
}

impl Need {
    /// True if this build, on a machine like the developer's, needs the call.
    #[must_use]
    pub fn applies_here(self) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Glibc => cfg!(not(target_env = "musl")),
            Self::Musl => cfg!(target_env = "musl"),
            Self::Elsewhere => false,
        }
    }
}

/// A test of one argument.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// The argument's index, from 0.
    pub(crate) index: u8,
    /// The test of its lower 32 bits: all tested arguments are C integers or flags, of which
    /// the kernel reads no more.
    pub(crate) test: Test,
}

/// A condition on an argument.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Test {
    /// The argument equals this value.
    Is(u32),
    /// The bits under the mask equal this value.
    Masked { mask: u32, value: u32 },
    /// The argument is the process ID of the daemon.
    OwnPid,
}

impl Argument {
    fn passes(&self, arguments: &[u64; 6], pid: u32) -> bool {
        // The lower half, as the filter compares it.
        let [a, b, c, d, ..] = arguments
            .get(usize::from(self.index))
            .copied()
            .unwrap_or_default()
            .to_le_bytes();
        let (mask, value) = self.test.mask_and_value(pid);
        u32::from_le_bytes([a, b, c, d]) & mask == value
    }
}

impl Test {
    /// The condition as a mask and the value under it.
    pub(crate) fn mask_and_value(self, pid: u32) -> (u32, u32) {
        match self {
            Self::Is(value) => (u32::MAX, value),
            Self::Masked { mask, value } => (mask, value),
            Self::OwnPid => (u32::MAX, pid),
        }
    }
}

/// True if [`SYSCALLS`] permits this call in process `pid`.
pub(crate) fn permits(number: i64, arguments: &[u64; 6], pid: u32) -> bool {
    SYSCALLS
        .iter()
        .filter(|call| call.number == number)
        .any(|call| call.permits(arguments, pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn lines_are_unique_and_have_reasons() {
        let mut numbers = HashSet::new();
        for call in SYSCALLS {
            assert!(numbers.insert(call.number), "{} twice", call.name());
            assert!(call.reason.len() > 5, "{} has no reason", call.name());
            assert!(call.constant.starts_with("SYS_") && !call.name().is_empty());
        }
        let mut paths = HashSet::new();
        for rule in PATHS {
            assert!(paths.insert(rule.path), "{:?} twice", rule.path);
            assert!(rule.reason.len() > 5 && !rule.access.is_empty());
        }
        assert!(FAMILIES.iter().all(|family| family.reason.len() > 5));
    }

    #[test]
    fn no_call_starts_a_program_or_task() {
        let never = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_ptrace,
            libc::SYS_prctl,
            libc::SYS_seccomp,
            libc::SYS_bind,
            libc::SYS_memfd_create,
            libc::SYS_io_uring_setup,
        ];
        for number in never {
            assert!(!permits(number, &[0; 6], 1), "{number}");
        }
    }

    #[test]
    fn only_log_and_state_are_writable() {
        for rule in PATHS {
            let writes = rule.access.contains(&Access::WriteFile);
            let is_log = matches!(
                rule.path,
                ConfiguredPath::LogDirectory | ConfiguredPath::StateDirectory
            );
            assert_eq!(writes, is_log, "{:?}", rule.path);
        }
    }

    #[test]
    fn arguments_are_compared() {
        let socket = |family, kind, protocol| {
            let arguments = [family, kind, protocol, 0, 0, 0];
            permits(libc::SYS_socket, &arguments, 1)
        };
        let cloexec = 0o2_000_000;
        assert!(socket(2, 1 | cloexec, 0) && socket(10, 1, 0));
        // UDP, MPTCP, raw, Unix, netlink, packet.
        for (family, kind, protocol) in [
            (2, 2, 0),
            (2, 1, 262),
            (2, 3, 1),
            (1, 1, 0),
            (16, 3, 0),
            (17, 3, 0),
        ] {
            assert!(
                !socket(family, kind, protocol),
                "{family} {kind} {protocol}"
            );
        }
        let map = |protection| permits(libc::SYS_mmap, &[0, 4096, protection, 0x22, 0, 0], 1);
        assert!(map(3) && !map(5) && !map(7) && !map(4));
        let signal = |pid| permits(libc::SYS_tgkill, &[pid, pid, 6, 0, 0, 0], 77);
        assert!(signal(77) && !signal(1));
        // The kernel ignores the upper 32 bits, and so does the test.
        assert!(!socket(2, 2 | 1 << 32, 0) && socket(2 | 1 << 32, 1, 0));
    }
}
