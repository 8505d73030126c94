//! Any key share of a peer in the hybrid key exchange: an error, or a secret that depends on both
//! halves; and both sides of a correct exchange derive the same secret.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_relp::hybrid::X25519MlKem768;
use rustls::crypto::SupportedKxGroup;

/// Bytes of the client's and the server's share (draft-ietf-tls-ecdhe-mlkem).
const CLIENT: usize = 1184 + 32;
const SERVER: usize = 1088 + 32;
const GROUP: X25519MlKem768 = X25519MlKem768;

fuzz_target!(|bytes: &[u8]| {
    let [kind, bytes @ ..] = bytes else {
        return;
    };
    let client = GROUP.start().expect("the kernel has random bytes");
    match kind % 4 {
        // An arbitrary share of any length.
        0 => server(&padded(bytes, CLIENT)),
        1 => server(bytes),
        2 => drop(client.complete(&padded(bytes, SERVER)).map(check)),
        // A correct server share with some bytes changed.
        _ => {
            let answer = GROUP
                .start_and_complete(client.pub_key())
                .expect("it is an honest share");
            let mut share = answer.pub_key;
            for change in bytes.chunks_exact(3) {
                let at = usize::from(u16::from_be_bytes([change[0], change[1]]));
                share[at % SERVER] ^= change[2];
            }
            let is_changed = bytes.chunks_exact(3).any(|change| change[2] != 0);
            // ML-KEM rejects a changed ciphertext implicitly: another secret, and no error
            // (FIPS 203, section 6.3).
            if let Ok(secret) = client.complete(&share) {
                let is_same = secret.secret_bytes() == answer.secret.secret_bytes();
                // Two changes of one byte may cancel each other.
                assert!(is_same || is_changed);
            }
        }
    }
});

fn server(share: &[u8]) {
    if let Ok(completed) = GROUP.start_and_complete(share) {
        assert_eq!(share.len(), CLIENT);
        assert_eq!(completed.pub_key.len(), SERVER);
        check(completed.secret);
    }
}

fn check(secret: rustls::crypto::SharedSecret) {
    // 32 bytes of each half.
    assert_eq!(secret.secret_bytes().len(), 64);
}

fn padded(bytes: &[u8], length: usize) -> Vec<u8> {
    let mut share = bytes.to_vec();
    share.resize(length, 0x55);
    share
}
