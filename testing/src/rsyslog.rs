//! Debian's rsyslog as a collector or a sender, on loopback, over TLS.

use crate::certificates::key_of;
use crate::home::unused_address;
use crate::programs;
use crate::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A TLS library of rsyslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsLibrary {
    /// OpenSSL.
    OpenSsl,
    /// `GnuTLS`.
    GnuTls,
}

/// A collector's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// RELP over TLS.
    Relp(TlsLibrary),
    /// Syslog over TLS (RFC 5425), with `GnuTLS`: the other library accepts wrong names.
    Syslog,
}

impl Input {
    /// The protocol's name in the daemon's configuration.
    #[must_use]
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Relp(_) => "relp",
            Self::Syslog => "syslog",
        }
    }
}

/// Settings of a collector.
#[derive(Clone, Debug)]
pub struct Collector<'a> {
    /// Its protocol and TLS library.
    pub input: Input,
    /// The certificate of the CA that signs senders' certificates.
    pub ca: &'a Path,
    /// Its own certificate; the key is in the file of [`key_of`].
    pub certificate: &'a Path,
    /// The name that senders' certificates must have.
    pub sender: &'a str,
}

/// A running rsyslog; it is killed when dropped.
#[derive(Debug)]
pub struct Rsyslog {
    directory: TempDir,
    address: Option<SocketAddr>,
    child: Child,
}

impl Rsyslog {
    /// Starts a collector on a fresh address.
    #[must_use]
    pub fn start(collector: &Collector<'_>) -> Self {
        Self::start_at(collector, unused_address())
    }

    /// Starts a collector at this address.
    #[must_use]
    pub fn start_at(collector: &Collector<'_>, address: SocketAddr) -> Self {
        let directory = directory();
        let text = configuration(collector, address, directory.path());
        Self::spawned(directory, &text, Some(address))
    }

    /// Starts rsyslog with a configuration, which listens at this address, if at any.
    #[must_use]
    pub fn with_configuration(configuration: &str, address: Option<SocketAddr>) -> Self {
        Self::spawned(directory(), configuration, address)
    }

    fn spawned(directory: TempDir, configuration: &str, address: Option<SocketAddr>) -> Self {
        fs::write(directory.path().join("rsyslog.conf"), configuration).unwrap();
        let child = spawn(directory.path());
        let mut rsyslog = Self {
            directory,
            address,
            child,
        };
        rsyslog.wait_until_it_listens();
        rsyslog
    }

    /// The complaints of `rsyslogd -N1` about a configuration, and true when it refuses it.
    #[must_use]
    pub fn check(configuration: &str) -> (String, bool) {
        let directory = directory();
        let file = directory.path().join("rsyslog.conf");
        fs::write(&file, configuration).unwrap();
        let mut rsyslogd = Command::new(programs::find("rsyslogd").unwrap());
        let output = rsyslogd.arg("-N1").arg("-f").arg(file).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        // Its first and last lines say only that it runs.
        let complaints = said
            .lines()
            .filter(|line| !line.contains("config validation run"));
        let complaints = complaints.collect::<Vec<_>>().join("\n");
        (complaints, !output.status.success())
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    /// The lines of the collected file, one for each message.
    #[must_use]
    pub fn collected(&self) -> Vec<String> {
        fs::read_to_string(self.file())
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// The file of collected messages.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("collected")
    }

    /// rsyslog's own log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Its process id, for signals.
    #[must_use]
    pub fn process(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Sends a signal that ends it, and waits for its end.
    pub fn stop(&mut self, signal: Signal) {
        kill(self.process(), signal).unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again with the same address and file.
    pub fn restart(&mut self) {
        self.child = spawn(self.directory.path());
        self.wait_until_it_listens();
    }

    /// Changes its configuration for the next start.
    pub fn edit(&self, change: impl FnOnce(String) -> String) {
        let file = self.directory.path().join("rsyslog.conf");
        fs::write(&file, change(fs::read_to_string(&file).unwrap())).unwrap();
    }

    fn wait_until_it_listens(&mut self) {
        let Some(address) = self.address else {
            return;
        };
        let child = &mut self.child;
        wait::until("rsyslog to listen", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "rsyslog ended at once ({ended:?})");
            is_listened_on(address)
        });
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("rsyslog's log:\n{}", self.log());
        }
    }
}

/// True when a socket listens there (`proc_pid_net(5)`). A test connection would show it too,
/// but it ends without a handshake, and imrelp sometimes closes the next connection then.
fn is_listened_on(address: SocketAddr) -> bool {
    const LISTEN: &str = "0A";
    let SocketAddr::V4(address) = address else {
        return TcpStream::connect(address).is_ok();
    };
    // The kernel prints the address as a number in the byte order of its memory.
    let wanted = format!(
        "{:08X}:{:04X}",
        u32::from_ne_bytes(address.ip().octets()),
        address.port()
    );
    // This thread's: the process's main thread may be in another network namespace.
    fs::read_to_string("/proc/thread-self/net/tcp")
        .unwrap()
        .lines()
        .any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.get(1) == Some(&wanted.as_str()) && fields.get(3) == Some(&LISTEN)
        })
}

fn directory() -> TempDir {
    let mut directory = tempfile::Builder::new();
    directory.prefix("pulse-rsyslog-").tempdir().unwrap()
}

fn spawn(directory: &Path) -> Child {
    let log = fs::File::create(directory.join("log")).unwrap();
    Command::new(programs::find("rsyslogd").unwrap())
        .arg("-n")
        .args(["-i", directory.join("pid").to_str().unwrap()])
        .args(["-f", directory.join("rsyslog.conf").to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A collector's configuration. Its queue stores a message before it acknowledges it; its
/// template writes messages unchanged.
fn configuration(collector: &Collector<'_>, address: SocketAddr, directory: &Path) -> String {
    let (ip, port, sender) = (address.ip(), address.port(), collector.sender);
    let (ca, certificate) = (collector.ca.display(), collector.certificate.display());
    let key = key_of(collector.certificate);
    let (key, directory) = (key.display(), directory.display());
    let input = match collector.input {
        Input::Relp(library) => {
            let library = match library {
                TlsLibrary::OpenSsl => "openssl",
                TlsLibrary::GnuTls => "gnutls",
            };
            format!(
                r#"module(load="imrelp" tls.tlslib="{library}")
input(type="imrelp" address="{ip}" port="{port}" maxDataSize="64k" tls="on"
    tls.caCert="{ca}" tls.myCert="{certificate}" tls.myPrivKey="{key}"
    tls.authMode="name" tls.permittedPeer=["{sender}"])
"#
            )
        }
        Input::Syslog => format!(
            r#"module(load="imtcp" maxFrameSize="65536")
input(type="imtcp" address="{ip}" port="{port}"
    streamDriver.name="gtls" streamDriver.mode="1"
    streamDriver.authMode="x509/name" permittedPeer=["{sender}"]
    streamDriver.caFile="{ca}" streamDriver.certFile="{certificate}"
    streamDriver.keyFile="{key}")
"#
        ),
    };
    format!(
        r#"global(workDirectory="{directory}" maxMessageSize="64k"
    parser.escapeControlCharactersOnReceive="off")
main_queue(queue.type="Direct")
{input}template(name="message" type="string" string="%msg%\n")
action(type="omfile" file="{directory}/collected" template="message")
"#
    )
}
