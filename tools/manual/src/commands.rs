//! The page of `pulse-sensorctl`, with a section for each command.

use crate::programs::see_also;
use crate::roff::Page;
use clap::{Arg, Command};

/// The page.
pub(crate) fn page(mut command: Command, others: &[&str]) -> Page {
    // Gives each command its whole name, and the options that it inherits.
    command.build();
    let mut page = Page::new(
        "pulse-sensorctl",
        1,
        "show temperatures, query pulse-sensor-proxy, verify its audit log",
    );
    page.heading("Synopsis");
    page.paragraph("`pulse-sensorctl` COMMAND [OPTION]...");
    page.heading("Description");
    paragraphs(&mut page, &long_text(&command));
    page.heading("Commands");
    for inner in subcommands(&command) {
        section(&mut page, inner);
    }
    after(&mut page, &command, Page::heading);
    see_also(&mut page, others);
    page
}

/// A command's own subcommands, without the one that prints help.
fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    let inner = command.get_subcommands();
    inner.filter(|inner| inner.get_name() != "help")
}

fn section(page: &mut Page, command: &Command) {
    let usage = command.clone().render_usage().to_string();
    page.subheading(usage.trim_start_matches("Usage: "));
    paragraphs(page, &long_text(command));
    for argument in command.get_arguments() {
        if !argument.is_hide_set() && !["help", "version"].contains(&argument.get_id().as_str()) {
            option(page, argument);
        }
    }
    after(page, command, |page, heading| {
        page.paragraph(&format!("{heading}:"));
    });
    for inner in subcommands(command) {
        section(page, inner);
    }
}

/// Everything that `--help` says of a command.
fn long_text(command: &Command) -> String {
    let text = command.get_long_about().or_else(|| command.get_about());
    text.map_or_else(String::new, ToString::to_string)
}

fn paragraphs(page: &mut Page, text: &str) {
    for part in text.split("\n\n") {
        // Lists and examples are indented.
        if part.starts_with("  ") {
            page.verbatim(part);
        } else {
            page.paragraph(part);
        }
    }
}

fn option(page: &mut Page, argument: &Arg) {
    let text = argument.get_long_help().or_else(|| argument.get_help());
    let text = text.map_or_else(String::new, ToString::to_string);
    let mut parts = text.split("\n\n");
    let short = argument.get_short();
    let short = short.map_or_else(String::new, |short| format!("-{short}, "));
    let first = parts.next().unwrap_or_default();
    page.term(&format!("{short}{argument}"), first);
    for part in parts {
        page.continuation(part);
    }
    let words: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|_| argument.get_action().takes_values())
        .map(|value| value.get_name().to_owned())
        .collect();
    if !words.is_empty() {
        page.continuation(&format!("One of: {}.", words.join(", ")));
    }
    let defaults: Vec<_> = argument
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if !defaults.is_empty() && argument.get_action().takes_values() {
        page.continuation(&format!("Default: {}.", defaults.join(", ")));
    }
}

/// What stands below the options in help: headings, each with indented lines.
fn after(page: &mut Page, command: &Command, heading: fn(&mut Page, &str)) {
    let text = command
        .get_after_long_help()
        .or_else(|| command.get_after_help());
    let text = text.map_or_else(String::new, ToString::to_string);
    for part in text.split("\n\n").filter(|part| !part.is_empty()) {
        match part.split_once(":\n") {
            Some((title, lines)) if !title.contains('\n') => {
                heading(page, title);
                page.verbatim(lines);
            }
            _ => paragraphs(page, part),
        }
    }
}
