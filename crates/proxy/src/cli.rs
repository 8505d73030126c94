//! The daemon's few arguments. The operator's tool is `pulse-sensorctl`.

use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
pulse-sensor-proxy: reads the temperatures of nodes over SSH and serves them on
a Unix socket.

Usage: pulse-sensor-proxy [--config FILE] [--check]

  --config FILE   the configuration (default: /etc/pulse-sensor-proxy/config.toml)
  --check         read the configuration, say what is wrong with it, and exit
  --version       print the version
  --help          print this

Signals: SIGHUP reads the configuration again, SIGTERM ends after the requests
in hand. Environment, stronger than the file:
  PULSE_SENSOR_PROXY_CONFIG        the configuration
  PULSE_SENSOR_PROXY_SOCKET        the Unix socket
  PULSE_SENSOR_PROXY_SSH_DIR       where the SSH key and known_hosts are
  PULSE_SENSOR_PROXY_METRICS_ADDR  where metrics are served, or \"disabled\"

Exit codes: 0 ended in order; 64 wrong arguments; 70 a part of the daemon failed;
73 the socket, the metrics address or the key could not be made; 78 the
configuration is wrong.
";

/// What was asked on the command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve.
    Run {
        /// `--config`.
        config: Option<PathBuf>,
    },
    /// Check the configuration.
    Check {
        /// `--config`.
        config: Option<PathBuf>,
    },
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
}

/// Parses the arguments, the program's name left out.
///
/// # Errors
/// A sentence about the argument that is wrong.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut arguments = arguments.into_iter();
    let (mut config, mut check) = (None, false);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Command::Help),
            Some("--version" | "-V") => return Ok(Command::Version),
            Some("--check") => check = true,
            Some("--config" | "-c") => {
                let file = arguments.next().ok_or("--config needs a file")?;
                config = Some(PathBuf::from(file));
            }
            _ => return Err(format!("unknown argument {argument:?}: see --help")),
        }
    }
    Ok(if check {
        Command::Check { config }
    } else {
        Command::Run { config }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, String> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn arguments_are_what_help_says() {
        assert_eq!(parsed(&[]), Ok(Command::Run { config: None }));
        let config = Some(PathBuf::from("a"));
        assert_eq!(
            parsed(&["--config", "a"]),
            Ok(Command::Run {
                config: config.clone()
            })
        );
        assert_eq!(
            parsed(&["--check", "-c", "a"]),
            Ok(Command::Check { config })
        );
        assert_eq!(parsed(&["--help", "x"]), Ok(Command::Help));
        assert!(parsed(&["--config"]).is_err() && parsed(&["start"]).is_err());
    }
}
