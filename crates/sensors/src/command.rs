//! What may reach a node: values of a type, not strings.
//!
//! The daemon sends only the text of a [`NodeCommand`], and the helper on the
//! node reads `SSH_ORIGINAL_COMMAND` with [`NodeCommand::parse`]: one table, both
//! ends. There is no shell on either side, so there is nothing to escape; the
//! parser accepts a handful of exact word sequences and refuses the rest, saying
//! which family of attack it resembles so that the record is worth reading.

use std::fmt;

/// The longest argument, and the longest whole command, in bytes.
pub const MAX_ARGUMENT_BYTES: usize = 1024;

/// Everything that can be asked of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeCommand {
    /// The helper: one document, then exit.
    Read,
    /// The helper: one request a line in, one document a line out.
    Serve,
    /// The helper: its version.
    Version,
    /// lm-sensors, as JSON.
    SensorsJson,
    /// `ipmitool sdr`: sensor data records.
    IpmitoolSdr(SdrView),
    /// `ipmitool sensor`: sensors with thresholds.
    IpmitoolSensor,
}

/// The views of `ipmitool sdr` that only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SdrView {
    /// `ipmitool sdr`.
    Plain,
    /// `ipmitool sdr type temperature`.
    Temperature,
    /// `ipmitool sdr elist`.
    Elist,
    /// `ipmitool sdr list`.
    List,
}

/// The one table: every command and its exact words.
const COMMANDS: [(NodeCommand, &[&str]); 9] = [
    (NodeCommand::Read, &["pulse-sensor-node", "read"]),
    (NodeCommand::Serve, &["pulse-sensor-node", "serve"]),
    (NodeCommand::Version, &["pulse-sensor-node", "version"]),
    (NodeCommand::SensorsJson, &["sensors", "-j"]),
    (
        NodeCommand::IpmitoolSdr(SdrView::Plain),
        &["ipmitool", "sdr"],
    ),
    (
        NodeCommand::IpmitoolSdr(SdrView::Temperature),
        &["ipmitool", "sdr", "type", "temperature"],
    ),
    (
        NodeCommand::IpmitoolSdr(SdrView::Elist),
        &["ipmitool", "sdr", "elist"],
    ),
    (
        NodeCommand::IpmitoolSdr(SdrView::List),
        &["ipmitool", "sdr", "list"],
    ),
    (NodeCommand::IpmitoolSensor, &["ipmitool", "sensor"]),
];

/// Programs whose other words are refused by name rather than as unknown.
const HELPER: &str = "pulse-sensor-node";
const IPMITOOL: &str = "ipmitool";

/// Why a text is not a command, named for the attack it resembles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CommandError {
    /// Nothing but blanks.
    #[error("empty command")]
    Empty,
    /// An argument, or the whole, over [`MAX_ARGUMENT_BYTES`].
    #[error("argument longer than {MAX_ARGUMENT_BYTES} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("not valid UTF-8")]
    InvalidUtf8,
    /// NUL, newline or another control byte.
    #[error("control byte in command")]
    ControlByte,
    /// Look-alikes, zero-width characters: anything beyond ASCII.
    #[error("non-ASCII character in command")]
    NonAscii,
    /// `$( )`, backquotes, parentheses or braces.
    #[error("subshell in command")]
    Subshell,
    /// `<` or `>`.
    #[error("redirection in command")]
    Redirection,
    /// `;`, `&` or `|`.
    #[error("command chaining")]
    Chaining,
    /// Any other character that a shell would treat specially.
    #[error("shell metacharacter in command")]
    ShellMetacharacter,
    /// `..` in a path.
    #[error("path traversal in command")]
    Traversal,
    /// A program named by a path.
    #[error("commands are named without a path")]
    Path,
    /// `NAME=value` before the program.
    #[error("environment assignment before command")]
    Environment,
    /// An option where a word was expected.
    #[error("option not permitted")]
    Option,
    /// An `ipmitool` verb that could change something, or is not listed.
    #[error("ipmitool verb not permitted")]
    IpmitoolVerb,
    /// Any other program or word.
    #[error("command not permitted")]
    NotPermitted,
}

impl NodeCommand {
    /// Every command, for tables and tests.
    pub fn all() -> impl Iterator<Item = Self> {
        COMMANDS.iter().map(|(command, _)| *command)
    }

    /// The exact words, the program first.
    #[must_use]
    pub fn words(self) -> &'static [&'static str] {
        // The table has every variant: a test walks them all.
        COMMANDS
            .iter()
            .find(|(command, _)| *command == self)
            .map_or(&[], |(_, words)| words)
    }

    /// Parses what came over SSH (`SSH_ORIGINAL_COMMAND`).
    ///
    /// The helper's own words may come with or without the program's name.
    ///
    /// # Errors
    /// [`CommandError`] names the family of what was refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, CommandError> {
        let text = check_text(bytes)?;
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        Self::from_words(&words)
    }

    /// Parses words that are already separate, as in an argument vector.
    ///
    /// # Errors
    /// As [`NodeCommand::parse`].
    pub fn from_words(words: &[&str]) -> Result<Self, CommandError> {
        for word in words {
            check_text(word.as_bytes())?;
        }
        COMMANDS
            .iter()
            .find(|(_, exact)| *exact == words || is_bare_helper_word(exact, words))
            .map(|(command, _)| *command)
            .ok_or_else(|| family(words))
    }
}

fn is_bare_helper_word(exact: &[&str], words: &[&str]) -> bool {
    matches!(exact, [HELPER, rest @ ..] if rest == words)
}

