//! The confinement that is in force before this process applies its own: that of a systemd
//! unit, a container's runtime or `AppArmor`.

use nix::errno::Errno;
use pulse_sensors::shown::is_active;
use std::fmt;
use std::path::Path;

/// Longer than any label: a profile's name is at most a path.
const MAX_LABEL_BYTES: usize = 8 * 1024;

/// The outer confinement of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OuterConfinement {
    pub(crate) filter: OuterFilter,
    profile: Option<Profile>,
}

/// A seccomp filter that somebody else installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OuterFilter {
    #[default]
    None,
    /// Refuses calls by their number, as systemd's `SystemCallFilter=` does.
    ByNumber,
    /// Compares arguments too, as the OCI profile does.
    ByArguments,
}

/// An `AppArmor` profile and its mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) is_enforced: bool,
}

impl OuterConfinement {
    /// Detects the outer confinement. To be called before this process applies a layer of its
    /// own, since their effects cannot be told apart afterwards.
    #[must_use]
    pub fn detect() -> Self {
        Self {
            filter: filter(),
            profile: profile(),
        }
    }

    pub(crate) fn is_profile_enforced(&self) -> bool {
        self.profile.as_ref().is_some_and(|p| p.is_enforced)
    }
}

impl fmt::Display for OuterConfinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut found = Vec::new();
        if let Some(profile) = &self.profile {
            let mode = if profile.is_enforced {
                "enforced"
            } else {
                "complaining"
            };
            found.push(format!("AppArmor profile {}, {mode}", profile.name));
        }
        if self.filter != OuterFilter::None {
            found.push("a filter of system calls".to_owned());
        }
        if found.is_empty() {
            f.write_str("nothing")
        } else {
            f.write_str(&found.join("; "))
        }
    }
}

/// `/proc/self/status` says that there is a filter and not what it refuses. So two calls are
/// made that our own tables refuse and that return `EPERM` only because of a filter.
fn filter() -> OuterFilter {
    /// Unassigned: no driver knows an ioctl(2) request of this number.
    const UNKNOWN_REQUEST: libc::c_ulong = 0x5500;
    if !is_refused(libc::SYS_getpriority, [0, 0]) {
        OuterFilter::None
    } else if is_refused(libc::SYS_ioctl, [libc::c_ulong::MAX, UNKNOWN_REQUEST]) {
        // The units permit ioctl; without a comparison of arguments it fails with EBADF.
        OuterFilter::ByArguments
    } else {
        OuterFilter::ByNumber
    }
}

#[expect(
    unsafe_code,
    reason = "the calls are made to see whether a filter refuses them"
)]
fn is_refused(number: libc::c_long, [first, second]: [libc::c_ulong; 2]) -> bool {
    // SAFETY: getpriority(2) takes two integers. ioctl(2) is given a descriptor of -1 and
    // fails with EBADF before it looks at the request, so it dereferences no pointer.
    Errno::result(unsafe { libc::syscall(number, first, second, 0) }) == Err(Errno::EPERM)
}

/// The label of this process, `name (mode)` (apparmor(7)). Older kernels lack the first file;
/// with another security module beside `AppArmor`, the second can be that module's.
fn profile() -> Option<Profile> {
    let files = [
        "/proc/self/attr/apparmor/current",
        "/proc/self/attr/current",
    ];
    let label = files
        .iter()
        .find_map(|file| pulse_files::read_text(Path::new(file), MAX_LABEL_BYTES).ok())?;
    parse_label(&label)
}

pub(crate) fn parse_label(label: &str) -> Option<Profile> {
    let (name, mode) = label.trim_end_matches(['\n', '\0']).rsplit_once(" (")?;
    // It is logged, and whoever loads a profile chooses its name.
    Some(Profile {
        name: name.chars().filter(|c| !is_active(*c)).take(80).collect(),
        is_enforced: mode == "enforce)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_gives_profile_and_mode() {
        let profile = parse_label("pulse-sensor-proxy (enforce)\n").unwrap();
        assert_eq!(
            (profile.name.as_str(), profile.is_enforced),
            ("pulse-sensor-proxy", true)
        );
        let complaining = parse_label("pulse-sensor-proxy (complain)\n").unwrap();
        assert!(!complaining.is_enforced);
        assert_eq!(parse_label("unconfined\n"), None);
    }

    #[test]
    fn display_names_profile_and_filter() {
        assert_eq!(OuterConfinement::default().to_string(), "nothing");
        let outside = OuterConfinement {
            filter: OuterFilter::ByArguments,
            profile: parse_label("p (enforce)"),
        };
        assert_eq!(
            outside.to_string(),
            "AppArmor profile p, enforced; a filter of system calls"
        );
    }
}
