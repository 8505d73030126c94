//! Profiles for `AppArmor` (apparmor.d(5)).

use super::places::{self, HELPER, PROGRAM};
use crate::tables::startup::{self, CAPABILITIES, PATHS_OF_ROOT, QUIETLY_REFUSED};
use crate::tables::{Access, FAMILIES, PATHS, Path, helper as helper_tables};
use std::fmt::Write;

/// The daemon's. It holds from the start, so it permits what the daemon does until it
/// serves, too.
pub(crate) fn daemon() -> String {
    let mut text = head("pulse-sensor-proxy", PROGRAM, "docs/hardening.md");
    section(&mut text, "The program and its libraries.");
    rule(&mut text, &format!("{PROGRAM} mr"), "itself");
    rule(&mut text, LIBRARIES, "the dynamic build's libraries");
    section(&mut text, "While it serves.");
    paths(&mut text, PATHS);
    section(&mut text, "Until it serves.");
    paths(&mut text, startup::PATHS);
    section(&mut text, "Sockets. AppArmor does not know ports.");
    for family in FAMILIES {
        let name = family.name.trim_start_matches("AF_").to_lowercase();
        rule(&mut text, &format!("network {name} stream"), family.reason);
    }
    rule(&mut text, "network unix stream", "callers");
    rule(
        &mut text,
        "network unix dgram",
        "systemd is told how we fare, the journal gets our log",
    );
    section(&mut text, "Started as root, it becomes the service's user.");
    paths(&mut text, PATHS_OF_ROOT);
    for capability in CAPABILITIES {
        let name = format!("capability {}", capability.name);
        rule(&mut text, &name, capability.reason);
    }
    for capability in QUIETLY_REFUSED {
        let name = format!("deny capability {}", capability.name);
        rule(&mut text, &name, capability.reason);
    }
    section(&mut text, "Signals.");
    rule(
        &mut text,
        "signal (receive) peer=unconfined",
        "who may signal it anyway may end it or have it read its configuration",
    );
    rule(
        &mut text,
        "signal (send, receive) peer=@{profile_name}",
        "abort: a signal to itself",
    );
    end(
        &mut text,
        "pulse-sensor-proxy",
        "Other directories in the configuration need a line there.",
    );
    text
}

/// The helper's, on the nodes. It holds `ipmitool` too, which the helper starts.
pub(crate) fn helper() -> String {
    let mut text = head("pulse-sensor-node", HELPER, "docs/nodes.md");
    section(&mut text, "The program.");
    rule(&mut text, &format!("{HELPER} mr"), "itself");
    rule(
        &mut text,
        "@{PROC}/@{pid}/maps r",
        "the C library looks where its stack ends",
    );
    section(&mut text, "A reading.");
    paths(&mut text, helper_tables::PATHS);
    section(&mut text, "Where the BMC is asked, ipmitool.");
    paths(&mut text, helper_tables::IPMITOOL_PATHS);
    rule(&mut text, LIBRARIES, "its libraries' code");
    section(&mut text, "Sockets and signals.");
    rule(
        &mut text,
        "network unix stream",
        "what sshd hands over: requests, answers",
    );
    rule(
        &mut text,
        "signal (receive) peer=unconfined",
        "sshd, and who may signal it anyway, may end it",
    );
    rule(
        &mut text,
        "signal (send, receive) peer=@{profile_name}",
        "an ipmitool that does not end",
    );
    end(
        &mut text,
        "pulse-sensor-node",
        "Another directory than /sys needs a line there.",
    );
    text
}

const LIBRARIES: &str = "/{,usr/}lib/{,@{multiarch}/}*.so* mr";

fn head(name: &str, program: &str, page: &str) -> String {
    format!(
        "# AppArmor profile of {name}, written by `cargo xtask policy` from\n\
         # crates/sandbox/src/tables: what it does not list is refused. How to install,\n\
         # stage and enforce it: {page}.\n\
         \n\
         abi <abi/3.0>,\n\
         \n\
         include <tunables/global>\n\
         \n\
         profile {name} {program} {{\n"
    )
}

/// What an administrator adds is in a file of its own.
fn end(text: &mut String, name: &str, hint: &str) {
    let _ = writeln!(text, "\n  # {hint}\n  include if exists <local/{name}>\n}}");
}

