//! The daemon as a child process.

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
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;

/// A running daemon; it is killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    home: Arc<Home>,
    /// The daemon, or `systemd-run`, which ends with it.
    child: Child,
    pid: u32,
    unit: Option<Unit>,
    log: PathBuf,
}

/// Exit code and output of a program that ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
}

/// Runs the daemon's program until it ends by itself. Its environment is empty but for
/// `environment` and the service's user.
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
    // Its output fits a pipe, so it can end before anybody reads.
    wait::until("the daemon to end", || child.try_wait().unwrap().is_some());
    ended(child.wait_with_output().unwrap())
}

pub(crate) fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended {
        code: output.status.code().expect("it was not killed"),
        output: text(output.stdout),
        errors: text(output.stderr),
    }
}

/// [`run`] on the configuration in a home, for a daemon that is to refuse it.
#[must_use]
pub fn run_in(home: &Home) -> Ended {
    run(&["--config", home.config_file().to_str().unwrap()], &[])
}

impl Daemon {
    /// Starts a daemon in a home of its own and waits until it serves.
    #[must_use]
    pub fn start(config: &Config) -> Self {
        Self::start_in(&Arc::new(Home::new()), config)
    }

    /// Starts a daemon in a home that may have files of an earlier one.
    #[must_use]
    pub fn start_in(home: &Arc<Home>, config: &Config) -> Self {
        home.write_config(config);
        Self::start_with(home, &[])
    }

    /// [`Daemon::start_in`] with another program than the shipped daemon.
    #[must_use]
    pub fn start_program(program: &Path, home: &Arc<Home>, config: &Config) -> Self {
        home.write_config(config);
        Self::spawn(home, Command::new(program).env_clear())
    }

    /// Starts a daemon on the configuration in its home, with these variables and no others.
    ///
    /// # Panics
    /// When it does not serve.
    #[must_use]
    pub fn start_with(home: &Arc<Home>, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(programs::daemon());
        command.env_clear().envs(environment.iter().copied());
        Self::spawn(home, &mut command)
    }

    /// Starts a daemon on the configuration in its home, under a program that execs its
    /// arguments, like `prlimit` or `setpriv`.
    ///
    /// # Panics
    /// When it does not serve.
    #[must_use]
    pub fn start_under(home: &Arc<Home>, wrapper: &[&str]) -> Self {
        let mut command = Command::new(programs::find(wrapper[0]).unwrap());
        command.args(&wrapper[1..]).arg(programs::daemon());
        Self::spawn(home, command.env_clear())
    }

    /// Starts a command with `--config` and this home's configuration appended.
    ///
    /// # Panics
    /// When it does not serve.
    #[must_use]
    pub fn spawn(home: &Arc<Home>, command: &mut Command) -> Self {
        let log = home.unused_path("log");
        let named = command
            .get_envs()
            .any(|(name, _)| name == service::VARIABLE);
        // An installed daemon uses the user of its package.
        if !named && !home.is_installed() {
            command.envs([service::SETTING]);
        }
        let mut file = fs::File::create(&log).unwrap();
        let errors: Stdio = if home.is_installed() {
            // As systemd's journal gives it to a service: AppArmor profiles permit no inherited
            // file.
            let (mut journal, service) = UnixStream::pair().unwrap();
            std::thread::spawn(move || io::copy(&mut journal, &mut file));
            OwnedFd::from(service).into()
        } else {
            file.into()
        };
        command
            .arg("--config")
            .arg(home.daemon_path(&home.config_file()));
        let unit = unit::wanted().filter(|_| !home.is_installed());
        let mut held = unit.map(|unit| Unit::of(&unit, home, command));
        let command = held.as_mut().map_or(command, |(_, command)| command);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        // Closes our copy of the journal's socket.
        command.stderr(Stdio::null());
        let mut daemon = Self {
            home: Arc::clone(home),
            pid: child.id(),
            child,
            unit: held.map(|(unit, _)| unit),
            log,
        };
        wait::until("the daemon to serve", || {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                panic!("the daemon ended at once ({status}):\n{}", daemon.log());
            }
            let Ok(mut connection) = UnixStream::connect(daemon.home.socket()) else {
                return false;
            };
            // The socket accepts connections before the daemon is ready to serve them; one that
            // serves closes a connection that we close.
            connection.shutdown(Shutdown::Write).unwrap();
            connection.set_read_timeout(Some(wait::timeout())).unwrap();
            connection.read(&mut [0]).is_ok()
        });
        // Under a unit the child is systemd-run; systemd has started the daemon by now.
        daemon.pid = daemon.unit.as_ref().map_or(daemon.pid, Unit::pid);
        daemon
    }

    /// The daemon's files.
    #[must_use]
    pub fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// The daemon's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sets the daemon's process id, where the child is a program that starts the daemon.
    pub(crate) fn set_pid(&mut self, pid: u32) {
        self.pid = pid;
    }

    /// Opens a connection.
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::connect(&self.home.socket())
    }

    /// Sends one request on a new connection and returns the response.
    #[must_use]
    pub fn ask(&self, request: &Value) -> Value {
        ask(self.connect(), request)
    }

    /// [`Daemon::ask`] over the control socket.
    #[must_use]
    pub fn administer(&self, request: &Value) -> Value {
        ask(Client::connect(&self.home.control_socket()), request)
    }

    /// Reads a node's document.
    ///
    /// # Errors
    /// The daemon's error text.
    pub fn temperature(&self, node: &str) -> Result<Value, String> {
        let response = self.ask(&json!({"method": "get_temperature", "params": {"node": node}}));
        match response["data"]["temperature"].as_str() {
            Some(document) => Ok(serde_json::from_str(document).unwrap()),
            None => Err(response["error"].as_str().unwrap().to_owned()),
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid.try_into().unwrap()), signal).unwrap();
    }

    /// Sends SIGHUP and waits until the reload is on record, successful or not.
    pub fn reload(&self) {
        let reloads = || {
            self.home
                .log_text()
                .matches("\"event_type\":\"config.reloaded\"")
                .count()
        };
        let before = reloads();
        self.signal(Signal::SIGHUP);
        wait::until("the reload", || reloads() > before);
    }

    /// Waits until the process has ended.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait(&mut self) -> ExitStatus {
        wait::until_some("the daemon to end", || self.child.try_wait().unwrap())
    }

    /// Sends SIGTERM and waits for exit code 0.
    pub fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        assert!(self.wait().success(), "{}", self.log());
    }

    /// The daemon's log. It is a file, so messages that precede a response are in it when
    /// the response arrives.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

fn ask(mut client: Client, request: &Value) -> Value {
    client.send(format!("{request}\n").as_bytes());
    client.answer()
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
