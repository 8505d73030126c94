//! Programs that cargo builds for the project, in one version everywhere.

use crate::process::{self, Outcome};
use crate::workspace::{self, cargo, tools_dir};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A package that is a subcommand of cargo.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

impl Tool {
    /// The program, on `PATH` or among the project's own; built if neither has this version.
    pub(crate) fn get(&self) -> Outcome<PathBuf> {
        let ours = tools_dir().join("bin").join(self.name);
        // Ours first: `PATH` may have another version, which has to be started to know.
        let mut installed = [Some(ours.clone()), workspace::find_program(self.name)]
            .into_iter()
            .flatten();
        match installed.find(|program| self.is_version_of(program)) {
            Some(program) => Ok(program),
            None => {
                let target = tools_dir().join("build");
                let mut command = cargo("install");
                // Unoptimised, which takes less than half the time; these programs run for a
                // second.
                command
                    .args([self.name, "--version", self.version, "--locked", "--root"])
                    .arg(tools_dir())
                    .arg("--target-dir")
                    .arg(&target)
                    .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
                    .env("CARGO_PROFILE_RELEASE_LTO", "off")
                    .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256");
                process::run(&mut command)?;
                // Half a gigabyte; a failure to remove it is not one of the tool.
                let _ = fs::remove_dir_all(target);
                Ok(ours)
            }
        }
    }

    fn is_version_of(&self, program: &Path) -> bool {
        // cargo's own record: some pass `--version` on to cargo.
        let record = program
            .ancestors()
            .nth(2)
            .and_then(|directory| fs::read_to_string(directory.join(".crates.toml")).ok());
        let entry = format!("\n\"{} {} (", self.name, self.version);
        if program.exists() && record.is_some_and(|record| record.contains(&entry)) {
            return true;
        }
        let mut asked = Command::new(program);
        // As cargo calls it: some of them print their version only so.
        asked
            .arg(self.name.trim_start_matches("cargo-"))
            .arg("--version");
        let output = asked.stdin(Stdio::null()).output();
        output.is_ok_and(|output| {
            output.stdout.trim_ascii() == format!("{} {}", self.name, self.version).as_bytes()
        })
    }
}
