//! The attackers.

use pulse_e2e::python::{self, Running, User};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A user's process that sends malformed and forbidden requests without a pause.
pub(super) struct Crowd(Running);

impl Crowd {
    /// Starts it; some requests read these nodes.
    pub(super) fn of(user: User, socket: &Path, nodes: &[&str]) -> Self {
        let arguments = [&[socket.to_str().unwrap()], nodes].concat();
        Self(Running::start(python::HOSTILE, Some(user), &arguments))
    }

    /// Ends it and returns the number of its requests.
    pub(super) fn end(mut self) -> u64 {
        self.0.finish().as_u64().unwrap()
    }
}

/// Open connections at a time.
const AT_ONCE: usize = 64;

/// Scrapers that send half a request; each reconnects when it is closed.
pub(super) struct HalfRequests {
    is_stopped: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl HalfRequests {
    pub(super) fn start(address: SocketAddr) -> Self {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_stopped);
        let thread = std::thread::spawn(move || {
            let (mut open, mut count) = (Vec::new(), 0);
            while !stop.load(Ordering::Relaxed) {
                open.retain_mut(is_open);
                while open.len() < AT_ONCE {
                    let Ok(mut stream) = TcpStream::connect(address) else {
                        break;
                    };
                    stream.set_nonblocking(true).unwrap();
                    // It may be closed already.
                    let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: loc");
                    open.push(stream);
                    count += 1;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            count
        });
        Self { is_stopped, thread }
    }

    /// Ends them and returns the number of connections.
    pub(super) fn end(self) -> u64 {
        self.is_stopped.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn is_open(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 512]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}
