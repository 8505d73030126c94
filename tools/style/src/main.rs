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
    let checkout = match Checkout::read(&directory) {
        Ok(checkout) => checkout,
        Err(error) => {
            eprintln!("style: {}: {error}", directory.display());
            return ExitCode::FAILURE;
        }
    };
    if !is_list {
        print!("{}", Figures::of(&checkout));
        return ExitCode::SUCCESS;
    }
    let mut out = std::io::stdout().lock();
    for source in &checkout.sources {
        for sign in Habits::count(source).0.signs {
            // As compilers print places, so that editors find them.
            let place = format!("{}:{}", source.path.display(), sign.line);
            if writeln!(out, "{place}: {:?}", sign.habit).is_err() {
                // The reader has had enough, such as head(1).
                return ExitCode::SUCCESS;
            }
        }
    }
    ExitCode::SUCCESS
}
