//! Restarts under a caller that polls as Pulse does: with a socket that outlives the daemon, as
//! systemd's does, every reading is answered.

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sim::{self, Behaviour, SimNode};
use pulse_e2e::{Client, Config, Daemon, Home, wait};
use std::fs::{self, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(100);

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

/// Reads a node on a connection of its own.
fn is_read(socket: &Path, node: &str) -> Result<(), String> {
    let mut client = Client::connect(socket);
    let request = serde_json::json!({"method": "get_temperature", "params": {"node": node}});
    client
        .try_send(format!("{request}\n").as_bytes())
        .map_err(|error| error.to_string())?;
    let answer = client.rest();
    match serde_json::from_slice::<serde_json::Value>(&answer) {
        Ok(answer) if answer["success"] == true => Ok(()),
        Ok(answer) => Err(answer.to_string()),
        Err(error) => Err(format!("{error}: {answer:?}")),
    }
}

#[test]
fn restart_loses_no_reading() {
    if skipped(&[
        Need::Program("bash"),
        Need::NoUnit("another program passes the socket"),
    ]) {
        return;
    }
    let slow = Behaviour::SlowBy {
        delay: Duration::from_millis(300),
        document: sim::DOCUMENT.into(),
    };
    let home = Arc::new(Home::new());
    let mut config = Config::new();
    let nodes: Vec<(&str, SimNode)> = [
        ("pve1", sim::healthy()),
        ("pve2", sim::healthy()),
        ("pve3", sim::healthy()),
        // Its answer is being made whenever the daemon is told to end.
        ("slow", slow),
    ]
    .map(|(name, behaviour)| (name, sim::start(behaviour)))
    .into();
    for (name, node) in &nodes {
        home.trust(&node.host_key_line(name));
        config = config.node(name, node.addr());
    }
    home.write_config(&config);
    let held = Held::bind(&home);
    let is_done = AtomicBool::new(false);
    let answers: Vec<AtomicUsize> = nodes.iter().map(|_| AtomicUsize::new(0)).collect();
    let counted = || -> Vec<usize> { answers.iter().map(|n| n.load(Ordering::Relaxed)).collect() };
    let (lost, daemon) = thread::scope(|scope| {
        let pollers: Vec<_> = nodes
            .iter()
            .zip(&answers)
            .map(|((name, _), answers)| {
                let (is_done, socket) = (&is_done, home.socket());
                scope.spawn(move || {
                    let mut lost = Vec::new();
                    while !is_done.load(Ordering::Relaxed) {
                        lost.extend(is_read(&socket, name).err());
                        answers.fetch_add(1, Ordering::Relaxed);
                        if *name != "slow" {
                            thread::sleep(INTERVAL);
                        }
                    }
                    lost
                })
            })
            .collect();
        let mut daemon = held.start();
        for _ in 0..4 {
            let before = counted();
            wait::until("answers of each node", || {
                counted().iter().zip(&before).all(|(now, then)| now > then)
            });
            daemon.stop();
            daemon = held.start();
        }
        let before = counted();
        wait::until("answers after the last start", || {
            counted()
                .iter()
                .zip(&before)
                .all(|(now, then)| *now > then + 1)
        });
        is_done.store(true, Ordering::Relaxed);
        let lost = pollers
            .into_iter()
            .flat_map(|poller| poller.join().unwrap());
        (lost.collect::<Vec<String>>(), daemon)
    });
    assert_eq!(lost, [""; 0]);
    daemon.stop();
    assert!(
        home.socket().exists(),
        "the daemon removes no socket that it was given"
    );
}
