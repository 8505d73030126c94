//! X25519MLKEM768: a TLS key exchange that withstands a quantum computer.
//!
//! Forwarded records name machines and people, and stay confidential for years: traffic
//! that is captured today must not become readable when a quantum computer exists. rustls
//! has this group only with `aws-lc-rs`, so it is composed here
//! (draft-ietf-tls-ecdhe-mlkem) of ring's X25519 and the `ml-kem` crate, which SSH needs
//! anyway. An attacker has to break both. The X25519 share is offered on its own as well:
//! a collector without the group takes that, without another round trip.

use ml_kem::kem::{Decapsulate, KeyExport};
use ml_kem::{B32, DecapsulationKey768, EncapsulationKey768, Seed};
use rustls::crypto::ring::{default_provider, kx_group::X25519};
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use zeroize::{Zeroize, Zeroizing};

// Lengths in bytes (FIPS 203, table 3; RFC 7748).
const ENCAPSULATION_KEY: usize = 1184;
const CIPHERTEXT: usize = 1088;
const SECRET: usize = 32;
const X25519_KEY: usize = 32;

const INVALID: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

/// The provider of `ring`, with this group preferred to its own.
#[must_use]
pub fn provider() -> CryptoProvider {
    let mut provider = default_provider();
    provider.kx_groups.insert(0, &X25519MlKem768);
    provider
}

/// The group. Clients [start](SupportedKxGroup::start) an exchange, servers
/// [complete](SupportedKxGroup::start_and_complete) it.
#[derive(Clone, Copy, Debug)]
pub struct X25519MlKem768;

