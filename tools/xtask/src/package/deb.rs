//! The directory that `dpkg-deb` packs: files with their modes, and the control files.

use super::EPOCH;
use super::contents::{Package, SCRIPTS};
use super::links;
use super::sbom::Components;
use crate::manual;
use crate::process::{self, Failure, Outcome};
use crate::workspace::{root, target_dir};
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How much time packing may take.
#[derive(Clone, Copy)]
pub(super) enum Compression {
    /// For packages that are shipped.
    Best,
    /// For packages that are installed once, by a test.
    Quick,
}

/// A directory with the files of a package.
pub(super) struct Staging {
    directory: PathBuf,
    epoch: String,
    name: &'static str,
}

impl Staging {
    /// Lays out the files of a package, with programs of this directory.
    pub(super) fn lay_out(
        package: &Package,
        programs: &Path,
        components: &Components,
        version: &str,
        epoch: &str,
    ) -> Outcome<Self> {
        let staging = Self {
            directory: target_dir().join("package/staging").join(package.name),
            epoch: epoch.to_owned(),
            name: package.name,
        };
        staging.fill(package, programs).map_err(|error| {
            Failure::new(format!(
                "cannot fill {}: {error}",
                staging.directory.display()
            ))
        })?;
        staging.link_pages(package)?;
        staging.documents(version, package.has_changelog)?;
        staging.list_crates(components, version)?;
        staging.manual(package)?;
        Ok(staging)
    }

