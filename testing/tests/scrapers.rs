//! Clients of the metrics listener that send half a request, never read, or are web pages: they
//! do not delay a scrape.

use pulse_e2e::observe::http;
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::{Config, Daemon, wait};
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;

/// The most that a scrape may take while other clients are connected.
const PROMISED: Duration = Duration::from_secs(1);
const SCRAPES: usize = 25;
const HALF: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: loc";

/// A complete request head.
fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// Clients that repeat an action, each on a connection of its own.
struct Crowd {
    stop: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Crowd {
    /// Starts clients that connect, act and reconnect. Returns when all have connected.
    fn start(count: usize, address: SocketAddr, act: fn(&mut TcpStream, &AtomicBool)) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicUsize::new(0));
        let client = |_| {
            let (stop, connections) = (Arc::clone(&stop), Arc::clone(&connections));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut stream = TcpStream::connect(address).unwrap();
                    let pause = Some(Duration::from_millis(100));
                    stream.set_read_timeout(pause).unwrap();
                    connections.fetch_add(1, Ordering::Relaxed);
                    act(&mut stream, &stop);
                }
            })
        };
        let threads: Vec<_> = (0..count).map(client).collect();
        wait::until("the crowd", || connections.load(Ordering::Relaxed) >= count);
        Self {
            stop,
            connections,
            threads,
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A client that could not connect has said so.
            let _ = thread.join();
        }
    }
}

/// Reads until the daemon closes the connection, or the test ends.
fn until_closed(stream: &mut TcpStream, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut [0; 64]) {
            Ok(1..) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}

fn half_request(stream: &mut TcpStream, stop: &AtomicBool) {
    if stream.write_all(HALF).is_ok() {
        until_closed(stream, stop);
    }
}

/// Sends a byte a second, until the daemon closes the connection.
fn byte_by_byte(stream: &mut TcpStream, stop: &AtomicBool) {
    for byte in request("/ready").bytes().cycle() {
        let next = Instant::now() + Duration::from_secs(1);
        while Instant::now() < next {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        if stream.write_all(&[byte]).is_err() {
            return;
        }
    }
}

/// Sends a request and reads nothing, until the test ends or the daemon closes the connection.
fn never_reads(stream: &mut TcpStream, stop: &AtomicBool, path: &str) {
    let mut asked = stream.write_all(request(path).as_bytes()).is_ok();
    while asked && !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(20));
        // Fails when the connection has been reset.
        asked = stream.write_all(b"x").is_ok();
    }
}

fn reads_no_metrics(stream: &mut TcpStream, stop: &AtomicBool) {
    never_reads(stream, stop, "/metrics");
}

fn reads_no_readiness(stream: &mut TcpStream, stop: &AtomicBool) {
    never_reads(stream, stop, "/ready");
}

/// Sends data after its request without end.
fn never_stops(stream: &mut TcpStream, stop: &AtomicBool) {
    let mut sent = stream.write_all(request("/metrics").as_bytes());
    while sent.is_ok() && !stop.load(Ordering::Relaxed) {
        sent = stream.write_all(&[b'x'; 4096]);
    }
}

/// Every scrape succeeds in time: within the promise or, on a machine that is too busy for it,
/// within ten times the longest scrape without other clients.
fn assert_answered(address: SocketAddr, alone: Duration) {
    for path in ["/metrics", "/ready"] {
        for _ in 0..SCRAPES {
            let took = scrape(address, path);
            assert!(
                took < PROMISED.max(alone * 10),
                "{path}: {took:?}, {alone:?} without other clients"
            );
        }
    }
}

fn scrape(address: SocketAddr, path: &str) -> Duration {
    let started = Instant::now();
    let answer = http(address, &request(path));
    let took = started.elapsed();
    assert!(answer.head.starts_with("HTTP/1.1 200 "), "{}", answer.head);
    took
}

/// The longest of several scrapes without other clients.
fn alone(address: SocketAddr) -> Duration {
    let times = (0..SCRAPES).map(|_| scrape(address, "/metrics"));
    times.max().unwrap()
}

