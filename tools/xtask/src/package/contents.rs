//! The packages and the files in them.
//!
//! Nothing is a conffile, so no upgrade asks a question. The AppArmor profiles below `/etc` are links
//! to files below `/usr/share`: administrators add to drop-ins and to `local/`, not to these.

/// A Debian package. Its control file and its maintainer scripts are in `packaging/debian`.
pub(super) struct Package {
    pub(super) name: &'static str,
    /// The programs: packages of the workspace, and the directory of each.
    pub(super) programs: &'static [(&'static str, &'static str)],
    /// Files of the repository, and the directories of the package that they get into.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// Manual pages, from `cargo xtask manual`. Completions are those of the programs.
    pub(super) pages: &'static [&'static str],
    /// Contains the project's changelog, which is the same for all packages.
    pub(super) has_changelog: bool,
    /// Links, and the files that they lead to.
    pub(super) links: &'static [(&'static str, &'static str)],
    /// Empty directories.
    pub(super) directories: &'static [&'static str],
    /// The greatest size of the package, in bytes.
    pub(super) max_bytes: u64,
}

/// Every package.
pub(super) const PACKAGES: [Package; 2] = [
    Package {
        name: "pulse-sensor-proxy",
        programs: &[
            ("pulse-sensor-proxy", "usr/bin"),
            ("pulse-sensorctl", "usr/bin"),
        ],
        files: &[
            (
                "packaging/systemd/pulse-sensor-proxy.service",
                "usr/lib/systemd/system",
            ),
            (
                "packaging/systemd/pulse-sensor-proxy.socket",
                "usr/lib/systemd/system",
            ),
            (
                "packaging/systemd/pulse-sensor-proxy-control.socket",
                "usr/lib/systemd/system",
            ),
            (
                "packaging/sysusers.d/pulse-sensor-proxy.conf",
                "usr/lib/sysusers.d",
            ),
            (
                "packaging/tmpfiles.d/pulse-sensor-proxy.conf",
                "usr/lib/tmpfiles.d",
            ),
            (
                "security/apparmor/pulse-sensor-proxy.apparmor",
                "usr/share/pulse-sensor-proxy",
            ),
            (
                "security/seccomp/pulse-sensor-proxy.json",
                "usr/share/pulse-sensor-proxy",
            ),
            ("packaging/config.toml", "usr/share/doc/pulse-sensor-proxy"),
            ("SECURITY.md", "usr/share/doc/pulse-sensor-proxy"),
            ("SPECIFICATION.md", "usr/share/doc/pulse-sensor-proxy"),
            ("docs/architecture.md", "usr/share/doc/pulse-sensor-proxy"),
            ("docs/audit-format.md", "usr/share/doc/pulse-sensor-proxy"),
            ("docs/audit.md", "usr/share/doc/pulse-sensor-proxy"),
            ("docs/compatibility.md", "usr/share/doc/pulse-sensor-proxy"),
            ("docs/dependencies.txt", "usr/share/doc/pulse-sensor-proxy"),
            ("docs/hardening.md", "usr/share/doc/pulse-sensor-proxy"),
            ("docs/install.md", "usr/share/doc/pulse-sensor-proxy"),
            ("docs/nodes.md", "usr/share/doc/pulse-sensor-proxy"),
            ("docs/operations.md", "usr/share/doc/pulse-sensor-proxy"),
            ("docs/protocol.md", "usr/share/doc/pulse-sensor-proxy"),
            (
                "docs/pulse-sensorctl.md",
                "usr/share/doc/pulse-sensor-proxy",
            ),
            ("docs/threat-model.md", "usr/share/doc/pulse-sensor-proxy"),
            (
                "docs/troubleshooting.md",
                "usr/share/doc/pulse-sensor-proxy",
            ),
            (
                "docs/schema/audit-accept-loss.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/audit-archive.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/audit-explain.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/audit-head.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/audit-init.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/audit-rotate.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/audit-show.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/audit-verify.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/config-check.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/error.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/forward-accept-loss.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/forward-replay.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/forward-status.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/forward-test.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/keys-show.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/rpc.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/status-self.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/status.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "docs/schema/temps.json",
                "usr/share/doc/pulse-sensor-proxy/schema",
            ),
            (
                "packaging/container/Containerfile",
                "usr/share/doc/pulse-sensor-proxy/examples",
            ),
            (
                "monitoring/pulse-sensor-proxy.rules.yml",
                "usr/share/doc/pulse-sensor-proxy/examples",
            ),
            (
                "docs/verify_audit_log.py",
                "usr/share/doc/pulse-sensor-proxy/examples",
            ),
        ],
        pages: &[
            "pulse-sensor-proxy.8",
            "pulse-sensorctl.1",
            "pulse-sensor-proxy-config.5",
            "pulse-audit-log.5",
        ],
        has_changelog: true,
        links: &[(
            "etc/apparmor.d/pulse-sensor-proxy",
            "/usr/share/pulse-sensor-proxy/pulse-sensor-proxy.apparmor",
        )],
        directories: &["etc/pulse-sensor-proxy/nodes.d"],
        max_bytes: 5 << 20,
    },
    Package {
        name: "pulse-sensor-node",
        programs: &[("pulse-sensor-node", "usr/libexec")],
        files: &[
            (
                "packaging/sysusers.d/pulse-sensor-node.conf",
                "usr/lib/sysusers.d",
            ),
            (
                "packaging/sshd/pulse-sensor-node.conf",
                "usr/share/pulse-sensor-node",
            ),
            (
                "security/apparmor/pulse-sensor-node.apparmor",
                "usr/share/pulse-sensor-node",
            ),
            ("docs/nodes.md", "usr/share/doc/pulse-sensor-node"),
        ],
        pages: &["pulse-sensor-node.8"],
        has_changelog: false,
        links: &[(
            "etc/apparmor.d/pulse-sensor-node",
            "/usr/share/pulse-sensor-node/pulse-sensor-node.apparmor",
        )],
        // postinst puts the drop-in there: sshd does not start if a link in it leads nowhere.
        directories: &["etc/ssh/authorized_keys.d", "etc/ssh/sshd_config.d"],
        max_bytes: 400_000,
    },
];

