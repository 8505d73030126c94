//! AppArmor's lines in the kernel's log.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// The last line. The kernel logs in order, a moment after each event, so this one proves
/// that the log is complete.
const LAST: &str = "operation=\"profile_remove\"";
const TIMEOUT: Duration = Duration::from_secs(10);

/// AppArmor's lines up to the removal of its profile.
pub(crate) fn of_apparmor() -> String {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let lines = read();
        if lines.contains(LAST) {
            return lines;
        }
        assert!(
            Instant::now() < deadline,
            "the profile's removal is not logged:\n{lines}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read() -> String {
    // Each read returns one record; without this flag the one after the last blocks.
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open("/dev/kmsg")
        .unwrap();
    let (mut lines, mut record) = (String::new(), [0; 8192]);
    loop {
        match log.read(&mut record) {
            Ok(length) => {
                let record = String::from_utf8_lossy(&record[..length]);
                if record.contains("apparmor=\"") {
                    lines.push_str(&record);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return lines,
            Err(error) => panic!("the kernel's log: {error}"),
        }
    }
}
