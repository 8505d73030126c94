//! `cargo xtask lints`: clippy over everything, and over shipped code with stricter lints.
//!
//! Cargo's table of lints is one for a whole package, its tests included, and clippy's settings
//! that spare tests do not know all lints and not the helper functions of integration tests. So
//! the lints that only shipped code must pass are here, once for all crates, instead of at the
//! head of each `lib.rs`: without `--tests`, clippy sees no test.

use crate::process::{self, Failure, Outcome};
use crate::steps::Steps;
use crate::workspace::{locked_cargo, root};
use std::fs;

/// Each ends a daemon that lost an invariant in the middle of something, reads without a
/// limit, or changes a number silently. An exception names its reason where it is.
const SHIPPED: [&str; 7] = [
    "clippy::cast_possible_wrap",
    // The functions of std that open and read without a limit: clippy.toml.
    "clippy::disallowed_methods",
    "clippy::expect_used",
    "clippy::indexing_slicing",
    "clippy::panic",
    "clippy::string_slice",
    "clippy::unreachable",
];

/// `cargo xtask lints`.
pub(crate) fn run(steps: &mut Steps, _arguments: &[String]) -> Outcome {
    steps.run("clippy", everything);
    steps.run("clippy, shipped code", shipped);
    Ok(())
}

/// All targets, under the lints of `Cargo.toml`.
pub(crate) fn everything() -> Outcome {
    let mut command = locked_cargo("clippy");
    process::run(command.args(["--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// Libraries and programs below `crates`.
pub(crate) fn shipped() -> Outcome {
    let mut command = locked_cargo("clippy");
    command.args(["--lib", "--bins"]);
    for package in packages()? {
        command.args(["--package", &package]);
    }
    command.args(["--", "-D", "warnings"]);
    for lint in SHIPPED {
        command.args(["-D", lint]);
    }
    process::run(&mut command)
}

/// The packages of all directories below `crates`, so that a new one cannot be forgotten.
pub(crate) fn packages() -> Outcome<Vec<String>> {
    let directory = root().join("crates");
    let cannot = |error| Failure::new(format!("cannot read {}: {error}", directory.display()));
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).map_err(cannot)? {
        let text =
            fs::read_to_string(entry.map_err(cannot)?.path().join("Cargo.toml")).map_err(cannot)?;
        let name = text.lines().find_map(|line| line.strip_prefix("name = "));
        names.extend(name.map(|name| name.trim_matches('"').to_owned()));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_packages() {
        let packages = packages().unwrap();
        for name in crate::products::PRODUCTS {
            assert!(packages.iter().any(|package| package == name), "{name}");
        }
        let directories = fs::read_dir(root().join("crates")).unwrap();
        assert_eq!(packages.len(), directories.count());
    }

    /// The lints of a manifest: what follows `[lints.…]` or `[workspace.lints.…]`.
    fn lints(manifest: &str) -> Vec<String> {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let mut lints = Vec::new();
        let mut table = None;
        for line in text.lines() {
            if let Some(header) = line.strip_prefix('[') {
                let header = header.trim_start_matches("workspace.");
                table = header.strip_prefix("lints.").map(str::to_owned);
            } else if let Some(table) = &table
                && line.contains('=')
                && !line.starts_with('#')
            {
                lints.push(format!("{table} {line}"));
            }
        }
        assert!(!lints.is_empty(), "{manifest}");
        lints
    }

    /// Cargo does not let a package add to the table of the workspace.
    #[test]
    fn sandbox_has_all_lints() {
        let forbid = "rust] unsafe_code = \"forbid\"";
        let sandbox = lints("crates/sandbox/Cargo.toml");
        let common = lints("Cargo.toml").into_iter();
        let missing: Vec<_> = common
            .filter(|lint| lint != forbid && !sandbox.contains(lint))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn only_sandbox_permits_unsafe() {
        for directory in ["crates", "tools", "testing", "bench"] {
            let tables = manifests(&root().join(directory));
            for path in tables {
                let text = fs::read_to_string(&path).unwrap();
                let is_sandbox = path.ends_with("crates/sandbox/Cargo.toml");
                assert_eq!(
                    !text.contains("[lints]\nworkspace = true"),
                    is_sandbox,
                    "{path:?}"
                );
            }
        }
    }

    fn manifests(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(manifests(&path));
            } else if path.ends_with("Cargo.toml") {
                found.push(path);
            }
        }
        found
    }
}
