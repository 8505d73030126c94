//! A hostile SSH server: it does a correct key exchange and then encrypts arbitrary payloads with
//! the right keys, so that the client takes them for its node's.
//!
//! RFC 4253 and 8731 (curve25519-sha256, Ed25519), and AES-256-GCM as OpenSSH has it
//! (PROTOCOL, section 1.6), in which lengths are not encrypted.

use curve25519_dalek::MontgomeryPoint;
use ed25519_dalek::{Signer, SigningKey};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use std::io;
use std::net::TcpStream as Socket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const VERSION: &[u8] = b"SSH-2.0-hostile\r\n";
/// The longest packet that a client sends.
const MAX_PACKET: usize = 300_000;

const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;
const KEX_ECDH_INIT: u8 = 30;
const KEX_ECDH_REPLY: u8 = 31;

/// Both ends of a connection: the client's and the server's. A socket pair behaves like TCP
/// except for acknowledgements.
pub fn connection() -> (TcpStream, TcpStream) {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    let stream = |socket: UnixStream| {
        socket.set_nonblocking(true).expect("it is ours");
        TcpStream::from_std(Socket::from(OwnedFd::from(socket))).expect("a runtime")
    };
    (stream(theirs), stream(ours))
}

/// The host key of every server.
pub fn host_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// The public key in wire format, which `known_hosts` has in base64.
pub fn host_key_blob(key: &SigningKey) -> Vec<u8> {
    let mut blob = Vec::new();
    string(&mut blob, b"ssh-ed25519");
    string(&mut blob, key.verifying_key().as_bytes());
    blob
}

/// Appends a string (RFC 4251, section 5).
pub fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("it is short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// A positive number of 32 bytes (`mpint`).
fn number(out: &mut Vec<u8>, bytes: &[u8; 32]) {
    let start = bytes
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(bytes.len());
    let mut digits = bytes[start..].to_vec();
    // RFC 4251, section 5: without leading zeros, except one that keeps the number positive.
    if digits.first().is_some_and(|byte| *byte >= 0x80) {
        digits.insert(0, 0);
    }
    string(out, &digits);
}

fn kexinit() -> Vec<u8> {
    let mut payload = vec![KEXINIT];
    // The cookie is fixed, as all keys are: an input has the same effect each time.
    payload.extend_from_slice(&[0x5a; 16]);
    for list in [
        // One algorithm of each kind: the client's order decides nothing. Strict key exchange
        // resets sequence numbers, which AES-GCM does not use.
        "curve25519-sha256,kex-strict-s-v00@openssh.com",
        "ssh-ed25519",
        "aes256-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-256-etm@openssh.com",
        "none",
        "none",
        "",
        "",
    ] {
        string(&mut payload, list.as_bytes());
    }
    // No guessed packet follows, and four reserved bytes (RFC 4253, section 7.1).
    payload.extend_from_slice(&[0; 5]);
    payload
}

/// A packet without its length, of which `counted` bytes count for the block size as well.
fn padded(payload: &[u8], counted: usize, block: usize) -> Vec<u8> {
    let gap = block - (counted + 1 + payload.len()) % block;
    // At least four bytes of padding (RFC 4253, section 6).
    let padding = if gap < 4 { gap + block } else { gap };
    let mut packet = vec![u8::try_from(padding).expect("it is short")];
    packet.extend_from_slice(payload);
    packet.extend(std::iter::repeat_n(0, padding));
    packet
}

/// The payload of a packet without its length. The client pads correctly; if it does not, the
/// payload is empty.
fn unpadded(packet: &[u8]) -> Vec<u8> {
    packet
        .get(1..packet.len().saturating_sub(usize::from(packet[0])))
        .unwrap_or_default()
        .to_vec()
}

/// An unencrypted packet.
fn plain(payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    // A packet's length has the format of a string's. Before encryption the block size is 8.
    string(&mut packet, &padded(payload, 4, 8));
    packet
}

async fn read_plain(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; length(stream.read_u32().await?)?];
    stream.read_exact(&mut packet).await?;
    Ok(unpadded(&packet))
}

