//! A collector over TLS that breaks the protocol in a chosen way.

use pulse_e2e::certificates::key_of;
use pulse_e2e::unused_address;
use pulse_relp::collector::{Collector, Received};
use pulse_relp::hybrid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

const OPEN: &[u8] = b"1 rsp 37 200 OK\nrelp_version=0\ncommands=syslog\n";
const ACKNOWLEDGEMENT: &str = "rsp 6 200 OK";

/// A violation of the protocol, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misbehaviour {
    /// None: a correct collector.
    Good,
    /// Sends acknowledgements without end.
    EndlessFrames,
    /// Sends a number that never ends.
    EndlessFrame,
    /// Announces a frame larger than memory.
    HugeLength,
    /// Acknowledges another transaction than the received one.
    WrongNumbers,
    /// Acknowledges a transaction that was never sent.
    Forward,
    /// Sends nothing.
    Mute,
    /// Reads, and sends nothing after the opening.
    SilentOnceOpen,
    /// Neither reads nor sends after the opening.
    NeverReads,
    /// Answers the opening byte by byte, without end.
    Drips,
    /// Answers a message byte by byte, without end.
    DripsOnceOpen,
    /// Acknowledges one message and closes the connection.
    ClosesAfterAnAcknowledgement,
    /// Acknowledges every message and ignores the closing.
    NoGoodbye,
}

/// A listening collector; it stops when dropped.
pub(crate) struct HostileCollector {
    address: SocketAddr,
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
}

