//! The crates that the programs of a package are linked with: their bill of materials (`CycloneDX` 1.5)
//! and their licences.
//!
//! cargo's own tree is the source. cargo-cyclonedx would write a time, a random number and the
//! checkout's directory into it, so no two machines would make the same package.

use super::contents::Package;
use crate::process::{self, Failure, Outcome};
use crate::workspace::{locked_cargo, root};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// A crate that is linked into a program.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Component {
    /// A licence expression (SPDX).
    license: String,
    /// The crate's SHA-256 from `Cargo.lock`; none for a crate of ours.
    checksum: Option<String>,
}

/// The crates of a package, by name and version.
pub(super) struct Components(BTreeMap<(String, String), Component>);

impl Components {
    /// Asks cargo for the crates that are linked into the programs for a target.
    pub(super) fn of(package: &Package, target: &str) -> Outcome<Self> {
        let lock = root().join("Cargo.lock");
        let lock = fs::read_to_string(&lock)
            .map_err(|error| Failure::new(format!("{}: {error}", lock.display())))?;
        let checksums = checksums(&lock);
        let mut components = BTreeMap::new();
        for (program, _) in package.programs {
            let mut tree = locked_cargo("tree");
            tree.args(["--package", program, "--target", target]);
            // Macros run only while a program is built.
            tree.args(["--edges", "normal,no-proc-macro", "--prefix", "none"]);
            tree.args(["--format", "{p}|{l}", "--no-dedupe", "--color", "never"]);
            let tree = process::capture(&mut tree)?;
            for line in tree.lines() {
                let (id, license) = parsed(line)
                    .ok_or_else(|| Failure::new(format!("`cargo tree` printed: {line}")))?;
                let checksum = checksums.get(&id).cloned();
                components.insert(id, Component { license, checksum });
            }
        }
        Ok(Self(components))
    }

    /// The bill of materials.
    pub(super) fn bill(&self, package: &str, version: &str) -> String {
        let mut text = format!(
            "{{\n  \"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.5\",\n  \"version\": 1,\n  \
             \"metadata\": {{\n    \"component\": {{\"type\": \"application\", \"name\": \"{package}\", \
             \"version\": \"{version}\"}}\n  }},\n  \"components\": [\n"
        );
        // Neither a name, a version nor a licence has a character that JSON escapes.
        for ((name, version), Component { license, checksum }) in &self.0 {
            let _ = write!(
                text,
                "    {{\"type\": \"library\", \"name\": \"{name}\", \"version\": \"{version}\", \
                 \"licenses\": [{{\"expression\": \"{license}\"}}]"
            );
            if let Some(checksum) = checksum {
                let url = format!("pkg:cargo/{name}@{version}");
                let _ = write!(
                    text,
                    ", \"bom-ref\": \"{url}\", \"purl\": \"{url}\", \
                     \"hashes\": [{{\"alg\": \"SHA-256\", \"content\": \"{checksum}\"}}]"
                );
            }
            text.push_str("},\n");
        }
        text.push_str(
            "    {\"type\": \"library\", \"name\": \"musl\", \"licenses\": [{\"expression\": \"MIT\"}]},\n    \
             {\"type\": \"library\", \"name\": \"std\", \"description\": \"The standard library of \
             Rust\", \"licenses\": [{\"expression\": \"MIT OR Apache-2.0\"}]}\n  ]\n}\n",
        );
        text
    }

    /// What `copyright` says of them: the crates of others by licence.
    pub(super) fn comment(&self) -> String {
        let mut by_license: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((name, version), component) in &self.0 {
            if component.checksum.is_some() {
                let crates = by_license.entry(&component.license).or_default();
                crates.push(format!("{name} {version}"));
            }
        }
        let mut text = "Comment:\n The programs are linked with musl (MIT), with the standard \
                        library of Rust (MIT OR\n Apache-2.0) and with these crates. Their notices \
                        are in crate-licenses.gz.\n"
            .to_owned();
        for (license, crates) in by_license {
            let _ = writeln!(text, " .\n {license}:");
            for name in crates {
                let _ = writeln!(text, "  {name}");
            }
        }
        text
    }

