//! The commands that the daemon may send to a node.
//!
//! The daemon sends the text of a [`NodeCommand`] and nothing else. The helper on the node parses
//! `SSH_ORIGINAL_COMMAND` with [`NodeCommand::parse`], by the same table. Neither side starts a
//! shell, so nothing is escaped: the parser accepts a few exact sequences of words and refuses the
//! rest. The error names the kind of attack that the text resembles, for the audit record.

use std::fmt;

/// The maximum length of an argument, and of a whole command, in bytes.
pub const MAX_ARGUMENT_BYTES: usize = 1024;

/// The word by which the daemon finds out whether a shell runs what it asks for. It is no
/// program: a shell ends with [`NOT_FOUND`], a forced command does not see it, and the helper
/// refuses it.
pub const FORCED_COMMAND_CHECK: &str = "pulse-sensor-forced-command-check";

/// The exit code of a shell that finds no program of a name (POSIX, "Exit Status for Commands").
pub const NOT_FOUND: u32 = 127;

/// A command for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeCommand {
    /// The helper prints one document and exits.
    Read,
    /// The helper replies to each request line with a document, on one line.
    Serve,
    /// The helper prints its version.
    Version,
    /// lm-sensors prints its readings as JSON.
    SensorsJson,
    /// `ipmitool sdr`: sensor data records.
    IpmitoolSdr(SdrView),
    /// `ipmitool sensor`: sensors with thresholds.
    IpmitoolSensor,
}

/// The forms of `ipmitool sdr` that change nothing.
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

/// Every command and its exact words.
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

const HELPER: &str = "pulse-sensor-node";
const IPMITOOL: &str = "ipmitool";

/// The reason why a text is not a command, by the kind of attack that it resembles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CommandError {
    /// Blanks only.
    #[error("empty command")]
    Empty,
    /// An argument, or the whole text, is longer than [`MAX_ARGUMENT_BYTES`].
    #[error("argument longer than {MAX_ARGUMENT_BYTES} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("not valid UTF-8")]
    InvalidUtf8,
    /// NUL, newline or another control byte.
    #[error("control byte in command")]
    ControlByte,
    /// A character outside ASCII, such as a homoglyph or a zero-width character.
    #[error("non-ASCII character in command")]
    NonAscii,
    /// `$`, backquotes, parentheses or braces.
    #[error("subshell in command")]
    Subshell,
    /// `<` or `>`.
    #[error("redirection in command")]
    Redirection,
    /// `;`, `&` or `|`.
    #[error("command chaining")]
    Chaining,
    /// Another character with a meaning to a shell.
    #[error("shell metacharacter in command")]
    ShellMetacharacter,
    /// `..` in a path.
    #[error("path traversal in command")]
    Traversal,
    /// A program given by its path.
    #[error("commands are named without a path")]
    Path,
    /// `NAME=value` before the program.
    #[error("environment assignment before command")]
    Environment,
    /// An option that no command has.
    #[error("option not permitted")]
    Option,
    /// An `ipmitool` command that is not listed; many of them change the BMC.
    #[error("ipmitool verb not permitted")]
    IpmitoolVerb,
    /// Any other program or word.
    #[error("command not permitted")]
    NotPermitted,
}

impl NodeCommand {
    /// Every command.
    pub fn all() -> impl Iterator<Item = Self> {
        COMMANDS.iter().map(|(command, _)| *command)
    }

    /// The exact words, beginning with the program.
    #[must_use]
    pub fn words(self) -> &'static [&'static str] {
        // Every variant is in the table: a test checks it.
        COMMANDS
            .iter()
            .find(|(command, _)| *command == self)
            .map_or(&[], |(_, words)| words)
    }

    /// Parses the command of an SSH client (`SSH_ORIGINAL_COMMAND`). The name of the helper's
    /// program may be left out.
    ///
    /// # Errors
    /// [`CommandError`] names the kind of attack that the text resembles.
    pub fn parse(bytes: &[u8]) -> Result<Self, CommandError> {
        let words: Vec<&str> = check_text(bytes)?
            .split(' ')
            .filter(|word| !word.is_empty())
            .collect();
        Self::from_words(&words)
    }

    /// Parses the words of an argument vector.
    ///
    /// # Errors
    /// As [`NodeCommand::parse`].
    pub fn from_words(words: &[&str]) -> Result<Self, CommandError> {
        // An argument vector has not passed `parse`, so each word is checked here.
        for word in words {
            check_text(word.as_bytes())?;
        }
        COMMANDS
            .iter()
            .find(|(_, exact)| {
                *exact == words || matches!(exact, [HELPER, rest @ ..] if rest == words)
            })
            .map(|(command, _)| *command)
            .ok_or_else(|| attack_kind(words))
    }
}

/// Refuses text by its length and characters, before it is split into words.
fn check_text(bytes: &[u8]) -> Result<&str, CommandError> {
    if bytes.len() > MAX_ARGUMENT_BYTES {
        return Err(CommandError::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| CommandError::InvalidUtf8)?;
    // The first such character decides; the error names one kind of attack.
    for c in text.chars() {
        return Err(match c {
            c if c.is_ascii_control() => CommandError::ControlByte,
            c if !c.is_ascii() => CommandError::NonAscii,
            '`' | '$' | '(' | ')' | '{' | '}' => CommandError::Subshell,
            '<' | '>' => CommandError::Redirection,
            ';' | '&' | '|' => CommandError::Chaining,
            '*' | '?' | '[' | ']' | '~' | '!' | '#' | '\'' | '"' | '\\' | '^' => {
                CommandError::ShellMetacharacter
            }
            _ => continue,
        });
    }
    Ok(text)
}

/// The kind of attack that words resemble whose characters are permitted.
fn attack_kind(words: &[&str]) -> CommandError {
    let Some((program, arguments)) = words.split_first() else {
        return CommandError::Empty;
    };
    // The most telling kind first: a path with `..` is also a program with a path.
    if words
        .iter()
        .any(|word| word.split('/').any(|part| part == ".."))
    {
        return CommandError::Traversal;
    }
    // Before the assignment: `--option=value` has an equals sign too.
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
    fn every_command_parses_again() {
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
    fn attacks_are_refused_by_kind() {
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
            (FORCED_COMMAND_CHECK.as_bytes(), E::NotPermitted),
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
    fn other_ipmitool_verbs_are_refused() {
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
