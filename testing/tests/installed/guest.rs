//! Programs and files of the virtual machine that the tests run in.

use pulse_e2e::programs;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The directory shared with the host.
fn share() -> PathBuf {
    programs::shared_directory().expect("a test without it is skipped")
}

/// Runs a program that must succeed and returns its output.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = try_run(program, arguments);
    let (text, errors) = (text(&output.stdout), text(&output.stderr));
    let status = output.status;
    assert!(
        status.success(),
        "{program} {arguments:?}: {status}\n{text}{errors}"
    );
    text
}

/// Runs a program that may fail.
pub(crate) fn try_run(program: &str, arguments: &[impl AsRef<OsStr>]) -> Output {
    let found = programs::find(program).expect("Debian in the virtual machine has it");
    Command::new(found).args(arguments).output().unwrap()
}

/// A program's output as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Installs a file of the shared directory.
pub(crate) fn install(from: &str, to: &str) {
    let to = Path::new(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(share().join(from), to).unwrap();
}

/// Removes a file or a directory, if it exists.
pub(crate) fn remove(path: &str) {
    let path = Path::new(path);
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else if path.exists() {
        fs::remove_file(path).unwrap();
    }
}
