//! A TCP relay between the daemon and a node, which breaks a connection at a chosen chunk.
//!
//! A chunk is what one read(2) returns. The chunk at which the relay breaks the connection is
//! not forwarded, so neither side has the whole message.

use crate::home::unused_address;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The sender of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The daemon.
    Daemon,
    /// The node.
    Node,
}

/// The way in which a connection ends, for both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As by close(2).
    Fin,
    /// As by a reboot, or by a firewall that rejects.
    Reset,
}

/// A break of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// The side whose chunks count.
    pub sender: Sender,
    /// The chunk of the connection, from 1. An earlier number stands for the next chunk.
    pub chunk: usize,
    /// The way in which it ends.
    pub ending: Ending,
}

#[derive(Debug, Default)]
struct State {
    /// The next break; it happens once.
    planned: Option<Cut>,
    /// Chunks of the daemon and of the node over the latest connection.
    chunks: [usize; 2],
}

/// A relay to one node. Its connections live until one of their ends closes them.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Relay {
    /// Starts a relay to this address.
    #[must_use]
    pub fn start(node: SocketAddr) -> Self {
        let listener = TcpListener::bind(unused_address()).unwrap();
        let relay = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        let state = Arc::clone(&relay.state);
        // Until the test's process ends, which is soon: each test has its own.
        thread::spawn(move || {
            for daemon in listener.incoming() {
                let state = Arc::clone(&state);
                thread::spawn(move || forward(&state, [daemon.unwrap(), connect(node)]));
            }
        });
        relay
    }

    /// The address that stands for the node's.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks one connection.
    pub fn cut(&self, cut: Cut) {
        self.state.lock().unwrap().planned = Some(cut);
    }

    /// True if a break is planned that has not happened.
    #[must_use]
    pub fn is_planned(&self) -> bool {
        self.state.lock().unwrap().planned.is_some()
    }

    /// The number of chunks that this side has sent over the latest connection.
    #[must_use]
    pub fn chunks(&self, sender: Sender) -> usize {
        self.state.lock().unwrap().chunks[sender as usize]
    }
}

fn connect(node: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(node).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Forwards until one side closes. The streams are those of the daemon and of the node; one
/// thread owns both, because close(2) resets a connection only by its last descriptor.
fn forward(state: &Mutex<State>, mut streams: [TcpStream; 2]) {
    let mut counts = [0; 2];
    loop {
        let ready = {
            let mut polled = streams
                .each_ref()
                .map(|stream| PollFd::new(stream.as_fd(), PollFlags::POLLIN));
            poll(&mut polled, PollTimeout::NONE).unwrap();
            polled.map(|polled| polled.any() == Some(true))
        };
        for sender in [Sender::Daemon, Sender::Node] {
            if !ready[sender as usize] {
                continue;
            }
            let mut chunk = [0; 65_536];
            let count = streams[sender as usize].read(&mut chunk).unwrap_or(0);
            if count == 0 {
                return;
            }
            counts[sender as usize] += 1;
            let cut = {
                let mut state = state.lock().unwrap();
                state.chunks = counts;
                state
                    .planned
                    .take_if(|cut| cut.sender == sender && counts[sender as usize] >= cut.chunk)
            };
            if let Some(cut) = cut {
                end(streams, cut.ending);
                return;
            }
            let other = &mut streams[1 - sender as usize];
            if other.write_all(&chunk[..count]).is_err() {
                return;
            }
        }
    }
}

fn end(streams: [TcpStream; 2], ending: Ending) {
    for mut stream in streams {
        match ending {
            Ending::Reset => {
                // No lingering: close(2) discards what is queued and resets (socket(7)).
                let linger = nix::libc::linger {
                    l_onoff: 1,
                    l_linger: 0,
                };
                setsockopt(&stream, sockopt::Linger, &linger).unwrap();
            }
            Ending::Fin => {
                // It may be closed already.
                let _ = stream.shutdown(Shutdown::Write);
                thread::spawn(move || {
                    // Until the other end closes: close(2) with unread data would reset.
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                    let _ = stream.read_to_end(&mut Vec::new());
                });
            }
        }
    }
}
