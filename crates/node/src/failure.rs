//! What can go wrong, what to do about it, and the exit code that says so.

use pulse_sensors::command::{CommandError, NodeCommand};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why the helper ends without having done what was asked.
#[derive(Debug)]
pub enum Failure {
    /// Nothing was asked: an interactive login, or no words at all.
    NoCommand,
    /// What was asked is none of the commands.
    Refused(CommandError),
    /// An option that there is not, or one without its value.
    Option(String),
    /// The tree of devices cannot be entered.
    Root(PathBuf, io::Error),
    /// A request line was too long to be one.
    LongLine,
    /// A layer of the confinement is required and does not hold.
    Confinement(String),
    /// Requests could not be read, or answers not written.
    Channel(io::Error),
    /// `ipmitool` is in none of its places.
    NoIpmitool,
    /// `ipmitool` could not be started, or not read.
    Ipmitool(io::Error),
    /// `ipmitool` ended with an error.
    IpmitoolFailed(ExitStatus),
    /// `ipmitool` printed more than is taken.
    IpmitoolFlood,
    /// `ipmitool` was still busy when its time was over.
    IpmitoolSlow,
}

/// Every exit code and what it means: `sysexits.h` where that has a word for it.
pub const EXIT_CODES: [(u8, &str); 9] = [
    (0, "done, or the reader of the answer went away"),
    (64, "the command or option is not one that is permitted"),
    (65, "a request line was too long"),
    (66, "the tree of devices cannot be entered"),
    (69, "ipmitool is not installed"),
    (70, "ipmitool failed"),
    (
        71,
        "confinement is required, and the kernel lacks some of it",
    ),
    (74, "requests or answers could not be read or written"),
    (75, "ipmitool did not end in time"),
];

impl Failure {
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

    /// The other end has left: nothing is wrong and nobody is there to be told.
    #[must_use]
    pub fn is_hang_up(&self) -> bool {
        matches!(self, Self::Channel(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCommand => write!(f, "no command given; ask for {}", permitted()),
            Self::Refused(reason) => write!(f, "refused: {reason}; ask for {}", permitted()),
            Self::Option(problem) => write!(f, "{problem}; --help shows what there is"),
            Self::Root(root, error) => write!(
                f,
                "cannot enter {}: {error}; is sysfs mounted, or --sys-root wrong?",
                root.display()
            ),
            Self::LongLine => f.write_str("request line too long; send \"read\" and a newline"),
            Self::Confinement(lacking) => write!(
                f,
                "confinement is required, but {lacking}; \"--confinement best-effort\" reads without"
            ),
            Self::Channel(error) => write!(f, "cannot talk to who asked: {error}"),
            Self::NoIpmitool => {
                f.write_str("ipmitool is not installed; install the package \"ipmitool\"")
            }
            Self::Ipmitool(error) => write!(f, "cannot run ipmitool: {error}"),
            Self::IpmitoolFailed(status) => write!(
                f,
                "ipmitool failed ({status}); may this user open /dev/ipmi0?"
            ),
            Self::IpmitoolFlood => f.write_str("ipmitool printed too much and was stopped"),
            Self::IpmitoolSlow => {
                f.write_str("ipmitool took too long and was stopped; is the BMC well?")
            }
        }
    }
}

impl std::error::Error for Failure {}

fn permitted() -> String {
    let commands: Vec<String> = NodeCommand::all()
        .map(|command| format!("\"{command}\""))
        .collect();
    commands.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_documented() {
        let error = || io::Error::from(io::ErrorKind::Other);
        let failures = [
            Failure::NoCommand,
            Failure::Refused(CommandError::Empty),
            Failure::Option(String::new()),
            Failure::Root(PathBuf::new(), error()),
            Failure::LongLine,
            Failure::Confinement(String::new()),
            Failure::Channel(error()),
            Failure::NoIpmitool,
            Failure::Ipmitool(error()),
            Failure::IpmitoolFailed(ExitStatus::default()),
            Failure::IpmitoolFlood,
            Failure::IpmitoolSlow,
        ];
        for failure in failures {
            let code = failure.exit_code();
            assert!(
                EXIT_CODES.iter().any(|(known, _)| *known == code),
                "{failure}"
            );
        }
    }
}