    fn fill(&self, package: &Package, programs: &Path) -> io::Result<()> {
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory)?;
        }
        for (program, directory) in package.programs {
            self.copy(&programs.join(program), directory, 0o755)?;
        }
        for (file, directory) in package.files {
            self.copy(&root().join(file), directory, 0o644)?;
        }
        let overrides = root().join(format!("packaging/debian/{}.lintian-overrides", self.name));
        let target = "usr/share/lintian/overrides";
        self.copy(&overrides, target, 0o644)?;
        let target = self.directory.join(target);
        fs::rename(
            target.join(format!("{}.lintian-overrides", self.name)),
            target.join(self.name),
        )?;
        for directory in package.directories {
            self.create(directory)?;
        }
        for (link, target) in package.links {
            let link = self.directory.join(link);
            self.create(link.parent().unwrap_or(&self.directory))?;
            symlink(target, link)?;
        }
        Ok(())
    }

    /// Lets the links of pages lead to other files of the packages.
    fn link_pages(&self, package: &Package) -> Outcome {
        for (page, directory) in package.files {
            let name = page.rsplit('/').next().unwrap_or(page);
            if !name.ends_with(".md") {
                continue;
            }
            let file = self.directory.join(directory).join(name);
            let cannot = |error: io::Error| Failure::new(format!("{}: {error}", file.display()));
            let text = fs::read_to_string(&file).map_err(cannot)?;
            fs::write(&file, links::packaged(package, page, &text)?).map_err(cannot)?;
        }
        Ok(())
    }

    /// Copies a file into a directory, with its name.
    fn copy(&self, file: &Path, directory: &str, mode: u32) -> io::Result<()> {
        let within =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
        let to = self
            .create(directory)?
            .join(file.file_name().unwrap_or_default());
        fs::copy(file, &to).map_err(within)?;
        fs::set_permissions(&to, Permissions::from_mode(mode))
    }

    /// Creates a directory and those above it. The umask has no part in their modes.
    fn create(&self, directory: impl AsRef<Path>) -> io::Result<PathBuf> {
        let directory = self.directory.join(directory);
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&directory)?;
        let inside = directory
            .ancestors()
            .take_while(|above| above.starts_with(&self.directory));
        for above in inside {
            fs::set_permissions(above, Permissions::from_mode(0o755))?;
        }
        Ok(directory)
    }

    /// The copyright and the changelogs, Debian's with one entry: each release has one package.
    fn documents(&self, version: &str, has_changelog: bool) -> Outcome {
        let directory = format!("usr/share/doc/{}", self.name);
        let date = process::capture(
            Command::new("date")
                .args(["--utc", "--rfc-email", "--date"])
                .arg(format!("@{}", self.epoch)),
        )?;
        let control = control(self.name)?;
        let maintainer = field(&control, "Maintainer");
        let entry = format!(
            "{} ({version}) unstable; urgency=medium\n\n  * New release: see the changelog of pulse-sensor-proxy.\n\n -- {maintainer}  {date}",
            self.name
        );
        let cannot = |error: io::Error| Failure::new(error.to_string());
        let copyright = root().join("packaging/debian/copyright");
        self.copy(&copyright, &directory, 0o644).map_err(cannot)?;
        let target = self.directory.join(&directory);
        let mut changelogs = vec![target.join("changelog.Debian")];
        fs::write(&changelogs[0], entry)
            .and_then(|()| fs::set_permissions(&changelogs[0], Permissions::from_mode(0o644)))
            .map_err(cannot)?;
        if has_changelog {
            let changelog = root().join("CHANGELOG.md");
            self.copy(&changelog, &directory, 0o644).map_err(cannot)?;
            changelogs.push(target.join("changelog"));
            fs::rename(target.join("CHANGELOG.md"), &changelogs[1]).map_err(cannot)?;
        }
        compress(&changelogs)
    }

    /// The bill of materials, and the licences of the crates.
    fn list_crates(&self, components: &Components, version: &str) -> Outcome {
        let directory = self.directory.join("usr/share/doc").join(self.name);
        let cannot = |error: io::Error| {
            Failure::new(format!("cannot write to {}: {error}", directory.display()))
        };
        let copyright = directory.join("copyright");
        // A field of the header, which the first empty line ends.
        let text = fs::read_to_string(&copyright).map_err(cannot)?.replacen(
            "\n\n",
            &format!("\n{}\n", components.comment()),
            1,
        );
        let notices = directory.join("crate-licenses");
        for (file, text) in [
            (&copyright, text),
            (
                &directory.join(format!("{}.cdx.json", self.name)),
                components.bill(self.name, version),
            ),
            (&notices, components.notices()?),
        ] {
            fs::write(file, text).map_err(cannot)?;
            fs::set_permissions(file, Permissions::from_mode(0o644)).map_err(cannot)?;
        }
        compress(&[notices])
    }

    /// The pages, and the completions of the programs, which each shell has elsewhere.
    fn manual(&self, package: &Package) -> Outcome {
        let manual = manual::directory();
        let cannot = |error: io::Error| Failure::new(error.to_string());
        let mut pages = Vec::new();
        for page in package.pages {
            let (_, section) = page.rsplit_once('.').unwrap_or_default();
            let directory = format!("usr/share/man/man{section}");
            self.copy(&manual.join("man").join(page), &directory, 0o644)
                .map_err(cannot)?;
            pages.push(self.directory.join(directory).join(page));
        }
        for (program, _) in package.programs {
            for (file, directory) in [
                (
                    format!("bash/{program}"),
                    "usr/share/bash-completion/completions",
                ),
                (
                    format!("zsh/_{program}"),
                    "usr/share/zsh/vendor-completions",
                ),
                (
                    format!("fish/{program}.fish"),
                    "usr/share/fish/vendor_completions.d",
                ),
            ] {
                let file = manual.join("completions").join(file);
                self.copy(&file, directory, 0o644).map_err(cannot)?;
            }
        }
        compress(&pages)
    }

    /// Writes the control files and packs.
    pub(super) fn pack(
        &self,
        version: &str,
        architecture: &str,
        compression: Compression,
        file: &Path,
    ) -> Outcome {
        let sums = self.sums()?;
        let kibibytes = self.kibibytes()?;
        let control = control(self.name)?.replacen(
            "\nSection: ",
            &format!(
                "\nVersion: {version}\nArchitecture: {architecture}\nInstalled-Size: {kibibytes}\nSection: "
            ),
            1,
        );
        self.control_files(&control, &sums).map_err(|error| {
            Failure::new(format!("cannot fill {}: {error}", self.directory.display()))
        })?;
        let mut dpkg = Command::new("dpkg-deb");
        dpkg.args(["--root-owner-group", "--build"]);
        match compression {
            // With one thread: blocks for several would depend on the machine.
            Compression::Best => dpkg.args(["-Zxz", "-z9", "--threads-max=1"]),
            Compression::Quick => dpkg.args(["-Zgzip", "-z1"]),
        };
        dpkg.arg(&self.directory).arg(file).env(EPOCH, &self.epoch);
        process::run(&mut dpkg)
    }

    fn control_files(&self, control: &str, sums: &str) -> io::Result<()> {
        let directory = self.create("DEBIAN")?;
        for (name, text) in [("control", control), ("md5sums", sums)] {
            fs::write(directory.join(name), text)?;
            fs::set_permissions(directory.join(name), Permissions::from_mode(0o644))?;
        }
        for script in SCRIPTS {
            let file = root().join(format!("packaging/debian/{}.{script}", self.name));
            if file.exists() {
                fs::copy(file, directory.join(script))?;
                fs::set_permissions(directory.join(script), Permissions::from_mode(0o755))?;
            }
        }
        Ok(())
    }

    /// The regular files, relative to the directory and sorted.
    fn files(&self) -> Outcome<Vec<PathBuf>> {
        let mut directories = vec![self.directory.clone()];
        let mut files = Vec::new();
        let cannot = |error: io::Error| {
            Failure::new(format!("cannot read {}: {error}", self.directory.display()))
        };
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).map_err(cannot)? {
                let entry = entry.map_err(cannot)?;
                let kind = entry.file_type().map_err(cannot)?;
                if kind.is_dir() {
                    directories.push(entry.path());
                } else if kind.is_file() {
                    let path = entry.path();
                    let path = path.strip_prefix(&self.directory).unwrap_or(&path);
                    files.push(path.to_path_buf());
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// `md5sums`, by which `dpkg --verify` finds changed files.
    fn sums(&self) -> Outcome<String> {
        let mut md5sum = Command::new("md5sum");
        process::capture(
            md5sum
                .current_dir(&self.directory)
                .arg("--")
                .args(self.files()?),
        )
    }

    /// `Installed-Size`: each file in whole KiB (deb-substvars(5)).
    fn kibibytes(&self) -> Outcome<u64> {
        let sizes = self.files()?.into_iter().map(|file| {
            let file = self.directory.join(file);
            let meta = fs::metadata(&file)
                .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
            Ok(meta.len().div_ceil(1024))
        });
        sizes.sum()
    }
}

fn compress(files: &[PathBuf]) -> Outcome {
    let mut gzip = Command::new("gzip");
    // Without the name and the time of the file.
    process::run(gzip.args(["-9", "--no-name"]).args(files))
}

/// A package's control file, without the fields that are known at packing only.
fn control(name: &str) -> Outcome<String> {
    let file = root().join(format!("packaging/debian/{name}.control"));
    fs::read_to_string(&file).map_err(|error| Failure::new(format!("{}: {error}", file.display())))
}

fn field<'a>(control: &'a str, name: &str) -> &'a str {
    let mut lines = control.lines();
    lines
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::contents::PACKAGES;
    use super::*;

    #[test]
    fn control_has_its_fields() {
        for package in PACKAGES {
            let control = control(package.name).unwrap();
            assert_eq!(field(&control, "Package"), package.name);
            assert!(field(&control, "Maintainer").contains('@'));
            assert!(control.contains("\nSection: "), "{control}");
            for later in ["Version", "Architecture", "Installed-Size"] {
                assert_eq!(field(&control, later), "", "{}", package.name);
            }
        }
    }
}
