//! The daemon's metrics, and its entries in `/proc`.

use crate::daemon::Daemon;
use crate::wait;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An HTTP response.
#[derive(Debug)]
pub struct HttpResponse {
    /// The status line and the headers.
    pub head: String,
    /// The body.
    pub body: String,
}

/// Sends a request head over HTTP and reads the response to its end.
///
/// # Panics
/// When there is no response.
#[must_use]
pub fn http(address: SocketAddr, head: &str) -> HttpResponse {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(wait::timeout())).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    HttpResponse {
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// The distinct values of a line of `/proc/<pid>/task/*/status`.
///
/// # Panics
/// When there is no such process, or no such line.
#[must_use]
pub fn status(pid: u32, name: &str) -> BTreeSet<String> {
    // Of every thread: for the kernel, credentials and filters are a thread's own.
    fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .map(|thread| {
            fs::read_to_string(thread.unwrap().path().join("status"))
                .unwrap()
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

impl Daemon {
    /// Scrapes the metrics.
    #[must_use]
    pub fn scrape(&self) -> String {
        let answer = self.request("/metrics");
        assert!(answer.head.starts_with("HTTP/1.1 200 "), "{}", answer.head);
        answer.body
    }

    /// The metrics listener's response to another path: head and body.
    #[must_use]
    pub fn get(&self, path: &str) -> String {
        let answer = self.request(path);
        format!("{}\r\n{}", answer.head, answer.body)
    }

    fn request(&self, path: &str) -> HttpResponse {
        http(
            self.home().metrics_address(),
            &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        )
    }

    /// The value of one sample, named with its labels; 0 when it is absent, as Prometheus'
    /// `increase` assumes.
    #[must_use]
    pub fn metric(&self, sample: &str) -> f64 {
        self.scrape()
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))
            .map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Resident memory in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .unwrap()
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    }

    /// User and system time so far (`proc_pid_stat(5)`).
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The program's name may have blanks; it ends with the last parenthesis.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
        // USER_HZ is 100 on every architecture that we build for.
        Duration::from_millis(ticks * 10)
    }

    /// The number of open descriptors. Only root can read it of a confined daemon.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }
}
