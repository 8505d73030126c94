//! `cargo xtask package`: Debian packages with static programs.
//!
//! `dpkg-deb` packs a directory that is laid out here. cargo-deb would make a conffile of each link
//! below `/etc`, has no empty directories, and has to be built from 200 crates first.
//!
//! The packages do not depend on the machine: the compiler is told other names for the directories
//! of the checkout and of cargo, and all times are that of the commit.

mod contents;
mod deb;
pub(crate) mod life;
mod links;
mod sbom;
mod trial;

use crate::manual;
use crate::matrix::{COMPILER, EMULATOR};
use crate::packages::{self, Counterpart, Kind, program};
use crate::process::{self, Failure, Outcome};
use crate::steps::Steps;
use crate::tool::Tool;
use crate::workspace::{cargo_with, locked_cargo, root, target_dir};
use contents::{PACKAGES, Package};
use deb::Compression;
use sbom::Components;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An architecture that packages are made for.
#[derive(Clone, Copy)]
struct Architecture {
    /// Debian's name.
    debian: &'static str,
    /// Rust's name of the static target.
    target: &'static str,
    /// The C compiler: `ring` has C and assembly.
    compiler: &'static str,
    /// The linker, where the compiler of this machine is none for the target.
    linker: Option<&'static str>,
    /// The emulator, where this machine cannot run the programs.
    emulator: Option<&'static str>,
    needs: &'static [Counterpart],
}

const ARCHITECTURES: [Architecture; 2] = [
    Architecture {
        debian: "amd64",
        target: "x86_64-unknown-linux-musl",
        compiler: "gcc",
        linker: None,
        emulator: None,
        needs: &[program("gcc", "gcc", "compiles C")],
    },
    Architecture {
        debian: "arm64",
        target: "aarch64-unknown-linux-musl",
        compiler: COMPILER,
        // Rust's own, with Rust's own parts of musl.
        linker: Some("rust-lld"),
        emulator: Some(EMULATOR),
        needs: &[
            program(COMPILER, "gcc-aarch64-linux-gnu", "compiles C for arm64"),
            program(EMULATOR, "qemu-user", "runs programs of arm64"),
            // The compiler only recommends it.
            Counterpart::new(
                Kind::File,
                "/usr/aarch64-linux-gnu/include/stdlib.h",
                "libc6-dev-arm64-cross",
                "has the headers for arm64",
            ),
        ],
    },
];

/// The programs that packing takes.
const NEEDS: [Counterpart; 2] = [
    program("dpkg-deb", "dpkg", "packs"),
    program("gzip", "gzip", "compresses changelogs"),
];

/// Stores the list of crates in each program, for scanners that look for vulnerable ones.
const AUDITABLE: Tool = Tool {
    name: "cargo-auditable",
    version: "0.7.7",
};

/// The time of all files in a package, in seconds since 1970 (reproducible-builds.org).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// `cargo xtask package [--arch ARCHITECTURE] [--out DIRECTORY]`.
pub(crate) fn run(steps: &mut Steps, arguments: &[String]) -> Outcome {
    let options = Options::parse(arguments)?;
    let Architecture { target, needs, .. } = options.architecture;
    steps.run("what packing takes", || {
        packages::require(&NEEDS)?;
        packages::require(needs)?;
        // Nothing to do where the target is installed, with rustup or without.
        let _ = process::quietly(Command::new("rustup").args(["target", "add", target]));
        Ok(())
    });
    let written = steps.run("manual pages and completions", || {
        manual::write(&manual::directory())
    });
    if written.is_none() {
        return Ok(());
    }
    let built = steps.run("static programs", || {
        build(options.architecture, Some(&AUDITABLE))
    });
    let Some(programs) = built else {
        return Ok(());
    };
    steps.run("trial of the programs", || {
        trial::run(options.architecture.emulator, &programs)
    });
    for package in &PACKAGES {
        steps.run(package.name, || {
            let best = Compression::Best;
            let architecture = options.architecture;
            let file = pack(
                package,
                architecture,
                &programs,
                REVISION,
                best,
                &options.out,
            )?;
            check_size(package, &file)
        });
    }
    Ok(())
}

struct Options {
    architecture: Architecture,
    out: PathBuf,
}

impl Options {
    fn parse(arguments: &[String]) -> Outcome<Self> {
        let mut options = Self {
            architecture: ARCHITECTURES[0],
            out: target_dir().join("debian"),
        };
        let mut arguments = arguments.iter();
        while let Some(option) = arguments.next() {
            let value = arguments.next();
            match (option.as_str(), value) {
                ("--arch", Some(name)) => {
                    let known = ARCHITECTURES.into_iter().find(|known| known.debian == name);
                    options.architecture =
                        known.ok_or_else(|| Failure::new("--arch is amd64 or arm64"))?;
                }
                ("--out", Some(directory)) => options.out = directory.into(),
                _ => {
                    return Err(Failure::new(
                        "package takes --arch NAME and --out DIRECTORY",
                    ));
                }
            }
        }
        Ok(options)
    }
}

