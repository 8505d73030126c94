//! A plain SSH client for the tests, independent of the daemon's.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod process;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pulse_simnode::behaviour::GREETING;
use pulse_simnode::{Behaviour, PrivateKey, SimConfig, SimNode, fresh_key};
use russh::client::{self, Msg};
use russh::keys::{
    Algorithm, Certificate, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate,
};
use russh::{Channel, ChannelMsg, Names, Preferred, kex};

/// Far longer than anything takes on a busy machine; no test that passes waits this long.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) const DOCUMENT: &str =
    r#"{"sensors":{"cpu":{"Package id 0":{"temp1_input":41.5}}},"smart":[]}"#;

/// The server's key, certificate and algorithms of the key exchange.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    pub(crate) key: Option<PublicKey>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) names: Option<Names>,
}

/// A client that trusts every server and stores what it showed.
pub(crate) struct Watcher {
    shown: Arc<Mutex<Shown>>,
    takes_channels: bool,
}

impl client::Handler for Watcher {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        identity: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        let mut shown = self.shown.lock().unwrap();
        shown.key = Some(identity.public_key());
        shown.certificate = identity.certificate().cloned();
        Ok(true)
    }

    async fn kex_done(
        &mut self,
        _secret: Option<&[u8]>,
        names: &Names,
        _session: &mut client::Session,
    ) -> Result<(), russh::Error> {
        self.shown.lock().unwrap().names = Some(names.clone());
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _connected_address: &str,
        _connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: client::ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), russh::Error> {
        if self.takes_channels {
            reply.accept().await;
        }
        Ok(())
    }
}

/// Settings of a connection.
pub(crate) struct Connect {
    pub(crate) key: PrivateKey,
    pub(crate) kex: Vec<kex::Name>,
    pub(crate) wants_certificate: bool,
    pub(crate) takes_channels: bool,
}

impl Default for Connect {
    fn default() -> Self {
        Self {
            key: fresh_key().unwrap(),
            kex: Preferred::DEFAULT.kex.to_vec(),
            wants_certificate: false,
            takes_channels: false,
        }
    }
}

/// A connected client; `logged_in` says whether its key was accepted.
pub(crate) struct Client {
    pub(crate) ssh: client::Handle<Watcher>,
    pub(crate) shown: Arc<Mutex<Shown>>,
    pub(crate) logged_in: bool,
}

impl Connect {
    pub(crate) async fn to(self, address: SocketAddr) -> Result<Client, russh::Error> {
        let shown = Arc::default();
        let watcher = Watcher {
            shown: Arc::clone(&shown),
            takes_channels: self.takes_channels,
        };
        let mut ssh = client::connect(self.config(), address, watcher).await?;
        let key = PrivateKeyWithHashAlg::new(Arc::new(self.key), None);
        let logged_in = ssh.authenticate_publickey("pulse-sensor", key).await?;
        let logged_in = logged_in.success();
        Ok(Client {
            ssh,
            shown,
            logged_in,
        })
    }

    fn config(&self) -> Arc<client::Config> {
        let certificates = if self.wants_certificate {
            vec![Algorithm::Ed25519]
        } else {
            Vec::new()
        };
        let preferred = Preferred {
            kex: Cow::Owned(self.kex.clone()),
            host_key_certificates: Cow::Owned(certificates),
            ..Preferred::DEFAULT
        };
        Arc::new(client::Config {
            preferred,
            nodelay: true,
            ..client::Config::default()
        })
    }
}

impl Client {
    pub(crate) async fn exec(&self, command: &str) -> Program {
        let channel = self.ssh.channel_open_session().await.unwrap();
        channel.exec(true, command).await.unwrap();
        Program {
            channel,
            output: Vec::new(),
            errors: Vec::new(),
            exit: None,
        }
    }

    pub(crate) async fn serve(&self) -> Program {
        let mut program = self.exec("pulse-sensor-node serve").await;
        assert_eq!(program.line().await.as_deref(), Some(GREETING));
        program
    }

    /// Returns when the server has processed everything sent before.
    pub(crate) async fn round_trip(&self) {
        soon(self.ssh.send_ping()).await.unwrap();
    }
}

/// A running command, from the client's side.
pub(crate) struct Program {
    pub(crate) channel: Channel<Msg>,
    pub(crate) output: Vec<u8>,
    pub(crate) errors: Vec<u8>,
    pub(crate) exit: Option<u32>,
}

impl Program {
    pub(crate) async fn ask(&mut self, request: &str) -> Option<String> {
        self.send(request).await;
        self.line().await
    }

    pub(crate) async fn send(&self, request: &str) {
        let line = format!("{request}\n").into_bytes();
        self.channel.data_bytes(line).await.unwrap();
    }

    /// The next line of output with its newline; none when the channel ends.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let line = self.raw_line().await?;
        Some(String::from_utf8(line).unwrap())
    }

    pub(crate) async fn raw_line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.output.iter().position(|byte| *byte == b'\n') {
                return Some(self.output.drain(..=end).collect());
            }
            if !self.take_message().await {
                return None;
            }
        }
    }

    /// Receives everything until the channel ends.
    pub(crate) async fn until_end(&mut self) {
        while self.take_message().await {}
    }

    /// True when no output has arrived that was not read.
    pub(crate) async fn is_silent(&mut self) -> bool {
        while let Ok(message) = tokio::time::timeout(Duration::ZERO, self.channel.wait()).await {
            match message {
                Some(ChannelMsg::Success | ChannelMsg::WindowAdjusted { .. }) => {}
                _ => return false,
            }
        }
        self.output.is_empty()
    }

    async fn take_message(&mut self) -> bool {
        match soon(self.channel.wait()).await {
            Some(ChannelMsg::Data { data }) => self.output.extend_from_slice(&data),
            Some(ChannelMsg::ExtendedData { data, .. }) => self.errors.extend_from_slice(&data),
            Some(ChannelMsg::ExitStatus { exit_status }) => self.exit = Some(exit_status),
            Some(ChannelMsg::Close) | None => return false,
            Some(_) => {}
        }
        true
    }
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let within = tokio::time::timeout(TIMEOUT, future).await;
    within.expect("no deadline passes")
}

pub(crate) async fn start(behaviour: Behaviour) -> SimNode {
    SimNode::start(SimConfig::new(behaviour)).await.unwrap()
}

pub(crate) async fn connect(node: &SimNode) -> Client {
    let client = Connect::default().to(node.addr()).await.unwrap();
    assert!(client.logged_in);
    client
}

pub(crate) fn synthetic() -> Behaviour {
    Behaviour::Synthetic {
        document: DOCUMENT.into(),
    }
}
