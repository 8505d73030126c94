//! The configurations of `pulse-sensorctl forward render` in rsyslog: rsyslog accepts them,
//! and the audit log arrives unchanged.

use crate::collector::{COLLECTOR, NEEDS, SENDER, identity, open, run, send};
use pulse_audit::{Body, Directory, Log, PublicKey, Settings, Timestamp};
use pulse_core::event::Event;
use pulse_e2e::certificates::{Authority, Validity, key_of};
use pulse_e2e::forwarding::{forward_to_all, install_valid_credentials};
use pulse_e2e::programs::{self, skipped};
use pulse_e2e::rsyslog::Rsyslog;
use pulse_e2e::{Daemon, Home, unused_address, wait};
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// Files and addresses of a sender and a collector.
struct RsyslogPair {
    authority: Authority,
    directory: TempDir,
    relp: SocketAddr,
    syslog: SocketAddr,
}

impl RsyslogPair {
    fn new() -> Self {
        let directory = TempDir::with_prefix("pulse-rendered-").unwrap();
        for below in ["log", "spool", "collected"] {
            fs::create_dir(directory.path().join(below)).unwrap();
        }
        Self {
            authority: Authority::new(),
            directory,
            relp: unused_address(),
            syslog: unused_address(),
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn live(&self) -> PathBuf {
        self.path("log/audit.log")
    }

    /// The rendered configuration, with a certificate for this name.
    fn rendered(&self, role: &str, name: &str, more: &[(&str, String)]) -> String {
        let certificate = self.authority.sign(name, Validity::Good);
        let mut tool = Command::new(programs::control());
        tool.args(["forward", "render", role])
            .arg("--ca")
            .arg(self.authority.certificate())
            .arg("--key")
            .arg(key_of(&certificate))
            .arg("--certificate")
            .arg(certificate);
        for (option, value) in more {
            tool.arg(option).arg(value);
        }
        let output = tool.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn sender(&self) -> String {
        let options = [
            ("--collector", self.relp.to_string()),
            ("--permitted", COLLECTOR.to_owned()),
            ("--log", text(&self.live())),
            ("--spool", text(&self.path("spool"))),
        ];
        self.rendered("rsyslog-sender", SENDER, &options)
    }

    fn collector(&self) -> String {
        let options = [
            ("--permitted", SENDER.to_owned()),
            ("--listen", self.relp.ip().to_string()),
            ("--port", self.relp.port().to_string()),
            ("--syslog-port", self.syslog.port().to_string()),
            ("--directory", text(&self.path("collected"))),
        ];
        self.rendered("rsyslog-collector", COLLECTOR, &options)
    }

    fn start_collector(&self) -> Rsyslog {
        Rsyslog::with_configuration(&self.collector(), Some(self.relp))
    }

    /// The collected file of records, of the only host.
    fn collected(&self) -> Option<PathBuf> {
        self.only(|name| name.ends_with(".audit.log"))
    }

    /// The collected file of the daemon's own messages.
    fn messages(&self) -> Option<PathBuf> {
        self.only(|name| !name.ends_with(".audit.log"))
    }

    fn only(&self, is_it: impl Fn(&str) -> bool) -> Option<PathBuf> {
        let files = fs::read_dir(self.path("collected")).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let mut files = files.filter(|file| is_it(file.to_str().unwrap()));
        let first = files.next()?;
        assert!(files.next().is_none(), "there is one host");
        Some(first)
    }

    fn collected_bytes(&self) -> Vec<u8> {
        let file = self.collected();
        file.map(|file| fs::read(file).unwrap()).unwrap_or_default()
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// An open audit log.
struct Writer {
    log: Log<Directory>,
    /// The first verification key: each seal changes the key.
    key: PublicKey,
    now: Timestamp,
}

impl Writer {
    fn begin(pair: &RsyslogPair) -> Self {
        let storage = Directory::lock(&pair.path("log"), &pair.path("state")).unwrap();
        let now = Timestamp::now();
        let settings = Settings {
            host: "host1".to_owned(),
            ..Settings::default()
        };
        let log = Log::open(storage, settings, now).unwrap();
        let key = log.public_key();
        Self { log, key, now }
    }

    /// Writes records with texts that are difficult for parsers, and a seal.
    fn write(&mut self, count: u64) {
        for number in 1..=count {
            let event = Event::Confinement {
                active: &number.to_string(),
                missing: "tab\t, line\n, esc \u{1b}[2J, \u{9b}, \u{7f}, é, \\n %msg% $!all \"'",
            };
            self.log.append(self.now, &[Body::of(&event)]).unwrap();
        }
        self.log.seal(self.now).unwrap();
    }
}

#[test]
fn rsyslogd_accepts_both_files() {
    if skipped(&NEEDS) {
        return;
    }
    let pair = RsyslogPair::new();
    for configuration in [pair.sender(), pair.collector()] {
        assert_eq!(Rsyslog::check(&configuration), (String::new(), false));
        let misspelt = configuration.replace("action.resumeRetryCount", "action.resumeCount");
        let (complaint, _) = Rsyslog::check(&misspelt);
        assert!(
            complaint.contains("'action.resumeCount' not known"),
            "{complaint}"
        );
    }
}

#[test]
fn records_verify_at_the_collector() {
    if skipped(&NEEDS) {
        return;
    }
    let pair = RsyslogPair::new();
    let mut writer = Writer::begin(&pair);
    writer.write(600);
    let _collector = pair.start_collector();
    let _sender = Rsyslog::with_configuration(&pair.sender(), None);
    wait::until("the first records", || pair.collected().is_some());
    writer.write(400);
    let written = fs::read(pair.live()).unwrap();
    wait::until("all records", || {
        pair.collected_bytes().len() >= written.len()
    });
    assert!(pair.collected_bytes() == written, "the copy differs");
    let mut verify = Command::new(programs::control());
    verify.args(["audit", "verify", "--key", &writer.key.to_string()]);
    verify.arg("--collected").arg(pair.collected().unwrap());
    let output = verify.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn only_our_connection_delivers() {
    if skipped(&NEEDS) {
        return;
    }
    let pair = RsyslogPair::new();
    let collector = pair.start_collector();
    let authority = &pair.authority;
    let ours = identity(authority, &authority.sign(SENDER, Validity::Good), None);
    let other = identity(
        authority,
        &authority.sign("other.test", Validity::Good),
        None,
    );
    run(async {
        assert!(open(&collector, COLLECTOR, &other).await.is_err());
        let mut link = open(&collector, COLLECTOR, &ours).await.unwrap();
        send(&mut link, 1..=100).await.unwrap();
        link.close().await;
    });
    // An acknowledged record is on disk, so there is nothing to wait for.
    let expected: String = (1..=100)
        .map(|n| format!("{{\"seq\":{n},\"error\":\"tab\\tand é\"}}\n"))
        .collect();
    assert_eq!(
        pair.collected(),
        Some(pair.path("collected/host.audit.log"))
    );
    assert_eq!(String::from_utf8(pair.collected_bytes()).unwrap(), expected);
}

#[test]
fn messages_have_their_own_file() {
    if skipped(&NEEDS) {
        return;
    }
    let pair = RsyslogPair::new();
    let _collector = pair.start_collector();
    let home = Arc::new(Home::new());
    install_valid_credentials(&home, &pair.authority);
    let config =
        forward_to_all(&[(COLLECTOR, pair.relp, "relp")]).set_forward("application_log", "true");
    let _daemon = Daemon::start_in(&home, &config);
    let messages = || {
        pair.messages()
            .map(|file| fs::read_to_string(file).unwrap())
    };
    let words = ["records go to the collector", "serving /"];
    wait::until("the daemon's own messages", || {
        messages().is_some_and(|text| words.iter().all(|words| text.contains(words)))
    });
    wait::until("the records, and no message among them", || {
        let collected = pair.collected_bytes();
        !collected.is_empty() && collected == fs::read(home.audit_log()).unwrap()
    });
    let messages = messages().unwrap();
    let serving = messages.lines().find(|line| line.contains("serving /"));
    let serving = serving.unwrap_or_else(|| panic!("{messages}"));
    assert!(serving.contains(" info "), "{serving}");
}

#[test]
fn syslog_needs_a_permitted_name() {
    if skipped(&NEEDS) {
        return;
    }
    let pair = RsyslogPair::new();
    let _collector = pair.start_collector();
    // Its two inputs start one after the other.
    let listens = || TcpStream::connect(pair.syslog).is_ok();
    wait::until("the syslog input to listen", listens);
    let mut stranger = SyslogClient::start(&pair, "other.test", "stranger");
    wait::until("the stranger to be refused", || stranger.has_ended());
    let _client = SyslogClient::start(&pair, SENDER, "{\"seq\":1}");
    wait::until("the record", || !pair.collected_bytes().is_empty());
    assert_eq!(pair.collected_bytes(), b"{\"seq\":1}\n");
}

/// `openssl s_client`, which sends one message (RFC 5425) and stays connected.
struct SyslogClient(Child);

impl SyslogClient {
    fn start(pair: &RsyslogPair, name: &str, record: &str) -> Self {
        let certificate = pair.authority.sign(name, Validity::Good);
        let mut child = Command::new(programs::find("openssl").unwrap())
            .args(["s_client", "-quiet", "-connect", &pair.syslog.to_string()])
            .arg("-CAfile")
            .arg(pair.authority.certificate())
            .arg("-key")
            .arg(key_of(&certificate))
            .arg("-cert")
            .arg(certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let message = format!("<110>1 - host pulse - audit - {record}");
        let frame = format!("{} {message}", message.len());
        let stdin = child.stdin.as_mut().unwrap();
        stdin.write_all(frame.as_bytes()).unwrap();
        Self(child)
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for SyslogClient {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
