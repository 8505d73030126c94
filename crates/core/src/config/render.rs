//! Files of the repository that are made from the table: `packaging/config.toml`, and the
//! words with which the parser is fuzzed.

use super::schema::{Change, Key, Shape};
use super::table::FILE;
use std::collections::BTreeSet;
use std::fmt::{Result, Write};
use toml::de::DeValue;

/// A longer line that assigns a list is broken: an entry a line.
const LINE: usize = 80;

/// libFuzzer takes no longer word, in bytes.
const LONGEST_WORD: usize = 64;

/// Words for fuzzing that the table lacks: TOML's own, and values that its types take or refuse.
const WORDS: &str = r#"
    = # . " ''' """ [ ] { } -1 0x10 1_000 4294967295 4294967296
    "0s" "24h" "500ms" "default" "disabled" "read" "::1"
"#;

/// The key whose example the packaged file has: a new file has the newest version.
const VERSION: &str = "config_version";

/// The text of the packaged file: every key with its comment and its default.
#[must_use]
pub fn packaged() -> String {
    let mut text = String::new();
    // A string takes all that is written to it.
    let _ = section(&mut text, &FILE);
    text
}

fn section(out: &mut String, section: &Key) -> Result {
    comment(out, "#", section.description)?;
    if !section.name.is_empty() {
        writeln!(out, "[{}]", section.name)?;
    }
    for key in section.keys() {
        out.push('\n');
        if key.change == Change::PerKey {
            self::section(out, key)?;
        } else {
            value(out, key)?;
        }
    }
    Ok(())
}

fn value(out: &mut String, key: &Key) -> Result {
    comment(out, "#", key.description)?;
    write!(out, "# Value: {}.", key.shape)?;
    if key.change == Change::Restart {
        write!(out, " Restart required.")?;
    }
    writeln!(out)?;
    if let Some(variable) = key.variable {
        writeln!(out, "# {variable} in the environment overrides it.")?;
    }
    for inner in key.keys() {
        write!(out, "#   {}: {}", inner.name, inner.shape)?;
        if let Some(default) = inner.default {
            write!(out, "; {default} by default")?;
        }
        writeln!(out, ".")?;
        comment(out, "#      ", inner.description)?;
    }
    let example = key.example.unwrap_or_default();
    match key.default {
        Some(_) if key.name == VERSION => assignment(out, "", key.name, example),
        // An empty default does not show how a value is written.
        Some(default @ ("[]" | "\"\"")) => {
            writeln!(out, "# Example:")?;
            assignment(out, "#   ", key.name, example)?;
            assignment(out, "", key.name, default)
        }
        Some(default) => assignment(out, "", key.name, default),
        None => assignment(out, "# ", key.name, example),
    }
}

fn comment(out: &mut String, margin: &str, lines: &[&str]) -> Result {
    lines
        .iter()
        .try_for_each(|line| writeln!(out, "{margin}{line}"))
}

fn assignment(out: &mut String, margin: &str, name: &str, value: &str) -> Result {
    let value = one_line(value);
    let parsed = DeValue::parse(&value).ok();
    match parsed
        .as_ref()
        .and_then(|parsed| parsed.get_ref().as_array())
    {
        Some(entries) if name.len() + value.len() > LINE => {
            writeln!(out, "{margin}{name} = [")?;
            // Copied from the table's text, quotes included: the parser gives the positions.
            for entry in entries {
                let entry = value.get(entry.span()).unwrap_or_default();
                writeln!(out, "{margin}    {entry},")?;
            }
            writeln!(out, "{margin}]")
        }
        _ => writeln!(out, "{margin}{name} = {value}"),
    }
}

/// A value of the table without line breaks: where the compiler breaks a long one depends on
/// its version.
fn one_line(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// libFuzzer's dictionary for the configuration: keys, values and punctuation.
#[must_use]
pub fn dictionary() -> String {
    // A Windows line end, which is white space, and a byte order mark, which is invisible.
    let words = WORDS.split_whitespace().chain(["\r\n", "\u{feff}"]);
    let mut words = words.map(str::to_owned).collect();
    collect(&mut words, &FILE);
    let mut text = "# Keys and values of the configuration, from its table.\n".to_owned();
    for word in words {
        // The syntax of AFL's dictionaries, which libFuzzer reads.
        let escaped = |byte: u8| match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => format!("\\x{byte:02x}"),
            _ => char::from(byte).to_string(),
        };
        let word: String = word.bytes().map(escaped).collect();
        let _ = writeln!(text, "\"{word}\"");
    }
    text
}

fn collect(words: &mut BTreeSet<String>, table: &Key) {
    for key in table.keys() {
        words.insert(key.name.to_owned());
        let values = key.default.into_iter().chain(key.example).map(one_line);
        words.extend(values.filter(|value| value.len() <= LONGEST_WORD));
        match key.shape {
            Shape::Choice(choices) => {
                words.extend(choices.iter().map(|word| format!("\"{word}\"")));
            }
            Shape::Table(_) => {
                words.insert(format!("[{}]", key.name));
            }
            Shape::List(_) if !key.keys().is_empty() => {
                words.insert(format!("[[{}]]", key.name));
            }
            Shape::List(_) | Shape::Entry(..) | Shape::Scalar(_) => {}
        }
        collect(words, key);
    }
}
