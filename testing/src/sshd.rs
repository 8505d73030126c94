//! Debian's OpenSSH server as a node, on loopback, with its own configuration and host keys.
//!
//! Only the user who runs the tests can log in, so it needs neither root nor another account.

use crate::config::Config;
use crate::daemon::Daemon;
use crate::home::{Home, unused_address};
use crate::programs::{self, user_name};
use crate::sim;
use crate::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fmt::Write;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// The forced command of a node with the helper as documented, with another root for `/sys`.
#[must_use]
pub fn helper_command(sys_root: &Path) -> String {
    format!(
        "{} --sys-root {}",
        programs::helper().display(),
        sys_root.display()
    )
}

/// Options of `authorized_keys` for a node without the helper: every command prints
/// [`sim::DOCUMENT`].
#[must_use]
pub fn printing_options() -> String {
    format!(
        "restrict,command=\"echo '{}'\"",
        sim::DOCUMENT.replace('"', "\\\"")
    )
}

/// Settings of a server.
#[derive(Clone, Debug, Default)]
pub struct SshdOptions {
    /// Further lines of `sshd_config`.
    pub lines: Vec<String>,
    /// Principals of its host certificate; none for a plain host key.
    pub certified_for: Option<&'static str>,
    /// The validity of that certificate, as `-V` of ssh-keygen(1); always if there is none.
    pub certified_from_to: Option<&'static str>,
    /// Checks the modes of key files, as sshd does by default.
    pub strict_modes: bool,
    /// A program that execs sshd, like `prlimit`, and its arguments.
    pub wrapper: &'static [&'static str],
}

/// A running server; it is killed when dropped, and its sessions with it.
#[derive(Debug)]
pub struct Sshd {
    directory: TempDir,
    address: SocketAddr,
    child: Child,
}

impl Sshd {
    /// Starts a server that accepts no key yet.
    #[must_use]
    pub fn start(options: &SshdOptions) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("pulse-sshd-")
            .tempdir()
            .unwrap();
        make_key(directory.path(), "host_key");
        if let Some(principals) = options.certified_for {
            make_key(directory.path(), "authority");
            let mut words: Vec<&str> = "-q -h -s authority -I node".split(' ').collect();
            words.extend(["-V", options.certified_from_to.unwrap_or("always:forever")]);
            words.extend(["-n", principals, "host_key.pub"]);
            keygen(&words, directory.path());
        }
        let address = unused_address();
        let file = directory.path().join("sshd_config");
        fs::write(&file, configuration(directory.path(), address, options)).unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        let child = spawn(&file, &directory.path().join("log"), options.wrapper);
        let mut sshd = Self {
            directory,
            address,
            child,
        };
        sshd.wait_until_it_listens(1);
        sshd
    }

    /// Waits until it has listened so many times.
    fn wait_until_it_listens(&mut self, times: usize) {
        wait::until("sshd to listen", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("sshd ended at once ({status}):\n{}", self.log());
            }
            // A connection to find out would be in the log, in which tests count lines.
            self.count("Server listening on") >= times
        });
    }

    /// Kills it and all its sessions.
    pub fn kill(&mut self) {
        let mut doomed = vec![self.child.id()];
        let mut found = 0;
        // Sessions have processes of their own, which outlive the listener.
        while let Some(parent) = doomed.get(found) {
            doomed.extend(children(*parent));
            found += 1;
        }
        for process in doomed {
            let process = Pid::from_raw(process.try_into().unwrap());
            // A session may have ended meanwhile.
            let _ = kill(process, Signal::SIGKILL);
        }
        self.child.wait().unwrap();
    }

    /// Starts it again after [`Sshd::kill`], with the same address and host key.
    pub fn restart(&mut self) {
        let listened = self.count("Server listening on");
        self.child = spawn(&self.path("sshd_config"), &self.path("log"), &[]);
        self.wait_until_it_listens(listened + 1);
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A path below its directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Authorizes this key alone, with options of `authorized_keys`.
    pub fn authorize(&self, options: &str, public_key: &str) {
        fs::write(
            self.path("authorized_keys"),
            format!("{options} {public_key}\n").trim_start(),
        )
        .unwrap();
    }

    /// Installs a script in the first directory of its sessions' `PATH`.
    pub fn install(&self, name: &str, script: &str) {
        let program = self.path("bin").join(name);
        fs::write(&program, script).unwrap();
        fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
    }

    /// The line of `known_hosts` for its host key.
    #[must_use]
    pub fn host_key_line(&self, name: &str) -> String {
        format!(
            "[{name}]:{} {}",
            self.address.port(),
            read(&self.path("host_key.pub"))
        )
    }

    /// One of its public keys, in the format of `authorized_keys`.
    #[must_use]
    pub fn public_key(&self, name: &str) -> String {
        read(&self.path(&format!("{name}.pub")))
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The number of occurrences in the log. sshd logs a moment after the event, so a test
    /// first waits for an expected line and then counts the unexpected ones.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// A command that logs in with OpenSSH's client.
    #[must_use]
    pub fn client(&self, key: &Path) -> Command {
        let mut command = Command::new(programs::find("ssh").expect("ssh comes with sshd"));
        // No file of the user has a part in it, and no question waits for an answer.
        command.args(["-F", "none", "-o", "StrictHostKeyChecking=no"]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]);
        command.args(["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i"]);
        command
            .arg(key)
            .arg("-p")
            .arg(self.address.port().to_string());
        command.arg(format!("{}@{}", user_name(), self.address.ip()));
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Its sessions end when the daemon under test closes its connections.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("sshd's log:\n{}", self.log());
        }
    }
}

