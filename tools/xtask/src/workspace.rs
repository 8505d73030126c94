//! The checkout, the build's output and the programs of this machine.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let own = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.ancestors().nth(2).unwrap_or(&own).to_path_buf()
}

/// cargo's target directory.
pub(crate) fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => std::path::absolute(&dir).unwrap_or(PathBuf::from(dir)),
        _ => root().join("target"),
    }
}

/// Programs that we fetch and build for ourselves, inside the checkout.
pub(crate) fn tools_dir() -> PathBuf {
    root().join("target/tools")
}

/// The cargo that started us, in the checkout's root.
pub(crate) fn cargo(word: &str) -> Command {
    cargo_with(
        env::var_os("CARGO").unwrap_or(OsString::from("cargo")),
        word,
    )
}

/// As [`cargo`], with a program that is a subcommand of cargo.
pub(crate) fn cargo_with(program: impl AsRef<OsStr>, word: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).arg(word);
    // Cargo describes our own package to us. Build scripts that watch these
    // variables (ring's) would run again whenever a contributor goes from `cargo
    // build` to `cargo xtask`, and with them everything above.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command
}

/// The same, for words that resolve dependencies: a lock file that does not fit
/// the manifests is an error, never rewritten, so what is tested is what was committed.
pub(crate) fn locked_cargo(word: &str) -> Command {
    let mut command = cargo(word);
    command.arg("--locked");
    command
}

/// True for root, who may install packages.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// True if a continuous-integration service runs us.
pub(crate) fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// A program on `PATH`, or where daemons live, which is not on everybody's `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| is_program(file))
}

/// True if rsyslog has this module: Debian keeps them in a directory for each
/// architecture.
pub(crate) fn is_rsyslog_module(name: &str) -> bool {
    let libraries = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten();
    let module = format!("rsyslog/{name}.so");
    libraries
        .map(|library| library.path().join(&module))
        .any(|file| file.is_file())
}

fn is_program(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executables_are_found() {
        assert!(find_program("cat").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
        assert!(!is_program(Path::new("/etc/passwd")));
        assert!(!is_program(Path::new("/usr")));
    }

    #[test]
    fn root_is_the_workspace() {
        assert!(root().join("tools/xtask/Cargo.toml").is_file());
    }
}
