//! Corrupt files in the state directory: the daemon still serves and stops.

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use pulse_e2e::forwarding::forward_to;
use pulse_e2e::{Config, Daemon, Home, service};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// An upper bound of two files of messages and the cursors.
const MOST_BYTES: u64 = 5 << 20;

/// A collector at which nothing listens, so that messages stay in their files.
fn config() -> Config {
    forward_to(SocketAddr::from(([127, 0, 0, 1], 1))).set_forward("application_log", "true")
}

/// The files of forwarding.
const FILES: [&str; 4] = [
    "messages",
    "messages.older",
    "messages-failover.cursor",
    "forward-failover.cursor",
];

/// Writes a message and both cursors with this number.
fn write_number(directory: &Path, number: u64) {
    let log = format!("{{\"log_id\":\"{}\"", log_id(directory));
    for (file, text) in [
        (
            "messages",
            format!(
                "{{\"number\":{number},\"severity\":6,\"when\":\"2026-01-01T00:00:00Z\",\"text\":\"x\"}}"
            ),
        ),
        (
            "messages-failover.cursor",
            format!("{log},\"seq\":{number},\"event_hash\":null}}"),
        ),
        (
            "forward-failover.cursor",
            format!(
                "{log},\"seq\":{number},\"event_hash\":\"{}\"}}",
                "a".repeat(64)
            ),
        ),
    ] {
        fs::write(directory.join(file), format!("{text}\n")).unwrap();
    }
}

/// The log's id, from its key file.
fn log_id(directory: &Path) -> String {
    let files = fs::read_dir(directory).unwrap();
    let mut keys = files.map(|file| file.unwrap().path());
    let key = keys.find(|path| path.to_string_lossy().contains("seal-key-"));
    let text = fs::read_to_string(key.unwrap()).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

fn fifos(directory: &Path) {
    for file in FILES {
        mkfifo(&directory.join(file), Mode::S_IRWXU).unwrap();
    }
}

/// Makes sparse files of a terabyte each.
fn huge(directory: &Path) {
    for file in FILES {
        let file = File::create(directory.join(file)).unwrap();
        file.set_len(1 << 40).unwrap();
    }
}

/// Starts and stops the daemon on the files that `spoil` leaves.
fn serve_on(spoil: impl Fn(&Path)) {
    let home = Arc::new(Home::new());
    Daemon::start_in(&home, &config()).stop();
    let state = home.audit_state();
    for file in FILES {
        // Some of them may not exist yet.
        let _ = fs::remove_file(state.join(file));
    }
    spoil(&state);
    for file in FILES.map(|file| state.join(file)) {
        if file.exists() {
            service::give(&file);
        }
    }
    let mut daemon = Daemon::start_in(&home, &config());
    // Each reload logs a message.
    daemon.reload();
    daemon.reload();
    assert!(daemon.temperature("nowhere").is_err());
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success(), "{}", daemon.log());
    assert!(!daemon.log().contains("did not end"), "{}", daemon.log());
    let blocks = |file: &str| {
        let found = fs::metadata(state.join(file));
        found.map_or(0, |found| {
            std::os::unix::fs::MetadataExt::blocks(&found) * 512
        })
    };
    assert!(FILES.into_iter().map(blocks).sum::<u64>() < MOST_BYTES);
}

#[test]
fn absurd_numbers_are_survived() {
    for last in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 53) - 1] {
        serve_on(|directory| write_number(directory, last));
    }
}

#[test]
fn fifos_as_state_are_survived() {
    serve_on(fifos);
}

#[test]
fn huge_state_files_are_survived() {
    serve_on(huge);
}
