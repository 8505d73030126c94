//! The results of a command: exit codes, error codes and error texts.
//!
//! Each command has an error type of its own, which implements [`CommandError`]. This module
//! knows none of them, so that no command depends on another through their errors.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::process::ExitCode;

/// The outcome of a command that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing is wrong.
    Fine,
    /// The output names something that is wrong.
    Finding,
    /// Nothing is wrong, but not all is proven, or something needs attention soon.
    Unproven,
}

impl Outcome {
    /// [`Outcome::Finding`] unless `is_fine`.
    pub(crate) fn fine_if(is_fine: bool) -> Self {
        if is_fine { Self::Fine } else { Self::Finding }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Fine => 0,
            Outcome::Finding => 1,
            Outcome::Unproven => 3,
        })
    }
}

/// Every exit code, for `--help`. Below 64 a command did its work, and the code is its result;
/// from 64 on it did not, and the code is that of sysexits(3).
pub(crate) const EXIT_CODES: [(u8, &str); 12] = [
    (
        0,
        "nothing is wrong; also when Ctrl-C ended a command that runs on",
    ),
    (
        1,
        "a finding: a failed node, a mistake in a file, a missing record",
    ),
    (
        3,
        "nothing is wrong, but not all is proven, or something needs attention soon",
    ),
    (64, "the arguments are wrong"),
    (66, "a file cannot be read, or is not what it should be"),
    (
        69,
        "the daemon cannot be reached, does not answer, or refuses the request",
    ),
    (70, "the system refuses resources that every program needs"),
    (
        73,
        "a file of the audit log or of an archive cannot be created or changed",
    ),
    (74, "the result cannot be written"),
    (75, "the daemon is busy: try again later"),
    (77, "the daemon refuses this user, or only root can do this"),
    (78, "the configuration is wrong"),
];

/// The kind of an error. Its name in JSON output is stable: docs/pulse-sensorctl.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    RecordNotFound,
    Usage,
    CannotRead,
    InvalidInput,
    DaemonUnreachable,
    DaemonSilent,
    BadResponse,
    DaemonRefused,
    Internal,
    CannotCreate,
    Output,
    TryAgain,
    PermissionDenied,
    Config,
}

impl ErrorCode {
    /// The name in JSON output, and the exit code: one table for both.
    const fn row(self) -> (&'static str, u8) {
        match self {
            Self::RecordNotFound => ("record_not_found", 1),
            Self::Usage => ("usage", 64),
            Self::CannotRead => ("cannot_read", 66),
            Self::InvalidInput => ("invalid_input", 66),
            Self::DaemonUnreachable => ("daemon_unreachable", 69),
            Self::DaemonSilent => ("daemon_silent", 69),
            Self::BadResponse => ("bad_response", 69),
            Self::DaemonRefused => ("daemon_refused", 69),
            Self::Internal => ("internal", 70),
            Self::CannotCreate => ("cannot_create", 73),
            Self::Output => ("output", 74),
            Self::TryAgain => ("try_again", 75),
            Self::PermissionDenied => ("permission_denied", 77),
            Self::Config => ("config", 78),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        self.row().0
    }

    pub(crate) const fn exit_code(self) -> u8 {
        self.row().1
    }
}

/// The error of a command, as far as the top level needs to know it.
///
/// `Display` says what the command was doing, `source` what went wrong with it.
pub(crate) trait CommandError: Error {
    /// Its kind.
    fn code(&self) -> ErrorCode;

    /// The remedy: the end of a sentence, without a full stop.
    fn remedy(&self) -> Option<Cow<'static, str>> {
        None
    }
}

impl<'a, E: CommandError + 'a> From<E> for Box<dyn CommandError + 'a> {
    fn from(error: E) -> Self {
        Box::new(error)
    }
}

/// The result of a command: `?` takes the errors of everything that it uses, and its own.
pub(crate) type CommandResult = Result<Outcome, Box<dyn CommandError>>;

/// The error and its causes in one sentence, each once. Errors of other crates often print their
/// cause themselves, and those of the audit library begin with the file's name.
pub(crate) fn message(error: &dyn CommandError) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        let cause = cause.to_string();
        // The cause has the whole sentence, or the sentence has the cause already.
        if cause.starts_with(&text) {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn causes(error: &dyn CommandError) -> Vec<&(dyn Error + 'static)> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause);
        next = cause.source();
    }
    causes
}

/// True when the reader of our output closed it, which is no failure.
pub(crate) fn is_closed_output(error: &dyn CommandError) -> bool {
    // Rust ignores SIGPIPE, so write(2) fails with EPIPE instead. The code excludes an EPIPE of
    // the daemon's socket.
    error.code() == ErrorCode::Output
        && causes(error)
            .into_iter()
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// The remedy for a file that cannot be read.
pub(crate) fn file_remedy(error: &io::Error) -> Option<Cow<'static, str>> {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "is this the right path?",
        io::ErrorKind::PermissionDenied => "run as root or as the daemon's user",
        io::ErrorKind::InvalidData => "is this the right file?",
        _ => return None,
    };
    Some(remedy.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: [ErrorCode; 14] = [
        ErrorCode::RecordNotFound,
        ErrorCode::Usage,
        ErrorCode::CannotRead,
        ErrorCode::InvalidInput,
        ErrorCode::DaemonUnreachable,
        ErrorCode::DaemonSilent,
        ErrorCode::BadResponse,
        ErrorCode::DaemonRefused,
        ErrorCode::Internal,
        ErrorCode::CannotCreate,
        ErrorCode::Output,
        ErrorCode::TryAgain,
        ErrorCode::PermissionDenied,
        ErrorCode::Config,
    ];

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open a")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("a: {0}")]
    struct Inner(#[source] io::Error);

    impl CommandError for Outer {
        fn code(&self) -> ErrorCode {
            ErrorCode::Output
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("a")]
    struct Named(#[source] Inner);

    impl CommandError for Named {
        fn code(&self) -> ErrorCode {
            ErrorCode::CannotRead
        }
    }

    fn outer(kind: io::ErrorKind) -> Outer {
        Outer(Inner(kind.into()))
    }

    #[test]
    fn every_code_is_in_help() {
        for code in CODES.map(ErrorCode::exit_code).into_iter().chain([0, 1, 3]) {
            assert!(EXIT_CODES.iter().any(|(known, _)| *known == code), "{code}");
        }
    }

    /// The page, the schema and this table name the same codes.
    #[test]
    fn every_code_is_documented() {
        let page = include_str!("../../../docs/pulse-sensorctl.md");
        let schema = include_str!("../../../docs/schema/error.json");
        for code in CODES {
            let row = format!("| `{}` | {} |", code.name(), code.exit_code());
            assert!(page.contains(&row), "{row}");
            assert!(schema.contains(&format!("\"{}\"", code.name())), "{code:?}");
        }
        for (code, meaning) in EXIT_CODES {
            let row = format!("| {code} | {meaning} |");
            assert!(page.contains(&row), "{row}");
        }
    }

    #[test]
    fn a_cause_is_printed_once() {
        let text = message(&outer(io::ErrorKind::NotFound));
        assert_eq!(text, "cannot open a: a: entity not found");
        let named = Named(Inner(io::ErrorKind::NotFound.into()));
        assert_eq!(message(&named), "a: entity not found");
    }

    #[test]
    fn only_a_closed_pipe_is_no_failure() {
        assert!(is_closed_output(&outer(io::ErrorKind::BrokenPipe)));
        assert!(!is_closed_output(&outer(io::ErrorKind::StorageFull)));
    }
}