fn section(text: &mut String, title: &str) {
    let before = if text.ends_with("{\n") { "" } else { "\n" };
    let _ = writeln!(text, "{before}  ## {title}");
}

fn rule(text: &mut String, rule: &str, reason: &str) {
    let _ = writeln!(text, "  # {reason}\n  {rule},");
}

fn paths(text: &mut String, paths: &[Path]) {
    for path in paths {
        let place = match places::of(path.whose) {
            place if place == "/proc" => "@{PROC}".to_owned(),
            place => place,
        };
        let _ = writeln!(text, "  # {}", path.reason);
        for line in lines(&place, path) {
            let _ = writeln!(text, "  {line},");
        }
    }
}

/// The directory, and what is meant below it; or the file itself.
fn lines(place: &str, path: &Path) -> Vec<String> {
    let (file, directory) = (letters(path.access), letters_of_directory(path.access));
    let mut lines = Vec::new();
    if !directory.is_empty() {
        lines.push(format!("{place}/ {directory}"));
    }
    match path.within {
        [] if directory.is_empty() => lines.push(format!("{place} {file}")),
        below => lines.extend(below.iter().map(|below| format!("{place}/{below} {file}"))),
    }
    lines
}

fn letters(access: &[Access]) -> String {
    let letter = |access: &Access| match access {
        Access::ReadFile => Some('r'),
        Access::WriteFile | Access::Truncate | Access::MakeFile | Access::RemoveFile => Some('w'),
        Access::Lock => Some('k'),
        // Mapped, and started under the same profile: `mix`.
        Access::Execute => Some('x'),
        Access::ReadDirectory | Access::MakeDirectory | Access::ControlDevice => None,
    };
    let found = in_order(&access.iter().filter_map(letter).collect::<Vec<_>>());
    found.replace('x', "mix")
}

fn letters_of_directory(access: &[Access]) -> String {
    let letter = |access: &Access| match access {
        Access::ReadDirectory => Some('r'),
        Access::MakeDirectory => Some('w'),
        Access::Lock => Some('k'),
        _ => None,
    };
    in_order(&access.iter().filter_map(letter).collect::<Vec<_>>())
}

/// Each letter once, as people write them.
fn in_order(found: &[char]) -> String {
    "rwkx"
        .chars()
        .filter(|letter| found.contains(letter))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every path, with its letters.
    fn paths_of(profile: &str) -> impl Iterator<Item = (&str, &str)> {
        let rules = profile.lines().map(str::trim);
        let of_paths = rules.filter(|rule| rule.starts_with(['/', '@']));
        of_paths.filter_map(|rule| rule.trim_end_matches(',').rsplit_once(' '))
    }

    /// The paths that may be executed.
    fn programs(profile: &str) -> Vec<&str> {
        let executed = paths_of(profile).filter(|(_, letters)| letters.contains('x'));
        executed.map(|(path, _)| path).collect()
    }

    #[test]
    fn nothing_may_be_executed_and_nothing_unconfined() {
        assert_eq!(programs(&daemon()), [""; 0]);
        for text in [daemon(), helper()] {
            let unconfined = paths_of(&text).find(|(_, letters)| letters.contains(['u', 'U']));
            assert_eq!(unconfined, None);
            assert!(!text.contains("flags="), "{text}");
        }
    }

    #[test]
    fn the_helper_may_start_ipmitool_under_its_own_profile_and_writes_to_a_bmc_alone() {
        let text = helper();
        for program in programs(&text) {
            assert!(
                program.ends_with("/ipmitool") || program.contains("/ld-"),
                "{program}"
            );
            assert!(text.contains(&format!("  {program} rmix,\n")), "{program}");
        }
        for line in text
            .lines()
            .filter(|line| line.starts_with("  /") && line.ends_with("w,"))
        {
            assert!(line.starts_with("  /dev/ipmi"), "{line}");
        }
        for line in [
            "  /sys/devices/** r,",
            "  /sys/block/ r,",
            "  /dev/ipmi0 rw,",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn records_are_written_and_the_configuration_is_only_read() {
        let text = daemon();
        for line in [
            "  /etc/pulse-sensor-proxy/* r,",
            "  /var/log/pulse/sensor-proxy/* rwk,",
            "  /var/log/pulse/sensor-proxy/ rk,",
            "  @{PROC}/@{pid}/cgroup r,",
            "  /etc/hosts r,",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
