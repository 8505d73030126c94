//! The forwarding library against a real collector: rsyslog, with either TLS library.

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use pulse_core::causes::Causes;
use pulse_core::pin::Pin;
use pulse_e2e::certificates::{Authority, Validity, key_of};
use pulse_e2e::programs::{Need, find, skipped};
use pulse_e2e::rsyslog::{Collector, Input, Rsyslog, TlsLibrary};
use pulse_e2e::wait;
use pulse_relp::certificate;
use pulse_relp::connection::{Connection, ConnectionError, Peer, Protocol, Step};
use pulse_relp::identity::{Files, Identity, public_key};
use pulse_relp::message::{LOG_AUDIT, Origin, Severity};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout};

const TIMEOUT: Duration = Duration::from_secs(20);
/// A short timeout in real time, where the kernel or the collector keeps the time.
const SHORT: Duration = Duration::from_secs(1);
pub(crate) const COLLECTOR: &str = "collector.test";
pub(crate) const SENDER: &str = "sender.test";
pub(crate) const NEEDS: [Need; 1] = [Need::Collector];

fn collector(authority: &Authority, input: Input) -> Rsyslog {
    Rsyslog::start(&Collector {
        input,
        ca: &authority.certificate(),
        certificate: &authority.sign(COLLECTOR, Validity::Good),
        sender: SENDER,
    })
}

pub(crate) fn identity(ca: &Authority, certificate: &Path, pin: Option<Pin>) -> Identity {
    let files = Files {
        ca: ca.certificate(),
        certificate: certificate.to_owned(),
        key: key_of(certificate),
    };
    Identity::load(&files, pin).unwrap()
}

pub(crate) async fn open(
    rsyslog: &Rsyslog,
    name: &'static str,
    identity: &Identity,
) -> Result<Connection, ConnectionError> {
    open_as(Protocol::Relp, rsyslog, name, identity, TIMEOUT).await
}

async fn open_as(
    protocol: Protocol,
    rsyslog: &Rsyslog,
    name: &'static str,
    identity: &Identity,
    timeout: Duration,
) -> Result<Connection, ConnectionError> {
    let peer = Peer {
        address: rsyslog.address(),
        name: name.try_into().unwrap(),
    };
    Connection::open(&peer, &identity.config, protocol, timeout, |_| ()).await
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build();
    runtime.unwrap().block_on(future)
}

fn record(number: u64) -> Vec<u8> {
    let mut message = Vec::new();
    let text = format!("{{\"seq\":{number},\"error\":\"tab\\tand é\"}}");
    let when = "2026-11-21T10:00:03.123456Z";
    let origin = Origin::new(LOG_AUDIT, "host", "pulse-sensor-proxy", 1);
    origin.write(&mut message, Severity::Info, when, "audit", text.as_bytes());
    message
}

pub(crate) async fn send(
    connection: &mut Connection,
    numbers: std::ops::RangeInclusive<u64>,
) -> Result<(), ConnectionError> {
    let last = *numbers.end();
    let mut acknowledged = write(connection, numbers).await?;
    while acknowledged < last {
        acknowledged = connection.acknowledged().await?;
    }
    Ok(())
}

/// Writes these records and returns the number of the last acknowledged one.
async fn write(
    connection: &mut Connection,
    numbers: std::ops::RangeInclusive<u64>,
) -> Result<u64, ConnectionError> {
    let mut acknowledged = numbers.start() - 1;
    for number in numbers {
        if connection.room() == 0 {
            connection.flush().await?;
        }
        while connection.room() == 0 {
            acknowledged = connection.acknowledged().await?;
        }
        assert!(connection.give(number, &record(number)));
    }
    connection.flush().await?;
    Ok(acknowledged)
}

/// The collected records, without the space before a message of RFC 3164, which rsyslog's
/// template keeps.
fn records(rsyslog: &Rsyslog) -> Vec<String> {
    let collected = rsyslog.collected().into_iter();
    collected.map(|line| line.trim_start().to_owned()).collect()
}

fn expected(numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers
        .map(|n| format!("{{\"seq\":{n},\"error\":\"tab\\tand é\"}}"))
        .collect()
}

