//! The daemon as a process: started, signalled, ended, never left behind.

use crate::client::Client;
use crate::config::Config;
use crate::home::Home;
use crate::programs;
use crate::service;
use crate::unit::{self, Unit};
use crate::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

/// A running daemon; it is killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    home: Arc<Home>,
    /// It, or what lasts as long as it does.
    child: Child,
    pid: u32,
    unit: Option<Unit>,
    log: PathBuf,
}

/// How a daemon that was not meant to serve ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub output: String,
    /// What it printed on standard error.
    pub errors: String,
}

/// Runs the daemon's program until it ends by itself, in an empty environment.
///
/// # Panics
/// When it cannot be started, does not end, or was killed.
#[must_use]
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let mut child = Command::new(programs::daemon())
        .args(arguments)
        .env_clear()
        .envs([service::SETTING])
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // What it prints fits a pipe, so it can end before anybody reads.
    let status = wait::until_some("the daemon to end", || child.try_wait().unwrap());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended {
        code: status.code().expect("it was not killed"),
        output: text(output.stdout),
        errors: text(output.stderr),
    }
}

impl Daemon {
    /// Starts one in a home of its own and waits until it serves.
    #[must_use]
    pub fn start(config: &Config) -> Self {
        Self::start_in(&Arc::new(Home::new()), config)
    }

    /// Starts one in a home that may have been lived in.
    #[must_use]
    pub fn start_in(home: &Arc<Home>, config: &Config) -> Self {
        home.write_config(config);
        Self::start_with(home, &[])
    }

    /// As [`Daemon::start_in`], another program than the daemon that is shipped.
    #[must_use]
    pub fn start_program(program: &Path, home: &Arc<Home>, config: &Config) -> Self {
        home.write_config(config);
        Self::spawn(home, Command::new(program).env_clear())
    }

    /// Starts one on what is in its home, with these variables and no others.
    ///
    /// # Panics
    /// When it does not serve.
    #[must_use]
    pub fn start_with(home: &Arc<Home>, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(programs::daemon());
        command.env_clear().envs(environment.iter().copied());
        Self::spawn(home, &mut command)
    }

    /// Starts one on what is in its home, under a program that starts another
    /// one in its own place, like `prlimit` or `setpriv`.
    ///
    /// # Panics
    /// When it does not serve.
    #[must_use]
    pub fn start_under(home: &Arc<Home>, wrapper: &[&str]) -> Self {
        let mut command = Command::new(programs::find(wrapper[0]).unwrap());
        command.args(&wrapper[1..]).arg(programs::daemon());
        Self::spawn(home, command.env_clear())
    }

    /// Starts a program in the daemon's place, on what is in its home.
    ///
    /// # Panics
    /// When it does not serve.
    #[must_use]
    pub fn spawn(home: &Arc<Home>, command: &mut Command) -> Self {
        let log = home.unused_path("log");
        let named = command
            .get_envs()
            .any(|(name, _)| name == service::VARIABLE);
        // One that is installed has a user to itself.
        if !named && !home.is_installed() {
            command.envs([service::SETTING]);
        }
        let file = fs::File::create(&log).unwrap();
        let errors = if home.is_installed() {
            as_the_journal(file)
        } else {
            file.into()
        };
        command.arg("--config").arg(home.seen(&home.config_file()));
        let unit = unit::wanted().filter(|_| !home.is_installed());
        let mut held = unit.map(|unit| Unit::of(&unit, home, command));
        let command = held.as_mut().map_or(command, |(_, command)| command);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        // Our end of the journal's socket goes with it.
        command.stderr(Stdio::null());
        let mut daemon = Self {
            home: Arc::clone(home),
            pid: child.id(),
            child,
            unit: held.map(|(unit, _)| unit),
            log,
        };
        wait::until("the daemon to serve", || daemon.serves());
        daemon.pid = daemon.unit.as_ref().map_or(daemon.pid, Unit::pid);
        daemon
    }

    fn serves(&mut self) -> bool {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the daemon ended at once ({status}):\n{}", self.log());
        }
        UnixStream::connect(self.home.socket()).is_ok_and(is_attended)
    }

    /// Its files.
    #[must_use]
    pub fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Names its process, where another program was started that starts it.
    pub(crate) fn set_pid(&mut self, pid: u32) {
        self.pid = pid;
    }

    /// A fresh connection.
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::connect(&self.home.socket())
    }

    /// Sends one request on a connection of its own; gives the response.
    #[must_use]
    pub fn ask(&self, request: &Value) -> Value {
        ask(self.connect(), request)
    }

    /// As [`Daemon::ask`], over the control socket.
    #[must_use]
    pub fn administer(&self, request: &Value) -> Value {
        ask(Client::connect(&self.home.control_socket()), request)
    }

    /// Reads a node: the document, or the error's text.
    ///
    /// # Errors
    /// What the daemon said.
    pub fn temperature(&self, node: &str) -> Result<Value, String> {
        let request = json!({"method": "get_temperature", "params": {"node": node}});
        let response = self.ask(&request);
        match response["data"]["temperature"].as_str() {
            Some(document) => Ok(serde_json::from_str(document).unwrap()),
            None => Err(response["error"].as_str().unwrap().to_owned()),
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.process(), signal).unwrap();
    }

    fn process(&self) -> Pid {
        Pid::from_raw(self.pid().try_into().unwrap())
    }

    /// Sends SIGHUP and waits until the daemon has read its configuration again,
    /// with whatever success.
    pub fn reload(&self) {
        let reloads = || self.home.records_of("config.reloaded").len();
        let before = reloads();
        self.signal(Signal::SIGHUP);
        wait::until("the reload", || reloads() > before);
    }

    /// Waits until the process has ended.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait::until_some("the daemon to end", || child.try_wait().unwrap())
    }

    /// Ends it in order.
    pub fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        assert!(self.wait().success(), "{}", self.log());
    }

    /// What it has logged. It logs to a file, so what came before an answer is in
    /// there by then.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

fn ask(mut client: Client, request: &Value) -> Value {
    client.send(format!("{request}\n").as_bytes());
    client.answer()
}

/// A socket, as a service has it from systemd: a profile need not permit that a
/// file is inherited. What comes is written to the file.
fn as_the_journal(mut file: fs::File) -> Stdio {
    let (mut journal, service) = UnixStream::pair().unwrap();
    std::thread::spawn(move || io::copy(&mut journal, &mut file));
    OwnedFd::from(service).into()
}

/// Whether somebody hangs up when we do. The socket is there before everything
/// else is; callers are attended to when everything is.
fn is_attended(mut connection: UnixStream) -> bool {
    connection.shutdown(Shutdown::Write).unwrap();
    connection.set_read_timeout(Some(wait::patience())).unwrap();
    connection.read(&mut [0]).is_ok()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = match &self.unit {
            Some(unit) => unit.kill(),
            None => self.child.kill(),
        };
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("the daemon's log:\n{}", self.log());
        }
    }
}