/// State that the threads of all connections use.
struct Server {
    tls: Arc<ServerConfig>,
    misbehaviour: Mutex<Misbehaviour>,
    connections: AtomicUsize,
    /// Those that neither side has closed.
    open: AtomicUsize,
    is_stopped: AtomicBool,
    /// The number of copies of each received record.
    received: Mutex<BTreeMap<u64, usize>>,
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

impl HostileCollector {
    pub(crate) fn start(certificate: &Path, misbehaviour: Misbehaviour) -> Self {
        let address = unused_address();
        let listener = TcpListener::bind(address).unwrap();
        let server = Arc::new(Server {
            tls: tls(certificate),
            misbehaviour: Mutex::new(misbehaviour),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            is_stopped: AtomicBool::new(false),
            received: Mutex::default(),
        });
        let listening = Arc::clone(&server);
        let thread = std::thread::spawn(move || listening.listen(&listener));
        Self {
            address,
            server,
            thread: Some(thread),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of connections that were opened.
    pub(super) fn connections(&self) -> usize {
        self.server.connections.load(Ordering::SeqCst)
    }

    /// The number of connections that are open now.
    pub(super) fn open(&self) -> usize {
        self.server.open.load(Ordering::SeqCst)
    }

    /// Changes the behaviour on further connections.
    pub(crate) fn change(&self, misbehaviour: Misbehaviour) {
        *self.server.misbehaviour.lock().unwrap() = misbehaviour;
    }

    /// The received records, with the number of copies.
    pub(super) fn received(&self) -> Vec<(u64, usize)> {
        let received = self.server.received.lock().unwrap();
        received.iter().map(|(seq, count)| (*seq, *count)).collect()
    }

    /// Stops it and returns its address, for another collector.
    pub(super) fn end(self) -> SocketAddr {
        self.address
    }
}

impl Drop for HostileCollector {
    fn drop(&mut self) {
        self.server.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the thread in accept(2).
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn tls(certificate: &Path) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(key_of(certificate)).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(hybrid::provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let config = builder
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key);
    Arc::new(config.unwrap())
}

impl Server {
    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    /// Serves each connection in a thread, and joins all of them at the end.
    fn listen(self: &Arc<Self>, listener: &TcpListener) {
        let mut threads = Vec::new();
        while let Ok((tcp, _)) = listener.accept() {
            if self.is_stopped() {
                break;
            }
            let server = Arc::clone(self);
            threads.push(std::thread::spawn(move || {
                server.open.fetch_add(1, Ordering::SeqCst);
                // An error is the daemon's reaction to the misbehaviour.
                let _ = server.serve(tcp);
                server.open.fetch_sub(1, Ordering::SeqCst);
            }));
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn serve(&self, tcp: TcpStream) -> io::Result<()> {
        tcp.set_read_timeout(Some(Duration::from_millis(100)))?;
        tcp.set_write_timeout(Some(Duration::from_secs(2)))?;
        let connection = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        let mut tls = StreamOwned::new(connection, tcp);
        let mut collector = Collector::default();
        let opening = self.read(&mut tls, &mut collector)?;
        self.connections.fetch_add(1, Ordering::SeqCst);
        let misbehaviour = *self.misbehaviour.lock().unwrap();
        match misbehaviour {
            Misbehaviour::EndlessFrames => self.repeat(&mut tls, b"9 rsp 6 200 OK\n"),
            Misbehaviour::EndlessFrame => self.repeat(&mut tls, b"1111111111111111"),
            Misbehaviour::HugeLength => self.send(&mut tls, b"1 rsp 999999999 200 OK\n"),
            Misbehaviour::Mute => self.wait(&mut tls),
            Misbehaviour::Drips => self.drip(&mut tls, b"1 rsp 4000 200 OK\n"),
            _ => {
                self.write(&mut tls, OPEN)?;
                self.serve_open(misbehaviour, &mut tls, collector, opening)
            }
        }
    }

    /// Serves a session after its opening.
    fn serve_open(
        &self,
        misbehaviour: Misbehaviour,
        tls: &mut Tls,
        mut collector: Collector,
        mut messages: Vec<Received>,
    ) -> io::Result<()> {
        if misbehaviour == Misbehaviour::NeverReads {
            while !self.is_stopped() {
                sleep(Duration::from_millis(20));
            }
            return Ok(());
        }
        loop {
            for message in messages {
                let number = number(&message);
                match misbehaviour {
                    Misbehaviour::SilentOnceOpen => continue,
                    // Only now: in the opening's answer it would be an error of the opening.
                    Misbehaviour::Forward => return self.send(tls, b"2000 rsp 6 200 OK\n"),
                    Misbehaviour::DripsOnceOpen => return self.drip(tls, b"2 rsp 4000 200 OK\n"),
                    Misbehaviour::WrongNumbers => {
                        writeln!(tls, "{} {ACKNOWLEDGEMENT}", number + 1000)?;
                    }
                    _ => {
                        self.count(&message);
                        writeln!(tls, "{number} {ACKNOWLEDGEMENT}")?;
                    }
                }
                tls.flush()?;
                if misbehaviour == Misbehaviour::ClosesAfterAnAcknowledgement {
                    return self.close(tls);
                }
            }
            if collector.is_closed() && misbehaviour != Misbehaviour::NoGoodbye {
                return Ok(());
            }
            messages = self.read(tls, &mut collector)?;
        }
    }

    fn count(&self, message: &Received) {
        let text = String::from_utf8(message.message.clone()).unwrap();
        let record: Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
        let mut received = self.received.lock().unwrap();
        *received.entry(record["seq"].as_u64().unwrap()).or_default() += 1;
    }

    /// Reads messages; the collector's proper answers are discarded.
    fn read(&self, tls: &mut Tls, collector: &mut Collector) -> io::Result<Vec<Received>> {
        let mut bytes = [0; 64 * 1024];
        while !self.is_stopped() {
            match tls.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    let received = collector.receive(&bytes[..length], &mut Vec::new());
                    return received.map_err(io::Error::other);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    fn repeat(&self, tls: &mut Tls, bytes: &[u8]) -> io::Result<()> {
        let many = bytes.repeat(1000);
        while !self.is_stopped() {
            tls.write_all(&many)?;
        }
        Ok(())
    }

    fn drip(&self, tls: &mut Tls, first: &[u8]) -> io::Result<()> {
        self.write(tls, first)?;
        while !self.is_stopped() {
            sleep(Duration::from_millis(200));
            self.write(tls, b"x")?;
        }
        Ok(())
    }

    fn send(&self, tls: &mut Tls, bytes: &[u8]) -> io::Result<()> {
        self.write(tls, bytes)?;
        self.wait(tls)
    }

    fn write(&self, tls: &mut Tls, bytes: &[u8]) -> io::Result<()> {
        tls.write_all(bytes)?;
        tls.flush()
    }

    /// Closes TLS and the sending side, and reads on: closing the socket with unread bytes
    /// would reset it and discard our last message.
    fn close(&self, tls: &mut Tls) -> io::Result<()> {
        tls.conn.send_close_notify();
        tls.flush()?;
        tls.sock.shutdown(Shutdown::Write)?;
        self.wait(tls)
    }

    /// Reads until the daemon closes the connection.
    fn wait(&self, tls: &mut Tls) -> io::Result<()> {
        while !self.is_stopped() {
            let mut bytes = [0; 4096];
            match tls.read(&mut bytes) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                _ => (),
            }
        }
        Ok(())
    }
}

fn number(message: &Received) -> u64 {
    // The type has no accessor, only its text.
    message.number.to_string().parse().unwrap()
}
