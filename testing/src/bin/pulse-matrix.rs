//! Writes the table of the probe's findings in each setting into `docs/hardening.md`.
//!
//! `cargo xtask vm-test` and `cargo xtask test` store the findings; `cargo xtask layers`
//! starts this program.
#![allow(clippy::print_stdout, reason = "the outcome is printed")]

use pulse_e2e::findings::{SETTINGS, load, table};
use std::fs;
use std::process::ExitCode;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/hardening.md");
const BEGIN: &str = "<!-- the table is written by pulse-matrix -->\n";
const END: &str = "<!-- the table ends -->";

fn main() -> ExitCode {
    // The findings are stored beside this directory.
    if std::env::var_os("PULSE_BIN_DIR").is_none() {
        eprintln!("pulse-matrix: start it with `cargo xtask layers`");
        return ExitCode::from(64);
    }
    let mut columns = Vec::new();
    for (setting, head) in SETTINGS {
        let Some(findings) = load(setting) else {
            eprintln!(
                "no findings for {setting}: run `cargo xtask vm-test` and `cargo xtask test`"
            );
            return ExitCode::FAILURE;
        };
        columns.push((head, findings));
    }
    match write(&table(&columns)) {
        Some(()) => {
            println!("wrote the table in docs/hardening.md");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("docs/hardening.md lacks the two comments around the table");
            ExitCode::FAILURE
        }
    }
}

fn write(table: &str) -> Option<()> {
    let page = fs::read_to_string(PAGE).ok()?;
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    fs::write(PAGE, format!("{before}{BEGIN}\n{table}\n{END}{after}")).ok()
}
