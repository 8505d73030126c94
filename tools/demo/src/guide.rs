//! The words of the demo: what is happening, and what to try.

use crate::stage::Stage;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;

/// Longer lines are hard to read, and a terminal may have no more.
const WIDTH: usize = 78;

/// The text before the first table.
pub(crate) fn introduction(stage: &Stage) -> String {
    let facts = Facts {
        control: stage.control(),
        daemon: stage.daemon_id(),
        directory: stage.directory(),
        audit_log: &stage.audit_log(),
        socket: stage.socket(),
        metrics: stage.metrics(),
        has_socat: is_on_path("socat"),
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
        let mut text = format!("{strong}pulse-sensor-proxy with three simulated nodes{plain}\n");
        for paragraph in [self.what_happens(), self.what_is_made_up()] {
            text.push('\n');
            text.push_str(&wrapped(&paragraph));
        }
        text.push_str("\nTry it from another terminal:\n");
        for command in self.commands() {
            text.push_str(&format!("{green}  {command}{plain}\n"));
        }
        text.push('\n');
        text
    }

    fn what_happens(&self) -> String {
        format!(
            "The daemon (process {}) serves the Unix socket below. Asked for temperatures, it \
             goes to each node over SSH, where the node helper reads them from /sys. One \
             connection to each node stays open, so a reading is one round trip. Each reading \
             leaves two records in the audit log, on disk before you see its outcome.",
            self.daemon
        )
    }

    fn what_is_made_up(&self) -> String {
        format!(
            "Daemon, helper and SSH are the real thing. Made up are the nodes: SSH servers in \
             this process, with a tree of files for each one's /sys, in which the load comes and \
             goes. All of it is below {}.",
            self.directory.display()
        )
    }

    fn commands(&self) -> [String; 5] {
        let control = quoted(self.control);
        let socket = quoted(self.socket);
        let log = format!("--log {}", quoted(self.audit_log));
        let state = quoted(&self.directory.join("audit"));
        [
            format!("{control} --socket {socket} temps"),
            self.by_hand(),
            format!("curl http://{}/metrics", self.metrics),
            format!("{control} audit tail --follow {log}"),
            format!("{control} audit verify {log} --state-dir {state}"),
        ]
    }

    /// The same without any tool of ours.
    fn by_hand(&self) -> String {
        let socket = self.socket.display();
        if self.has_socat {
            let address = format!("UNIX:{socket}");
            let address = quoted(Path::new(&address));
            return format!("echo '{{\"method\":\"get_status\"}}' | socat - {address}");
        }
        let program = format!(
            "import socket; s=socket.socket(socket.AF_UNIX); s.connect({socket:?}); \
             s.sendall(b'{{\"method\":\"get_status\"}}\\n'); print(s.makefile().readline())",
            socket = socket.to_string(),
        );
        format!("python3 -c {}", quoted(Path::new(&program)))
    }
}

/// The paragraph in lines of at most [`WIDTH`] characters.
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

/// As a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=@,".contains(c);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
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

    fn told(has_socat: bool) -> String {
        facts(has_socat).introduction(false)
    }

    #[test]
    fn commands_can_be_pasted() {
        let text = told(true);
        for part in [
            "  '/opt/my tools/pulse-sensorctl' --socket /tmp/d/s temps\n",
            "  echo '{\"method\":\"get_status\"}' | socat - UNIX:/tmp/d/s\n",
            "  curl http://127.0.0.1:9456/metrics\n",
            "process 4242",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        assert!(told(false).contains("python3 -c '"), "{}", told(false));
    }

    #[test]
    fn shell_words_are_quoted() {
        assert_eq!(quoted(Path::new("/a/b-1.c")), "/a/b-1.c");
        assert_eq!(quoted(Path::new("a'b c")), "'a'\\''b c'");
    }
}
