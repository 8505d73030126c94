//! The daemon's command line. The operator's tool is `pulse-sensorctl`.

use pulse_sandbox::Layer;
use pulse_sandbox::probe::ProbeLayers;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The output of `--help`.
pub(super) const HELP: &str = "\
pulse-sensor-proxy: reads the temperatures of nodes over SSH and serves them on
a Unix socket.

Usage: pulse-sensor-proxy [--config FILE] [--check]
       pulse-sensor-proxy confine-probe [--config FILE] [--only LAYER] [--json]

  --config FILE   the configuration (default: /etc/pulse-sensor-proxy/config.toml);
                  the directory nodes.d beside it has a file for each node
  --check         check the configuration and exit
  --version       print the version
  --help          print this

confine-probe confines itself as the daemon does and tries what an attacker would
try; it exits with 1 if an attempt succeeds. --only privileges, landlock, limits or
seccomp tests one layer alone, --only outside the unit, container or AppArmor profile
around the process.

Signals: SIGHUP reloads the configuration, SIGUSR1 reopens an audit log that was
renamed, SIGTERM completes the requests under way and exits. Environment variables
override the file:
  PULSE_SENSOR_PROXY_CONFIG        the configuration
  PULSE_SENSOR_PROXY_SOCKET        the callers' Unix socket
  PULSE_SENSOR_PROXY_CONTROL_SOCKET
                                   the administrators' Unix socket
  PULSE_SENSOR_PROXY_SSH_DIR       where the SSH key and known_hosts are
  PULSE_SENSOR_PROXY_METRICS_ADDR  where metrics are served, or \"disabled\"
  PULSE_SENSOR_PROXY_AUDIT_LOG     the audit log
  PULSE_SENSOR_PROXY_USER          the user to become when started as root

Exit codes: 0 success; 1 an attempt of the probe succeeded; 64 wrong arguments; 70 a
part of the daemon failed; 71 the kernel lacks a layer of a required confinement; 73
a socket, the metrics address, the key, the audit log or the forwarder's state could
not be opened; 78 the configuration is wrong, or other users may change it or what it names.
";

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
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
    /// Test the confinement.
    Probe {
        /// `--config`.
        config: Option<PathBuf>,
        /// `--only`.
        layers: ProbeLayers,
        /// `--json`.
        json: bool,
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
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut arguments = arguments.into_iter();
    let (mut config, mut check, mut probe) = (None, false, false);
    let (mut layers, mut json) = (ProbeLayers::All, false);
    while let Some(argument) = arguments.next() {
        let mut value = |what: &str| arguments.next().ok_or(format!("{what} needs a value"));
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Command::Help),
            Some("--version" | "-V") => return Ok(Command::Version),
            Some("--check") if !probe => check = true,
            Some("confine-probe") if !check => probe = true,
            Some("--json") if probe => json = true,
            Some("--only") if probe => layers = only(&value("--only")?)?,
            Some("--config" | "-c") => config = Some(PathBuf::from(value("--config")?)),
            _ => return Err(format!("unknown argument {argument:?}: see --help")),
        }
    }
    Ok(match (probe, check) {
        (true, _) => Command::Probe {
            config,
            layers,
            json,
        },
        (_, true) => Command::Check { config },
        _ => Command::Run { config },
    })
}

fn only(name: &OsStr) -> Result<ProbeLayers, String> {
    if name == "outside" {
        return Ok(ProbeLayers::None);
    }
    Layer::ALL
        .into_iter()
        .find(|layer| *name == *layer.to_string())
        .map(ProbeLayers::Only)
        .ok_or_else(|| {
            format!("--only takes privileges, landlock, limits, seccomp or outside, not {name:?}")
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
        let probe = Command::Probe {
            config: None,
            layers: ProbeLayers::Only(Layer::Landlock),
            json: true,
        };
        let words = ["confine-probe", "--only", "landlock", "--json"];
        assert_eq!(parsed(&words), Ok(probe));
        for wrong in [
            &["confine-probe", "--only", "x"][..],
            &["--json"],
            &["--check", "confine-probe"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(parsed(&["--help", "x"]), Ok(Command::Help));
        assert!(parsed(&["--config"]).is_err() && parsed(&["start"]).is_err());
    }
}
