//! `cargo xtask style`: figures of habits, beside those of code bases to learn from.
//!
//! A report and no gate: a figure is a sign that something is worth a look, and no aim. All
//! figures are of syntax trees ([`syn`]), so a brace within a string or a comment counts as
//! what it is. With a directory as argument the report is of that checkout, which is how the
//! columns of the others were made comparable.
#![allow(clippy::print_stdout, reason = "the report goes to a terminal")]

mod checkout;
mod figures;
mod habits;
mod lines;

use checkout::Checkout;
use figures::Figures;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let directory = std::env::args_os().nth(1).map_or(".".into(), PathBuf::from);
    match Checkout::read(&directory).map(|checkout| Figures::of(&checkout)) {
        Ok(figures) => {
            print!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("style: {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}