impl SupportedKxGroup for X25519MlKem768 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let classical = X25519.start()?;
        // The seed (d, z) of FIPS 203, 7.1, from the generator that rustls uses elsewhere.
        let seed = Zeroizing::new(random::<64>()?);
        let decapsulation = DecapsulationKey768::from_seed(Seed::from(*seed));
        let encapsulation = decapsulation.encapsulation_key().to_bytes();
        // ML-KEM's share comes first in this group, as its secret does below.
        let share = [encapsulation.as_slice(), classical.pub_key()].concat();
        Ok(Box::new(Started {
            classical,
            decapsulation,
            share,
        }))
    }

    fn start_and_complete(&self, share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (encapsulation, theirs) = split(share, ENCAPSULATION_KEY)?;
        let encapsulation = encapsulation.try_into().map_err(|_| INVALID)?;
        // Refuses coefficients above the modulus (FIPS 203, 7.2).
        let encapsulation = EncapsulationKey768::new(encapsulation).map_err(|_| INVALID)?;
        // Refuses points of small order, which would make the secret predictable (RFC 7748, 6.1).
        let classical = X25519.start_and_complete(theirs)?;
        let seed = Zeroizing::new(random::<32>()?);
        let (ciphertext, mut secret) = encapsulation.encapsulate_deterministic(&B32::from(*seed));
        let both = joined(secret.as_slice(), &classical.secret);
        secret.as_mut_slice().zeroize();
        Ok(CompletedKeyExchange {
            group: self.name(),
            pub_key: [ciphertext.as_slice(), &classical.pub_key].concat(),
            secret: both,
        })
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    // Hybrid groups are defined for the key shares of TLS 1.3 only.
    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

/// The client's exchange, until the server's share is received.
struct Started {
    classical: Box<dyn ActiveKeyExchange>,
    /// Zeroed on drop.
    decapsulation: DecapsulationKey768,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, theirs) = split(share, CIPHERTEXT)?;
        let classical = self.classical.complete(theirs)?;
        // A ciphertext that was changed decapsulates to a pseudorandom secret (FIPS 203, 6.3):
        // the handshake then fails at the Finished message, and not here.
        let mut secret = self
            .decapsulation
            .decapsulate_slice(ciphertext)
            .map_err(|_| INVALID)?;
        let both = joined(secret.as_slice(), &classical);
        secret.as_mut_slice().zeroize();
        Ok(both)
    }

    // rustls offers this share beside the hybrid one; it is the same key, so it costs no
    // second key generation.
    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.classical.group(), self.classical.pub_key()))
    }

    fn complete_hybrid_component(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        self.classical.complete(share)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

/// Splits a share into ML-KEM's part and X25519's.
fn split(share: &[u8], first: usize) -> Result<(&[u8], &[u8]), Error> {
    if share.len() == first + X25519_KEY {
        Ok(share.split_at(first))
    } else {
        Err(INVALID)
    }
}

/// The shared secret: ML-KEM's, then X25519's. Allocated with its full capacity, so that no
/// reallocation leaves a copy behind; rustls zeroes it on drop.
fn joined(post_quantum: &[u8], classical: &SharedSecret) -> SharedSecret {
    let mut both = Vec::with_capacity(SECRET + X25519_KEY);
    both.extend_from_slice(post_quantum);
    both.extend_from_slice(classical.secret_bytes());
    SharedSecret::from(both)
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], Error> {
    let mut bytes = [0; LENGTH];
    default_provider().secure_random.fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GROUP: X25519MlKem768 = X25519MlKem768;

    fn client() -> Box<dyn ActiveKeyExchange> {
        GROUP.start().unwrap()
    }

    fn complete(share: &[u8]) -> Result<SharedSecret, Error> {
        client().complete(share)
    }

    #[test]
    fn both_sides_agree_on_a_new_secret() {
        let agree = || {
            let client = client();
            assert_eq!(client.pub_key().len(), 1216);
            let server = GROUP.start_and_complete(client.pub_key()).unwrap();
            assert_eq!(server.pub_key.len(), 1120);
            assert_eq!(server.group, NamedGroup::X25519MLKEM768);
            let secret = client.complete(&server.pub_key).unwrap();
            assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
            secret.secret_bytes().to_vec()
        };
        let (one, other) = (agree(), agree());
        assert_eq!(one.len(), 64);
        // Both halves differ.
        assert_ne!(one[..32], other[..32]);
        assert_ne!(one[32..], other[32..]);
    }

    #[test]
    fn x25519_alone_can_be_completed() {
        let client = client();
        let (group, share) = client.hybrid_component().unwrap();
        assert_eq!(group, NamedGroup::X25519);
        assert!(client.pub_key().ends_with(share));
        let server = X25519.start_and_complete(share).unwrap();
        let secret = client.complete_hybrid_component(&server.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
    }

    #[test]
    fn each_half_of_the_share_counts() {
        for (at, changed) in [(0, 0..32), (CIPHERTEXT - 1, 0..32), (CIPHERTEXT, 32..64)] {
            let client = client();
            let server = GROUP.start_and_complete(client.pub_key()).unwrap();
            let mut share = server.pub_key;
            share[at] ^= 1;
            let secret = client.complete(&share).unwrap();
            let (ours, theirs) = (secret.secret_bytes(), server.secret.secret_bytes());
            for (byte, range) in [(0, 0..32), (1, 32..64)] {
                let is_changed = range == changed;
                assert_eq!(
                    ours[range.clone()] != theirs[range],
                    is_changed,
                    "{at} {byte}"
                );
            }
        }
    }

    #[test]
    fn a_wrong_length_is_refused() {
        let garbage = [0x55; 4096];
        for length in [0, 1, 32, 1088, 1119, 1121, 1184, 1215, 1217, 4096] {
            assert_eq!(
                complete(&garbage[..length]).err(),
                Some(INVALID),
                "{length}"
            );
            let server = GROUP.start_and_complete(&garbage[..length]);
            assert_eq!(server.err(), Some(INVALID), "{length}");
            let classical = client().complete_hybrid_component(&garbage[..length]);
            assert_eq!(classical.is_ok(), length == 32, "{length}");
        }
    }

    #[test]
    fn invalid_keys_are_refused() {
        let client = client();
        // Coefficients above the modulus (FIPS 203, 7.2).
        let mut share = client.pub_key().to_vec();
        share[..3].fill(0xff);
        let server = GROUP.start_and_complete(&share);
        assert_eq!(server.err(), Some(INVALID));
        // A point of small order (RFC 7748, 6.1).
        let mut share = client.pub_key().to_vec();
        share[ENCAPSULATION_KEY..].fill(0);
        let server = GROUP.start_and_complete(&share);
        assert_eq!(server.err(), Some(INVALID));
        assert_eq!(complete(&[0; CIPHERTEXT + X25519_KEY]).err(), Some(INVALID));
    }

    #[test]
    fn offered_first_and_in_tls_13_only() {
        let groups: Vec<NamedGroup> = provider().kx_groups.iter().map(|g| g.name()).collect();
        let names = [
            NamedGroup::X25519MLKEM768,
            NamedGroup::X25519,
            NamedGroup::secp256r1,
            NamedGroup::secp384r1,
        ];
        assert_eq!(groups, names);
        assert!(GROUP.usable_for_version(ProtocolVersion::TLSv1_3));
        assert!(!GROUP.usable_for_version(ProtocolVersion::TLSv1_2));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn garbage_never_panics(
            share in prop::collection::vec(any::<u8>(), CIPHERTEXT + X25519_KEY),
            more in prop::collection::vec(any::<u8>(), ENCAPSULATION_KEY - CIPHERTEXT),
        ) {
            let _ = complete(&share);
            let _ = GROUP.start_and_complete(&[share, more].concat());
        }
    }
}
