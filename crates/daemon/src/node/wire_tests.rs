//! Connections over TCP to a scripted SSH server. Time is the system's, as the sockets are.

use super::connect::Connection;
use super::exchange::{KeyScope, Sample, Session};
use super::failure::Stage;
use super::task::NodeSession;
use super::{NodeFailure, NodeTaskSettings};
use crate::testing::{SECOND, name};
use pulse_core::config::{Config, NodeSettings};
use pulse_core::nodes::backoff::FailureKind;
use pulse_core::nodes::known_hosts::KnownHosts;
use pulse_sensors::command::{FORCED_COMMAND_CHECK, NodeCommand};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::server::{self, Auth, ChannelOpenHandle, Handler, Msg, VerifiedPublicKey};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use socket2::SockRef;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};

const DOCUMENT: &str = r#"{"coretemp-isa-0000":{"Core 0":{"temp2_input":45.0}}}"#;

/// The helper's greeting.
const GREETING: &[u8] = b"{\"pulse_sensor_node\":1}\n";

/// The node's answer to the login.
#[derive(Clone, Copy, PartialEq)]
enum Login {
    Succeeds,
    /// Our key counts, and another login method is wanted.
    IsNotEnough,
    /// It is refused without naming a method, and the connection is reset in the same moment.
    IsRefused,
}

/// The node's answer to [`FORCED_COMMAND_CHECK`].
#[derive(Clone, Copy)]
enum Check {
    /// Output and an exit code.
    Ends(&'static str, u32),
    /// None.
    Hangs,
    /// The end of the connection.
    Disconnects,
}

/// The commands that the node starts.
#[derive(Clone, Copy, PartialEq)]
enum Commands {
    All,
    /// All but the helper, as a server with a list of commands.
    NoHelper,
    /// None, as sshd without a process for them.
    None,
    /// The helper, which is killed after its greeting.
    DyingHelper,
    /// The session ends with the first command.
    Disconnects,
}

/// A node that prints [`DOCUMENT`] for every command but the check.
#[derive(Clone)]
struct Node {
    login: Login,
    has_refused: Arc<AtomicBool>,
    check: Arc<Mutex<Check>>,
    checks: Arc<Mutex<u32>>,
    commands: Commands,
}

impl Node {
    fn new(check: Check) -> Self {
        Self {
            login: Login::Succeeds,
            has_refused: Arc::default(),
            check: Arc::new(Mutex::new(check)),
            checks: Arc::default(),
            commands: Commands::All,
        }
    }

    fn checks(&self) -> u32 {
        *self.checks.lock().unwrap()
    }
}

impl Handler for Node {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _user: &str,
        _key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        let (methods, partial_success) = match self.login {
            Login::Succeeds => return Ok(Auth::Accept),
            Login::IsNotEnough => (&[MethodKind::Password][..], true),
            Login::IsRefused => (&[][..], false),
        };
        self.has_refused
            .store(self.login == Login::IsRefused, Ordering::Relaxed);
        Ok(Auth::Reject {
            proceed_with_methods: Some(MethodSet::from(methods)),
            partial_success,
        })
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _ssh: &mut server::Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        ssh: &mut server::Session,
    ) -> Result<(), russh::Error> {
        let is_helper = command == NodeCommand::Serve.to_string().as_bytes();
        match self.commands {
            Commands::NoHelper if is_helper => return ssh.channel_failure(channel),
            Commands::None => return ssh.channel_failure(channel),
            Commands::DyingHelper => {
                ssh.data(channel, GREETING.to_vec())?;
                ssh.exit_status_request(channel, 3)?;
                return ssh.close(channel);
            }
            Commands::Disconnects => return Err(russh::Error::Disconnect),
            Commands::All | Commands::NoHelper => {}
        }
        let mut answer = Check::Ends(DOCUMENT, 0);
        if command == FORCED_COMMAND_CHECK.as_bytes() {
            *self.checks.lock().unwrap() += 1;
            answer = *self.check.lock().unwrap();
        }
        match answer {
            Check::Ends(output, exit_code) => {
                ssh.data(channel, output.as_bytes().to_vec())?;
                ssh.exit_status_request(channel, exit_code)?;
                ssh.eof(channel)?;
                ssh.close(channel)
            }
            Check::Hangs => Ok(()),
            // The library drops the connection after an error of its handler.
            Check::Disconnects => Err(russh::Error::Disconnect),
        }
    }
}

