//! Restarts under a caller that polls as Pulse does: with a socket that outlives the daemon, as
//! systemd's does, every reading is answered.

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sim::{self, Behaviour};
use pulse_e2e::{Client, Config, Daemon, Home, wait};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(100);
const SLOW: &str = "slow";

/// A socket that the test holds and each daemon is given.
struct Held {
    listener: UnixListener,
    home: Arc<Home>,
}

impl Held {
    fn bind(home: &Arc<Home>) -> Self {
        let socket = home.socket();
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
        // The daemon inherits it.
        fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        Self {
            listener,
            home: Arc::clone(home),
        }
    }

    /// Starts a daemon with the socket as its descriptor 3, as systemd does.
    fn start(&self) -> Daemon {
        let fd = self.listener.as_raw_fd();
        let script = format!(
            "exec 3<&{fd}; [ {fd} = 3 ] || exec {fd}<&-; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\""
        );
        Daemon::start_under(&self.home, &["bash", "-c", &script])
    }
}

/// A caller of one node, which counts its answers and keeps the failures.
struct Poller {
    socket: PathBuf,
    node: &'static str,
    pause: Duration,
    answers: AtomicUsize,
}

impl Poller {
    fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }

    fn run(&self, is_done: &AtomicBool) -> Vec<String> {
        let mut lost = Vec::new();
        while !is_done.load(Ordering::Relaxed) {
            lost.extend(self.read().err());
            self.answers.fetch_add(1, Ordering::Relaxed);
            thread::sleep(self.pause);
        }
        lost
    }

    /// Reads the node on a connection of its own, as Pulse does.
    fn read(&self) -> Result<(), String> {
        let mut client = Client::connect(&self.socket);
        let params = json!({"node": self.node});
        let request = json!({"method": "get_temperature", "params": params});
        client
            .try_send(format!("{request}\n").as_bytes())
            .map_err(|error| error.to_string())?;
        let answer = client.rest();
        match serde_json::from_slice::<Value>(&answer) {
            Ok(answer) if answer["success"] == true => Ok(()),
            Ok(answer) => Err(answer.to_string()),
            Err(error) => Err(format!("{error}: {answer:?}")),
        }
    }
}

/// Waits until each has so many more answers.
fn wait_for_answers(pollers: &[Poller], more: usize) {
    let counted = || -> Vec<usize> { pollers.iter().map(Poller::answers).collect() };
    let before = counted();
    wait::until("answers of each node", || {
        let now = counted();
        now.iter()
            .zip(&before)
            .all(|(now, then)| *now >= then + more)
    });
}

/// Three nodes that answer at once, and one whose answer is being made whenever the daemon is
/// told to end.
fn nodes() -> [(&'static str, Behaviour); 4] {
    let slow = Behaviour::SlowBy {
        delay: Duration::from_millis(300),
        document: sim::DOCUMENT.into(),
    };
    let healthy = sim::healthy;
    [
        ("pve1", healthy()),
        ("pve2", healthy()),
        ("pve3", healthy()),
        (SLOW, slow),
    ]
}

#[test]
fn restart_loses_no_reading() {
    if skipped(&[
        Need::Program("bash"),
        Need::NoUnit("another program passes the socket"),
    ]) {
        return;
    }
    let home = Arc::new(Home::new());
    let mut config = Config::new();
    let nodes = nodes().map(|(name, behaviour)| (name, sim::start(behaviour)));
    for (name, node) in &nodes {
        home.trust(&node.host_key_line(name));
        config = config.node(name, node.addr());
    }
    home.write_config(&config);
    let held = Held::bind(&home);
    let pollers = nodes.each_ref().map(|(node, _)| Poller {
        socket: home.socket(),
        node,
        pause: if *node == SLOW {
            Duration::ZERO
        } else {
            INTERVAL
        },
        answers: AtomicUsize::new(0),
    });
    let is_done = AtomicBool::new(false);
    let (lost, daemon) = thread::scope(|scope| {
        let running = pollers
            .each_ref()
            .map(|poller| scope.spawn(|| poller.run(&is_done)));
        let mut daemon = held.start();
        for _ in 0..4 {
            wait_for_answers(&pollers, 1);
            daemon.stop();
            daemon = held.start();
        }
        wait_for_answers(&pollers, 2);
        is_done.store(true, Ordering::Relaxed);
        let lost = running
            .into_iter()
            .flat_map(|poller| poller.join().unwrap());
        (lost.collect::<Vec<_>>(), daemon)
    });
    assert_eq!(lost, [""; 0]);
    daemon.stop();
    assert!(
        home.socket().exists(),
        "the daemon removes no socket that it was given"
    );
}
