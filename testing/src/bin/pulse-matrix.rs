//! Puts what the probe found in each setting side by side, into `docs/hardening.md`.
//!
//! The findings come from `cargo xtask vm-test` and `cargo xtask test`; this only
//! writes them down. `cargo xtask layers` starts it.
#![allow(clippy::print_stdout, reason = "it says what it has done")]

use pulse_e2e::findings::{SETTINGS, kept, table};
use std::fs;
use std::process::ExitCode;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/hardening.md");
const BEGIN: &str = "<!-- the table is written by pulse-matrix -->\n";
const END: &str = "<!-- the table ends -->";

fn main() -> ExitCode {
    // Its place says where findings are kept; without it they would be sought in vain.
    if std::env::var_os("PULSE_BIN_DIR").is_none() {
        eprintln!("pulse-matrix: start it with `cargo xtask layers`");
        return ExitCode::from(64);
    }
    let mut columns = Vec::new();
    for (setting, head) in SETTINGS {
        let Some(findings) = kept(setting) else {
            eprintln!("{setting} was not tried: run `cargo xtask vm-test` and `cargo xtask test`");
            return ExitCode::FAILURE;
        };
        columns.push((head, findings));
    }
    match write(&table(&columns)) {
        Some(()) => {
            println!("written: docs/hardening.md");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("docs/hardening.md has no place for the table");
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
