//! `cargo xtask package-test`: what lintian says of the packages, and their life in a fresh Debian.
//!
//! mmdebstrap makes Debian from its packages once for each release; systemd-nspawn boots it, and what
//! is changed there is forgotten. The tests are `testing/tests/life`. In CI the packages have the
//! programs of the other tests, which are built already; with `--static` those that are shipped.

use super::contents::PACKAGES;
use super::deb::Compression;
use super::{ARCHITECTURES, REVISION, build, check_size, pack};
use crate::guest::{self, ENDED, Guest};
use crate::manual;
use crate::packages::{self, Counterpart, program};
use crate::process::{self, Failure, Outcome};
use crate::products::{self, Profile};
use crate::steps::Steps;
use crate::tally::Tally;
use crate::vm::debian::{self, Source};
use crate::workspace;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const NEEDS: [Counterpart; 5] = [
    program("dpkg-deb", "dpkg", "packs"),
    program("lintian", "lintian", "checks the packages"),
    program("mmdebstrap", "mmdebstrap", "makes a fresh Debian"),
    program("systemd-nspawn", "systemd-container", "boots it"),
    program("setpriv", "util-linux", "lets no container outlive us"),
];

/// The packages of a node and a host beside the essential ones.
const DEBIAN: &str = "systemd-sysv,dbus,init-system-helpers,openssh-server,passwd,iproute2,procps";

/// Tells the tests where the packages are.
const VARIABLE: &str = "PULSE_TEST_PACKAGES";

/// The service that runs the tests.
const JOB: &str = "pulse-tests.service";

/// nspawn knows no Landlock, and refuses what it does not know.
const LANDLOCK: &str = "--system-call-filter=landlock_create_ruleset landlock_add_rule \
                        landlock_restrict_self";

/// What lintian says of programs that are not those that are shipped: they have symbols and
/// need the C library.
const NOT_SHIPPED: &str =
    "missing-dependency-on-libc,unstripped-binary-or-object,hardening-no-fortify-functions";

/// Tests the packages under this machine's release of Debian, or those that are named.
pub(crate) fn run(steps: &mut Steps, arguments: &[String]) -> Outcome {
    let (options, mut releases): (Vec<String>, Vec<String>) = arguments
        .iter()
        .cloned()
        .partition(|word| word.starts_with('-'));
    if let Some(unknown) = options.iter().find(|option| *option != "--static") {
        return Err(Failure::new(format!("package-test knows no {unknown}")));
    }
    let is_static = !options.is_empty();
    if releases.is_empty() {
        releases.push(debian::release()?);
    }
    if !is_static {
        let built = steps.run("programs for the tests", products::build_for_tests);
        if built.is_none() {
            return Ok(());
        }
    }
    check_with(steps, is_static, &releases);
    Ok(())
}

/// CI's part, after the other tests, which have built the programs.
pub(crate) fn check(steps: &mut Steps) {
    match debian::release() {
        Ok(release) if workspace::is_root() => check_with(steps, false, &[release]),
        _ => println!("not root on Debian, so no test of the packages"),
    }
}

fn check_with(steps: &mut Steps, is_static: bool, releases: &[String]) {
    let prepared = steps.run("packages", || {
        packages::require(&NEEDS)?;
        manual::write(&manual::directory())?;
        let programs = if is_static {
            build(ARCHITECTURES[0], None)?
        } else {
            products::directory(Profile::EndToEnd)
        };
        for (version, revision) in [("first", REVISION), ("second", REVISION + 1)] {
            let out = directory().join(version);
            if out.exists() {
                fs::remove_dir_all(&out)
                    .map_err(|error| Failure::new(format!("{}: {error}", out.display())))?;
            }
            // The size that is checked is that of the packages that are shipped.
            let is_shipped = is_static && revision == REVISION;
            let compression = if is_shipped {
                Compression::Best
            } else {
                Compression::Quick
            };
            for package in &PACKAGES {
                let architecture = ARCHITECTURES[0];
                let file = pack(
                    package,
                    architecture,
                    &programs,
                    revision,
                    compression,
                    &out,
                )?;
                if is_shipped {
                    check_size(package, &file)?;
                }
            }
        }
        Ok(())
    });
    if prepared.is_none() {
        return;
    }
    steps.run("lintian", || lintian(is_static));
    for release in releases {
        let name = format!("life of the packages, {release}");
        steps.run(&name, || {
            let root = debian(release)?;
            let output = boot(&root, &products::tests("life")?)?.watch()?;
            println!("{}", Tally::read(&output.output));
            output.outcome()
        });
    }
}

/// The directory of everything that this makes.
fn directory() -> PathBuf {
    workspace::target_dir().join("life")
}