#[test]
fn renewed_half_requests_delay_none() {
    let daemon = Daemon::start(&Config::new());
    let address = daemon.home().metrics_address();
    let alone = alone(address);
    let crowd = Crowd::start(64, address, half_request);
    assert_answered(address, alone);
    // They reconnect because the daemon closes them after their deadline.
    wait::until("renewed connections", || crowd.connections() >= 128);
    assert_answered(address, alone);
}

#[test]
fn oldest_half_request_gives_way() {
    let daemon = Daemon::start(&Config::new());
    let address = daemon.home().metrics_address();
    let alone = alone(address);
    let mut crowd: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(HALF).unwrap();
            stream
        })
        .collect();
    assert_answered(address, alone);
    // The oldest were closed in favour of the newest.
    let first = &mut crowd[0];
    first.set_read_timeout(Some(wait::timeout())).unwrap();
    assert!(matches!(first.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn slow_clients_delay_no_scrape() {
    let daemon = Daemon::start(&Config::new());
    let address = daemon.home().metrics_address();
    let alone = alone(address);
    let _crowds = [
        Crowd::start(24, address, reads_no_metrics),
        Crowd::start(24, address, reads_no_readiness),
        Crowd::start(16, address, byte_by_byte),
        Crowd::start(2, address, never_stops),
    ];
    assert_answered(address, alone);
}

#[test]
fn half_request_ends_after_two_seconds() {
    let daemon = Daemon::start(&Config::new());
    let mut stream = TcpStream::connect(daemon.home().metrics_address()).unwrap();
    let started = Instant::now();
    stream.write_all(HALF).unwrap();
    stream.set_read_timeout(Some(wait::timeout())).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    // Only a lower bound: a busy machine may take longer.
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(1900), "{took:?}");
}

#[test]
fn dns_rebinding_reads_nothing() {
    let daemon = Daemon::start(&Config::new().set_metrics("host_names", "['pulse.example.org']"));
    let address = daemon.home().metrics_address();
    let ask = |version: &str, host: &str| {
        http(
            address,
            &format!("GET /metrics HTTP/{version}\r\n{host}\r\n"),
        )
    };
    for (version, host, status) in [
        ("1.1", format!("Host: {address}\r\n"), "200"),
        ("1.1", "Host: localhost:9456\r\n".into(), "200"),
        ("1.1", "Host: [::1]\r\n".into(), "200"),
        ("1.1", "Host: Pulse.example.org\r\n".into(), "200"),
        ("1.0", String::new(), "200"),
        ("1.1", String::new(), "400"),
        (
            "1.1",
            "Host: localhost\r\nHost: localhost\r\n".into(),
            "400",
        ),
        ("1.1", "Host: a b\r\n".into(), "400"),
        ("1.1", "Host: evil.example\r\n".into(), "421"),
        ("1.0", "Host: evil.example:9456\r\n".into(), "421"),
    ] {
        let answer = ask(version, &host);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.head.starts_with(&expected), "{host}: {answer:?}");
        let served = answer.body.contains("pulse_proxy_");
        assert_eq!(served, status == "200", "{host}: {answer:?}");
    }
    let sentence = ask("1.1", "Host: evil.example\r\n").body;
    assert!(
        sentence.contains("\"evil.example\"") && sentence.contains("host_names"),
        "{sentence}"
    );
    daemon.home().write_config(&Config::new());
    daemon.reload();
    let answer = ask("1.1", "Host: pulse.example.org\r\n");
    assert!(answer.head.starts_with("HTTP/1.1 421 "), "{answer:?}");
}

#[test]
fn ipv6_scrape_is_answered() {
    if skipped(&[Need::Ipv6]) {
        return;
    }
    // Bound with SO_REUSEADDR and not listening, it reserves the port for the daemon.
    let reserved = TcpSocket::new_v6().unwrap();
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind((Ipv6Addr::LOCALHOST, 0).into()).unwrap();
    let address = reserved.local_addr().unwrap();

    let _daemon = Daemon::start(&Config::new().set("metrics_address", &format!("'{address}'")));
    let alone = alone(address);
    let _crowd = Crowd::start(64, address, half_request);
    assert_answered(address, alone);
    let answer = http(
        address,
        &format!("GET /ready HTTP/1.1\r\nHost: {address}\r\n\r\n"),
    );
    assert!(answer.head.starts_with("HTTP/1.1 200 "), "{answer:?}");
}
