//! `cargo xtask unit-test`: the end-to-end tests, with every daemon under its systemd unit.
//!
//! Elsewhere tests start the daemon themselves. Here Debian's systemd boots in a container
//! (systemd-nspawn, on this machine's own files, whose changes are forgotten) and starts
//! each daemon with every directive of the unit that is shipped. What a container cannot
//! enforce (`IPAddressDeny=`, AppArmor) is tried by `cargo xtask vm-test`.

use crate::guest::{self, ENDED, Guest};
use crate::packages::{self, Counterpart, program};
use crate::process::{Failure, Outcome};
use crate::products::{self, Profile};
use crate::steps::Steps;
use crate::tally::Tally;
use crate::test::{BIN_DIR, MISSING};
use crate::workspace;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The programs that this needs on this machine.
const NEEDS: [Counterpart; 3] = [
    program("systemd-nspawn", "systemd-container", "boots systemd"),
    program("dbus-daemon", "dbus", "lets systemd be asked"),
    program("setpriv", "util-linux", "lets no container outlive us"),
];

/// Tells the tests that a unit holds the daemon, and which.
const UNIT: &str = "PULSE_TEST_UNIT";

/// The service that runs the tests.
const JOB: &str = "pulse-tests.service";

/// nspawn knows no Landlock, and refuses what it does not know.
const LANDLOCK: &str = "--system-call-filter=landlock_create_ruleset landlock_add_rule \
                        landlock_restrict_self";

/// Runs the tests; arguments go to the test runner.
pub(crate) fn run(steps: &mut Steps, arguments: &[String]) -> Outcome {
    run_with(steps, arguments, &[])
}

/// As [`run`], with more variables in the tests' environment.
pub(crate) fn run_with(
    steps: &mut Steps,
    arguments: &[String],
    environment: &[(&str, &str)],
) -> Outcome {
    if !workspace::is_root() {
        return Err(Failure::new("unit-test takes root: it boots systemd"));
    }
    let missing = steps.run("counterparts", packages::ensure);
    let Some(missing) = missing else {
        return Ok(());
    };
    let built = steps.run("programs for the tests", products::build_for_tests);
    if built.is_some()
        && let Some(tally) = suite(steps, STEP, &missing, arguments, environment)
    {
        steps.end_with(tally.to_string());
    }
    Ok(())
}

/// CI's part, after the other tests, which have built and installed everything.
pub(crate) fn check(steps: &mut Steps) {
    check_with(steps, STEP, &[], &[]);
}

/// As [`check`], for some of the tests and with more variables.
pub(crate) fn check_with(
    steps: &mut Steps,
    step: &'static str,
    arguments: &[String],
    environment: &[(&str, &str)],
) {
    if workspace::is_root() {
        // What it counted has been printed.
        let _ = suite(steps, step, &[], arguments, environment);
    } else {
        println!("not root, so no {step}");
    }
}

/// The step's name.
const STEP: &str = "tests under the unit";

fn suite(
    steps: &mut Steps,
    step: &'static str,
    missing: &[&str],
    arguments: &[String],
    environment: &[(&str, &str)],
) -> Option<Tally> {
    steps.run("what the unit takes", || packages::require(&NEEDS))?;
    let mut tally = None;
    steps.run(step, || {
        let container = Container::lay_out(
            &products::tests("end_to_end")?,
            missing,
            arguments,
            environment,
        );
        let container = container.map_err(|error| {
            Failure::new(format!("cannot fill {}: {error}", directory().display()))
        })?;
        let ended = container.boot()?.watch()?;
        tally = Some(Tally::read(&ended.output));
        ended.outcome()
    });
    tally
}

/// The directory of the container and its output.
fn directory() -> PathBuf {
    workspace::target_dir().join("unit")
}

/// A container that boots, runs the tests and ends.
struct Container {
    root: PathBuf,
    job: PathBuf,
    output: PathBuf,
}

