//! Records at a real collector: rsyslog, with either of its TLS libraries.

use nix::sys::signal::Signal;
use pulse_e2e::certificates::{Authority, Validity, key_of};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::rsyslog::{Collector, Rsyslog, TlsLibrary};
use pulse_e2e::wait;
use pulse_relp::certificate;
use pulse_relp::identity::{Files, Identity, Pin, public_key};
use pulse_relp::link::{Link, LinkError, Peer, Step};
use pulse_relp::message::{LOG_AUDIT, Origin, Severity};
use std::path::Path;
use std::time::{Duration, SystemTime};

const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const COLLECTOR: &str = "collector.test";
pub(crate) const SENDER: &str = "sender.test";
pub(crate) const NEEDS: [Need; 1] = [Need::Collector];

fn collector(authority: &Authority, library: TlsLibrary) -> Rsyslog {
    Rsyslog::start(&Collector {
        library,
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
) -> Result<Link, LinkError> {
    let peer = Peer {
        address: rsyslog.address(),
        name: name.try_into().unwrap(),
    };
    Link::open(&peer, &identity.config, PATIENCE, |_| ()).await
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
    link: &mut Link,
    numbers: std::ops::RangeInclusive<u64>,
) -> Result<(), LinkError> {
    let last = *numbers.end();
    let mut acknowledged = numbers.start() - 1;
    for number in numbers {
        while link.room() == 0 {
            link.flush().await?;
            acknowledged = link.acknowledged().await?;
        }
        assert!(link.give(number, &record(number)));
    }
    link.flush().await?;
    while acknowledged < last {
        acknowledged = link.acknowledged().await?;
    }
    Ok(())
}

#[test]
fn records_arrive_unchanged_and_in_order_with_either_library() {
    if skipped(&NEEDS) {
        return;
    }
    for library in [TlsLibrary::OpenSsl, TlsLibrary::GnuTls] {
        let authority = Authority::new();
        let rsyslog = collector(&authority, library);
        let ours = identity(&authority, &authority.sign(SENDER, Validity::Good), None);
        run(async {
            let mut link = open(&rsyslog, COLLECTOR, &ours).await.unwrap();
            send(&mut link, 1..=1000).await.unwrap();
            link.close().await;
        });
        let collected = rsyslog.collected();
        let expected: Vec<String> = (1..=1000)
            .map(|n| format!("{{\"seq\":{n},\"error\":\"tab\\tand é\"}}"))
            .collect();
        assert_eq!(collected.len(), expected.len(), "{library:?}");
        // rsyslog's template keeps the space that RFC 3164 has before a message.
        let collected: Vec<&str> = collected.iter().map(|line| line.trim_start()).collect();
        assert_eq!(collected, expected);
    }
}

#[test]
fn who_is_not_the_collector_or_not_welcome_is_told_by_the_step() {
    if skipped(&NEEDS) {
        return;
    }
    let (authority, stranger) = (Authority::new(), Authority::new());
    let rsyslog = collector(&authority, TlsLibrary::OpenSsl);
    let good = authority.sign(SENDER, Validity::Good);
    let refused = |name, identity: &Identity| run(open(&rsyslog, name, identity)).unwrap_err();
    let ours = identity(&authority, &good, None);
    let wrong_name = refused("other.test", &ours);
    assert!(
        matches!(&wrong_name, LinkError::Tls(e) if e.to_string().contains("name")),
        "{wrong_name}"
    );
    let wrong_ca = refused(COLLECTOR, &identity(&stranger, &good, None));
    assert!(matches!(wrong_ca, LinkError::Tls(_)), "{wrong_ca}");
    let wrong_pin = refused(COLLECTOR, &identity(&authority, &good, Some(Pin([7; 32]))));
    assert!(wrong_pin.to_string().contains("pinned"), "{wrong_pin}");
    // With TLS 1.3 a collector that does not take ours says so when we speak.
    for certificate in [
        authority.sign("somebody.test", Validity::Good),
        authority.sign(SENDER, Validity::Expired),
        authority.sign(SENDER, Validity::Future),
        stranger.sign(SENDER, Validity::Good),
    ] {
        let error = refused(COLLECTOR, &identity(&authority, &certificate, None));
        let at_the_opening = !matches!(error, LinkError::Connect(_) | LinkError::Silent(_));
        assert!(at_the_opening, "{}: {error}", certificate.display());
    }
    assert!(run(open(&rsyslog, COLLECTOR, &ours)).is_ok());
    assert_eq!(rsyslog.collected(), [""; 0]);
}

#[test]
fn a_collectors_certificate_that_is_not_good_now_is_refused_and_its_pin_is_its_keys() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let good = authority.sign(SENDER, Validity::Good);
    for validity in [Validity::Expired, Validity::Future, Validity::Good] {
        let certificate = authority.sign(COLLECTOR, validity);
        let rsyslog = Rsyslog::start(&Collector {
            library: TlsLibrary::OpenSsl,
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
            _ => assert!(matches!(opened, Err(LinkError::Tls(_))), "{validity:?}"),
        }
    }
}

fn pin_of(authority: &Authority, certificate: &Path) -> Pin {
    let identity = identity(authority, certificate, None);
    public_key(&identity.certificate).unwrap()
}

#[test]
fn when_a_certificate_begins_and_ends_is_known() {
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
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap().as_secs()).unwrap();
    let (from, until) = of(Validity::Good);
    assert!(from <= now && now < until);
    assert_eq!(until - from, 30 * 24 * 3600);
}

#[test]
fn what_a_killed_collector_did_not_acknowledge_is_sent_again() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let mut rsyslog = collector(&authority, TlsLibrary::OpenSsl);
    let ours = identity(&authority, &authority.sign(SENDER, Validity::Good), None);
    run(async {
        let mut link = open(&rsyslog, COLLECTOR, &ours).await.unwrap();
        send(&mut link, 1..=100).await.unwrap();
        rsyslog.end(Signal::SIGKILL);
        let broken = send(&mut link, 101..=200).await.unwrap_err();
        assert!(matches!(broken, LinkError::Broken(_)), "{broken}");
        let gone = open(&rsyslog, COLLECTOR, &ours).await.unwrap_err();
        assert!(matches!(gone, LinkError::Connect(_)), "{gone}");
        rsyslog.start_again();
        let mut link = open(&rsyslog, COLLECTOR, &ours).await.unwrap();
        send(&mut link, 101..=200).await.unwrap();
        link.close().await;
    });
    let collected = rsyslog.collected();
    for number in 1..=200 {
        let text = format!("\"seq\":{number},");
        assert!(
            collected.iter().any(|line| line.contains(&text)),
            "{number}"
        );
    }
}

#[test]
fn a_collector_that_is_stopped_is_left_and_not_waited_for() {
    if skipped(&NEEDS) {
        return;
    }
    let authority = Authority::new();
    let rsyslog = collector(&authority, TlsLibrary::OpenSsl);
    let ours = identity(&authority, &authority.sign(SENDER, Validity::Good), None);
    let plaintext = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = run(async {
        let peer = Peer {
            address: plaintext.local_addr().unwrap(),
            name: COLLECTOR.try_into().unwrap(),
        };
        let patience = Duration::from_millis(50);
        Link::open(&peer, &ours.config, patience, |_| ())
            .await
            .unwrap_err()
    });
    assert!(matches!(silent, LinkError::Silent(Step::Tls)), "{silent}");
    wait::until("rsyslog", || run(open(&rsyslog, COLLECTOR, &ours)).is_ok());
}
