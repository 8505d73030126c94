//! The introduction that the demo prints: what runs, and commands to try.

use crate::setup::Setup;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;

/// Columns of the text: a narrow terminal has 80.
const WIDTH: usize = 78;

/// The text before the first table.
pub(crate) fn introduction(setup: &Setup) -> String {
    let facts = Facts {
        control: setup.control(),
        daemon: setup.daemon_id(),
        directory: setup.directory(),
        audit_log: &setup.audit_log(),
        socket: setup.socket(),
        metrics: setup.metrics(),
        has_socat: std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|directory| directory.join("socat").is_file()),
    };
    facts.introduction(std::io::stdout().is_terminal())
}

struct Facts<'a> {
    control: &'a Path,
    daemon: u32,
    directory: &'a Path,
    audit_log: &'a Path,
    socket: &'a Path,
    metrics: SocketAddr,
    has_socat: bool,
}

impl Facts<'_> {
    fn introduction(&self, is_terminal: bool) -> String {
        let (strong, green, plain) = if is_terminal {
            ("\x1b[1m", "\x1b[32m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        let overview = format!(
            "The daemon (process {}) listens on the Unix socket below. When a client asks for \
             temperatures, the daemon asks each node over SSH, where the node helper reads \
             them from /sys. The SSH connections stay open, so that each reading takes one \
             round trip. Each reading has two records in the audit log, which are on disk \
             before the client gets the result.",
            self.daemon
        );
        let simulation = format!(
            "The daemon, the helper and the command line tool are the programs that are shipped. \
             The three nodes are simulated: each is an SSH server on loopback with a directory \
             in place of /sys, whose temperatures follow a made-up load. All files are below \
             {} and are deleted at the end.",
            self.directory.display()
        );
        let mut text = format!("{strong}pulse-sensor-proxy with three simulated nodes{plain}\n");
        // Wrapped here: the process id and the directory have no fixed length.
        for paragraph in [overview, simulation] {
            text.push('\n');
            text.push_str(&wrapped(&paragraph));
        }
        text.push_str("\nCommands to try in another terminal:\n\n");
        // Commands stay on one line, however long: they are for copying.
        for (purpose, command) in self.commands() {
            text.push_str(&format!("  # {purpose}\n{green}  {command}{plain}\n"));
        }
        text + "\nCtrl-C ends the demo.\n\n"
    }

    /// Commands, each after its purpose.
    fn commands(&self) -> [(&'static str, String); 5] {
        // A request without the tool. socat makes the shorter command, but is not everywhere.
        let path = self.socket.display().to_string();
        let by_hand = if self.has_socat {
            format!(
                "echo '{{\"method\":\"get_status\"}}' | socat - {}",
                quoted(Path::new(&format!("UNIX:{path}")))
            )
        } else {
            let program = format!(
                "import socket; s=socket.socket(socket.AF_UNIX); s.connect({path:?}); \
                 s.sendall(b'{{\"method\":\"get_status\"}}\\n'); print(s.makefile().readline())"
            );
            format!("python3 -c {}", quoted(Path::new(&program)))
        };
        let control = quoted(self.control);
        let socket = quoted(self.socket);
        let log = format!("--log {}", quoted(self.audit_log));
        let state = quoted(&self.directory.join("audit"));
        [
            (
                "read the temperatures of all nodes",
                format!("{control} --socket {socket} temps"),
            ),
            ("send a request without pulse-sensorctl", by_hand),
            (
                "show the metrics for Prometheus",
                format!("curl http://{}/metrics", self.metrics),
            ),
            (
                "follow the audit log",
                format!("{control} audit tail --follow {log}"),
            ),
            (
                "verify that no record of the audit log was changed",
                format!("{control} audit verify {log} --state-dir {state}"),
            ),
        ]
    }
}

/// Wraps a paragraph at [`WIDTH`] columns.
fn wrapped(paragraph: &str) -> String {
    let mut text = String::new();
    let mut width = 0;
    for word in paragraph.split_whitespace() {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > WIDTH {
            text.push('\n');
            width = 0;
        }
        if width > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += length;
    }
    text + "\n"
}

/// Quotes a word for a shell, if necessary.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    // Characters that mean nothing to a POSIX shell, wherever they are in a word.
    if text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-+:=@,".contains(c))
    {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(has_socat: bool) -> Facts<'static> {
        Facts {
            control: Path::new("/opt/my tools/pulse-sensorctl"),
            daemon: 4242,
            directory: Path::new("/tmp/d"),
            audit_log: Path::new("/tmp/d/log/audit.log"),
            socket: Path::new("/tmp/d/s"),
            metrics: SocketAddr::from(([127, 0, 0, 1], 9456)),
            has_socat,
        }
    }

    fn printed(has_socat: bool) -> String {
        facts(has_socat).introduction(false)
    }

    #[test]
    fn commands_can_be_pasted() {
        let text = printed(true);
        for part in [
            "  '/opt/my tools/pulse-sensorctl' --socket /tmp/d/s temps\n",
            "  echo '{\"method\":\"get_status\"}' | socat - UNIX:/tmp/d/s\n",
            "  curl http://127.0.0.1:9456/metrics\n",
            "process 4242",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        assert!(
            printed(false).contains("python3 -c '"),
            "{}",
            printed(false)
        );
    }

    #[test]
    fn shell_words_are_quoted() {
        assert_eq!(quoted(Path::new("/a/b-1.c")), "/a/b-1.c");
        assert_eq!(quoted(Path::new("a'b c")), "'a'\\''b c'");
    }
}
