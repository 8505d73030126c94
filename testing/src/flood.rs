//! Callers that connect without a pause, and a caller that measures its readings meanwhile.
//!
//! The attackers are separate processes, so that the kernel schedules them like those of any
//! user. Their program is `pulse-flood`; the benchmarks are one program, which starts itself
//! with [`SUBCOMMAND`].

use crate::wait;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::unistd::{Gid, Uid, setegid, seteuid, setgroups};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The first argument of an attacking process.
pub const SUBCOMMAND: &str = "connect-without-a-pause";

/// An attacker's action, repeated without a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Uses the processor and never connects: the baseline.
    Spin,
    /// Connects and closes as each of `count` users in turn, from `first` on.
    Connect {
        /// The first user.
        first: u32,
        /// The number of users.
        count: u32,
    },
}

/// Two attacking processes; killed when dropped.
#[derive(Debug)]
pub struct Flood {
    attackers: Vec<Child>,
}

impl Flood {
    /// Starts two processes of `program`, which calls [`attack`].
    ///
    /// # Panics
    /// When they cannot be started.
    #[must_use]
    pub fn start(program: &Path, socket: &Path, attack: Attack) -> Self {
        let attackers = (0..2).map(|_| {
            let mut command = Command::new(program);
            command.arg(SUBCOMMAND).arg(socket);
            if let Attack::Connect { first, count } = attack {
                command.args([first, count].map(|number| number.to_string()));
            }
            command.current_dir("/");
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            command.spawn().unwrap()
        });
        Self {
            attackers: attackers.collect(),
        }
    }

    /// Ends them and returns the number of their connections.
    ///
    /// # Panics
    /// When one of them failed.
    #[allow(
        clippy::must_use_candidate,
        reason = "the number is one of many results"
    )]
    pub fn stop(mut self) -> u64 {
        std::mem::take(&mut self.attackers)
            .into_iter()
            .map(|mut attacker| {
                // It runs until its standard input ends.
                drop(attacker.stdin.take());
                let output = attacker.wait_with_output().unwrap();
                assert!(output.status.success(), "{output:?}");
                str::from_utf8(&output.stdout)
                    .unwrap()
                    .trim()
                    .parse::<u64>()
                    .unwrap()
            })
            .sum()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        for attacker in &mut self.attackers {
            // It may have ended already.
            let _ = attacker.kill();
            let _ = attacker.wait();
        }
    }
}

/// Attacks until standard input ends, then prints the number of connections. The arguments
/// are those after [`SUBCOMMAND`]: the socket, and for [`Attack::Connect`] its two numbers.
///
/// # Panics
/// When the arguments are wrong, or this process may not change its user.
#[expect(clippy::print_stdout, reason = "the parent process reads the number")]
pub fn attack(arguments: &[String]) {
    let (socket, users) = arguments.split_first().expect("the socket");
    let address = UnixAddr::new(socket.as_str()).unwrap();
    let users: Vec<u32> = users.iter().map(|user| user.parse().unwrap()).collect();
    let (mut connections, mut turn) = (0_u64, 0);
    // Before the first change of the user, after which it may not change its groups.
    if let [first, _] = users[..] {
        setgroups(&[]).unwrap();
        setegid(Gid::from_raw(first)).unwrap();
    }
    let input = io::stdin();
    let mut readable = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    while poll(&mut readable, PollTimeout::ZERO) == Ok(0) {
        // Looks at its input every so often, so that poll(2) costs little beside the attack.
        for _ in 0..64 {
            match users[..] {
                [first, count] => {
                    become_user(first + turn % count, count);
                    connections += u64::from(try_connect(&address));
                    turn = turn.wrapping_add(1);
                }
                _ => (0..1000).for_each(|i| {
                    std::hint::black_box(i);
                }),
            }
        }
    }
    println!("{connections}");
}

/// Changes the effective user, unless it is this one already.
fn become_user(uid: u32, of: u32) {
    if Uid::effective().as_raw() == uid {
        return;
    }
    // Only root may become any user. The real user id stays 0, which permits this (seteuid(2)).
    if of > 1 {
        seteuid(Uid::from_raw(0)).unwrap();
    }
    seteuid(Uid::from_raw(uid)).unwrap();
}

/// True when the connection was accepted.
fn try_connect(address: &UnixAddr) -> bool {
    let ours = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    );
    connect(std::os::fd::AsRawFd::as_raw_fd(&ours.unwrap()), address).is_ok()
}

/// Results of consecutive readings.
#[derive(Debug, Default)]
pub struct PollOutcome {
    /// Durations of the successful readings.
    pub times: Vec<Duration>,
    /// Responses of the failed ones, or the kernel's error.
    pub failures: Vec<String>,
}

/// Behaviour of a caller while the socket's backlog is full (connect(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullBacklog {
    /// Blocks until it is accepted.
    Wait,
    /// Fails with `EAGAIN`, as a non-blocking socket does.
    GiveUp,
}

impl PollOutcome {
    /// Reads a node `count` times, once every `interval`.
    #[must_use]
    pub fn readings(
        socket: &Path,
        node: &str,
        count: u32,
        interval: Duration,
        full: FullBacklog,
    ) -> Self {
        let mut polled = Self::default();
        let began = Instant::now();
        for turn in 0..count {
            // Counted from the start, so that a slow reading does not delay all later ones.
            std::thread::sleep((began + interval * turn).saturating_duration_since(Instant::now()));
            let started = Instant::now();
            match reading(socket, node, full) {
                Ok(()) => polled.times.push(started.elapsed()),
                Err(failure) => polled.failures.push(failure),
            }
        }
        polled
    }

    /// The median duration of the successful readings.
    ///
    /// # Panics
    /// When none did.
    #[must_use]
    pub fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times[times.len() / 2]
    }
}

fn reading(path: &Path, node: &str, full: FullBacklog) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let mut stream = match full {
        FullBacklog::Wait => UnixStream::connect(path).map_err(text)?,
        FullBacklog::GiveUp => connect_at_once(path).map_err(|errno| errno.to_string())?,
    };
    stream
        .set_read_timeout(Some(wait::timeout()))
        .map_err(text)?;
    let request =
        format!("{{\"method\":\"get_temperature\",\"params\":{{\"node\":\"{node}\"}}}}\n");
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(text)?;
    let answer: Value = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
    if answer["success"] == true {
        Ok(())
    } else {
        Err(line)
    }
}

fn connect_at_once(path: &Path) -> Result<UnixStream, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let ours: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(
        std::os::fd::AsRawFd::as_raw_fd(&ours),
        &UnixAddr::new(path)?,
    )?;
    let stream = UnixStream::from(ours);
    // Only the connect does not block; reading the response does.
    stream.set_nonblocking(false).map_err(|_| Errno::EIO)?;
    Ok(stream)
}