fn length(length: u32) -> io::Result<usize> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if (1..MAX_PACKET).contains(&length) {
        Ok(length)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Keys and counter of one direction.
struct Keys {
    key: LessSafeKey,
    nonce: [u8; 12],
}

impl Keys {
    fn next_nonce(&mut self) -> Nonce {
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        // Four fixed bytes and a counter, which is not the sequence number (RFC 5647, 7.1).
        let counter = self.nonce.last_chunk_mut().expect("twelve bytes");
        *counter = u64::from_be_bytes(*counter).wrapping_add(1).to_be_bytes();
        nonce
    }
}

/// A connection after the key exchange.
pub struct Encrypted {
    stream: TcpStream,
    send: Keys,
    receive: Keys,
}

impl Encrypted {
    /// Does the key exchange with this host key.
    pub async fn begin(mut stream: TcpStream, host: &SigningKey) -> io::Result<Self> {
        let ours = kexinit();
        stream.write_all(VERSION).await?;
        stream.write_all(&plain(&ours)).await?;
        let mut version = Vec::new();
        // At most 255 bytes, and only servers send other lines first (RFC 4253, section 4.2).
        while !version.ends_with(b"\n") && version.len() < 300 {
            version.push(stream.read_u8().await?);
        }
        let theirs = read_plain(&mut stream).await?;
        let share = read_plain(&mut stream).await?;
        let Some((&KEX_ECDH_INIT, share)) = share.split_first() else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let share: [u8; 32] = share
            .get(4..36)
            .and_then(|share| share.try_into().ok())
            .ok_or(io::ErrorKind::InvalidData)?;
        // Fixed as well: the session needs no secrecy.
        let secret = [0x42; 32];
        let public = MontgomeryPoint::mul_base_clamped(secret).to_bytes();
        let shared = MontgomeryPoint(share).mul_clamped(secret).to_bytes();

        let blob = host_key_blob(host);
        let mut hashed = Vec::new();
        // The order of RFC 5656, section 4: both versions, both KEXINIT, the host key, both shares.
        for part in [
            version.trim_ascii_end(),
            VERSION.trim_ascii_end(),
            &theirs,
            &ours,
            &blob,
            &share,
            &public,
        ] {
            string(&mut hashed, part);
        }
        number(&mut hashed, &shared);
        let hash = Sha256::digest(&hashed);
        let mut signature = Vec::new();
        string(&mut signature, b"ssh-ed25519");
        string(&mut signature, &host.sign(&hash).to_bytes());
        let mut reply = vec![KEX_ECDH_REPLY];
        for part in [&blob[..], &public, &signature] {
            string(&mut reply, part);
        }
        stream.write_all(&plain(&reply)).await?;
        stream.write_all(&plain(&[NEWKEYS])).await?;
        if read_plain(&mut stream).await?.first() != Some(&NEWKEYS) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // RFC 4253, section 7.2. The first exchange's hash is the session's identifier too, so it
        // is there twice.
        let derived = |letter: u8| {
            let mut text = Vec::new();
            number(&mut text, &shared);
            text.extend_from_slice(&hash);
            text.push(letter);
            text.extend_from_slice(&hash);
            Sha256::digest(&text)
        };
        let keys = |nonce: u8, key: u8| Keys {
            key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &derived(key)).expect("32 bytes")),
            nonce: derived(nonce)[..12].try_into().expect("twelve bytes"),
        };
        Ok(Self {
            stream,
            receive: keys(b'A', b'C'),
            send: keys(b'B', b'D'),
        })
    }

    /// Sends a packet with any payload.
    pub async fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        // The length is authenticated and not encrypted, so it is outside the blocks.
        let mut packet = padded(payload, 0, 16);
        let length = u32::try_from(packet.len())
            .expect("it is short")
            .to_be_bytes();
        let nonce = self.send.next_nonce();
        self.send
            .key
            .seal_in_place_append_tag(nonce, Aad::from(length), &mut packet)
            .expect("it is short");
        self.stream
            .write_all(&[&length[..], &packet].concat())
            .await
    }

    /// Sends bytes without a packet.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The payload of the client's next packet.
    pub async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let stated = self.stream.read_u32().await?;
        let mut packet = vec![0; length(stated)? + AES_256_GCM.tag_len()];
        self.stream.read_exact(&mut packet).await?;
        let nonce = self.receive.next_nonce();
        self.receive
            .key
            .open_in_place(nonce, Aad::from(stated.to_be_bytes()), &mut packet)
            .map(|opened| unpadded(opened))
            .map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Shuts the sending side down and receives what the client still sends.
    pub async fn end(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}
