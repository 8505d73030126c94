//! The sockets' files: each is compared with the socket every few seconds, and a loss is reported
//! once.

use crate::observe::files::{FileProblem, WatchedFile};
use crate::serve::{Binder, BoundSocket};
use crate::sys::socket_name::{NameState, SocketName};
use std::path::Path;
use std::sync::Arc;

/// The sockets whose files can be seen.
pub(crate) struct SocketWatch(Vec<Watched>);

struct Watched {
    file: WatchedFile,
    name: Arc<SocketName>,
    binder: Binder,
    state: NameState,
}

impl SocketWatch {
    /// Watches these sockets.
    pub(crate) fn over(callers: &BoundSocket, control: Option<&BoundSocket>) -> Self {
        let watched = |file, socket: &BoundSocket| {
            let (name, binder) = socket.name()?;
            Some(Watched {
                file,
                name,
                binder,
                state: NameState::Kept,
            })
        };
        let callers = watched(WatchedFile::Socket, callers);
        let control = control.and_then(|socket| watched(WatchedFile::ControlSocket, socket));
        Self(callers.into_iter().chain(control).collect())
    }

    /// Compares each socket with its file, and logs changes; true if there are any.
    pub(crate) fn check(&mut self) -> bool {
        let mut is_other = false;
        for watched in &mut self.0 {
            let state = watched.name.state();
            if std::mem::replace(&mut watched.state, state) == state {
                continue;
            }
            is_other = true;
            match watched.problem() {
                Some(problem) => tracing::error!("{problem}"),
                None => tracing::info!(
                    "the {} {} has its file again",
                    watched.noun(),
                    watched.name.path().display()
                ),
            }
        }
        is_other
    }

    /// What is wrong with the files, as of the last check.
    pub(crate) fn problems(&self) -> Vec<FileProblem> {
        let problem = |watched: &Watched| Some(FileProblem::new(watched.file, watched.problem()?));
        self.0.iter().filter_map(problem).collect()
    }
}

impl Watched {
    fn noun(&self) -> &'static str {
        noun(self.file)
    }

    fn problem(&self) -> Option<String> {
        sentence(self.file, self.state, self.binder, self.name.path())
    }
}

fn noun(file: WatchedFile) -> &'static str {
    if file == WatchedFile::Socket {
        "callers' socket"
    } else {
        "control socket"
    }
}

/// What is wrong with a socket whose file is in this state, if anything is.
pub(crate) fn sentence(
    file: WatchedFile,
    state: NameState,
    binder: Binder,
    path: &Path,
) -> Option<String> {
    let is_callers = file == WatchedFile::Socket;
    let who = if is_callers {
        "no caller"
    } else {
        "no administrator"
    };
    let what = match state {
        NameState::Kept => return None,
        NameState::Removed => format!("was removed, so {who} can connect"),
        // Who connects talks to whoever has made the other file.
        NameState::Replaced => {
            format!("was replaced by another file, so {who} reaches this daemon: find out by whom")
        }
    };
    // systemd makes its sockets when their units start; that of the control socket is part of the
    // service.
    let remedy = if is_callers && binder == Binder::Systemd {
        "run `systemctl stop pulse-sensor-proxy.service`, then `systemctl restart \
         pulse-sensor-proxy.socket`"
    } else {
        "restart the daemon (`systemctl restart pulse-sensor-proxy`)"
    };
    Some(format!(
        "the {} {} {what}; {remedy}",
        noun(file),
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::CapturedLog;
    use std::fs;

    #[test]
    fn loss_is_reported_once() {
        let home = tempfile::tempdir().unwrap();
        let [callers, control] = ["callers", "control"].map(|name| home.path().join(name));
        let own = BoundSocket::bind(&callers, 0o666).unwrap();
        let listener = crate::sys::bind_unix(&control, 0o600).unwrap();
        let given = BoundSocket::inherited(listener).unwrap();
        let mut watch = SocketWatch::over(&own, Some(&given));
        assert!(!watch.check() && watch.problems().is_empty());
        let log = CapturedLog::start();
        fs::remove_file(&control).unwrap();
        assert!(watch.check() && !watch.check());
        fs::remove_file(&callers).unwrap();
        fs::write(&callers, "").unwrap();
        assert!(watch.check() && !watch.check());
        let problems = watch.problems();
        assert_eq!(
            problems.iter().map(|one| one.file).collect::<Vec<_>>(),
            [WatchedFile::Socket, WatchedFile::ControlSocket]
        );
        let lines = log.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].starts_with("ERROR the control socket"),
            "{lines:?}"
        );
        for (line, parts) in lines.iter().zip([
            ["was removed, so no administrator", "systemctl restart"],
            ["was replaced by another file", "find out by whom"],
        ]) {
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        }
        // What has the name now is another's.
        drop(own.into_socket());
        assert!(callers.exists());
    }

    #[test]
    fn passed_socket_is_made_by_systemd() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s");
        let listener = crate::sys::bind_unix(&path, 0o666).unwrap();
        let mut watch = SocketWatch::over(&BoundSocket::inherited(listener).unwrap(), None);
        fs::remove_file(&path).unwrap();
        watch.check();
        let problems = watch.problems();
        let remedy = "`systemctl restart pulse-sensor-proxy.socket`";
        assert!(problems[0].error.ends_with(remedy), "{problems:?}");
    }
}
