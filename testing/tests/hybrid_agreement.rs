//! Whole TLS handshakes between this project's X25519MLKEM768 and other implementations.
//!
//! Both of this project's sides share one reading of the draft: where it is wrong they still
//! agree with each other, and with nobody else.

use pulse_e2e::certificates::{Authority, Validity, key_of};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::rsyslog::{Collector, Input, Rsyslog, TlsLibrary};
use pulse_relp::hybrid;
use pulse_relp::identity::{Files, Identity};
use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore, ServerConfig,
    ServerConnection, SupportedProtocolVersion,
};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

const NAME: &str = "collector.test";
const SENDER: &str = "sender.test";
const MADE: [Need; 1] = [Need::Program("openssl")];

/// AWS-LC, with X25519MLKEM768 as its only group.
fn others() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    }
}

struct Place {
    authority: Authority,
    certificate: std::path::PathBuf,
}

impl Place {
    fn new() -> Self {
        let authority = Authority::new();
        let certificate = authority.sign(NAME, Validity::Good);
        Self {
            authority,
            certificate,
        }
    }

    fn server(
        &self,
        provider: CryptoProvider,
        version: &'static SupportedProtocolVersion,
    ) -> ServerConnection {
        let builder = ServerConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(&[version]).unwrap();
        let key = PrivateKeyDer::from_pem_file(key_of(&self.certificate)).unwrap();
        let config = builder
            .with_no_client_auth()
            .with_single_cert(certificates(&self.certificate), key);
        ServerConnection::new(Arc::new(config.unwrap())).unwrap()
    }

    /// As the daemon has it.
    fn ours(&self) -> ClientConnection {
        let certificate = self.authority.sign(SENDER, Validity::Good);
        let files = Files {
            ca: self.authority.certificate(),
            key: key_of(&certificate),
            certificate,
        };
        let identity = Identity::load(&files, None).unwrap();
        ClientConnection::new(identity.config, NAME.try_into().unwrap()).unwrap()
    }

    fn client(&self, provider: CryptoProvider) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        let authority = certificates(&self.authority.certificate());
        roots.add_parsable_certificates(authority);
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let config = builder
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        ClientConnection::new(Arc::new(config), NAME.try_into().unwrap()).unwrap()
    }
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    let found = CertificateDer::pem_file_iter(path).unwrap();
    found.map(Result::unwrap).collect()
}

/// The group, and whether it took a round trip more.
fn agree(client: &mut ClientConnection, server: &mut ServerConnection) -> (NamedGroup, bool) {
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut bytes = bytes.as_slice();
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    let group = server.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(agreed(client).0, group);
    (group, agreed(client).1)
}

fn agreed(client: &ClientConnection) -> (NamedGroup, bool) {
    let group = client.negotiated_key_exchange_group().unwrap().name();
    let is_retried = client.handshake_kind() != Some(HandshakeKind::Full);
    (group, is_retried)
}

#[test]
fn aws_lc_agrees_on_either_side() {
    if skipped(&MADE) {
        return;
    }
    let place = Place::new();
    let at_once = (NamedGroup::X25519MLKEM768, false);
    let mut theirs = place.server(others(), &TLS13);
    assert_eq!(agree(&mut place.ours(), &mut theirs), at_once);
    let mut ours = place.server(hybrid::provider(), &TLS13);
    assert_eq!(agree(&mut place.client(others()), &mut ours), at_once);
}

#[test]
fn classical_peers_need_no_retry() {
    if skipped(&MADE) {
        return;
    }
    let place = Place::new();
    let x25519 = (NamedGroup::X25519, false);
    let mut old = place.server(ring::default_provider(), &TLS13);
    assert_eq!(agree(&mut place.ours(), &mut old), x25519);
    let mut older = place.server(ring::default_provider(), &TLS12);
    assert_eq!(agree(&mut place.ours(), &mut older), x25519);
    // Which has it, but not with this version.
    let mut older = place.server(hybrid::provider(), &TLS12);
    assert_eq!(agree(&mut place.ours(), &mut older), x25519);
}

#[test]
fn other_groups_cost_a_retry() {
    if skipped(&MADE) {
        return;
    }
    let place = Place::new();
    let provider = CryptoProvider {
        kx_groups: vec![ring::kx_group::SECP384R1],
        ..ring::default_provider()
    };
    let mut server = place.server(provider, &TLS13);
    let agreed = agree(&mut place.ours(), &mut server);
    assert_eq!(agreed, (NamedGroup::secp384r1, true));
}

#[test]
fn rsyslog_needs_no_retry() {
    if skipped(&[Need::Collector]) {
        return;
    }
    let place = Place::new();
    for input in [
        Input::Relp(TlsLibrary::OpenSsl),
        Input::Relp(TlsLibrary::GnuTls),
        Input::Syslog,
    ] {
        let rsyslog = Rsyslog::start(&Collector {
            input,
            ca: &place.authority.certificate(),
            certificate: &place.certificate,
            sender: SENDER,
        });
        let mut client = place.ours();
        let mut socket = TcpStream::connect(rsyslog.address()).unwrap();
        while client.is_handshaking() {
            match client.complete_io(&mut socket) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => drop(outcome.unwrap()),
            }
        }
        // OpenSSL 3.5 and GnuTLS 3.8.9 know the hybrid; Debian 12's know X25519.
        let (group, is_retried) = agreed(&client);
        assert!(!is_retried, "{input:?}");
        assert!(
            [NamedGroup::X25519, NamedGroup::X25519MLKEM768].contains(&group),
            "{input:?} {group:?}"
        );
    }
}
