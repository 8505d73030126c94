//! What AppArmor said, from the kernel's log.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// The kernel logs in order, a moment after the fact: with this, all is there.
const LAST: &str = "operation=\"profile_remove\"";
const PATIENCE: Duration = Duration::from_secs(10);

/// Every line of AppArmor's until its profile was removed.
pub(crate) fn of_apparmor() -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lines = read();
        if lines.contains(LAST) {
            return lines;
        }
        assert!(
            Instant::now() < deadline,
            "AppArmor's log has no end:\n{lines}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read() -> String {
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