/// Runs `ssh-keygen` in a directory.
///
/// # Panics
/// When ssh-keygen fails.
pub fn keygen(arguments: &[&str], directory: &Path) {
    let output = Command::new(programs::find("ssh-keygen").expect("ssh-keygen comes with sshd"))
        .current_dir(directory)
        .args(arguments)
        .output()
        .unwrap();
    programs::assert_success(format_args!("ssh-keygen {arguments:?}"), &output);
}

/// Makes an Ed25519 key pair without a passphrase.
pub fn make_key(directory: &Path, name: &str) {
    keygen(
        &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", name],
        directory,
    );
}

fn configuration(directory: &Path, address: SocketAddr, options: &SshdOptions) -> String {
    let at = directory.display();
    let mut text = format!(
        "ListenAddress {address}\n\
         HostKey {at}/host_key\n\
         AuthorizedKeysFile {at}/authorized_keys\n\
         PidFile none\n\
         StrictModes {}\n\
         UsePAM no\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\n\
         SetEnv HOME=/nonexistent PATH={at}/bin:/usr/bin:/bin\n",
        if options.strict_modes { "yes" } else { "no" }
    );
    if options.certified_for.is_some() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "HostCertificate {at}/host_key-cert.pub");
    }
    for line in &options.lines {
        let _ = writeln!(text, "{line}");
    }
    // After the test's own lines: the first value of a keyword counts (sshd_config(5)).
    text.push_str("LogLevel VERBOSE\n");
    text
}

fn spawn(file: &Path, log: &Path, wrapper: &[&str]) -> Child {
    let sshd = programs::find("sshd").expect("a test without sshd is skipped");
    if programs::is_root() {
        // The package's service makes it when it starts.
        fs::create_dir_all("/run/sshd").unwrap();
    }
    // sshd execs itself for each connection, so it requires an absolute path.
    let mut command = match wrapper.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(programs::find(program).unwrap());
            command.args(arguments).arg(&sshd);
            command
        }
        None => Command::new(&sshd),
    };
    command.arg("-D").arg("-f").arg(file).arg("-E").arg(log);
    // Newer servers block a client after refusals, which some tests cause on purpose; older
    // ones refuse the option.
    let option = ["-o", "PerSourcePenalties=no"];
    let mut check = Command::new(sshd);
    check.arg("-t").arg("-f").arg(file).args(option);
    if check
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        command.args(option);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null()).spawn().unwrap()
}

/// The child processes of a process.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let is_child = |process: &u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        status.contains(&format!("\nPPid:\t{parent}\n"))
    };
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(is_child)
        .collect()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap().trim_end().to_owned()
}

/// A daemon and one real node, `pve1`.
#[derive(Debug)]
pub struct RealNode {
    /// The daemon.
    pub daemon: Daemon,
    /// The node's server.
    pub sshd: Sshd,
}

impl RealNode {
    /// Starts both and authorizes each key; `options` precede the daemon's key in
    /// `authorized_keys`.
    #[must_use]
    pub fn start(options: &str, config: Config) -> Self {
        let node = Self::start_untrusted(config, &SshdOptions::default());
        node.sshd
            .authorize(options, &node.daemon.home().public_key());
        node.daemon.home().trust(&node.sshd.host_key_line("pve1"));
        node
    }

    /// Starts both; neither accepts the other's key.
    #[must_use]
    pub fn start_untrusted(config: Config, options: &SshdOptions) -> Self {
        Self::start_program(&programs::daemon(), config, options)
    }

    /// [`RealNode::start_untrusted`] with another program than the shipped daemon.
    #[must_use]
    pub fn start_program(program: &Path, config: Config, options: &SshdOptions) -> Self {
        Self::start_program_in(program, &Arc::new(Home::new()), config, options)
    }

    /// [`RealNode::start_program`] in a home that may have files of an earlier daemon.
    #[must_use]
    pub fn start_program_in(
        program: &Path,
        home: &Arc<Home>,
        config: Config,
        options: &SshdOptions,
    ) -> Self {
        let sshd = Sshd::start(options);
        let config = config.node("pve1", sshd.address());
        Self {
            daemon: Daemon::start_program(program, home, &config),
            sshd,
        }
    }
}