#[test]
fn relp_delivers_unchanged_in_order() {
    if skipped(&NEEDS) {
        return;
    }
    for library in [TlsLibrary::OpenSsl, TlsLibrary::GnuTls] {
        let authority = Authority::new();
        let rsyslog = collector(&authority, Input::Relp(library));
        let ours = identity(&authority, &authority.sign(SENDER, Validity::Good), None);
        run(async {
            let mut connection = open(&rsyslog, COLLECTOR, &ours).await.unwrap();
            // The rest depends on the version of the library.
            let agreed = connection.tls_parameters().unwrap().to_string();
            assert!(agreed.starts_with("TLS 1.3, X25519"), "{agreed}");
            send(&mut connection, 1..=1000).await.unwrap();
            connection.close().await;
        });
        assert_eq!(records(&rsyslog), expected(1..=1000), "{library:?}");
    }
}

#[test]
fn untrusted_peers_fail_at_opening() {
    if skipped(&NEEDS) {
        return;
    }
    let (authority, stranger) = (Authority::new(), Authority::new());
    let rsyslog = collector(&authority, Input::Relp(TlsLibrary::OpenSsl));
    let good = authority.sign(SENDER, Validity::Good);
    let refused = |name, identity: &Identity| run(open(&rsyslog, name, identity)).unwrap_err();
    let ours = identity(&authority, &good, None);
    let wrong_name = refused("other.test", &ours);
    assert!(
        matches!(&wrong_name, ConnectionError::Tls(e) if e.to_string().contains("name")),
        "{wrong_name}"
    );
    let wrong_ca = refused(COLLECTOR, &identity(&stranger, &good, None));
    assert!(matches!(wrong_ca, ConnectionError::Tls(_)), "{wrong_ca}");
    let wrong_pin = refused(COLLECTOR, &identity(&authority, &good, Some(Pin([7; 32]))));
    let causes = Causes(&wrong_pin).to_string();
    assert!(causes.contains("pinned"), "{causes}");
    // With TLS 1.3 a collector's refusal of our certificate arrives after the handshake.
    for certificate in [
        authority.sign("somebody.test", Validity::Good),
        authority.sign(SENDER, Validity::Expired),
        authority.sign(SENDER, Validity::Future),
        stranger.sign(SENDER, Validity::Good),
    ] {
        let error = refused(COLLECTOR, &identity(&authority, &certificate, None));
        // With OpenSSL imrelp accepts a wrong name, and closes the session at once.
        let at_the_opening = matches!(
            error,
            ConnectionError::Tls(_) | ConnectionError::ClosedEarly(_) | ConnectionError::Session(_)
        );
        assert!(at_the_opening, "{}: {error}", certificate.display());
    }
    assert!(run(open(&rsyslog, COLLECTOR, &ours)).is_ok());
    assert_eq!(rsyslog.collected(), [""; 0]);
}

#[test]
fn pin_excuses_no_expired_certificate() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let good = authority.sign(SENDER, Validity::Good);
    for validity in [Validity::Expired, Validity::Future, Validity::Good] {
        let certificate = authority.sign(COLLECTOR, validity);
        let rsyslog = Rsyslog::start(&Collector {
            input: Input::Relp(TlsLibrary::OpenSsl),
            ca: &authority.certificate(),
            certificate: &certificate,
            sender: SENDER,
        });
        let pin = pin_of(&authority, &certificate);
        let opened = run(open(
            &rsyslog,
            COLLECTOR,
            &identity(&authority, &good, Some(pin)),
        ));
        match validity {
            Validity::Good => drop(opened.unwrap()),
            _ => assert!(
                matches!(opened, Err(ConnectionError::Tls(_))),
                "{validity:?}"
            ),
        }
    }
}

#[test]
fn openssl_prints_the_same_pin() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let certificate = authority.sign(COLLECTOR, Validity::Good);
    let [pem, der] =
        ["pem", "der"].map(|ending| certificate.with_extension(format!("key.{ending}")));
    let openssl = |command: &str, files: [&Path; 2], more: &[&str]| {
        let mut openssl = Command::new(find("openssl").unwrap());
        openssl.arg(command).args(more).arg("-in").arg(files[0]);
        assert!(
            openssl
                .arg("-out")
                .arg(files[1])
                .status()
                .unwrap()
                .success()
        );
    };
    openssl("x509", [&certificate, &pem], &["-pubkey", "-noout"]);
    openssl("pkey", [&pem, &der], &["-pubin", "-outform", "der"]);
    let mut digest = Command::new(find("openssl").unwrap());
    let digest = digest.args(["dgst", "-sha256", "-r"]).arg(&der).output();
    let digest = String::from_utf8(digest.unwrap().stdout).unwrap();
    let pin: Pin = digest.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(pin, pin_of(&authority, &certificate));
    assert_eq!(pin.to_string().parse(), Ok(pin));
}

