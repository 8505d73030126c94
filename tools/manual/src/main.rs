//! `pulse-manual DIRECTORY` writes the manual pages and the completions of the three programs.
//!
//! | page | made from |
//! |---|---|
//! | pulse-sensor-proxy(8), pulse-sensor-node(8) | the table of the command line, which the parser looks options up in |
//! | pulse-sensorctl(1) | clap's command, which parses |
//! | pulse-sensor-proxy-config(5) | the table of keys, which the file is parsed with |
//! | pulse-audit-log(5) | `docs/audit-format.md`, which tests hold against the code |
//!
//! The completions are clap's; for the table of a command line they are made of a clap command that
//! has its options.

mod commands;
mod completions;
mod config;
mod markdown;
mod programs;
mod roff;

use roff::Page;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The page of the audit log's format.
const AUDIT_FORMAT: &str = include_str!("../../../docs/audit-format.md");

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1) else {
        let _ = writeln!(io::stderr(), "usage: pulse-manual DIRECTORY");
        return ExitCode::from(64);
    };
    match write(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "pulse-manual: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &Path) -> io::Result<()> {
    for (name, text) in files() {
        let file = directory.join(name);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(file, text)?;
    }
    Ok(())
}

/// Every file: its path and its text.
fn files() -> Vec<(PathBuf, String)> {
    let pages = pages().into_iter().map(|page| {
        let name = format!("man/{}.{}", page.name(), page.section());
        (name.into(), page.finish())
    });
    pages.chain(completions::files()).collect()
}

fn pages() -> Vec<Page> {
    vec![
        programs::page(&pulse_sensor_proxy::USAGE, DAEMON_SEE_ALSO),
        programs::page(&pulse_sensor_node::USAGE, &["pulse-sensor-proxy(8)"]),
        commands::page(pulse_sensorctl::command(), DAEMON_SEE_ALSO),
        config::page(),
        markdown::page(
            "pulse-audit-log",
            "format of the audit log of pulse-sensor-proxy",
            AUDIT_FORMAT,
        ),
    ]
}

const DAEMON_SEE_ALSO: &[&str] = &[
    "pulse-sensor-proxy(8)",
    "pulse-sensorctl(1)",
    "pulse-sensor-proxy-config(5)",
    "pulse-audit-log(5)",
    "pulse-sensor-node(8)",
];

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Command;
    use pulse_core::config::{FILE, Key};
    use pulse_core::event::EventType;
    use pulse_usage::Usage;
    use std::process::Stdio;

    fn file(name: &str) -> String {
        let files = files();
        let found = files.into_iter().find(|(path, _)| path.ends_with(name));
        let (_, text) = found.unwrap_or_else(|| panic!("{name}"));
        // As it is read.
        text.replace("\\-", "-").replace("\\(aq", "'")
    }

    /// The three scripts of a program.
    fn scripts(program: &str) -> [String; 3] {
        let zsh = format!("zsh/_{program}");
        let fish = format!("fish/{program}.fish");
        [&format!("bash/{program}"), &zsh, &fish].map(|name| file(name))
    }

    fn assert_documented<Id: Copy>(usage: &Usage<Id>) {
        let page = file(&format!("man/{}.8", usage.name));
        let names = usage.options.iter().flat_map(|option| option.names);
        let terms = usage.commands.iter().map(|entry| entry.term);
        let codes = usage.exit_codes.iter().map(|(_, meaning)| *meaning);
        for word in names.copied().chain(terms).chain(codes) {
            assert!(page.contains(word), "{word}");
        }
        for script in scripts(usage.name) {
            let long = |name: &&&str| name.starts_with("--");
            let names = usage.options.iter().flat_map(|option| option.names);
            for name in names.filter(long) {
                let name = name.trim_start_matches('-');
                assert!(
                    script.contains(name),
                    "{name} in {}",
                    script.lines().next().unwrap_or_default()
                );
            }
            for entry in usage.commands {
                let word = entry.term.split(' ').next().unwrap();
                assert!(script.contains(word), "{word} of {}", usage.name);
            }
        }
    }

    #[test]
    fn tables_are_documented() {
        assert_documented(&pulse_sensor_proxy::USAGE);
        assert_documented(&pulse_sensor_node::USAGE);
    }

    /// `level` counts the commands above.
    fn assert_has_options(command: &Command, level: usize, page: &str, scripts: &[String; 3]) {
        let [bash, zsh, fish] = scripts;
        for argument in command.get_arguments() {
            let Some(long) = argument.get_long() else {
                continue;
            };
            assert!(page.contains(&format!("--{long}")), "{long}");
            assert!(bash.contains(long) && zsh.contains(long), "{long}");
            // clap's script for fish knows two levels of commands.
            assert!(fish.contains(long) || level > 2, "{long}");
        }
        for inner in command.get_subcommands() {
            let name = inner.get_name();
            assert!(page.contains(name), "{name}");
            assert_has_options(inner, level + 1, page, scripts);
        }
    }

    #[test]
    fn tool_is_documented() {
        let page = file("man/pulse-sensorctl.1");
        assert_has_options(
            &pulse_sensorctl::command(),
            0,
            &page,
            &scripts("pulse-sensorctl"),
        );
        for part in [
            "EXAMPLES",
            "EXIT CODES",
            "audit verify",
            "the configuration is wrong",
        ] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn every_key_is_documented() {
        fn assert_keys(key: &Key, page: &str) {
            for inner in key.keys() {
                assert!(page.contains(inner.name), "{}", inner.name);
                if let Some(variable) = inner.variable {
                    assert!(page.contains(variable), "{variable}");
                }
                assert_keys(inner, page);
            }
        }
        assert_keys(&FILE, &file("man/pulse-sensor-proxy-config.5"));
    }

    #[test]
    fn every_event_is_documented() {
        let page = file("man/pulse-audit-log.5");
        for event in EventType::ALL {
            assert!(page.contains(event.as_str()), "{event:?}");
        }
    }

    /// A line that begins with a dot or a quote would be a request to the formatter.
    #[test]
    fn pages_have_known_requests_only() {
        let known = ["TH", "SH", "SS", "TP", "PP", "nf", "fi", "RS", "RE", "IP"];
        for page in pages() {
            let text = page.finish();
            for line in text.lines().filter(|line| line.starts_with(['.', '\''])) {
                let request = line[1..].split(' ').next().unwrap();
                assert!(known.contains(&request), "{line}");
            }
        }
    }

    #[test]
    fn bash_understands_its_scripts() {
        for program in ["pulse-sensor-proxy", "pulse-sensorctl", "pulse-sensor-node"] {
            let mut bash = std::process::Command::new("bash");
            let mut bash = bash.arg("-n").stdin(Stdio::piped()).spawn().unwrap();
            let script = file(&format!("bash/{program}"));
            bash.stdin
                .take()
                .unwrap()
                .write_all(script.as_bytes())
                .unwrap();
            assert!(bash.wait().unwrap().success(), "{program}");
        }
    }
}
