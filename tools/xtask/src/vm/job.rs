//! The files that the machine gets: our programs, the tests, and whatever of the checkout an
//! operator installs. A directory, since QEMU can share one: nothing is packed, and
//! what the tests bring out is there at once.

use super::directory;
use crate::process::{Failure, Outcome};
use crate::products::{self, Profile};
use crate::test::BIN_DIR;
use crate::workspace;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The directory that is shared with the machine.
#[derive(Debug)]
pub(crate) struct Job {
    directory: PathBuf,
}

impl Job {
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file that the tests print to.
    pub(crate) fn output(&self) -> PathBuf {
        self.directory.join("output")
    }

    /// Puts what the probe found in the machine beside what it found elsewhere.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub(crate) fn take_findings(&self) -> Outcome {
        let from = self.directory.join(FINDINGS);
        if !from.exists() {
            return Ok(());
        }
        let to = workspace::target_dir().join(FINDINGS);
        copy_tree(&from, &to).map_err(|error| cannot_fill(&to, &error))?;
        println!("what the probe found: {}", to.display());
        Ok(())
    }
}

/// The directory of the probe's findings, beside that of the programs.
const FINDINGS: &str = "confine";

/// Builds everything and lays it out.
pub(crate) fn prepare(arguments: &[String]) -> Outcome<Job> {
    let job = Job {
        directory: directory().join("job"),
    };
    products::build_for_tests()?;
    lay_out(&job, &products::tests("installed")?, arguments)
        .map_err(|error| cannot_fill(&job.directory, &error))?;
    Ok(job)
}

fn cannot_fill(directory: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot fill {}: {error}", directory.display()))
}

fn lay_out(job: &Job, tests: &Path, arguments: &[String]) -> io::Result<()> {
    let directory = &job.directory;
    // Otherwise a program of the last run that is no longer built would still be tested.
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    let bin = directory.join("bin");
    fs::create_dir_all(&bin)?;
    fs::copy(tests, bin.join("installed"))?;
    for program in products::PRODUCTS {
        fs::copy(
            products::directory(Profile::EndToEnd).join(program),
            bin.join(program),
        )?;
    }
    for part in ["security", "packaging"] {
        copy_tree(&workspace::root().join(part), &directory.join(part))?;
    }
    // Paths of the machine, where the directory is mounted at /job (job.mount).
    let arguments = arguments.join(" ");
    fs::write(
        directory.join("environment"),
        format!("{MACHINE}=/job\n{BIN_DIR}=/job/bin\nARGUMENTS={arguments}\n"),
    )?;
    // The service only appends to it, and the guest's watcher opens it before the boot.
    fs::write(job.output(), "")
}

/// Tells the tests that they are in the machine, and where this directory is.
const MACHINE: &str = "PULSE_TEST_MACHINE";

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
