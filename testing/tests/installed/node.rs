//! The virtual machine as its own node: its sshd, configured as `docs/nodes.md` documents it.

use crate::guest;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Once;

/// Addresses of the nodes `pve1` and `pve2`; the machine's sshd listens on both.
pub(crate) const ADDRESSES: [&str; 2] = ["192.0.2.11", "192.0.2.12"];

const SSHD_SETTINGS: &str = "Match User pulse-sensor\n    \
    AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u\n";

/// Makes this machine a node, once.
pub(crate) fn set_up() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let helper = "/usr/libexec/pulse-sensor-node";
        guest::install("bin/pulse-sensor-node", helper);
        fs::set_permissions(helper, Permissions::from_mode(0o755)).unwrap();
        let user = "--system --home-dir / --shell /bin/sh --password * pulse-sensor";
        guest::run("useradd", &user.split(' ').collect::<Vec<_>>());
        fs::write("/etc/ssh/sshd_config.d/pulse-sensor.conf", SSHD_SETTINGS).unwrap();
        fs::create_dir("/etc/ssh/authorized_keys.d").unwrap();
        guest::run("sshd", &["-t"]);
        guest::run("systemctl", &["reload", "ssh"]);
        for address in ADDRESSES {
            let address = format!("{address}/32");
            guest::run("ip", &["address", "add", &address, "dev", "lo"]);
        }
    });
}

/// Authorizes this line of `keys show`, and no other key.
pub(crate) fn authorize(line: &str) {
    let file = "/etc/ssh/authorized_keys.d/pulse-sensor";
    fs::write(file, format!("{line}\n")).unwrap();
}

/// The lines of `known_hosts` for both nodes.
pub(crate) fn known_hosts() -> String {
    let key = fs::read_to_string("/etc/ssh/ssh_host_ed25519_key.pub").unwrap();
    format!("pve1 {key}pve2 {key}")
}

/// sshd's journal since boot.
pub(crate) fn journal() -> String {
    guest::run("journalctl", &["--no-pager", "-o", "cat", "-u", "ssh"])
}
