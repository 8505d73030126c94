//! Certificates that are not good enough, on either side: nothing is sent, everybody is
//! told, and when the cause is mended everything arrives.

use super::NEEDS;
use pulse_e2e::certificates::{Authority, Validity, exchange, key_of};
use pulse_e2e::forwarding::{
    COLLECTOR, SENDER, equip, equip_well, failures, to, to_all, trouble, wait_for_all,
};
use pulse_e2e::programs::{find, skipped};
use pulse_e2e::rsyslog::{Collector, Input, Rsyslog, TlsLibrary};
use pulse_e2e::{Config, Daemon, Home, unused_address, wait};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Makes a certificate of ours, by the collector's authority or by a stranger.
type Sign = fn(&Authority, &Authority) -> PathBuf;

/// How our certificate is refused in the middle of TLS or right after it, and how by a
/// collector that says goodbye.
const HUNG_UP: Refusal = ("tls", "does not take our certificate");
const CLOSED: Refusal = (
    "open",
    "does it permit the name in our certificate, and is that in date",
);

const BOTH: [TlsLibrary; 2] = [TlsLibrary::OpenSsl, TlsLibrary::GnuTls];

/// A collector and a daemon that will not get on.
struct Site {
    authority: Authority,
    /// The collector's.
    certificate: PathBuf,
    rsyslog: Rsyslog,
    home: Arc<Home>,
}

impl Site {
    /// Whose collector shows what `sign` gives.
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

    /// Whose collector is as it should be.
    fn good(library: TlsLibrary) -> Self {
        Self::new(library, |authority| {
            authority.sign(COLLECTOR, Validity::Good)
        })
    }

    fn address(&self) -> SocketAddr {
        self.rsyslog.address()
    }

    /// Gives the daemon good certificates, and starts it.
    fn well_equipped(&self) -> Daemon {
        equip_well(&self.home, &self.authority);
        Daemon::start_in(&self.home, &to(self.address()))
    }

    /// Gives the daemon a certificate, and starts it.
    fn equipped(&self, ca: &Authority, certificate: &Path) -> Daemon {
        equip(&self.home, ca, certificate);
        Daemon::start_in(&self.home, &to(self.address()))
    }

    /// Nothing arrives until our certificates are as they should be.
    fn until_we_are_mended(&self, daemon: &Daemon, ways: &[Refusal]) {
        assert_refused(daemon, ways);
        assert_eq!(self.rsyslog.collected(), [""; 0]);
        equip_well(&self.home, &self.authority);
        daemon.reload();
        wait_for_all(daemon, &self.rsyslog);
    }

    /// Nothing arrives until the collector has this certificate.
    fn until_it_is_mended(mut self, daemon: &Daemon, remedy: &str, good: &Path) {
        assert_refused(daemon, &[("tls", remedy)]);
        assert_eq!(self.rsyslog.collected(), [""; 0]);
        exchange(&self.certificate, good);
        self.rsyslog.end(nix::sys::signal::Signal::SIGTERM);
        self.rsyslog.start_again();
        daemon.reload();
        wait_for_all(daemon, &self.rsyslog);
    }
}

/// The step at which it shows, and a part of the remedy.
type Refusal<'a> = (&'a str, &'a str);

/// Status, log and metrics say at which step it ends and what to do, and it is tried again.
/// Where it may show in several ways, each attempt shows it in one of them.
fn assert_refused(daemon: &Daemon, ways: &[Refusal]) {
    wait::until("two attempts", || {
        daemon.reload();
        let counts = ways.iter().map(|(step, _)| failures(daemon, step));
        counts.sum::<f64>() > 1.5
    });
    let trouble = trouble(daemon);
    let shown = ways.iter().find(|(step, _)| trouble["step"] == *step);
    let (_, remedy) = shown.unwrap_or_else(|| panic!("{trouble}"));
    let told = trouble["remedy"].as_str().unwrap();
    assert!(told.contains(remedy), "{trouble}");
    let log = daemon.log();
    assert!(log.contains("records do not get to the collector"), "{log}");
    assert!(log.contains(told), "{log}");
}

