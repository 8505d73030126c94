//! `AppArmor` profiles (apparmor.d(5)).

use super::paths::{HELPER, PROGRAM, default_path};
use crate::tables::outer::{self, CAPABILITIES, ROOT_PATHS, SILENTLY_DENIED};
use crate::tables::{Access, FAMILIES, PATHS, PathRule, helper as helper_tables};
use std::fmt::Write;

/// The daemon's profile. It is in force from the start, so it also permits what the daemon does
/// before it serves.
pub(crate) fn daemon() -> String {
    let mut text = head("pulse-sensor-proxy", PROGRAM, "docs/hardening.md");
    section(&mut text, "The program and its libraries.");
    rule(&mut text, &format!("{PROGRAM} mr"), "the program itself");
    rule(&mut text, LIBRARIES, "the libraries of the dynamic build");
    section(&mut text, "While it serves.");
    paths(&mut text, PATHS);
    section(&mut text, "Before it serves.");
    paths(&mut text, outer::PATHS);
    section(&mut text, "Sockets. AppArmor cannot restrict ports.");
    for family in FAMILIES {
        let name = family.name.trim_start_matches("AF_").to_lowercase();
        rule(&mut text, &format!("network {name} stream"), family.reason);
    }
    rule(&mut text, "network unix stream", "callers");
    rule(
        &mut text,
        "network unix dgram",
        "notifications to systemd, messages to the journal",
    );
    section(
        &mut text,
        "Started as root, it changes to the service's user.",
    );
    paths(&mut text, ROOT_PATHS);
    for capability in CAPABILITIES {
        let name = format!("capability {}", capability.name);
        rule(&mut text, &name, capability.reason);
    }
    for capability in SILENTLY_DENIED {
        let name = format!("deny capability {}", capability.name);
        rule(&mut text, &name, capability.reason);
    }
    section(&mut text, "Signals.");
    rule(
        &mut text,
        "signal (receive) peer=unconfined",
        "root and the service's user may stop or reload it",
    );
    rule(
        &mut text,
        "signal (send, receive) peer=@{profile_name}",
        "abort: a signal to this process",
    );
    end(
        &mut text,
        "pulse-sensor-proxy",
        "Add other directories of the configuration to this file.",
    );
    text
}

/// The helper's profile, which `ipmitool` inherits.
pub(crate) fn helper() -> String {
    let mut text = head("pulse-sensor-node", HELPER, "docs/nodes.md");
    section(&mut text, "The program.");
    rule(&mut text, &format!("{HELPER} mr"), "the program itself");
    rule(
        &mut text,
        "@{PROC}/@{pid}/maps r",
        "the C library finds the end of the stack",
    );
    section(
        &mut text,
        "Devices that hold an earlier helper, before Landlock.",
    );
    for path in [
        "@{PROC}/",
        "@{PROC}/@{pids}/comm",
        "@{PROC}/@{pids}/status",
        "@{PROC}/@{pids}/task/",
        "@{PROC}/@{pids}/task/@{tid}/status",
    ] {
        rule(
            &mut text,
            &format!("{path} r"),
            "the states of helpers and their threads",
        );
    }
    section(&mut text, "A reading.");
    paths(&mut text, helper_tables::PATHS);
    section(&mut text, "Queries of the BMC with ipmitool.");
    paths(&mut text, helper_tables::IPMITOOL_PATHS);
    rule(&mut text, LIBRARIES, "its libraries, mapped as code");
    section(&mut text, "Sockets and signals.");
    rule(
        &mut text,
        "network unix stream",
        "requests and replies, over sockets of sshd",
    );
    rule(
        &mut text,
        "signal (receive) peer=unconfined",
        "sshd, root and the helper's user may stop it",
    );
    rule(
        &mut text,
        "signal (send, receive) peer=@{profile_name}",
        "stops an ipmitool that hangs",
    );
    end(
        &mut text,
        "pulse-sensor-node",
        "Add another directory than /sys to this file.",
    );
    text
}

const LIBRARIES: &str = "/{,usr/}lib/{,@{multiarch}/}*.so* mr";

