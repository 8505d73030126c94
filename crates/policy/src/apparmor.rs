//! Profiles for `AppArmor` (apparmor.d(5)).

use crate::places::{self, PROGRAM};
use pulse_confine::tables::startup::{self, CAPABILITIES};
use pulse_confine::tables::{Access, FAMILIES, PATHS, Path};
use std::fmt::Write;

/// The daemon's. It holds from the start, so it permits what the daemon does until it
/// serves, too.
pub(crate) fn daemon() -> String {
    let mut text = head();
    section(&mut text, "The program and its libraries.");
    rule(&mut text, &format!("{PROGRAM} mr"), "itself");
    rule(
        &mut text,
        "/{,usr/}lib/{,@{multiarch}/}*.so* mr",
        "the dynamic build's libraries",
    );
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
    for capability in CAPABILITIES {
        let name = format!("capability {}", capability.name);
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
    text.push_str(
        "\n  # Other directories in the configuration need a line there.\n  \
         include if exists <local/pulse-sensor-proxy>\n}\n",
    );
    text
}

fn head() -> String {
    format!(
        "# AppArmor profile of pulse-sensor-proxy, written by `cargo xtask policy` from\n\
         # crates/confine/src/tables: what it does not list is refused. How to install,\n\
         # stage and enforce it: docs/hardening.md.\n\
         \n\
         abi <abi/3.0>,\n\
         \n\
         include <tunables/global>\n\
         \n\
         profile pulse-sensor-proxy {PROGRAM} {{\n"
    )
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
        Access::ReadDirectory | Access::MakeDirectory => None,
    };
    in_order(&access.iter().filter_map(letter).collect::<Vec<_>>())
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
    "rwk"
        .chars()
        .filter(|letter| found.contains(letter))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_may_be_executed_and_nothing_unconfined() {
        let text = daemon();
        let rules = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.starts_with('#') && l.ends_with(','));
        for rule in rules {
            let access = rule.trim_end_matches(',').rsplit(' ').next().unwrap_or("");
            let is_path = rule.starts_with('/') || rule.starts_with('@');
            assert!(!is_path || !access.contains('x'), "{rule}");
        }
        assert!(!text.contains("ux") && !text.contains("flags="), "{text}");
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