fn lintian(is_static: bool) -> Outcome {
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error,warning"]);
    if !is_static {
        lintian.args(["--suppress-tags", NOT_SHIPPED]);
    }
    let first = directory().join("first");
    let entries = fs::read_dir(&first)
        .map_err(|error| Failure::new(format!("{}: {error}", first.display())))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    process::run(lintian.args(files))
}

/// A root directory with this release, made unless it is there.
fn debian(release: &str) -> Outcome<PathBuf> {
    let root = directory().join(release);
    let recipe = directory().join(format!("{release}.recipe"));
    let sources = sources(release)?;
    let wanted = format!("{DEBIAN}\n{}\n", sources.join("\n"));
    if root.is_dir() && fs::read_to_string(&recipe).is_ok_and(|made| made == wanted) {
        return Ok(root);
    }
    let cannot = |error: std::io::Error| {
        Failure::new(format!("cannot write {}: {error}", directory().display()))
    };
    fs::create_dir_all(directory()).map_err(cannot)?;
    if root.exists() {
        fs::remove_dir_all(&root).map_err(cannot)?;
    }
    let apt = directory().join("apt.conf");
    fs::write(&apt, debian::fetching()?).map_err(cannot)?;
    let mut command = Command::new("mmdebstrap");
    command.args(["--variant=minbase", "--mode=root", "--format=directory"]);
    command.args(["--dpkgopt=force-unsafe-io", &format!("--include={DEBIAN}")]);
    command.arg(format!("--aptopt={}", apt.display()));
    process::run(command.arg(release).arg(&root).args(&sources))?;
    // Last: a root without its recipe is not there, however far its making got.
    fs::write(&recipe, wanted).map_err(cannot)?;
    Ok(root)
}

/// Lines for `sources.list`: this release's from the mirrors of this machine's.
fn sources(release: &str) -> Outcome<Vec<String>> {
    let own = debian::release()?;
    let sources = debian::sources(&own)?;
    let lines = sources.iter().map(Source::line);
    // Suites are named `bookworm`, `bookworm-updates`, `bookworm-security`.
    Ok(lines
        .map(|line| line.replace(&format!(" {own}"), &format!(" {release}")))
        .collect())
}

fn boot(root: &Path, tests: &Path) -> Outcome<Guest> {
    let console = directory().join("console.log");
    let (output, job) = (directory().join("output"), directory().join(JOB));
    let cannot = |error: std::io::Error| {
        Failure::new(format!("cannot write {}: {error}", directory().display()))
    };
    fs::write(&output, "").map_err(cannot)?;
    fs::write(&job, service(tests, &output)).map_err(cannot)?;
    // One file for what nspawn and systemd print, whichever of both streams they use.
    let (said, complained) = File::create(&console)
        .and_then(|file| Ok((file.try_clone()?, file)))
        .map_err(cannot)?;
    let mut nspawn = guest::program("systemd-nspawn");
    nspawn.args(["--boot", "--quiet", "--private-network", LANDLOCK]);
    nspawn.args(["--register=no", "--keep-unit", "--console=pipe"]);
    nspawn.args(["--link-journal=no", "--settings=no", "--resolv-conf=off"]);
    // What is changed is forgotten.
    nspawn.arg("--volatile=overlay");
    nspawn.arg(format!("--directory={}", root.display()));
    nspawn.arg(format!("--bind={}", workspace::root().display()));
    if !workspace::target_dir().starts_with(workspace::root()) {
        nspawn.arg(format!("--bind={}", workspace::target_dir().display()));
    }
    nspawn.arg(format!(
        "--bind-ro={}:/run/systemd/system/{JOB}",
        job.display()
    ));
    nspawn.args(["--", &format!("systemd.wants={JOB}")]);
    nspawn.stdout(said).stderr(complained);
    Guest::start(&mut nspawn, &output, &console)
}

/// The service's file.
fn service(tests: &Path, output: &Path) -> String {
    let (tests, output) = (tests.display(), output.display());
    let (root, packages) = (workspace::root(), directory());
    let (root, packages) = (root.display(), packages.display());
    format!(
        "[Unit]\n\
         After=multi-user.target ssh.service dbus.socket\n\
         SuccessAction=exit-force\n\
         FailureAction=exit-force\n\
         [Service]\n\
         Type=exec\n\
         Environment={VARIABLE}={packages}\n\
         Environment=HOME=/root PULSE_TEST_MISSING=\n\
         WorkingDirectory={root}/testing\n\
         ExecStart={tests} --nocapture --test-threads=1\n\
         ExecStopPost=/usr/bin/env -i {ENDED}${{EXIT_STATUS}}\n\
         StandardOutput=append:{output}\n\
         StandardError=inherit\n"
    )
}
