//! Files in `/proc` that a caller can influence: a container's name is short and printable, and
//! root of a user namespace is a user of its map.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::callers::peer::{ContainerId, mapped_root};
use pulse_sandbox::fuzzing::apparmor_profile;

/// The limit of `core::peer`.
const MAX_CONTAINER_BYTES: usize = 80;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    control_group(&text);
    user_map(&text);
    label(&text);
});

fn control_group(text: &str) {
    let Some(container) = ContainerId::from_cgroup(text) else {
        return;
    };
    let name = container.to_string();
    assert!(name.len() <= MAX_CONTAINER_BYTES, "{name}");
    assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
    // The group of cgroup v2 takes precedence over those of v1.
    let first = format!("0::/lxc/another\n{text}");
    let found = ContainerId::from_cgroup(&first).map(|found| found.to_string());
    assert_eq!(found.as_deref(), Some("lxc/another"));
}

fn user_map(text: &str) {
    let Some(root) = mapped_root(text) else {
        return;
    };
    assert_ne!(root, 0, "that is the host's own root");
    let names_it = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let inside = words.next().and_then(|word| word.parse::<u32>().ok());
        let outside = words.next().and_then(|word| word.parse::<u32>().ok());
        (inside, outside) == (Some(0), Some(root))
    };
    assert!(text.lines().any(names_it), "{root} is not in {text:?}");
}

fn label(text: &str) {
    if let Some((name, is_enforced)) = apparmor_profile(text) {
        assert!(name.chars().count() <= 80 && !name.chars().any(char::is_control));
        assert!(!is_enforced || text.contains("(enforce)"));
    }
}
