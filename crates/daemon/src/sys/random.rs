//! Randomness from the kernel, for correlation ids and jitter.

/// A fresh correlation id (UUID version 4).
#[must_use]
pub(crate) fn correlation_id() -> String {
    pulse_core::rpc::uuid_from_random(bytes())
}

/// A number in [0, 1).
#[must_use]
pub(crate) fn fraction() -> f64 {
    let [a, b, c, d] = bytes();
    f64::from(u32::from_le_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
}

/// Neither use is a secret, so zeros will do if getrandom(2) ever fails.
fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let _ = getrandom::fill(&mut bytes);
    bytes
}
