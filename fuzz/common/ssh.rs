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
    if digits.first().is_some_and(|byte| *byte >= 0x80) {
        digits.insert(0, 0);
    }
    string(out, &digits);
}

fn kexinit() -> Vec<u8> {
    let mut payload = vec![KEXINIT];
    payload.extend_from_slice(&[0x5a; 16]);
    for list in [
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
    payload.extend_from_slice(&[0; 5]);
    payload
}

/// An unencrypted packet.
fn plain(payload: &[u8]) -> Vec<u8> {
    let padding = 8 - (5 + payload.len()) % 8;
    let padding = if padding < 4 { padding + 8 } else { padding };
    let length = u32::try_from(1 + payload.len() + padding).expect("it is short");
    let mut packet = length.to_be_bytes().to_vec();
    packet.push(u8::try_from(padding).expect("it is short"));
    packet.extend_from_slice(payload);
    packet.extend(std::iter::repeat_n(0, padding));
    packet
}

async fn read_plain(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; length(stream.read_u32().await?)?];
    stream.read_exact(&mut packet).await?;
    let padding = usize::from(packet[0]);
    let end = packet.len().saturating_sub(padding).max(1);
    Ok(packet[1..end].to_vec())
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
        let nonce = self.nonce;
        let (_, counter) = self.nonce.split_at_mut(4);
        let next = u64::from_be_bytes(counter.try_into().expect("eight bytes")).wrapping_add(1);
        counter.copy_from_slice(&next.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
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
        let secret = [0x42; 32];
        let public = MontgomeryPoint::mul_base_clamped(secret).to_bytes();
        let shared = MontgomeryPoint(share).mul_clamped(secret).to_bytes();

        let blob = host_key_blob(host);
        let mut hashed = Vec::new();
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
        let padding = 16 - (1 + payload.len()) % 16;
        let padding = if padding < 4 { padding + 16 } else { padding };
        let length = u32::try_from(1 + payload.len() + padding).expect("it is short");
        let mut packet = vec![u8::try_from(padding).expect("it is short")];
        packet.extend_from_slice(payload);
        packet.extend(std::iter::repeat_n(0, padding));
        let nonce = self.send.next_nonce();
        let length = length.to_be_bytes();
        let sealed = self
            .send
            .key
            .seal_in_place_append_tag(nonce, Aad::from(length), &mut packet);
        sealed.expect("it is short");
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
        let opened =
            self.receive
                .key
                .open_in_place(nonce, Aad::from(stated.to_be_bytes()), &mut packet);
        let opened = opened.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let padding = usize::from(opened[0]);
        let end = opened.len().saturating_sub(padding).max(1);
        Ok(opened[1..end].to_vec())
    }

    /// Shuts the sending side down and receives what the client still sends.
    pub async fn end(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}
