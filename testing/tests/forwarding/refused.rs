//! Certificates that either side refuses: nothing is sent, status, log and metrics report it,
//! and every record arrives when the cause is fixed.

use super::NEEDS;
use pulse_e2e::certificates::{Authority, Validity, key_of, replace_certificate};
use pulse_e2e::forwarding::{
    COLLECTOR, SENDER, failures, forward_to, forward_to_all, install_credentials,
    install_valid_credentials, trouble, wait_for_all,
};
use pulse_e2e::programs::{find, skipped};
use pulse_e2e::rsyslog::{Collector, Input, Rsyslog, TlsLibrary};
use pulse_e2e::{Config, Daemon, Home, unused_address, wait};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Signs our certificate, with the collector's CA or with another one.
type Sign = fn(&Authority, &Authority) -> PathBuf;

/// Our certificate is refused during the TLS handshake or right after it; or by a collector
/// that first closes the session.
const HUNG_UP: Refusal = ("tls", "does not accept our certificate");
const CLOSED: Refusal = (
    "open",
    "does it permit the name in our certificate, and is that in date",
);

const BOTH: [TlsLibrary; 2] = [TlsLibrary::OpenSsl, TlsLibrary::GnuTls];

/// A collector and a daemon of which one refuses the other's certificate.
struct Mismatch {
    authority: Authority,
    /// The collector's certificate.
    certificate: PathBuf,
    rsyslog: Rsyslog,
    home: Arc<Home>,
}

impl Mismatch {
    /// Starts a collector with the certificate that `sign` returns.
    fn new(library: TlsLibrary, sign: impl FnOnce(&Authority) -> PathBuf) -> Self {
        let authority = Authority::new();
        let certificate = sign(&authority);
        let rsyslog = Rsyslog::start(&Collector {
            input: Input::Relp(library),
            ca: &authority.certificate(),
            certificate: &certificate,
            sender: SENDER,
        });
        Self {
            authority,
            certificate,
            rsyslog,
            home: Arc::new(Home::new()),
        }
    }

    /// Starts a collector with a valid certificate.
    fn with_valid_collector(library: TlsLibrary) -> Self {
        Self::new(library, |authority| {
            authority.sign(COLLECTOR, Validity::Good)
        })
    }

    fn address(&self) -> SocketAddr {
        self.rsyslog.address()
    }

    /// Starts the daemon with valid certificates.
    fn start_valid(&self) -> Daemon {
        install_valid_credentials(&self.home, &self.authority);
        Daemon::start_in(&self.home, &forward_to(self.address()))
    }

    /// Starts the daemon with this CA and certificate.
    fn start_with(&self, ca: &Authority, certificate: &Path) -> Daemon {
        install_credentials(&self.home, ca, certificate);
        Daemon::start_in(&self.home, &forward_to(self.address()))
    }

    /// Nothing arrives until the sender has valid certificates.
    fn assert_recovers_with_valid_sender(&self, daemon: &Daemon, refusals: &[Refusal]) {
        assert_refused(daemon, refusals);
        assert_eq!(self.rsyslog.collected(), [""; 0]);
        install_valid_credentials(&self.home, &self.authority);
        daemon.reload();
        wait_for_all(daemon, &self.rsyslog);
    }

    /// Nothing arrives until the collector has this certificate.
    fn assert_recovers_with_collector(mut self, daemon: &Daemon, remedy: &str, good: &Path) {
        assert_refused(daemon, &[("tls", remedy)]);
        assert_eq!(self.rsyslog.collected(), [""; 0]);
        replace_certificate(&self.certificate, good);
        self.rsyslog.stop(nix::sys::signal::Signal::SIGTERM);
        self.rsyslog.restart();
        daemon.reload();
        wait_for_all(daemon, &self.rsyslog);
    }
}

/// The failed step, and a part of the remedy.
type Refusal<'a> = (&'a str, &'a str);

