//! What held this process before it put anything on itself: a unit, a container's
//! runtime, `AppArmor`.

use nix::errno::Errno;
use pulse_sensors::shown::is_active;
use std::fmt;
use std::path::Path;

/// Longer than any label: a profile's name is a path at most.
const MAX_LABEL_BYTES: usize = 8 * 1024;

/// What holds from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// A filter of system calls, and whether it looks at arguments.
    pub(crate) filter: Option<Filter>,
    /// The profile, and whether it is enforced.
    pub(crate) profile: Option<Profile>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) sees_arguments: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) is_enforced: bool,
}

impl Outside {
    /// Looks, before anything is put on. A filter is found by calls that nobody who
    /// serves makes and that cannot fail but by a filter.
    #[must_use]
    pub fn look() -> Self {
        Self {
            filter: filter(),
            profile: profile(),
        }
    }

    /// Whether `AppArmor` refuses what its profile does not list.
    pub(crate) fn is_profile_enforced(&self) -> bool {
        self.profile.as_ref().is_some_and(|p| p.is_enforced)
    }
}

impl fmt::Display for Outside {
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
        if self.filter.is_some() {
            found.push("a filter of system calls".to_owned());
        }
        if found.is_empty() {
            f.write_str("nothing")
        } else {
            f.write_str(&found.join("; "))
        }
    }
}

fn filter() -> Option<Filter> {
    const NOTHING: libc::c_ulong = 0x5500;
    is_refused(libc::SYS_getpriority, [0, 0]).then(|| Filter {
        // Without a filter for arguments it fails with EBADF.
        sees_arguments: is_refused(libc::SYS_ioctl, [libc::c_ulong::MAX, NOTHING]),
    })
}

#[expect(
    unsafe_code,
    reason = "the calls are made to see whether they are refused"
)]
fn is_refused(number: libc::c_long, [first, second]: [libc::c_ulong; 2]) -> bool {
    // SAFETY: getpriority(2) takes numbers; ioctl(2) is given no open descriptor.
    let outcome = unsafe { libc::syscall(number, first, second, 0) };
    Errno::result(outcome) == Err(Errno::EPERM)
}

/// `name (enforce)`, as the kernel says it (apparmor(7)).
fn profile() -> Option<Profile> {
    let places = [
        "/proc/self/attr/apparmor/current",
        "/proc/self/attr/current",
    ];
    let label = places
        .iter()
        .find_map(|place| pulse_files::read_text(Path::new(place), MAX_LABEL_BYTES).ok())?;
    parse_label(&label)
}

pub(crate) fn parse_label(label: &str) -> Option<Profile> {
    let (name, mode) = label.trim_end_matches(['\n', '\0']).rsplit_once(" (")?;
    let printable = name.chars().filter(|c| !is_active(*c)).take(80);
    Some(Profile {
        name: printable.collect(),
        is_enforced: mode == "enforce)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_the_kernel_writes_them() {
        let profile = parse_label("pulse-sensor-proxy (enforce)\n").unwrap();
        assert_eq!(
            (profile.name.as_str(), profile.is_enforced),
            ("pulse-sensor-proxy", true)
        );
        assert!(
            !parse_label("pulse-sensor-proxy (complain)\n")
                .unwrap()
                .is_enforced
        );
        assert_eq!(parse_label("unconfined\n"), None);
    }

    #[test]
    fn what_is_there_is_told() {
        assert_eq!(Outside::default().to_string(), "nothing");
        let outside = Outside {
            filter: Some(Filter {
                sees_arguments: true,
            }),
            profile: parse_label("p (enforce)"),
        };
        assert_eq!(
            outside.to_string(),
            "AppArmor profile p, enforced; a filter of system calls"
        );
    }
}