fn pin_of(authority: &Authority, certificate: &Path) -> Pin {
    public_key(&identity(authority, certificate, None).certificate).unwrap()
}

#[test]
fn certificate_dates_are_read() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let of = |validity| {
        let identity = identity(&authority, &authority.sign(SENDER, validity), None);
        let read = certificate::validity(&identity.certificate).unwrap();
        (read.not_before, read.not_after)
    };
    assert_eq!(of(Validity::Expired), (1_577_836_800, 1_577_923_200));
    assert_eq!(of(Validity::Future), (3_786_912_000, 3_786_998_400));
    let (from, until) = of(Validity::Good);
    // Read after signing, so that it is not earlier than `not_before`.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap().as_secs()).unwrap();
    assert!(from <= now && now < until);
    assert_eq!(until - from, 60 * 24 * 3600);
}

#[test]
fn unacknowledged_records_are_resent() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let mut rsyslog = collector(&authority, Input::Relp(TlsLibrary::OpenSsl));
    let ours = identity(&authority, &authority.sign(SENDER, Validity::Good), None);
    run(async {
        let mut connection = open(&rsyslog, COLLECTOR, &ours).await.unwrap();
        send(&mut connection, 1..=100).await.unwrap();
        rsyslog.stop(Signal::SIGKILL);
        let broken = send(&mut connection, 101..=200).await.unwrap_err();
        assert!(matches!(broken, ConnectionError::Broken(_)), "{broken}");
        let gone = open(&rsyslog, COLLECTOR, &ours).await.unwrap_err();
        assert!(matches!(gone, ConnectionError::Connect(_)), "{gone}");
        rsyslog.restart();
        let mut connection = open(&rsyslog, COLLECTOR, &ours).await.unwrap();
        send(&mut connection, 101..=200).await.unwrap();
        connection.close().await;
    });
    no_gap(&rsyslog, 200);
}

/// Every record has arrived at least once.
fn no_gap(rsyslog: &Rsyslog, last: u64) {
    let mut records = records(rsyslog);
    records.sort_unstable();
    records.dedup();
    let mut expected = expected(1..=last);
    expected.sort_unstable();
    assert_eq!(records, expected);
}

#[test]
fn silent_collector_times_out() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let rsyslog = collector(&authority, Input::Relp(TlsLibrary::OpenSsl));
    let ours = identity(&authority, &authority.sign(SENDER, Validity::Good), None);
    let plaintext = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = run(async {
        let peer = Peer {
            address: plaintext.local_addr().unwrap(),
            name: COLLECTOR.try_into().unwrap(),
        };
        let timeout = Duration::from_millis(50);
        Connection::open(&peer, &ours.config, Protocol::Relp, timeout, |_| ())
            .await
            .unwrap_err()
    });
    assert!(
        matches!(silent, ConnectionError::TimedOut(Step::Tls)),
        "{silent}"
    );
    wait::until("rsyslog", || run(open(&rsyslog, COLLECTOR, &ours)).is_ok());
}

#[test]
fn syslog_delivers_unchanged_in_order() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let rsyslog = collector(&authority, Input::Syslog);
    let ours = identity(&authority, &authority.sign(SENDER, Validity::Good), None);
    run(async {
        let connection = open_as(Protocol::Syslog, &rsyslog, COLLECTOR, &ours, TIMEOUT).await;
        let mut connection = connection.unwrap();
        write(&mut connection, 1..=1000).await.unwrap();
        assert_eq!(connection.in_flight(), 1000);
        // The collector closes the connection when it has read everything.
        connection.close().await;
    });
    assert_eq!(records(&rsyslog), expected(1..=1000));
}

#[test]
fn syslog_refusal_shows_at_connect() {
    if skipped(&NEEDS) {
        return;
    }
    let (authority, stranger) = (Authority::new(), Authority::new());
    let rsyslog = collector(&authority, Input::Syslog);
    for certificate in [
        authority.sign("somebody.test", Validity::Good),
        authority.sign(SENDER, Validity::Expired),
        stranger.sign(SENDER, Validity::Good),
    ] {
        let theirs = identity(&authority, &certificate, None);
        let opened = run(open_as(
            Protocol::Syslog,
            &rsyslog,
            COLLECTOR,
            &theirs,
            TIMEOUT,
        ));
        let error = opened.unwrap_err();
        assert!(matches!(error, ConnectionError::ClosedEarly(_)), "{error}");
    }
}