/// Status, log and metrics report the step and the remedy, and the collector is retried. Each
/// attempt fails with one of the refusals.
fn assert_refused(daemon: &Daemon, refusals: &[Refusal]) {
    wait::until("two attempts", || {
        daemon.reload();
        let counts = refusals.iter().map(|(step, _)| failures(daemon, step));
        counts.sum::<f64>() > 1.5
    });
    let trouble = trouble(daemon);
    let shown = refusals.iter().find(|(step, _)| trouble["step"] == *step);
    let (_, remedy) = shown.unwrap_or_else(|| panic!("{trouble}"));
    let reported = trouble["remedy"].as_str().unwrap();
    assert!(reported.contains(remedy), "{trouble}");
    let log = daemon.log();
    assert!(log.contains("records do not get to the collector"), "{log}");
    assert!(log.contains(reported), "{log}");
}

#[test]
fn other_authority_gets_no_record() {
    if skipped(&NEEDS) {
        return;
    }
    for library in BOTH {
        let mismatch = Mismatch::with_valid_collector(library);
        let (authority, stranger) = (&mismatch.authority, Authority::new());
        let daemon = mismatch.start_with(&stranger, &authority.sign(SENDER, Validity::Good));
        mismatch.assert_recovers_with_valid_sender(
            &daemon,
            &[("tls", "not signed by the CA in ca.pem")],
        );
    }
}

#[test]
fn other_name_gets_no_record() {
    if skipped(&NEEDS) {
        return;
    }
    for library in BOTH {
        let mismatch = Mismatch::new(library, |authority| {
            authority.sign("elsewhere.test", Validity::Good)
        });
        let daemon = mismatch.start_valid();
        let good = mismatch.authority.sign(COLLECTOR, Validity::Good);
        mismatch.assert_recovers_with_collector(&daemon, "another name", &good);
    }
}

#[test]
fn invalid_dates_get_no_record() {
    if skipped(&NEEDS) {
        return;
    }
    for (validity, remedy) in [
        (Validity::Expired, "the collector's certificate has expired"),
        (Validity::Future, "not valid yet"),
    ] {
        for library in BOTH {
            let mismatch = Mismatch::new(library, |authority| authority.sign(COLLECTOR, validity));
            let daemon = mismatch.start_valid();
            let good = mismatch.authority.sign(COLLECTOR, Validity::Good);
            mismatch.assert_recovers_with_collector(&daemon, remedy, &good);
        }
    }
}

#[test]
fn replaced_key_gets_no_record() {
    if skipped(&NEEDS) {
        return;
    }
    for library in BOTH {
        let mismatch = Mismatch::with_valid_collector(library);
        let pinned = mismatch.authority.sign(COLLECTOR, Validity::Good);
        install_valid_credentials(&mismatch.home, &mismatch.authority);
        let address = mismatch.address();
        let collector = format!(
            "[{{ name = '{COLLECTOR}', address = '{}', port = {}, pin = '{}' }}]",
            address.ip(),
            address.port(),
            pin(&pinned)
        );
        let config = Config::new().set_forward("collectors", &collector);
        let daemon = Daemon::start_in(&mismatch.home, &config);
        mismatch.assert_recovers_with_collector(
            &daemon,
            "another public key than the pinned one",
            &pinned,
        );
    }
}

/// The pin of a certificate, made with the documented `openssl` commands.
fn pin(certificate: &Path) -> String {
    let openssl = |words: &[&str], from: &Path| {
        let mut openssl = Command::new(find("openssl").unwrap());
        let output = openssl.args(words).arg(from).output().unwrap();
        assert!(output.status.success(), "openssl {words:?}");
        output.stdout
    };
    let key = certificate.with_extension("der");
    let words = ["pkey", "-pubout", "-outform", "der", "-in"];
    std::fs::write(&key, openssl(&words, &key_of(certificate))).unwrap();
    let digest = String::from_utf8(openssl(&["dgst", "-sha256", "-r"], &key)).unwrap();
    digest.split(' ').next().unwrap().to_owned()
}