    /// The licence files of the crates of others, as their licences demand of programs that are
    /// passed on. Those of the Apache licence are left out: Debian has its text.
    pub(super) fn notices(&self) -> Outcome<String> {
        let mut text = String::new();
        for ((name, version), component) in &self.0 {
            if component.checksum.is_none() {
                continue;
            }
            let directory = source(name, version)?;
            let cannot = |error: std::io::Error| {
                Failure::new(format!("cannot read {}: {error}", directory.display()))
            };
            let mut files: Vec<PathBuf> = fs::read_dir(&directory)
                .map_err(cannot)?
                .flatten()
                .map(|entry| entry.path())
                .filter(|file| file.is_file() && is_notice(file))
                .collect();
            files.sort();
            let _ = writeln!(text, "== {name} {version} ({})\n", component.license);
            for file in files {
                text.push_str(&fs::read_to_string(&file).map_err(cannot)?);
                text.push('\n');
            }
        }
        Ok(text)
    }
}

fn is_notice(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_uppercase();
    let is_notice = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"]
        .iter()
        .any(|start| name.starts_with(start));
    is_notice && !name.contains("APACHE")
}

/// The directory into which cargo has unpacked a crate.
fn source(name: &str, version: &str) -> Outcome<PathBuf> {
    let registries = super::cargo_home().join("registry/src");
    let crates = format!("{name}-{version}");
    fs::read_dir(&registries)
        .into_iter()
        .flatten()
        .flatten()
        .map(|registry| registry.path().join(&crates))
        .find(|directory| directory.is_dir())
        .ok_or_else(|| {
            Failure::new(format!(
                "no {crates} in {}: run `cargo fetch`",
                registries.display()
            ))
        })
}

/// A line of `cargo tree`: name and version, and the licence, in which older crates have `/` for
/// `OR`.
fn parsed(line: &str) -> Option<((String, String), String)> {
    let (id, license) = line.split_once('|')?;
    let (name, rest) = id.split_once(" v")?;
    let version = rest.split(' ').next()?;
    let license = license.replace(" / ", " OR ").replace('/', " OR ");
    Some(((name.to_owned(), version.to_owned()), license))
}

/// The checksums of `Cargo.lock`.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |block: &str, key: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| {
            let value = line.strip_prefix(key)?.strip_prefix(" = \"")?;
            value.strip_suffix('"').map(str::to_owned)
        })
    };
    lock.split("[[package]]")
        .filter_map(|block| {
            let id = (value(block, "name")?, value(block, "version")?);
            Some((id, value(block, "checksum")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::contents::PACKAGES;
    use super::*;

    #[test]
    fn tree_is_parsed() {
        let id = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        let line = "ff v0.14.0|MIT/Apache-2.0";
        let expected = (id("ff", "0.14.0"), "MIT OR Apache-2.0".to_owned());
        assert_eq!(parsed(line), Some(expected));
        let line = "pulse-core v0.2.0 (/x/crates/core)|MIT OR Apache-2.0";
        assert_eq!(parsed(line).unwrap().0, id("pulse-core", "0.2.0"));
        assert_eq!(parsed("ff"), None);
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
                    source = \"x\"\nchecksum = \"12ab\"\n\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\n";
        let sums: Vec<_> = checksums(lock).into_iter().collect();
        assert_eq!(sums, [(id("a", "1.0.0"), "12ab".to_owned())]);
    }

    #[test]
    fn every_foreign_crate_is_listed() {
        for package in &PACKAGES {
            let components = Components::of(package, "x86_64-unknown-linux-musl").unwrap();
            let bill = components.bill(package.name, "1");
            let comment = components.comment();
            let notices = components.notices().unwrap();
            for ((name, version), component) in &components.0 {
                assert!(!component.license.is_empty(), "{name} has no licence");
                assert!(
                    bill.contains(&format!("\"name\": \"{name}\", \"version\": \"{version}\""))
                );
                let is_foreign = component.checksum.is_some();
                assert_eq!(is_foreign, !name.starts_with("pulse-"), "{name}");
                let listed = format!("\n  {name} {version}\n");
                assert_eq!(comment.contains(&listed), is_foreign, "{name}");
            }
            assert!(!bill.contains(&*root().to_string_lossy()));
            // Licences that demand their notice with programs.
            assert!(notices.contains("== libc "), "{notices}");
            assert!(notices.contains("Permission is hereby granted"));
        }
    }
}