#[test]
fn killed_syslog_collector_loses_none() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let mut rsyslog = collector(&authority, Input::Syslog);
    let ours = identity(&authority, &authority.sign(SENDER, Validity::Good), None);
    run(async {
        let connection = open_as(Protocol::Syslog, &rsyslog, COLLECTOR, &ours, SHORT).await;
        let mut connection = connection.unwrap();
        write(&mut connection, 1..=300).await.unwrap();
        let acknowledged = connection.acknowledged().await.unwrap();
        assert!(acknowledged > 0 && acknowledged <= 300);
        write(&mut connection, 301..=600).await.unwrap();
        rsyslog.stop(Signal::SIGKILL);
        let broken = connection.acknowledged().await.unwrap_err();
        assert!(matches!(broken, ConnectionError::Broken(_)), "{broken}");
        rsyslog.restart();
        let connection = open_as(Protocol::Syslog, &rsyslog, COLLECTOR, &ours, SHORT).await;
        let mut connection = connection.unwrap();
        write(&mut connection, acknowledged + 1..=900)
            .await
            .unwrap();
        connection.close().await;
    });
    no_gap(&rsyslog, 900);
}

#[test]
fn syslog_counts_on_stable_connections() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let mut rsyslog = collector(&authority, Input::Syslog);
    let ours = identity(&authority, &authority.sign(SENDER, Validity::Good), None);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        let connection = open_as(Protocol::Syslog, &rsyslog, COLLECTOR, &ours, TIMEOUT).await;
        let mut connection = connection.unwrap();
        tokio::time::pause();
        let written = Instant::now();
        write(&mut connection, 1..=10).await.unwrap();
        let mut waits = 0;
        let tag = loop {
            // The wait may be cancelled.
            match timeout(Duration::from_millis(1500), connection.acknowledged()).await {
                Ok(tag) => break tag.unwrap(),
                Err(_) => waits += 1,
            }
        };
        assert_eq!(tag, 10);
        assert!(waits >= 20 && written.elapsed() >= TIMEOUT + TIMEOUT / 2);
        write(&mut connection, 11..=20).await.unwrap();
        rsyslog.stop(Signal::SIGKILL);
        // Also when nothing polls the connection for a long time.
        tokio::time::advance(TIMEOUT * 2).await;
        let broken = connection.acknowledged().await.unwrap_err();
        assert!(matches!(broken, ConnectionError::Broken(_)), "{broken}");
    });
}

#[test]
fn syslog_counts_nothing_past_a_cut() {
    if skipped(&[
        Need::Collector,
        Need::Root,
        Need::Optional("ip"),
        Need::Program("nft"),
    ]) {
        return;
    }
    // A network namespace of this thread.
    std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        cut_connection();
    })
    .join()
    .unwrap();
}

fn cut_connection() {
    network("ip", "link set lo up");
    let authority = Authority::new();
    let rsyslog = collector(&authority, Input::Syslog);
    let ours = identity(&authority, &authority.sign(SENDER, Validity::Good), None);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        let connection = open_as(Protocol::Syslog, &rsyslog, COLLECTOR, &ours, SHORT).await;
        let mut connection = connection.unwrap();
        write(&mut connection, 1..=10).await.unwrap();
        assert_eq!(connection.acknowledged().await.unwrap(), 10);
        let port = rsyslog.address().port();
        network("nft", "add table ip cut");
        let hook = "{ type filter hook output priority 0 ; }";
        network("nft", &format!("add chain ip cut out {hook}"));
        network("nft", &format!("add rule ip cut out tcp dport {port} drop"));
        write(&mut connection, 11..=20).await.unwrap();
        let written = Instant::now();
        let error = connection.acknowledged().await.unwrap_err();
        assert!(
            matches!(&error, ConnectionError::Broken(e) if e.kind() == ErrorKind::TimedOut),
            "{error}"
        );
        assert!(written.elapsed() < SHORT * 2, "{:?}", written.elapsed());
    });
    assert_eq!(records(&rsyslog), expected(1..=10));
}

fn network(program: &str, words: &str) {
    let mut command = Command::new(find(program).unwrap());
    let status = command.args(words.split(' ')).status().unwrap();
    assert!(status.success(), "{program} {words}");
}
