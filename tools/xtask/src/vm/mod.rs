//! `cargo xtask vm-test`: the service as it is installed, under Debian's own
//! systemd and AppArmor, in a virtual machine.
//!
//! What holds the daemon from outside cannot be judged on the machine of whoever
//! tests: it may have no systemd, its kernel no AppArmor, and a test that loads
//! profiles and makes services fail has no business there. So Debian is made from
//! its packages ([`image`]), gets what is tested over a shared directory ([`job`]),
//! and runs it in QEMU ([`machine`]), which needs no rights, no network and no
//! hardware support. The tests themselves are Rust: `testing/tests/installed`.

pub(crate) mod debian;
mod image;
mod job;
mod machine;

use crate::packages::{self, Counterpart, program};
use crate::process::{Failure, Outcome};
use crate::steps::Steps;
use crate::tally::Tally;
use crate::workspace;
use image::Kernel;
use std::path::PathBuf;

/// The programs that this needs on this machine.
const NEEDS: [Counterpart; 4] = [
    program(
        "qemu-system-x86_64",
        "qemu-system-x86",
        "is the virtual machine",
    ),
    program("mmdebstrap", "mmdebstrap", "makes Debian for it"),
    program("mkfs.ext4", "e2fsprogs", "makes its disk"),
    program("setpriv", "util-linux", "lets no machine outlive us"),
];

/// The command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    fresh: bool,
    kernel: Kernel,
    for_the_runner: Vec<String>,
}

impl Options {
    fn parse(arguments: &[String]) -> Self {
        let mut options = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--fresh" => options.fresh = true,
                "--stock-kernel" => options.kernel = Kernel::Stock,
                _ => options.for_the_runner.push(argument.clone()),
            }
        }
        options
    }
}

/// Makes the machine, or takes the one that is there, and runs the tests in it.
pub(crate) fn run(steps: &mut Steps, arguments: &[String]) -> Outcome {
    let options = Options::parse(arguments);
    if cfg!(not(target_arch = "x86_64")) {
        return Err(Failure::new("vm-test takes an x86-64 machine"));
    }
    if !workspace::is_root() {
        return Err(Failure::new("vm-test takes root: it makes Debian's files"));
    }
    if steps
        .run("what it takes", || packages::require(&NEEDS))
        .is_none()
    {
        return Ok(());
    }
    let image = steps.run("Debian to boot", || {
        image::ready(options.kernel, options.fresh)
    });
    let job = steps.run("what is tested", || job::prepare(&options.for_the_runner));
    let (Some(image), Some(job)) = (image, job) else {
        return Ok(());
    };
    let mut tally = Tally::default();
    steps.run("tests in the machine", || {
        let ended = machine::run(&image, &job)?;
        // Before the findings: a copy that fails hides no count.
        tally = Tally::read(&ended.output);
        job.take_findings()?;
        ended.outcome()
    });
    steps.end_with(tally.to_string());
    Ok(())
}

/// The directory of the images and jobs.
fn directory() -> PathBuf {
    workspace::target_dir().join("vm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_goes_to_the_runner() {
        let arguments = ["--fresh", "watchdog", "--stock-kernel", "--nocapture"];
        let parsed = Options::parse(&arguments.map(str::to_owned));
        let expected = Options {
            fresh: true,
            kernel: Kernel::Stock,
            for_the_runner: vec!["watchdog".to_owned(), "--nocapture".to_owned()],
        };
        assert_eq!(parsed, expected);
    }
}