/// Builds the programs, one package at a time, so that none gets the features of another. Returns
/// their directory. [`AUDITABLE`] adds the list of crates to each program.
fn build(architecture: Architecture, tool: Option<&Tool>) -> Outcome<PathBuf> {
    let Architecture {
        target,
        compiler,
        linker,
        ..
    } = architecture;
    let directory = target_dir().join("package");
    let variable = target.replace('-', "_");
    let tool = tool.map(Tool::get).transpose()?;
    for program in crate::products::PRODUCTS {
        let mut cargo = match &tool {
            None => locked_cargo("build"),
            Some(tool) => {
                let mut cargo = cargo_with(tool, "auditable");
                cargo.args(["build", "--locked"]);
                cargo
            }
        };
        cargo.args(["--release", "--target", target, "--package", program]);
        // A directory of its own: these flags would have everything else built again.
        cargo
            .env("CARGO_TARGET_DIR", &directory)
            .env("CARGO_ENCODED_RUSTFLAGS", flags())
            .env(format!("CC_{variable}"), compiler);
        if let Some(linker) = linker {
            let variable = format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase());
            cargo.env(variable, linker);
        }
        process::run(&mut cargo)?;
    }
    Ok(directory.join(target).join("release"))
}

/// The directory of cargo's registry and programs.
fn cargo_home() -> PathBuf {
    let home = env::var_os("HOME").unwrap_or_default();
    env::var_os("CARGO_HOME").map_or_else(|| Path::new(&home).join(".cargo"), Into::into)
}

/// Flags of the compiler by which a program does not contain the names of this machine's
/// directories.
fn flags() -> OsString {
    let mut flags = OsString::new();
    for (directory, name) in [(root(), "/build"), (cargo_home(), "/cargo")] {
        if !flags.is_empty() {
            // What separates flags in CARGO_ENCODED_RUSTFLAGS.
            flags.push("\x1f");
        }
        flags.push("--remap-path-prefix=");
        flags.push(directory);
        flags.push("=");
        flags.push(name);
    }
    flags
}

/// The revision of the packages: each release has one.
const REVISION: u8 = 1;

/// Packs the programs of a directory. Returns the package's file.
fn pack(
    package: &Package,
    architecture: Architecture,
    programs: &Path,
    revision: u8,
    compression: Compression,
    out: &Path,
) -> Outcome<PathBuf> {
    fs::create_dir_all(out)
        .map_err(|error| Failure::new(format!("cannot create {}: {error}", out.display())))?;
    let epoch = epoch()?;
    let version = debian_version(env!("CARGO_PKG_VERSION"), revision);
    let Architecture { debian, target, .. } = architecture;
    let components = Components::of(package, target)?;
    let staging = deb::Staging::lay_out(package, programs, &components, &version, &epoch)?;
    let file = out.join(format!("{}_{version}_{debian}.deb", package.name));
    staging.pack(&version, debian, compression, &file)?;
    println!("{}", file.display());
    Ok(file)
}

/// The version of a package: a pre-release sorts before its release (deb-version(7)).
fn debian_version(version: &str, revision: u8) -> String {
    format!("{}-{revision}", version.replace('-', "~"))
}

/// The commit's time, unless the environment says another.
fn epoch() -> Outcome<String> {
    if let Ok(epoch) = env::var(EPOCH) {
        return Ok(epoch);
    }
    let mut git = Command::new("git");
    git.current_dir(root()).args(["log", "-1", "--format=%ct"]);
    let epoch = process::capture(&mut git)
        .map_err(|_| Failure::new(format!("no commit to take the time from: set {EPOCH}")))?;
    Ok(epoch.trim().to_owned())
}

fn check_size(package: &Package, file: &Path) -> Outcome {
    let bytes = fs::metadata(file)
        .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?
        .len();
    println!("{bytes} of {} bytes", package.max_bytes);
    if bytes > package.max_bytes {
        return Err(Failure::new(format!(
            "{} has {bytes} bytes, and {} are permitted",
            package.name, package.max_bytes
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let parsed = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Options::parse(&words)
        };
        let options = parsed(&["--arch", "arm64", "--out", "/tmp/x"]).unwrap();
        assert_eq!(options.architecture.debian, "arm64");
        assert_eq!(options.out, Path::new("/tmp/x"));
        assert_eq!(parsed(&[]).unwrap().architecture.debian, "amd64");
        for wrong in [&["--arch"][..], &["--arch", "mips"], &["amd64"], &["--out"]] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn release_is_newer_than_its_candidate() {
        assert_eq!(debian_version("0.2.0", 1), "0.2.0-1");
        assert_eq!(debian_version("0.2.0-rc.1", 1), "0.2.0~rc.1-1");
    }

    #[test]
    fn flags_name_no_directory_of_ours() {
        let flags = flags().into_string().unwrap();
        let names: Vec<_> = flags
            .split('\x1f')
            .map(|flag| flag.rsplit_once('=').unwrap().1)
            .collect();
        assert_eq!(names, ["/build", "/cargo"]);
    }
}
