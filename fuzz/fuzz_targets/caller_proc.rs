//! Files in `/proc` that a caller can influence: a container's name is short and printable, and
//! root of a user namespace is a user of its map.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::callers::container::ContainerId;
use pulse_core::callers::peer::mapped_root;
use pulse_sandbox::fuzzing::apparmor_profile;

/// The limit of `core::callers::peer`.
const MAX_CONTAINER_BYTES: usize = 80;

fuzz_target!(|bytes: &[u8]| {
    // All three parse every input: the texts of one kind are invalid ones of the others.
    let text = String::from_utf8_lossy(bytes);
    if let Some(container) = ContainerId::from_cgroup(&text) {
        let name = container.to_string();
        assert!(name.len() <= MAX_CONTAINER_BYTES, "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
        // The group of cgroup v2 takes precedence over those of v1.
        let found = ContainerId::from_cgroup(&format!("0::/lxc/another\n{text}"));
        let found = found.map(|found| found.to_string());
        assert_eq!(found.as_deref(), Some("lxc/another"));
    }
    if let Some(root) = mapped_root(&text) {
        assert_ne!(root, 0, "that is the host's own root");
        // The user is in the file, and beside 0: none is computed from other lines.
        let names_it = |line: &str| {
            let mut words = line.split_ascii_whitespace().map(|word| word.parse().ok());
            (words.next(), words.next()) == (Some(Some(0)), Some(Some(root)))
        };
        assert!(text.lines().any(names_it), "{root} is not in {text:?}");
    }
    if let Some((name, is_enforced)) = apparmor_profile(&text) {
        // The name is logged, and whoever loads a profile chooses it.
        assert!(name.chars().count() <= 80 && !name.chars().any(char::is_control));
        assert!(!is_enforced || text.contains("(enforce)"));
    }
});
