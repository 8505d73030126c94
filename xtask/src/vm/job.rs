//! What the machine gets: our programs, the tests, and whatever of the checkout an
//! operator installs. A directory, since QEMU can share one: nothing is packed, and
//! what the tests bring out is there at once.

use super::directory;
use crate::process::{self, Failure, Outcome};
use crate::products::{self, Profile};
use crate::test::BIN_DIR;
use crate::workspace::{self, locked_cargo};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is shared with the machine.
#[derive(Debug)]
pub(crate) struct Job {
    directory: PathBuf,
}

impl Job {
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the tests print.
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

/// Where tests keep it, beside the directory of the programs.
const FINDINGS: &str = "confine";

/// Builds everything and lays it out.
pub(crate) fn prepare(arguments: &[String]) -> Outcome<Job> {
    let job = Job {
        directory: directory().join("job"),
    };
    products::build_for_tests()?;
    let tests = build_tests()?;
    lay_out(&job, &tests, arguments).map_err(|error| cannot_fill(&job.directory, &error))?;
    Ok(job)
}

fn cannot_fill(directory: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot fill {}: {error}", directory.display()))
}

/// As `cargo xtask test` builds them, so that it is done once: a test cannot be built
/// as our programs are, which do not unwind.
fn build_tests() -> Outcome<PathBuf> {
    let mut command = locked_cargo("test");
    command.args(["--no-run", "--workspace", "--test", "installed"]);
    let messages = process::capture(command.arg("--message-format=json-render-diagnostics"))?;
    executable(&messages).ok_or_else(|| Failure::new("cargo did not say where the tests are"))
}

/// The tests among what cargo made; paths with quotes or backslashes are not ours.
fn executable(messages: &str) -> Option<PathBuf> {
    let mut ours = messages
        .lines()
        .filter(|line| line.contains("\"name\":\"installed\""));
    let (_, rest) = ours.find_map(|line| line.split_once("\"executable\":\""))?;
    let (path, _) = rest.split_once('"')?;
    Some(PathBuf::from(path))
}

fn lay_out(job: &Job, tests: &Path, arguments: &[String]) -> io::Result<()> {
    let directory = &job.directory;
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    let bin = directory.join("bin");
    fs::create_dir_all(&bin)?;
    fs::copy(tests, bin.join("installed"))?;
    for program in products::PRODUCTS {
        let built = products::directory(Profile::EndToEnd).join(program);
        fs::copy(built, bin.join(program))?;
    }
    for part in ["security", "packaging"] {
        copy_tree(&workspace::root().join(part), &directory.join(part))?;
    }
    fs::write(directory.join("environment"), environment(arguments))?;
    fs::write(job.output(), "")
}

/// What the machine's service runs the tests with.
fn environment(arguments: &[String]) -> String {
    let arguments = arguments.join(" ");
    format!("{MACHINE}=/job\n{BIN_DIR}=/job/bin\nARGUMENTS={arguments}\n")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_cargo_made_is_found_among_its_messages() {
        let messages = r#"{"target":{"name":"installed"},"executable":null}
{"target":{"name":"installed"},"executable":"/t/debug/deps/installed-1","fresh":true}
{"target":{"name":"guest"},"executable":"/t/debug/guest","fresh":true}
{"reason":"build-finished","success":true}"#;
        let expected = PathBuf::from("/t/debug/deps/installed-1");
        assert_eq!(executable(messages), Some(expected));
        assert_eq!(executable("{}"), None);
    }
}
