//! Callers that have the daemon write records, also while it restarts.

use pulse_e2e::sim::{self, SimNode};
use pulse_e2e::{Config, Home};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

/// The number of nodes, each with a caller: readings of one node would be shared.
const NODES: usize = 6;

/// Healthy nodes.
pub(super) struct Nodes(Vec<SimNode>);

impl Nodes {
    pub(super) fn start() -> Self {
        Self((0..NODES).map(|_| sim::start(sim::healthy())).collect())
    }

    /// Pins their host keys and adds them to a configuration.
    pub(super) fn join(&self, home: &Home, mut config: Config) -> Config {
        for (index, node) in self.0.iter().enumerate() {
            home.trust(&node.host_key_line(&name(index)));
            config = config.node(&name(index), node.addr());
        }
        config
    }
}

fn name(index: usize) -> String {
    format!("pve{index}")
}

/// Running callers; they end when it is dropped or [ended](Load::end).
pub(super) struct Load {
    is_over: Arc<AtomicBool>,
    readings: Arc<AtomicU64>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the callers, each of which pauses between two readings.
    pub(super) fn start(home: &Home, pause: Duration) -> Self {
        let (is_over, readings) = (Arc::default(), Arc::default());
        let callers = (0..NODES).map(|index| {
            let (is_over, readings) = (Arc::clone(&is_over), Arc::clone(&readings));
            let socket = home.socket();
            std::thread::spawn(move || call(&socket, index, pause, &is_over, &readings))
        });
        Self {
            callers: callers.collect(),
            is_over,
            readings,
        }
    }

    /// The number of readings so far. Each has two records.
    pub(super) fn readings(&self) -> u64 {
        self.readings.load(Ordering::Relaxed)
    }

    /// Ends the callers and returns the number of readings.
    pub(super) fn end(self) -> u64 {
        let readings = Arc::clone(&self.readings);
        drop(self);
        readings.load(Ordering::Relaxed)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for caller in self.callers.drain(..) {
            let _ = caller.join();
        }
    }
}

fn call(socket: &Path, index: usize, pause: Duration, is_over: &AtomicBool, readings: &AtomicU64) {
    while !is_over.load(Ordering::Relaxed) {
        // The daemon may not be running.
        if read(socket, index).is_some() {
            readings.fetch_add(1, Ordering::Relaxed);
        }
        sleep(pause);
    }
}

fn read(socket: &Path, index: usize) -> Option<()> {
    let stream = UnixStream::connect(socket).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let request = format!(
        "{{\"method\":\"get_temperature\",\"params\":{{\"node\":\"{}\"}}}}\n",
        name(index)
    );
    (&stream).write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).ok()?;
    answer.contains("\"success\":true").then_some(())
}