/// Refuses by character before any word is looked at.
fn check_text(bytes: &[u8]) -> Result<&str, CommandError> {
    if bytes.len() > MAX_ARGUMENT_BYTES {
        return Err(CommandError::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| CommandError::InvalidUtf8)?;
    for c in text.chars() {
        check_char(c)?;
    }
    Ok(text)
}

fn check_char(c: char) -> Result<(), CommandError> {
    match c {
        c if c.is_ascii_control() => Err(CommandError::ControlByte),
        c if !c.is_ascii() => Err(CommandError::NonAscii),
        '`' | '$' | '(' | ')' | '{' | '}' => Err(CommandError::Subshell),
        '<' | '>' => Err(CommandError::Redirection),
        ';' | '&' | '|' => Err(CommandError::Chaining),
        '*' | '?' | '[' | ']' | '~' | '!' | '#' | '\'' | '"' | '\\' | '^' => {
            Err(CommandError::ShellMetacharacter)
        }
        _ => Ok(()),
    }
}

/// Names the family of a well-formed text that is no command.
fn family(words: &[&str]) -> CommandError {
    let Some((program, arguments)) = words.split_first() else {
        return CommandError::Empty;
    };
    if words
        .iter()
        .any(|word| word.split('/').any(|part| part == ".."))
    {
        return CommandError::Traversal;
    }
    if program.starts_with('-') {
        return CommandError::Option;
    }
    if program.contains('=') {
        return CommandError::Environment;
    }
    if program.contains('/') {
        return CommandError::Path;
    }
    if words.iter().any(|word| word.starts_with('-')) {
        return CommandError::Option;
    }
    if *program == IPMITOOL && !arguments.is_empty() {
        return CommandError::IpmitoolVerb;
    }
    CommandError::NotPermitted
}

impl fmt::Display for NodeCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &[u8]) -> CommandError {
        NodeCommand::parse(text).unwrap_err()
    }

    #[test]
    fn every_command_survives_the_wire() {
        for command in NodeCommand::all() {
            let text = command.to_string();
            assert!(!text.is_empty());
            assert_eq!(NodeCommand::parse(text.as_bytes()), Ok(command));
            assert_eq!(NodeCommand::from_words(command.words()), Ok(command));
        }
        assert_eq!(
            NodeCommand::parse(b"  sensors   -j "),
            Ok(NodeCommand::SensorsJson)
        );
        assert_eq!(NodeCommand::parse(b"serve"), Ok(NodeCommand::Serve));
    }

    #[test]
    fn the_attack_families_are_refused_and_named() {
        use CommandError as E;
        let long = [b"sensors ".as_slice(), &[b'a'; 1025]].concat();
        let cases: &[(&[u8], E)] = &[
            (b"", E::Empty),
            (b"   ", E::Empty),
            (b"sensors -j *", E::ShellMetacharacter),
            (b"sensors '-j'", E::ShellMetacharacter),
            (b"sensors $(id)", E::Subshell),
            (b"sensors `id`", E::Subshell),
            (b"sensors ${IFS}-j", E::Subshell),
            (b"sensors -j > /etc/passwd", E::Redirection),
            (b"sensors -j < /etc/shadow", E::Redirection),
            (b"sensors -j; id", E::Chaining),
            (b"sensors -j && id", E::Chaining),
            (b"sensors -j | sh", E::Chaining),
            ("sensоrs -j".as_bytes(), E::NonAscii),
            ("sensors\u{200b} -j".as_bytes(), E::NonAscii),
            ("sensors \u{2011}j".as_bytes(), E::NonAscii),
            (b"sensors -j\0", E::ControlByte),
            (b"sensors -j\nid", E::ControlByte),
            (b"sensors\t-j", E::ControlByte),
            (b"sensors -j\x7f", E::ControlByte),
            (b"sensors \xff", E::InvalidUtf8),
            (b"sensors \xc0\xaf", E::InvalidUtf8),
            (&long, E::TooLong),
            (b"../../bin/sensors -j", E::Traversal),
            (b"sensors ../x", E::Traversal),
            (b"/usr/bin/sensors -j", E::Path),
            (b"./sensors -j", E::Path),
            (b"LC_ALL=C sensors -j", E::Environment),
            (b"LD_PRELOAD=/tmp/x.so sensors -j", E::Environment),
            (b"-oProxyCommand=id", E::Option),
            (b"sensors -j -c /etc/shadow", E::Option),
            (b"ipmitool -H 10.0.0.1 sdr", E::Option),
            (b"ipmitool", E::NotPermitted),
            (b"sensors", E::NotPermitted),
            (b"rm x", E::NotPermitted),
            (b"read serve", E::NotPermitted),
            (b"pulse-sensor-node pulse-sensor-node read", E::NotPermitted),
        ];
        for (text, expected) in cases {
            assert_eq!(
                error(text),
                *expected,
                "{:?}",
                String::from_utf8_lossy(text)
            );
        }
    }

    #[test]
    fn every_other_ipmitool_verb_is_refused() {
        for verb in [
            "chassis power off",
            "chassis status",
            "power off",
            "raw 0x06 0x01",
            "exec file",
            "shell",
            "mc reset cold",
            "lan set 1 ipaddr x",
            "user set password 2 x",
            "user list",
            "sol activate",
            "fru write 0 x",
            "sel clear",
            "sdr fill sensors",
            "sdr dump x",
            "sdr type fan",
            "sensor thresh x",
            "sensor get x",
            "SDR",
            "sdr  Type temperature x",
        ] {
            let text = format!("ipmitool {verb}");
            assert_eq!(error(text.as_bytes()), CommandError::IpmitoolVerb, "{text}");
        }
    }
}
