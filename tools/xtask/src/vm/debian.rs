//! Which Debian this machine is, and where it gets its packages: the machine in the
//! machine is the same one. Programs that are built here then find the C library
//! they were built with, and no other mirror is asked than the one that is
//! configured.

use crate::process::{self, Failure, Outcome};
use std::fs;
use std::process::Command;

/// One source of packages, signed by Debian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    uri: String,
    suite: String,
}

impl Source {
    /// The line of a `sources.list`.
    pub(crate) fn line(&self) -> String {
        format!("deb {} {} main", self.uri, self.suite)
    }
}

/// The name of this machine's release, such as `bookworm`.
pub(crate) fn release() -> Outcome<String> {
    release_in(&fs::read_to_string("/etc/os-release").unwrap_or_default())
        .ok_or_else(|| Failure::new("vm-test takes a Debian machine"))
}

fn release_in(text: &str) -> Option<String> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    // Derivatives such as Ubuntu have a code name too, but other packages.
    value("VERSION_CODENAME=")
        .filter(|_| value("ID=") == Some("debian"))
        .map(str::to_owned)
}

/// The sources that the machine gets this release from, as apt itself understands its
/// configuration.
pub(crate) fn sources(release: &str) -> Outcome<Vec<Source>> {
    // Instead of reading sources.list, which has two formats and a directory of parts.
    let fields = "$(ORIGIN) $(COMPONENT) $(REPO_URI) $(CODENAME)";
    let mut apt_get = Command::new("apt-get");
    apt_get.args(["indextargets", "--format", fields, "Identifier: Packages"]);
    let sources = sources_in(&process::capture(&mut apt_get)?, release);
    if sources.iter().any(|source| source.suite == release) {
        return Ok(sources);
    }
    Err(Failure::new(format!(
        "apt knows no mirror of {release}: run `apt-get update`"
    )))
}

fn sources_in(targets: &str, release: &str) -> Vec<Source> {
    let source = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
        // The release itself, its updates and its security updates.
        ["Debian", "main", uri, suite]
            if matches!(
                suite.strip_prefix(release),
                Some("" | "-updates" | "-security")
            ) =>
        {
            Some(Source {
                uri: uri.to_owned(),
                suite: suite.to_owned(),
            })
        }
        _ => None,
    };
    targets.lines().filter_map(source).collect()
}

/// The source of newer kernels for this release: the same mirror.
pub(crate) fn backports(sources: &[Source], release: &str) -> Option<Source> {
    let main = sources.iter().find(|source| source.suite == release)?;
    Some(Source {
        uri: main.uri.clone(),
        suite: format!("{release}-backports"),
    })
}

/// apt's settings for fetching: proxies, and whether expired indices are accepted.
pub(crate) fn fetching() -> Outcome<String> {
    let dump = process::capture(Command::new("apt-config").args(["dump", "Acquire"]))?;
    // apt's other settings concern this machine only.
    let keep = |line: &&str| {
        ["Acquire::http", "Acquire::Check", "Acquire::Retries"]
            .iter()
            .any(|key| line.starts_with(key))
    };
    Ok(dump
        .lines()
        .filter(keep)
        .map(|line| format!("{line}\n"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debian_is_debian() {
        let debian = "NAME=x\nVERSION_CODENAME=bookworm\nID=debian\n";
        assert_eq!(release_in(debian).as_deref(), Some("bookworm"));
        assert_eq!(release_in("VERSION_CODENAME=noble\nID=ubuntu\n"), None);
        assert_eq!(release_in(""), None);
    }

    #[test]
    fn foreign_packages_stay_out() {
        let targets = "Debian main http://m/debian/ bookworm\n\
             Debian contrib http://m/debian/ bookworm\n\
             Debian main http://m/debian-security/ bookworm-security\n\
             Debian main http://m/debian/ trixie\n\
             Somebody main http://s/ bookworm\n";
        let sources = sources_in(targets, "bookworm");
        let lines: Vec<_> = sources.iter().map(Source::line).collect();
        let security = "deb http://m/debian-security/ bookworm-security main";
        assert_eq!(lines, ["deb http://m/debian/ bookworm main", security]);
        let backports = backports(&sources, "bookworm").map(|source| source.line());
        let expected = "deb http://m/debian/ bookworm-backports main";
        assert_eq!(backports.as_deref(), Some(expected));
    }
}