/// The maintainer scripts that a package may have.
pub(super) const SCRIPTS: [&str; 4] = ["preinst", "postinst", "prerm", "postrm"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::root;
    use std::fs;
    use std::process::Command;

    #[test]
    fn links_lead_to_files() {
        for package in PACKAGES {
            for (link, target) in package.links {
                let is_packaged = package.files.iter().any(|(file, directory)| {
                    let name = file.rsplit('/').next().unwrap();
                    format!("/{directory}/{name}") == *target
                });
                assert!(is_packaged, "{link} -> {target}");
            }
        }
    }

    /// All files of a directory are packaged, or its new ones would be missing.
    #[test]
    fn every_schema_is_packaged() {
        for entry in fs::read_dir(root().join("docs/schema")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let file = format!("docs/schema/{name}");
            let mut files = PACKAGES[0].files.iter();
            assert!(files.any(|(packaged, _)| *packaged == file), "{file}");
        }
    }

    /// A link that leads nowhere, as in half of a restored backup, keeps sshd from starting.
    #[test]
    fn sshd_reads_no_link() {
        for package in PACKAGES {
            for (link, _) in package.links {
                assert!(!link.starts_with("etc/ssh/"), "{link}");
            }
        }
    }

    #[test]
    fn programs_are_those_of_the_products() {
        let programs = PACKAGES.map(|package| package.programs.to_vec()).concat();
        let names: Vec<&str> = programs.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, crate::products::PRODUCTS);
    }

    /// dpkg asks what to do with a changed conffile, and cargo and debhelper make one of each file
    /// below `/etc`.
    #[test]
    fn etc_has_links_only() {
        for package in PACKAGES {
            let places = package.programs.iter().chain(package.files);
            for (file, directory) in places {
                assert!(directory.starts_with("usr/"), "{file} in {directory}");
            }
            let conffiles = root().join(format!("packaging/debian/{}.conffiles", package.name));
            assert!(!conffiles.exists());
        }
    }

    #[test]
    fn scripts_are_posix_shell() {
        let directory = root().join("packaging/debian");
        let mut count = 0;
        for package in PACKAGES {
            for script in SCRIPTS {
                let path = directory.join(format!("{}.{script}", package.name));
                let Ok(text) = fs::read_to_string(&path) else {
                    continue;
                };
                count += 1;
                assert!(text.starts_with("#!/bin/sh\n"), "{path:?}");
                assert!(text.contains("\nset -e\n"), "{path:?}");
                let mut sh = Command::new("sh");
                assert!(sh.arg("-n").arg(&path).status().unwrap().success());
            }
        }
        assert_eq!(count, 8);
    }
}
