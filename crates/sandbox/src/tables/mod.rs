//! What the daemon may do once it serves, and what the [`helper`] may, as plain
//! data: one place for every enforcer.
//!
//! Whatever is not listed is refused. Each line says why it is there, so that it
//! can be taken away when that reason goes. The seccomp filter and the Landlock
//! rules are made from these tables, and so is the judgement of `confine-probe`.

pub mod helper;
mod network;
mod paths;
pub mod startup;
mod syscalls;

pub use network::{FAMILIES, Family, PORTS, Port};
pub use paths::{Access, PATHS, Path, Whose};
pub use syscalls::SYSCALLS;

/// One system call that is permitted.
#[derive(Clone, Copy, Debug)]
pub struct Syscall {
    /// The kernel's name for it, with `SYS_` before it.
    pub constant: &'static str,
    /// Its number on this architecture.
    pub number: i64,
    /// The arguments must pass all tests of one of these lines; without any, they
    /// may be whatever they are.
    pub arguments: &'static [&'static [Argument]],
    /// What who makes it is told.
    pub answer: Answer,
    /// Who needs it.
    pub need: Need,
    /// Why it is there.
    pub reason: &'static str,
}

impl Syscall {
    /// The kernel's name for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.constant.trim_start_matches("SYS_")
    }

    /// Whether it is permitted with these arguments in process `pid`.
    #[must_use]
    pub fn permits(&self, arguments: &[u64; 6], pid: u32) -> bool {
        let passes = |line: &&[Argument]| line.iter().all(|test| test.passes(arguments, pid));
        let fits = self.arguments.is_empty() || self.arguments.iter().any(passes);
        fits && self.answer == Answer::Permitted
    }
}

/// What who makes a call on a line is told; whoever makes another gets `EPERM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is the kernel's to answer.
    Permitted,
    /// The kernel has no such call (`ENOSYS`): then libraries make an older one.
    Absent,
}

/// Who needs a system call. The tests leave out each that their own build needs, and
/// see that it is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Every build.
    Everywhere,
    /// The dynamic build alone.
    Glibc,
    /// The static build alone: musl makes other calls than glibc.
    Musl,
    /// A kernel or a machine that is not like this one: no test shows it.
    Elsewhere,
}

impl Need {
    /// Whether this very build needs it, on a machine like this one.
    #[must_use]
    pub fn is_ours(self) -> bool {
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
    /// Counted from 0.
    pub index: u8,
    /// What it has to be. The kernel takes the lower 32 bits of all that are tested.
    pub test: Test,
}

/// What an argument has to be.
#[derive(Clone, Copy, Debug)]
pub enum Test {
    /// This value.
    Is(u32),
    /// This value, after all other bits are left out.
    Masked {
        /// The bits that count.
        mask: u32,
        /// What they must be.
        value: u32,
    },
    /// The daemon's own process id.
    OwnPid,
}

impl Argument {
    fn passes(&self, arguments: &[u64; 6], pid: u32) -> bool {
        // What the kernel compares too: these arguments are C integers.
        let argument = arguments.get(usize::from(self.index)).copied();
        let [a, b, c, d, ..] = argument.unwrap_or_default().to_le_bytes();
        let given = u32::from_le_bytes([a, b, c, d]);
        let (mask, value) = self.test.mask_and_value(pid);
        given & mask == value
    }
}

impl Test {
    /// As a mask and what is left under it.
    #[must_use]
    pub fn mask_and_value(self, pid: u32) -> (u32, u32) {
        match self {
            Self::Is(value) => (u32::MAX, value),
            Self::Masked { mask, value } => (mask, value),
            Self::OwnPid => (u32::MAX, pid),
        }
    }
}

/// Whether the tables permit this call in process `pid`.
#[must_use]
pub fn permits(number: i64, arguments: &[u64; 6], pid: u32) -> bool {
    let mut found = SYSCALLS.iter().filter(|call| call.number == number);
    found.any(|call| call.permits(arguments, pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_line_is_there_once_and_has_its_reason() {
        let mut numbers = HashSet::new();
        for call in SYSCALLS {
            assert!(numbers.insert(call.number), "{} twice", call.name());
            assert!(call.reason.len() > 5, "{} has no reason", call.name());
            assert!(call.constant.starts_with("SYS_") && !call.name().is_empty());
        }
        let mut places = HashSet::new();
        for path in PATHS {
            assert!(places.insert(path.whose), "{:?} twice", path.whose);
            assert!(path.reason.len() > 5 && !path.access.is_empty());
        }
        assert!(FAMILIES.iter().all(|family| family.reason.len() > 5));
        assert!(PORTS.iter().all(|port| port.reason.len() > 5));
    }

    #[test]
    fn what_starts_programs_or_processes_is_on_no_line() {
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
    fn no_path_may_be_executed_and_what_is_read_is_not_written() {
        for path in PATHS {
            let writes = path.access.contains(&Access::WriteFile);
            let is_records = matches!(path.whose, Whose::LogDirectory | Whose::StateDirectory);
            assert_eq!(writes, is_records, "{:?}", path.whose);
        }
    }

    #[test]
    fn arguments_decide() {
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
        // Bits that the kernel does not look at do not help.
        assert!(!socket(2, 2 | 1 << 32, 0) && socket(2 | 1 << 32, 1, 0));
    }
}