#[test]
fn refusing_collector_is_retried() {
    if skipped(&NEEDS) {
        return;
    }
    let stranger = Authority::new();
    for library in BOTH {
        // OpenSSL's imrelp accepts every certificate of its CA and then closes the session; the
        // connection may be reset before that arrives.
        let late = match library {
            TlsLibrary::OpenSsl => &[HUNG_UP, CLOSED][..],
            TlsLibrary::GnuTls => &[HUNG_UP],
        };
        let bad: [(&[Refusal], Sign); 4] = [
            (&[HUNG_UP], |_, stranger| {
                stranger.sign(SENDER, Validity::Good)
            }),
            (late, |ours, _| ours.sign(SENDER, Validity::Expired)),
            (&[HUNG_UP], |ours, _| ours.sign(SENDER, Validity::Future)),
            (late, |ours, _| ours.sign("somebody.test", Validity::Good)),
        ];
        for (refusals, sign) in bad {
            let mismatch = Mismatch::with_valid_collector(library);
            let certificate = sign(&mismatch.authority, &stranger);
            let daemon = mismatch.start_with(&mismatch.authority, &certificate);
            mismatch.assert_recovers_with_valid_sender(&daemon, refusals);
        }
    }
}

#[test]
fn bad_credentials_send_no_record() {
    if skipped(&NEEDS) {
        return;
    }
    let mismatch = Mismatch::with_valid_collector(TlsLibrary::OpenSsl);
    // Made before the start: Landlock does not cover a directory that is made later.
    std::fs::create_dir(mismatch.home.credentials()).unwrap();
    let daemon = Daemon::start_in(&mismatch.home, &forward_to(mismatch.address()));
    let remedy = "put ca.pem, certificate.pem and key.pem there";
    assert_refused(&daemon, &[("certificates", remedy)]);
    let [ours, other] = [0, 1].map(|_| mismatch.authority.sign(SENDER, Validity::Good));
    std::fs::copy(key_of(&other), key_of(&ours)).unwrap();
    install_credentials(&mismatch.home, &mismatch.authority, &ours);
    mismatch.assert_recovers_with_valid_sender(&daemon, &[("certificates", remedy)]);
}

#[test]
fn peer_without_tls_gets_no_record() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let (address, home) = (unused_address(), Arc::new(Home::new()));
    let plaintext = format!(
        "module(load=\"imrelp\")\ninput(type=\"imrelp\" address=\"{}\" port=\"{}\")\n\
         action(type=\"omfile\" file=\"{}\")\n",
        address.ip(),
        address.port(),
        home.path("plaintext").display(),
    );
    let rsyslog = Rsyslog::with_configuration(&plaintext, Some(address));
    install_valid_credentials(&home, &authority);
    let config = forward_to_all(&[(COLLECTOR, address, "relp")]).set_forward("timeout", "'500ms'");
    let daemon = Daemon::start_in(&home, &config);
    assert_refused(&daemon, &[("tls", "")]);
    let collected = std::fs::read_to_string(home.path("plaintext")).unwrap_or_default();
    assert!(!collected.contains("event_hash"), "{collected}");
    drop(rsyslog);
    let rsyslog = Rsyslog::start_at(
        &Collector {
            input: Input::Relp(TlsLibrary::OpenSsl),
            ca: &authority.certificate(),
            certificate: &authority.sign(COLLECTOR, Validity::Good),
            sender: SENDER,
        },
        address,
    );
    daemon.reload();
    wait_for_all(&daemon, &rsyslog);
}

#[test]
fn syslog_refusal_is_reported() {
    if skipped(&NEEDS) {
        return;
    }
    let (authority, stranger) = (Authority::new(), Authority::new());
    let rsyslog = pulse_e2e::forwarding::collector(&authority, Input::Syslog);
    let home = Arc::new(Home::new());
    install_credentials(&home, &authority, &stranger.sign(SENDER, Validity::Good));
    let config = forward_to_all(&[(COLLECTOR, rsyslog.address(), "syslog")]);
    let daemon = Daemon::start_in(&home, &config.set_forward("timeout", "'1s'"));
    assert_refused(&daemon, &[HUNG_UP]);
    assert_eq!(rsyslog.collected(), [""; 0]);
    install_valid_credentials(&home, &authority);
    daemon.reload();
    wait_for_all(&daemon, &rsyslog);
}
