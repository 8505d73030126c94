//! Starting programs: run them, read what they say, or both at once.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

/// Why a step failed: a sentence for the person at the terminal, remedy included.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure(String);

/// The result of a step.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure that says `sentence`.
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs a program on our terminal.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let status = command
        .status()
        .map_err(|error| no_start(command, &error))?;
    ended_well(command, status)
}

/// Runs a program and returns what it printed on stdout; stderr stays ours.
pub(crate) fn capture(command: &mut Command) -> Outcome<String> {
    let command = command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command
        .output()
        .map_err(|error| no_start(command, &error))?;
    ended_well(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program silently; true if it could be started and succeeded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a program whose output is shown as it comes, and returned as well.
///
/// Nothing else tells which line came from stdout and which from stderr; the text
/// has all of stdout first.
pub(crate) fn tee(command: &mut Command) -> Outcome<(ExitStatus, String)> {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| no_start(command, &error))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    // A thread reads one of the two pipes: a program that fills an unread pipe blocks for ever.
    let err = thread::spawn(move || copy(err, io::stderr()));
    let mut text = copy(out, io::stdout());
    text.push_str(&err.join().unwrap_or_default());
    let status = child.wait().map_err(|error| no_start(command, &error))?;
    Ok((status, text))
}

/// Runs a program silently; what it wrote on stderr is returned.
pub(crate) fn quietly(command: &mut Command) -> Outcome<(ExitStatus, String)> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    let output = command.stderr(Stdio::piped()).output();
    let output = output.map_err(|error| no_start(command, &error))?;
    Ok((
        output.status,
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

/// Copies line by line; what cannot be shown is still collected.
fn copy(from: Option<impl Read>, mut to: impl Write) -> String {
    let mut text = Vec::new();
    let Some(from) = from else {
        return String::new();
    };
    let mut from = BufReader::new(from);
    loop {
        let start = text.len();
        match from.read_until(b'\n', &mut text) {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&text).into_owned(),
            Ok(_) => drop(to.write_all(&text[start..]).and_then(|()| to.flush())),
        }
    }
}

fn no_start(command: &Command, error: &io::Error) -> Failure {
    Failure(format!("cannot run {}: {error}", shown(command)))
}

fn ended_well(command: &Command, status: ExitStatus) -> Outcome {
    if status.success() {
        return Ok(());
    }
    Err(Failure(format!("{} ended with {status}", shown(command))))
}

/// The program and its first word: enough to recognise it by.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    format!(
        "`{} {}`",
        name.display(),
        command.get_args().next().unwrap_or_default().display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_names_the_program() {
        let failed = run(Command::new("/bin/false").arg("x")).unwrap_err();
        assert_eq!(failed.to_string(), "`false x` ended with exit status: 1");
        let absent = run(&mut Command::new("/nonexistent/tool")).unwrap_err();
        assert!(absent.to_string().starts_with("cannot run `tool `:"));
    }

    #[test]
    fn output_is_shown_and_kept() {
        let mut shown = Vec::new();
        let kept = copy(Some(b"a\nb".as_slice()), &mut shown);
        assert_eq!(
            (kept.as_str(), shown.as_slice()),
            ("a\nb", b"a\nb".as_slice())
        );
    }
}
