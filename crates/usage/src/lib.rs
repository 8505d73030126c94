//! Command lines as tables.
//!
//! A program's parser looks its options up in its table, and `--help`, the manual page and the
//! completions are rendered from the same table. So an option that the parser takes is documented.
//! `pulse-sensorctl` uses clap instead; the daemon and the helper are kept free of its crates.

use std::fmt::Write;

/// The columns of `--help`.
const WIDTH: usize = 80;

/// The width of the first column of `--help`; longer terms have a line of their own.
const TERM: usize = 22;

/// A program's command line. `Id` is the parser's own type for an option.
#[derive(Debug)]
pub struct Usage<Id: 'static> {
    /// The program's name.
    pub name: &'static str,
    /// The purpose in a few words, without a full stop.
    pub summary: &'static str,
    /// A paragraph.
    pub description: &'static str,
    /// The forms of the command line, without the program's name.
    pub synopsis: &'static [&'static str],
    /// The commands that are words of the command line, with their meaning.
    pub commands: &'static [Entry],
    /// The options.
    pub options: &'static [Opt<Id>],
    /// What else is to be said, each with a heading.
    pub sections: &'static [Section],
    /// Exit codes with their meaning.
    pub exit_codes: &'static [(u8, &'static str)],
}

/// An option.
#[derive(Debug)]
pub struct Opt<Id> {
    /// The option for the parser.
    pub id: Id,
    /// Its names, the short one first if there is one, with their dashes.
    pub names: &'static [&'static str],
    /// Its value, if it takes one.
    pub value: Option<Value>,
    /// Its meaning.
    pub text: &'static str,
}

/// The value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// The path of a file.
    File,
    /// The path of a directory.
    Directory,
    /// One of these words, and what they are.
    OneOf(&'static str, &'static [&'static str]),
}

impl Value {
    /// The name that stands for the value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "FILE",
            Self::Directory => "DIR",
            Self::OneOf(name, _) => name,
        }
    }

    /// True if this word is one that the option takes. Paths are not judged.
    #[must_use]
    pub fn permits(self, word: &str) -> bool {
        match self {
            Self::File | Self::Directory => true,
            Self::OneOf(_, words) => words.contains(&word),
        }
    }
}

/// A term and its meaning.
#[derive(Debug)]
pub struct Entry {
    /// The term as it is typed.
    pub term: &'static str,
    /// Its meaning.
    pub text: &'static str,
}

/// A part of the help with a heading.
#[derive(Debug)]
pub struct Section {
    /// The heading, without a colon.
    pub heading: &'static str,
    /// A paragraph.
    pub text: &'static str,
    /// Terms that the paragraph introduces.
    pub entries: &'static [Entry],
    /// A line to be copied as it is.
    pub example: Option<&'static str>,
}

impl<Id: Copy> Usage<Id> {
    /// The option with this name, dashes included.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&Opt<Id>> {
        self.options
            .iter()
            .find(|option| option.names.contains(&name))
    }

    /// The text of `--help`.
    #[must_use]
    pub fn help(&self) -> String {
        let mut text = String::new();
        paragraph(&mut text, "", self.description);
        text.push('\n');
        for (index, form) in self.synopsis.iter().enumerate() {
            let start = if index == 0 { "Usage:" } else { "      " };
            // Writing to a String never fails.
            let _ = writeln!(text, "{start} {} {form}", self.name);
        }
        let commands = self.commands.iter();
        entries(
            &mut text,
            "Commands",
            commands.map(|entry| (entry.term.to_owned(), entry.text)),
        );
        let options = self.options.iter();
        entries(
            &mut text,
            "Options",
            options.map(|option| (option.term(), option.text)),
        );
        for section in self.sections {
            let _ = writeln!(text, "\n{}:", section.heading);
            paragraph(&mut text, "  ", section.text);
            for entry in section.entries {
                row(&mut text, entry.term, entry.text);
            }
            if let Some(example) = section.example {
                let _ = writeln!(text, "\n    {example}");
            }
        }
        if !self.exit_codes.is_empty() {
            text.push_str("\nExit codes:\n");
        }
        for (code, meaning) in self.exit_codes {
            let mut lines = wrapped(meaning, WIDTH - 6).into_iter();
            let _ = writeln!(text, "  {code:>2}  {}", lines.next().unwrap_or_default());
            for line in lines {
                let _ = writeln!(text, "      {line}");
            }
        }
        text
    }
}

impl<Id> Opt<Id> {
    /// The option as help shows it: its names and its value.
    #[must_use]
    pub fn term(&self) -> String {
        let names = self.names.join(", ");
        match self.value {
            Some(value) => format!("{names} {}", value.name()),
            None => names,
        }
    }
}

fn entries(
    text: &mut String,
    heading: &str,
    entries: impl Iterator<Item = (String, &'static str)>,
) {
    let mut entries = entries.peekable();
    if entries.peek().is_some() {
        let _ = writeln!(text, "\n{heading}:");
    }
    for (term, meaning) in entries {
        row(text, &term, meaning);
    }
}

/// A term and its meaning in two columns.
fn row(text: &mut String, term: &str, meaning: &str) {
    let mut first = format!("  {term}");
    for line in wrapped(meaning, WIDTH - TERM) {
        // Two blanks at least between the columns.
        if first.len() + 2 > TERM {
            let _ = writeln!(text, "{first}");
            first.clear();
        }
        let _ = writeln!(text, "{first:TERM$}{line}");
        first.clear();
    }
}

fn paragraph(text: &mut String, margin: &str, words: &str) {
    for line in wrapped(words, WIDTH - margin.len()) {
        let _ = writeln!(text, "{margin}{line}");
    }
}

/// The words of a text in lines of at most `width` bytes, if no word is longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage<u8> = Usage {
        name: "x",
        summary: "does nothing",
        description: "Does nothing.",
        synopsis: &["[--config FILE]", "serve"],
        commands: &[Entry {
            term: "serve",
            text: "serve",
        }],
        options: &[
            Opt {
                id: 1,
                names: &["-c", "--config"],
                value: Some(Value::File),
                text: "the configuration",
            },
            Opt {
                id: 2,
                names: &["--confinement"],
                value: Some(Value::OneOf("required|off", &["required", "off"])),
                text: "a text that is longer than what is left beside the first column of the help",
            },
        ],
        sections: &[Section {
            heading: "Environment",
            text: "Variables.",
            entries: &[Entry {
                term: "X",
                text: "a variable",
            }],
            example: Some("an example"),
        }],
        exit_codes: &[(0, "success"), (64, "wrong arguments")],
    };

    #[test]
    fn help_has_columns() {
        let expected = "\
Does nothing.

Usage: x [--config FILE]
       x serve

Commands:
  serve               serve

Options:
  -c, --config FILE   the configuration
  --confinement required|off
                      a text that is longer than what is left beside the first
                      column of the help

Environment:
  Variables.
  X                   a variable

    an example

Exit codes:
   0  success
  64  wrong arguments
";
        assert_eq!(USAGE.help(), expected);
    }

    #[test]
    fn options_are_found_by_each_name() {
        let id = |name| USAGE.option(name).map(|option| option.id);
        assert_eq!(id("-c"), Some(1));
        assert_eq!(id("--config"), Some(1));
        assert_eq!(id("--conf"), None);
        let value = USAGE.options[1].value.unwrap();
        assert!(value.permits("off") && !value.permits("on"));
    }
}