fn head(name: &str, program: &str, page: &str) -> String {
    format!(
        "# AppArmor profile of {name}, written by `cargo xtask policy` from\n\
         # crates/sandbox/src/tables. What it does not list is refused. {page}\n\
         # explains how to install and enforce it.\n\
         \n\
         abi <abi/3.0>,\n\
         \n\
         include <tunables/global>\n\
         \n\
         profile {name} {program} {{\n"
    )
}

/// Administrators add rules to a file of their own.
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

fn paths(text: &mut String, paths: &[PathRule]) {
    for rule in paths {
        let path = match default_path(rule.path) {
            path if path == "/proc" => "@{PROC}".to_owned(),
            path => path,
        };
        let _ = writeln!(text, "  # {}", rule.reason);
        for line in lines(&path, rule) {
            let _ = writeln!(text, "  {line},");
        }
    }
}

/// Rules for a directory and for the files below it that the patterns name; or for one file.
fn lines(path: &str, rule: &PathRule) -> Vec<String> {
    // One letter stands for writing, creating, truncating and removing.
    let file = permissions(rule.access, |access| match access {
        Access::ReadFile => Some('r'),
        Access::WriteFile | Access::Truncate | Access::MakeFile | Access::RemoveFile => Some('w'),
        Access::Lock => Some('k'),
        Access::Execute => Some('x'),
        Access::ReadDirectory | Access::MakeDirectory | Access::ControlDevice => None,
    });
    // Mapped as code, and executed under the same profile.
    let file = file.replace('x', "mix");
    let directory = permissions(rule.access, |access| match access {
        Access::ReadDirectory => Some('r'),
        Access::MakeDirectory => Some('w'),
        Access::Lock => Some('k'),
        _ => None,
    });
    let mut lines = Vec::new();
    if !directory.is_empty() {
        lines.push(format!("{path}/ {directory}"));
    }
    match rule.within {
        [] if directory.is_empty() => lines.push(format!("{path} {file}")),
        below => lines.extend(below.iter().map(|below| format!("{path}/{below} {file}"))),
    }
    lines
}

/// The permissions of these rights, each letter once and in the usual order.
fn permissions(access: &[Access], letter: fn(&Access) -> Option<char>) -> String {
    "rwkx"
        .chars()
        .filter(|c| access.iter().filter_map(letter).any(|found| found == *c))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_core::config::NODES_DIRECTORY;

    /// Every path, with its permissions.
    fn path_rules(profile: &str) -> impl Iterator<Item = (&str, &str)> {
        let rules = profile.lines().map(str::trim);
        let path_rules = rules.filter(|rule| rule.starts_with(['/', '@']));
        path_rules.filter_map(|rule| rule.trim_end_matches(',').rsplit_once(' '))
    }

    /// The paths with permission to execute.
    fn programs(profile: &str) -> Vec<&str> {
        let executed = path_rules(profile).filter(|(_, letters)| letters.contains('x'));
        executed.map(|(path, _)| path).collect()
    }

    #[test]
    fn daemon_executes_nothing() {
        assert_eq!(programs(&daemon()), [""; 0]);
        for text in [daemon(), helper()] {
            let unconfined = path_rules(&text).find(|(_, letters)| letters.contains(['u', 'U']));
            assert_eq!(unconfined, None);
            assert!(!text.contains("flags="), "{text}");
        }
    }

    #[test]
    fn helper_starts_only_ipmitool() {
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
    fn configuration_is_read_only() {
        let text = daemon();
        for line in [
            "  /etc/pulse-sensor-proxy/* r,",
            &format!("  /etc/pulse-sensor-proxy/{NODES_DIRECTORY}/ r,"),
            &format!("  /etc/pulse-sensor-proxy/{NODES_DIRECTORY}/* r,"),
            "  /var/log/pulse/sensor-proxy/* rwk,",
            "  /var/log/pulse/sensor-proxy/ rk,",
            "  @{PROC}/@{pid}/cgroup r,",
            "  /etc/hosts r,",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
