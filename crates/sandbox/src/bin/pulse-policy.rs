//! Writes the files rendered from the confinement tables to the repository, or lists those that
//! differ. `cargo xtask policy` starts it.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", root] => write(Path::new(root)),
        ["check", root] => check(Path::new(root)),
        _ => Err(io::Error::other("usage: pulse-policy write|check ROOT")),
    };
    match outcome {
        Ok(is_current) if is_current => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "pulse-policy: {error}");
            ExitCode::from(2)
        }
    }
}

fn write(root: &Path) -> io::Result<bool> {
    for artefact in pulse_sandbox::render::artefacts() {
        if !artefact.is_current(root) {
            artefact.write(root)?;
            writeln!(io::stdout(), "written: {}", artefact.path)?;
        }
    }
    Ok(true)
}

fn check(root: &Path) -> io::Result<bool> {
    let mut is_current = true;
    for artefact in pulse_sandbox::render::artefacts() {
        if !artefact.is_current(root) {
            is_current = false;
            writeln!(io::stdout(), "differs: {}", artefact.path)?;
        }
    }
    Ok(is_current)
}