/// The server's end of a connection. It is reset after the answer that refuses a login, before the
/// client can read that.
struct Wire {
    tcp: Option<TcpStream>,
    has_refused: Arc<AtomicBool>,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.tcp {
            Some(tcp) => Pin::new(tcp).poll_read(context, buffer),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(tcp) = &mut self.tcp else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let written = Pin::new(tcp).poll_write(context, bytes);
        if self.has_refused.load(Ordering::Relaxed) {
            // Closed with a lingering time of zero (socket(7)).
            let tcp = self.tcp.take().unwrap();
            SockRef::from(&tcp)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

/// Starts the node and logs in.
async fn login(node: &Node) -> Result<Connection, NodeFailure> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap());
    let (tcp, accepted) = tokio::join!(tcp, listener.accept());
    let config = Arc::new(server::Config {
        keys: vec![key(1)],
        auth_rejection_time: Duration::ZERO,
        ..server::Config::default()
    });
    let handler = node.clone();
    let wire = Wire {
        tcp: Some(accepted.unwrap().0),
        has_refused: Arc::clone(&node.has_refused),
    };
    tokio::spawn(async move {
        let running = server::run_stream(config, wire, handler).await;
        let _ = running.unwrap().await;
    });
    over(tcp.unwrap()).await
}

/// Logs in over a connection.
async fn over(tcp: TcpStream) -> Result<Connection, NodeFailure> {
    let pin = format!("node {}", key(1).public_key().to_openssh().unwrap());
    Connection::over(
        tcp,
        ([127, 0, 0, 1], 22).into(),
        &name("node"),
        Arc::new(KnownHosts::parse(&pin).unwrap().0),
        &Arc::new(key(2)),
        "u",
        &Config::default().timeouts,
    )
    .await
}

async fn session(node: &Node, require_forced_command: bool) -> Session {
    let settings = NodeTaskSettings {
        node: NodeSettings {
            address: None,
            port: 22,
            user: "u".to_owned(),
        },
        timeouts: Config::default().timeouts,
        max_output_bytes: 100_000,
        require_forced_command,
    };
    let connection = login(node).await.unwrap();
    Session::new(connection, &settings, Arc::default())
}

async fn read(session: &mut Session, within: Duration) -> Result<Sample, NodeFailure> {
    let deadline = Instant::now() + within;
    // As the task does.
    timeout_at(deadline, session.read(deadline))
        .await
        .unwrap_or(Err(NodeFailure::TimedOut(Stage::Queued)))
}

#[tokio::test]
async fn check_never_costs_the_sample() {
    for check in [Check::Disconnects, Check::Hangs] {
        for required in [false, true] {
            let mut session = session(&Node::new(check), required).await;
            // Less than the check may take.
            let sample = read(&mut session, SECOND / 2).await.unwrap();
            assert_eq!(sample.key_scope, KeyScope::Unknown);
        }
    }
}

#[tokio::test]
async fn open_check_is_repeated() {
    let node = Node::new(Check::Ends("", 1));
    let mut session = session(&node, true).await;
    for _ in 0..3 {
        read(&mut session, SECOND / 2).await.unwrap();
    }
    assert_eq!(node.checks(), 1);
    // Some minutes later, at an inconclusive answer and then at a shell's.
    for (check, checks) in [(Check::Ends("", 1), 2), (Check::Ends("", 127), 3)] {
        *node.check.lock().unwrap() = check;
        tokio::time::pause();
        tokio::time::advance(SECOND * 301).await;
        tokio::time::resume();
        let outcome = read(&mut session, SECOND * 5).await;
        let is_refused = matches!(outcome, Err(NodeFailure::NoForcedCommand { .. }));
        assert_eq!((is_refused, node.checks()), (checks == 3, checks));
    }
}

/// Each such check leaves a session open on the node.
#[tokio::test]
async fn hung_check_is_not_repeated() {
    let node = Node::new(Check::Hangs);
    let mut session = session(&node, true).await;
    for _ in 0..2 {
        read(&mut session, SECOND / 2).await.unwrap();
        tokio::time::pause();
        tokio::time::advance(SECOND * 301).await;
        tokio::time::resume();
    }
    assert_eq!(node.checks(), 1);
}

#[tokio::test]
async fn refused_command_is_no_silence() {
    let node = Node {
        commands: Commands::None,
        ..Node::new(Check::Hangs)
    };
    let outcome = read(&mut session(&node, false).await, SECOND * 5).await;
    let failure = outcome.err().unwrap();
    assert!(
        matches!(failure, NodeFailure::NotStarted { .. }),
        "{failure}"
    );
}

#[tokio::test]
async fn refused_helper_is_replaced_by_sensors() {
    let node = Node {
        commands: Commands::NoHelper,
        ..Node::new(Check::Ends("", 1))
    };
    read(&mut session(&node, false).await, SECOND * 5)
        .await
        .unwrap();
}

#[tokio::test]
async fn dead_helper_is_no_broken_connection() {
    let node = Node {
        commands: Commands::DyingHelper,
        ..Node::new(Check::Hangs)
    };
    let outcome = read(&mut session(&node, false).await, SECOND * 5).await;
    let text = outcome.err().unwrap().to_string();
    for part in ["could not run the command: the helper ended", "exit code 3"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn session_that_ends_after_the_login_is_left_alone() {
    let node = Node {
        commands: Commands::Disconnects,
        ..Node::new(Check::Hangs)
    };
    let outcome = read(&mut session(&node, false).await, SECOND * 5).await;
    let failure = outcome.err().unwrap();
    assert!(matches!(failure, NodeFailure::Closed(_)), "{failure}");
    assert_eq!(failure.kind(), FailureKind::Transient);
}

/// As a relay whose own target is down.
#[tokio::test]
async fn reset_before_the_login_is_an_outage() {
    for opening in [&b""[..], b"SSH-2.0-relay\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap());
        let (tcp, accepted) = tokio::join!(tcp, listener.accept());
        let mut peer = accepted.unwrap().0;
        let outcome = tokio::join!(over(tcp.unwrap()), async move {
            peer.write_all(opening).await.unwrap();
            tokio::time::sleep(SECOND / 10).await;
            SockRef::from(&peer)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        });
        let failure = outcome.0.err().unwrap();
        assert!(matches!(failure, NodeFailure::Closed(_)), "{failure}");
        assert_eq!(failure.kind(), FailureKind::Unreachable);
    }
}

async fn login_failure(login_outcome: Login) -> NodeFailure {
    let node = Node {
        login: login_outcome,
        ..Node::new(Check::Hangs)
    };
    login(&node).await.err().unwrap()
}

#[tokio::test]
async fn second_login_method_is_named() {
    let failure = login_failure(Login::IsNotEnough).await;
    let text = failure.to_string();
    assert!(text.starts_with("accepted our SSH key"), "{text}");
    assert!(text.contains("AuthenticationMethods"), "{text}");
    assert_eq!(failure.kind(), FailureKind::Refused);
}

#[tokio::test]
async fn refusal_survives_a_reset() {
    let failure = login_failure(Login::IsRefused).await;
    assert!(
        matches!(failure, NodeFailure::KeyRefused { .. }),
        "{failure}"
    );
}