#[test]
fn other_authority_gets_no_record() {
    if skipped(&NEEDS) {
        return;
    }
    for library in BOTH {
        let site = Site::good(library);
        let (authority, stranger) = (&site.authority, Authority::new());
        let ours = authority.sign(SENDER, Validity::Good);
        let daemon = site.equipped(&stranger, &ours);
        site.until_we_are_mended(&daemon, &[("tls", "not of the authority in ca.pem")]);
    }
}

#[test]
fn other_name_gets_no_record() {
    if skipped(&NEEDS) {
        return;
    }
    for library in BOTH {
        let site = Site::new(library, |authority| {
            authority.sign("elsewhere.test", Validity::Good)
        });
        let daemon = site.well_equipped();
        let good = site.authority.sign(COLLECTOR, Validity::Good);
        site.until_it_is_mended(&daemon, "another name", &good);
    }
}

#[test]
fn invalid_dates_get_no_record() {
    if skipped(&NEEDS) {
        return;
    }
    for (validity, remedy) in [
        (Validity::Expired, "the collector's certificate is over"),
        (Validity::Future, "not valid yet"),
    ] {
        for library in BOTH {
            let site = Site::new(library, |authority| authority.sign(COLLECTOR, validity));
            let daemon = site.well_equipped();
            let good = site.authority.sign(COLLECTOR, Validity::Good);
            site.until_it_is_mended(&daemon, remedy, &good);
        }
    }
}

#[test]
fn replaced_key_gets_no_record() {
    if skipped(&NEEDS) {
        return;
    }
    for library in BOTH {
        let site = Site::good(library);
        let pinned = site.authority.sign(COLLECTOR, Validity::Good);
        equip_well(&site.home, &site.authority);
        let address = site.address();
        let collector = format!(
            "[{{ name = '{COLLECTOR}', address = '{}', port = {}, pin = '{}' }}]",
            address.ip(),
            address.port(),
            pin(&pinned)
        );
        let config = Config::new().set_forward("collectors", &collector);
        let daemon = Daemon::start_in(&site.home, &config);
        site.until_it_is_mended(&daemon, "another public key than the pinned one", &pinned);
    }
}

/// As an operator makes it.
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
        // OpenSSL takes everybody of its authority in, and closes the session; its hanging
        // up may overtake that.
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
        for (ways, sign) in bad {
            let site = Site::good(library);
            let certificate = sign(&site.authority, &stranger);
            let daemon = site.equipped(&site.authority, &certificate);
            site.until_we_are_mended(&daemon, ways);
        }
    }
}

#[test]
fn bad_credentials_send_no_record() {
    if skipped(&NEEDS) {
        return;
    }
    let site = Site::good(TlsLibrary::OpenSsl);
    // As a package leaves it; one that comes later is not within the confinement.
    std::fs::create_dir(site.home.credentials()).unwrap();
    let daemon = Daemon::start_in(&site.home, &to(site.address()));
    let remedy = "put ca.pem, certificate.pem and key.pem there";
    assert_refused(&daemon, &[("certificates", remedy)]);
    let [ours, other] = [0, 1].map(|_| site.authority.sign(SENDER, Validity::Good));
    std::fs::copy(key_of(&other), key_of(&ours)).unwrap();
    equip(&site.home, &site.authority, &ours);
    site.until_we_are_mended(&daemon, &[("certificates", remedy)]);
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
    let rsyslog = Rsyslog::with(&plaintext, Some(address));
    equip_well(&home, &authority);
    let config = to_all(&[(COLLECTOR, address, "relp")]).set_forward("timeout", "'500ms'");
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
    equip(&home, &authority, &stranger.sign(SENDER, Validity::Good));
    let config = to_all(&[(COLLECTOR, rsyslog.address(), "syslog")]);
    let daemon = Daemon::start_in(&home, &config.set_forward("timeout", "'1s'"));
    assert_refused(&daemon, &[HUNG_UP]);
    assert_eq!(rsyslog.collected(), [""; 0]);
    equip_well(&home, &authority);
    daemon.reload();
    wait_for_all(&daemon, &rsyslog);
}