impl Container {
    fn lay_out(
        tests: &Path,
        missing: &[&str],
        arguments: &[String],
        more: &[(&str, &str)],
    ) -> io::Result<Self> {
        let container = Self {
            root: directory().join("root"),
            job: directory().join(JOB),
            output: directory().join("output"),
        };
        if container.root.exists() {
            fs::remove_dir_all(&container.root)?;
        }
        // Nothing but places for what the container gets.
        for directory in TREES
            .iter()
            .chain(&["root", "proc", "sys", "dev", "run", "tmp"])
        {
            fs::create_dir_all(container.root.join(directory))?;
        }
        for link in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{link}"), container.root.join(link))?;
        }
        // nspawn wants to see that this is a system.
        fs::write(container.root.join("etc/os-release"), "ID=pulse-tests\n")?;
        fs::write(&container.output, "")?;
        let mut environment = vec![
            (UNIT, workspace::root().join(SHIPPED).display().to_string()),
            (BIN_DIR, programs().display().to_string()),
            (MISSING, missing.join(",")),
            ("HOME", "/root".to_owned()),
            ("ARGUMENTS", arguments.join(" ")),
        ];
        environment.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        fs::write(&container.job, job(tests, &environment, &container.output))?;
        Ok(container)
    }

    fn boot(&self) -> Outcome<Guest> {
        let console = directory().join("console.log");
        // One file for what nspawn and systemd print, whichever of both streams they use.
        let (said, complained) = File::create(&console)
            .and_then(|file| Ok((file.try_clone()?, file)))
            .map_err(|error| Failure::new(format!("{}: {error}", console.display())))?;
        let at = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let mut nspawn = guest::program("systemd-nspawn");
        nspawn.args(["--boot", "--quiet", "--private-network", LANDLOCK]);
        // Neither this machine's systemd, if it has one, nor a terminal has a part in it.
        nspawn.args(["--register=no", "--keep-unit", "--console=pipe"]);
        nspawn.args(["--link-journal=no", "--settings=no", "--resolv-conf=off"]);
        nspawn.arg(at("directory", &self.root));
        // An empty path makes nspawn create the upper layer, and remove it (systemd-nspawn(1)).
        for tree in TREES {
            nspawn.arg(format!("--overlay=/{tree}::/{tree}"));
        }
        // Programs and tests are started by their paths outside, and write their results there.
        nspawn.arg(at("bind", &workspace::root()));
        if !workspace::target_dir().starts_with(workspace::root()) {
            nspawn.arg(at("bind", &workspace::target_dir()));
        }
        let (job, wanted) = (self.job.display(), format!("systemd.unit={JOB}"));
        nspawn.arg(format!("--bind-ro={job}:/etc/systemd/system/{JOB}"));
        nspawn.args(["--", &wanted]);
        nspawn.stdout(said).stderr(complained);
        Guest::start(&mut nspawn, &self.output, &console)
    }
}

/// The unit that is shipped.
const SHIPPED: &str = "packaging/systemd/pulse-sensor-proxy.service";

/// This machine's files that the container has; what is written there is forgotten.
const TREES: [&str; 3] = ["usr", "etc", "var"];

/// The directory of the daemon that the tests start.
fn programs() -> PathBuf {
    products::directory(Profile::EndToEnd)
}

/// The service's file.
fn job(tests: &Path, environment: &[(&str, String)], output: &Path) -> String {
    let environment = environment.iter();
    let environment: String = environment
        .map(|(name, value)| format!("Environment=\"{name}={value}\"\n"))
        .collect();
    // `exit-force` ends systemd without stopping its units one by one (systemd.unit(5)).
    let (tests, output) = (tests.display(), output.display());
    let (programs, root) = (programs(), workspace::root());
    let (programs, root) = (programs.display(), root.display());
    format!(
        "[Unit]\n\
         After=multi-user.target dbus.socket\n\
         Wants=dbus.socket\n\
         SuccessAction=exit-force\n\
         FailureAction=exit-force\n\
         [Service]\n\
         Type=exec\n\
         {environment}\
         WorkingDirectory={root}/testing\n\
         # What the package's files make.\n\
         ExecStartPre=mkdir -p /run/pulse-sensor-proxy.root /etc/pulse-sensor-proxy\n\
         ExecStartPre=cp {programs}/pulse-sensor-proxy /usr/bin\n\
         ExecStart={tests} $ARGUMENTS\n\
         ExecStopPost=/usr/bin/env -i {ENDED}${{EXIT_STATUS}}\n\
         StandardOutput=append:{output}\n\
         StandardError=inherit\n"
    )
}
