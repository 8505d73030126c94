//! The daemon's command line. The operator's tool is `pulse-sensorctl`.

use pulse_sandbox::Layer;
use pulse_sandbox::probe::ProbeLayers;
use pulse_usage::{Entry, Opt, Section, Usage, Value};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The options of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// `--config`.
    Config,
    /// `--check`.
    Check,
    /// `--only`.
    Only,
    /// `--json`.
    Json,
    /// `--version`.
    Version,
    /// `--help`.
    Help,
}

/// The command that tests the confinement.
const PROBE: &str = "confine-probe";

/// The command line, for the parser, `--help`, the manual page and the completions.
pub static USAGE: Usage<Flag> = Usage {
    name: "pulse-sensor-proxy",
    summary: "serve temperatures of Proxmox VE nodes on a Unix socket",
    description: "pulse-sensor-proxy reads the temperatures of nodes over SSH and serves them on a \
                  Unix socket.",
    synopsis: &[
        "[--config FILE] [--check]",
        "confine-probe [--config FILE] [--only LAYER] [--json]",
    ],
    commands: &[Entry {
        term: PROBE,
        text: "confine itself as the daemon does and try what an attacker would try",
    }],
    options: &[
        Opt {
            id: Flag::Config,
            names: &["-c", "--config"],
            value: Some(Value::File),
            text: "the configuration (default: /etc/pulse-sensor-proxy/config.toml); the \
                   directory nodes.d beside it has a file for each node",
        },
        Opt {
            id: Flag::Check,
            names: &["--check"],
            value: None,
            text: "check the configuration and exit",
        },
        Opt {
            id: Flag::Only,
            names: &["--only"],
            value: Some(Value::OneOf(
                "LAYER",
                &["privileges", "landlock", "limits", "seccomp", "outside"],
            )),
            text: "with confine-probe: test one layer alone, which is privileges, landlock, limits \
                   or seccomp; or outside, the unit, container or AppArmor profile around the \
                   process",
        },
        Opt {
            id: Flag::Json,
            names: &["--json"],
            value: None,
            text: "with confine-probe: print JSON",
        },
        Opt {
            id: Flag::Version,
            names: &["-V", "--version"],
            value: None,
            text: "print the version",
        },
        Opt {
            id: Flag::Help,
            names: &["-h", "--help"],
            value: None,
            text: "print this text",
        },
    ],
    sections: &[
        Section {
            heading: "Signals",
            text: "",
            entries: &[
                Entry {
                    term: "SIGHUP",
                    text: "reload the configuration",
                },
                Entry {
                    term: "SIGUSR1",
                    text: "reopen an audit log that was renamed",
                },
                Entry {
                    term: "SIGTERM",
                    text: "complete the requests under way and exit",
                },
            ],
            example: None,
        },
        Section {
            heading: "Environment",
            text: "Variables override the configuration.",
            entries: &[
                Entry {
                    term: "PULSE_SENSOR_PROXY_CONFIG",
                    text: "the configuration",
                },
                Entry {
                    term: "PULSE_SENSOR_PROXY_SOCKET",
                    text: "the callers' Unix socket",
                },
                Entry {
                    term: "PULSE_SENSOR_PROXY_CONTROL_SOCKET",
                    text: "the administrators' Unix socket",
                },
                Entry {
                    term: "PULSE_SENSOR_PROXY_SSH_DIR",
                    text: "the directory of the SSH key and of known_hosts",
                },
                Entry {
                    term: "PULSE_SENSOR_PROXY_METRICS_ADDR",
                    text: "the address of the metrics, or \"disabled\"",
                },
                Entry {
                    term: "PULSE_SENSOR_PROXY_AUDIT_LOG",
                    text: "the audit log",
                },
                Entry {
                    term: "PULSE_SENSOR_PROXY_USER",
                    text: "the user to become when started as root",
                },
            ],
            example: None,
        },
    ],
    exit_codes: &[
        (0, "success"),
        (1, "an attempt of the probe succeeded"),
        (64, "wrong arguments"),
        (70, "a part of the daemon failed"),
        (71, "the kernel lacks a layer of a required confinement"),
        (
            73,
            "a socket, the metrics address, the key, the audit log or the forwarder's state could \
             not be opened",
        ),
        (
            78,
            "the configuration is wrong, or other users may change it or what it names",
        ),
    ],
};

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
    /// Print the help.
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
        let word = argument.to_str().unwrap_or_default();
        let option = USAGE.option(word);
        let mut value = || arguments.next().ok_or(format!("{word} needs a value"));
        match option.map(|option| option.id) {
            Some(Flag::Help) => return Ok(Command::Help),
            Some(Flag::Version) => return Ok(Command::Version),
            Some(Flag::Check) if !probe => check = true,
            Some(Flag::Json) if probe => json = true,
            Some(Flag::Only) if probe => layers = only(&value()?)?,
            Some(Flag::Config) => config = Some(PathBuf::from(value()?)),
            None if word == PROBE && !check => probe = true,
            _ => return Err(format!("unknown argument {argument:?}")),
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
    use pulse_core::config::{FILE, Key};

    fn parsed(arguments: &[&str]) -> Result<Command, String> {
        parse(arguments.iter().map(OsString::from))
    }

    /// The table's own parser takes options as they are; each layer has its own name.
    #[test]
    fn layers_are_those_of_the_table() {
        let only = USAGE.option("--only").unwrap();
        let mut layers: Vec<String> = Layer::ALL.iter().map(ToString::to_string).collect();
        layers.push("outside".to_owned());
        let Some(Value::OneOf(_, words)) = only.value else {
            panic!("{only:?}");
        };
        assert_eq!(words, layers);
    }

    #[test]
    fn variables_are_in_the_help() {
        fn variables(key: &Key) -> Vec<&'static str> {
            let inner = key.keys().iter().flat_map(variables);
            key.variable.into_iter().chain(inner).collect()
        }
        let help = USAGE.help();
        let variables = variables(&FILE);
        assert!(variables.len() > 3, "{variables:?}");
        for variable in variables {
            assert!(help.contains(variable), "{variable}");
        }
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
