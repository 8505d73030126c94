//! A collector of the tests' own, over TLS, that breaks a rule.

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
const YES: &str = "rsp 6 200 OK";

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// What it should.
    Good,
    /// Acknowledges without end.
    EndlessFrames,
    /// Says a number that never ends.
    EndlessFrame,
    /// Announces more than there is memory.
    HugeLength,
    /// Acknowledges another transaction than the one that came.
    WrongNumbers,
    /// Acknowledges what was never sent.
    Forward,
    /// Says nothing at all.
    Mute,
    /// Says nothing after the opening, and reads.
    SilentOnceOpen,
    /// Says nothing after the opening, and does not read either.
    NeverReads,
    /// Answers the opening, slowly and without end.
    Drips,
    /// Answers a message so.
    DripsOnceOpen,
    /// Acknowledges a message, and goes.
    ClosesAfterAnAcknowledgement,
    /// Acknowledges everything, and does not answer a goodbye.
    NoGoodbye,
}

/// A listening one; it ends when dropped.
pub(crate) struct Villain {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    tls: Arc<ServerConfig>,
    way: Mutex<Way>,
    connections: AtomicUsize,
    is_over: AtomicBool,
    /// Which records came, and how often.
    received: Mutex<BTreeMap<u64, usize>>,
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

impl Villain {
    pub(crate) fn start(certificate: &Path, way: Way) -> Self {
        let address = unused_address();
        let listener = TcpListener::bind(address).unwrap();
        let shared = Arc::new(Shared {
            tls: tls(certificate),
            way: Mutex::new(way),
            connections: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            received: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || theirs.listen(&listener));
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many there were.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// What it does with further connections.
    pub(crate) fn change(&self, way: Way) {
        *self.shared.way.lock().unwrap() = way;
    }

    /// Which records came to it, and how often each.
    pub(super) fn received(&self) -> Vec<(u64, usize)> {
        let received = self.shared.received.lock().unwrap();
        received.iter().map(|(seq, count)| (*seq, *count)).collect()
    }

    /// Makes room for another one.
    pub(super) fn end(self) -> SocketAddr {
        self.address
    }
}

impl Drop for Villain {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // So that it looks.
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

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// One thread for each, all ended with this one.
    fn listen(self: &Arc<Self>, listener: &TcpListener) {
        let mut threads = Vec::new();
        while let Ok((tcp, _)) = listener.accept() {
            if self.is_over() {
                break;
            }
            let shared = Arc::clone(self);
            threads.push(std::thread::spawn(move || {
                // However the other side takes it.
                let _ = shared.deal(tcp);
            }));
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn deal(&self, tcp: TcpStream) -> io::Result<()> {
        tcp.set_read_timeout(Some(Duration::from_millis(100)))?;
        tcp.set_write_timeout(Some(Duration::from_secs(2)))?;
        let connection = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        let mut tls = StreamOwned::new(connection, tcp);
        let mut collector = Collector::default();
        let opening = self.read(&mut tls, &mut collector)?;
        self.connections.fetch_add(1, Ordering::SeqCst);
        let way = *self.way.lock().unwrap();
        match way {
            Way::EndlessFrames => self.repeat(&mut tls, b"9 rsp 6 200 OK\n"),
            Way::EndlessFrame => self.repeat(&mut tls, b"1111111111111111"),
            Way::HugeLength => self.send(&mut tls, b"1 rsp 999999999 200 OK\n"),
            Way::Mute => self.wait(&mut tls),
            Way::Drips => self.drip(&mut tls, b"1 rsp 4000 200 OK\n"),
            _ => {
                self.say(&mut tls, OPEN)?;
                self.go_on(way, &mut tls, collector, opening)
            }
        }
    }

    /// After the opening.
    fn go_on(
        &self,
        way: Way,
        tls: &mut Tls,
        mut collector: Collector,
        mut messages: Vec<Received>,
    ) -> io::Result<()> {
        if way == Way::NeverReads {
            while !self.is_over() {
                sleep(Duration::from_millis(20));
            }
            return Ok(());
        }
        loop {
            for message in messages {
                let number = number(&message);
                match way {
                    Way::SilentOnceOpen => continue,
                    // Not before: what comes with the opening's answer counts to the opening.
                    Way::Forward => return self.send(tls, b"2000 rsp 6 200 OK\n"),
                    Way::DripsOnceOpen => return self.drip(tls, b"2 rsp 4000 200 OK\n"),
                    Way::WrongNumbers => writeln!(tls, "{} {YES}", number + 1000)?,
                    _ => {
                        self.keep(&message);
                        writeln!(tls, "{number} {YES}")?;
                    }
                }
                tls.flush()?;
                if way == Way::ClosesAfterAnAcknowledgement {
                    return self.leave(tls);
                }
            }
            if collector.is_closed() && way != Way::NoGoodbye {
                return Ok(());
            }
            messages = self.read(tls, &mut collector)?;
        }
    }

    fn keep(&self, message: &Received) {
        let text = String::from_utf8(message.message.clone()).unwrap();
        let record: Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
        let mut received = self.received.lock().unwrap();
        *received.entry(record["seq"].as_u64().unwrap()).or_default() += 1;
    }

    /// What comes next; our answers are our own.
    fn read(&self, tls: &mut Tls, collector: &mut Collector) -> io::Result<Vec<Received>> {
        let mut bytes = [0; 64 * 1024];
        while !self.is_over() {
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
        while !self.is_over() {
            tls.write_all(&many)?;
        }
        Ok(())
    }

    fn drip(&self, tls: &mut Tls, first: &[u8]) -> io::Result<()> {
        self.say(tls, first)?;
        while !self.is_over() {
            sleep(Duration::from_millis(200));
            self.say(tls, b"x")?;
        }
        Ok(())
    }

    fn send(&self, tls: &mut Tls, bytes: &[u8]) -> io::Result<()> {
        self.say(tls, bytes)?;
        self.wait(tls)
    }

    fn say(&self, tls: &mut Tls, bytes: &[u8]) -> io::Result<()> {
        tls.write_all(bytes)?;
        tls.flush()
    }

    /// Says so, and reads on: else the kernel would drop what we said last.
    fn leave(&self, tls: &mut Tls) -> io::Result<()> {
        tls.conn.send_close_notify();
        tls.flush()?;
        tls.sock.shutdown(Shutdown::Write)?;
        self.wait(tls)
    }

    /// Until the other one goes.
    fn wait(&self, tls: &mut Tls) -> io::Result<()> {
        while !self.is_over() {
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
    // A number has no other way out than its words.
    message.number.to_string().parse().unwrap()
}
