//! What a daemon shows of itself: its metrics, and what the kernel says of it.

use crate::daemon::Daemon;
use crate::wait;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    /// The status line and the headers.
    pub head: String,
    /// What follows.
    pub body: String,
}

/// Sends a request head over HTTP and reads to the end.
///
/// # Panics
/// When nobody answers.
#[must_use]
pub fn http(address: SocketAddr, head: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(wait::patience())).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    Answer {
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// A line of `/proc/<pid>/status`, for the process and each of its threads.
///
/// # Panics
/// When there is no such process, or no such line.
#[must_use]
pub fn status(pid: u32, name: &str) -> BTreeSet<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("status")));
    let value = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let words: Vec<_> = line.unwrap().split_whitespace().collect();
        words.join(" ")
    };
    status.map(|status| value(status.unwrap())).collect()
}

impl Daemon {
    /// Every metric, as one scrape gives them.
    #[must_use]
    pub fn scrape(&self) -> String {
        let address = self.home().metrics_address();
        let answer = http(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(answer.head.starts_with("HTTP/1.1 200 "), "{}", answer.head);
        answer.body
    }

    /// What the metrics listener answers for another path: head and body.
    #[must_use]
    pub fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = http(self.home().metrics_address(), &request);
        format!("{}\r\n{}", answer.head, answer.body)
    }

    /// The value of one sample, named with its labels; 0 when it is not there,
    /// as for Prometheus' `increase`.
    #[must_use]
    pub fn metric(&self, sample: &str) -> f64 {
        let text = self.scrape();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Memory that it really takes, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse().unwrap()
    }

    /// The processor time that it has taken, user's and system's (`proc_pid_stat(5)`).
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The name may have blanks and ends with the last parenthesis.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
        // USER_HZ is 100 on every architecture that we build for.
        Duration::from_millis(ticks * 10)
    }

    /// How many files and sockets it has open. Only root sees a confined daemon's.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }
}
