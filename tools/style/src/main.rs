//! `cargo xtask style`: figures of habits, beside those of code bases to learn from.
//!
//! A report and no gate: a figure is a sign that something is worth a look, and no aim. All
//! figures are of syntax trees ([`syn`]), so a brace within a string or a comment counts as
//! what it is. With a directory as argument the report is of that checkout, which is how the
//! columns of the others were made comparable. `--list` prints the places instead.
#![allow(clippy::print_stdout, reason = "the report goes to a terminal")]

mod checkout;
mod figures;
mod habits;
mod lines;

use checkout::Checkout;
use figures::Figures;
use habits::Habits;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let is_list = arguments.first().is_some_and(|first| first == "--list");
    if is_list {
        arguments.remove(0);
    }
    let directory = arguments.pop().map_or(".".into(), PathBuf::from);
    match Checkout::read(&directory) {
        Ok(checkout) if is_list => list(&checkout),
        Ok(checkout) => print!("{}", Figures::of(&checkout)),
        Err(error) => {
            eprintln!("style: {}: {error}", directory.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Prints each place as compilers do, `PATH:LINE: HABIT`, until its reader has had enough.
fn list(checkout: &Checkout) {
    let mut out = std::io::stdout().lock();
    for source in &checkout.sources {
        for sign in Habits::count(source).0.signs {
            let place = source.path.display();
            if writeln!(out, "{place}:{}: {:?}", sign.line, sign.habit).is_err() {
                return;
            }
        }
    }
}
