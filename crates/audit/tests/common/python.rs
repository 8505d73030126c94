//! The verifier in `docs/`, if it can be run here.

use std::path::{Path, PathBuf};
use std::process::Command;

pub fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verify_audit_log.py")
}

pub fn has_python() -> bool {
    let found = Command::new("python3")
        .args(["-c", "import cryptography"])
        .output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        // In CI it is one of the required programs.
        let missing = std::env::var("PULSE_TEST_MISSING");
        let is_known = missing.map_or(true, |names| names.contains("cryptography"));
        assert!(is_known, "python3 has no cryptography package");
        eprintln!("SKIPPED: python3 with its cryptography package is not here");
    }
    found
}
