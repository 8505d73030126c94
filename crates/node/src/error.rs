//! The errors of the helper, with their remedies and exit codes.

use pulse_sensors::command::{CommandError, NodeCommand};
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// The reason why the helper exits without a result. The message does not contain its source.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// An interactive login, or an empty argument vector.
    #[error("no command given; ask for {}", commands())]
    NoCommand,
    /// The text is not a permitted command.
    #[error("refused: {0}; ask for {commands}", commands = commands())]
    Refused(CommandError),
    /// An unknown option, or one with a wrong value.
    #[error("{0}; --help lists the options")]
    Option(String),
    /// The root of the sensor files cannot be entered.
    #[error("cannot enter {} (is sysfs mounted, is --sys-root right?)", .0.display())]
    Root(PathBuf, #[source] io::Error),
    /// A request line exceeds its limit.
    #[error("request line too long; send \"read\" and a newline")]
    LongLine,
    /// A required layer of the confinement is not in force.
    #[error(
        "confinement is required, but {0}; \"--confinement best-effort\" reads without the layer"
    )]
    Confinement(String),
    /// Standard input or output failed.
    #[error("cannot read a request or write a reply")]
    Channel(#[source] io::Error),
    /// `ipmitool` is not installed.
    #[error("ipmitool is not installed; install the package \"ipmitool\"")]
    NoIpmitool,
    /// `ipmitool` could not be started, or its output not read.
    #[error("cannot run ipmitool")]
    Ipmitool(#[source] io::Error),
    /// `ipmitool` returned an error.
    #[error("ipmitool failed ({0}); may this user open /dev/ipmi0?")]
    IpmitoolFailed(ExitStatus),
    /// The output of `ipmitool` exceeds its limit.
    #[error("ipmitool printed too much and was stopped")]
    IpmitoolFlood,
    /// `ipmitool` did not end before its deadline.
    #[error("ipmitool took too long and was stopped; does the BMC respond?")]
    IpmitoolSlow,
}

/// Every exit code with its meaning: those of sysexits.h where it has one.
pub const EXIT_CODES: [(u8, &str); 9] = [
    (0, "success, or the reader of the output has left"),
    (64, "the command or option is not permitted"),
    (65, "a request line was too long"),
    (66, "the root of the sensor files cannot be entered"),
    (69, "ipmitool is not installed"),
    (70, "ipmitool failed"),
    (71, "confinement is required, and the kernel lacks a layer"),
    (74, "a request could not be read, or a reply not written"),
    (75, "ipmitool did not end in time"),
];

impl HelperError {
    /// The exit code, one of [`EXIT_CODES`].
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoCommand | Self::Refused(_) | Self::Option(_) => 64,
            Self::LongLine => 65,
            Self::Root(..) => 66,
            Self::NoIpmitool => 69,
            Self::Ipmitool(_) | Self::IpmitoolFailed(_) | Self::IpmitoolFlood => 70,
            Self::Confinement(_) => 71,
            Self::Channel(_) => 74,
            Self::IpmitoolSlow => 75,
        }
    }

    /// True if the reader of the output has left, which is not an error.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Channel(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn commands() -> String {
    NodeCommand::all()
        .map(|command| format!("\"{command}\""))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_documented() {
        let error = || io::Error::from(io::ErrorKind::Other);
        let errors = [
            HelperError::NoCommand,
            HelperError::Refused(CommandError::Empty),
            HelperError::Option(String::new()),
            HelperError::Root(PathBuf::new(), error()),
            HelperError::LongLine,
            HelperError::Confinement(String::new()),
            HelperError::Channel(error()),
            HelperError::NoIpmitool,
            HelperError::Ipmitool(error()),
            HelperError::IpmitoolFailed(ExitStatus::default()),
            HelperError::IpmitoolFlood,
            HelperError::IpmitoolSlow,
        ];
        for error in errors {
            let code = error.exit_code();
            let is_documented = EXIT_CODES.iter().any(|(known, _)| *known == code);
            assert!(is_documented, "{error}");
        }
    }
}
