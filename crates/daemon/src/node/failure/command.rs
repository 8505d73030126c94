//! Commands that fail on a node: the remedy follows from how they ended and what they printed.

use pulse_sensors::output::CommandOutput;

/// The likely cause of a command's failure. The text ends a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandFault {
    /// The login shell is nologin(8), which ends each command.
    #[error(
        "the user's login shell is nologin: give it one on the node with \"usermod -s /bin/sh {user}\""
    )]
    NoLogin {
        /// The user of the login.
        user: String,
    },
    /// No such program: the shell's exit code is 127.
    #[error(
        "a program is missing on the node: install the helper where the forced command names it, or lm-sensors (docs/nodes.md)"
    )]
    NotFound,
    /// The program cannot be executed: the shell's exit code is 126.
    #[error(
        "the program cannot be executed: check its mode (0755), its architecture, and the mount option noexec"
    )]
    NotExecutable,
    /// A signal ended it.
    #[error(
        "look for its cause on the node with \"journalctl -n 50\", such as memory that ran out or a filter"
    )]
    Killed,
    /// It ended with an error and said nothing: false(1) as the login shell does that.
    #[error(
        "run the forced command on the node as the same user; if that works, check the user's login shell"
    )]
    Silent,
    /// It ended with an error of its own.
    #[error("run the forced command on the node as the same user (docs/nodes.md)")]
    Failed,
}

/// The beginning of the message of nologin(8), of shadow and of util-linux.
const NOLOGIN: &[u8] = b"This account is currently not available.";
/// Exit codes of a POSIX shell that cannot run a program (sh(1p), "Exit Status for Commands").
const NOT_EXECUTABLE: u32 = 126;
const NOT_FOUND: u32 = 127;

impl CommandFault {
    /// The likely cause of this output of a command of `user`, which has no document.
    pub(crate) fn of(output: &CommandOutput, user: &str) -> Self {
        if output.signal.is_some() {
            return Self::Killed;
        }
        match output.exit_code {
            // nologin(8) ends with 1, and says it on stdout.
            Some(1) if output.stdout.trim_ascii().starts_with(NOLOGIN) => Self::NoLogin {
                user: user.to_owned(),
            },
            Some(NOT_FOUND) => Self::NotFound,
            Some(NOT_EXECUTABLE) => Self::NotExecutable,
            _ if output.stderr.is_empty() && output.stdout.is_empty() => Self::Silent,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_has_its_cause() {
        for (code, stdout, stderr, expected) in [
            (
                1,
                "This account is currently not available.\n",
                "",
                CommandFault::NoLogin {
                    user: "u".to_owned(),
                },
            ),
            (127, "", "sh: 1: x: not found", CommandFault::NotFound),
            (
                126,
                "",
                "sh: 1: x: Permission denied",
                CommandFault::NotExecutable,
            ),
            (1, "", "", CommandFault::Silent),
            (71, "", "no Landlock", CommandFault::Failed),
        ] {
            let output = CommandOutput {
                stdout: stdout.into(),
                stderr: stderr.into(),
                exit_code: Some(code),
                signal: None,
            };
            assert_eq!(CommandFault::of(&output, "u"), expected, "{code} {stdout}");
        }
    }
}
