//! The results: a table for people, or JSON for programs.

use crate::promise::Promise;
use serde_json::{Value, json};

/// Collects figures and prints them.
pub(crate) struct Report {
    for_people: bool,
    rows: Vec<(Promise, f64)>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(for_people: bool) -> Self {
        Self {
            for_people,
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Prints the present step, which can take minutes.
    pub(crate) fn step(&self, what: &str) {
        eprintln!("measuring {what} …");
    }

    /// Adds the figure of a promise.
    pub(crate) fn figure(&mut self, promise: Promise, figure: f64) {
        self.rows.push((promise, figure));
    }

    /// Adds a line of further figures.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Prints the results. Ends the program with 1 when a promise is missed, except in a smoke
    /// run.
    pub(crate) fn finish(&self, smoke: bool) {
        if self.for_people {
            self.print_table();
        } else {
            let row = |(promise, figure): &(Promise, f64)| {
                json!({
                    "what": promise.what,
                    "promised": promise.reach(),
                    "unit": promise.unit,
                    "measured": figure,
                    "kept": promise.is_kept(*figure),
                })
            };
            let rows: Vec<Value> = self.rows.iter().map(row).collect();
            println!("{}", json!({ "figures": rows, "notes": self.notes }));
        }
        if smoke {
            eprintln!(
                "This was a smoke run: too few measurements for the figures to mean anything."
            );
        } else if self
            .rows
            .iter()
            .any(|(promise, figure)| !promise.is_kept(*figure))
        {
            std::process::exit(1);
        }
    }

    fn print_table(&self) {
        println!("\n| what | promised | measured | kept? |\n|---|---|---|---|");
        for (promise, figure) in &self.rows {
            let verdict = if promise.is_kept(*figure) {
                "yes"
            } else {
                "**no**"
            };
            println!(
                "| {} | {} | {} | {verdict} |",
                promise.what,
                promise.reach(),
                rounded(*figure)
            );
        }
        println!();
        for note in &self.notes {
            println!("* {note}");
        }
    }
}

/// Rounds to three significant digits.
pub(crate) fn rounded(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 1.0 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}
