//! Nodes that attack the readers of our errors and logs.

use pulse_e2e::{Config, Daemon};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

/// Text that clears a terminal, forges a log line and is long.
fn poison() -> Vec<u8> {
    let mut text = b"\x1b[2J\r\nERROR audit: forged \xe2\x80\xae,".to_vec();
    text.resize(20_000, b'p');
    text
}

/// The same in ASCII, which a check for ASCII name-lists accepts.
fn ascii_poison() -> Vec<u8> {
    let mut names = b"\x1b[2J\r\nERROR audit: forged,none,\x07,".to_vec();
    names.resize(3_000, b'p');
    names
}

/// A server that sends this to every client and closes when the client does.
fn server_sending(bytes: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // The client may have closed the connection already.
            let _ = stream.write_all(&bytes);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    address
}

/// A binary packet before encryption (RFC 4253, section 6).
fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 8 - (payload.len() + 5) % 8 + 4;
    let length = u32::try_from(payload.len() + padding + 1).unwrap();
    let mut packet = length.to_be_bytes().to_vec();
    packet.push(u8::try_from(padding).unwrap());
    packet.extend(payload);
    packet.resize(packet.len() + padding, 0);
    packet
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// A KEXINIT with this text in every name-list (RFC 4253, section 7.1).
fn key_exchange_of(names: &[u8]) -> Vec<u8> {
    let mut payload = vec![20];
    payload.extend([7; 16]);
    for _ in 0..10 {
        payload.extend(string(&names[..names.len().min(3_000)]));
    }
    payload.extend([0; 5]);
    packet(&payload)
}

/// A DISCONNECT with this text (RFC 4253, section 11.1).
fn disconnect(words: &[u8]) -> Vec<u8> {
    let payload = [&[1, 0, 0, 0, 2][..], &string(words), &string(b"en")].concat();
    packet(&payload)
}

/// A DEBUG message that asks to be shown (RFC 4253, section 11.3).
fn debug_message(words: &[u8]) -> Vec<u8> {
    let payload = [&[4, 1][..], &string(words), &string(b"en")].concat();
    packet(&payload)
}

#[test]
fn unknown_nodes_text_is_escaped() {
    let version = b"SSH-2.0-x\r\n".to_vec();
    for (what, bytes) in [
        ("text instead of a version", poison()),
        (
            "a version",
            [b"SSH-2.0-", &poison()[..200], b"\r\n"].concat(),
        ),
        ("a banner", [&poison()[..], b"\r\n", &version].concat()),
        (
            "names",
            [version.clone(), key_exchange_of(&poison())].concat(),
        ),
        (
            "ASCII names",
            [version.clone(), key_exchange_of(&ascii_poison())].concat(),
        ),
        (
            "a DISCONNECT",
            [version.clone(), disconnect(&poison())].concat(),
        ),
        (
            "a DEBUG message",
            [version.clone(), debug_message(&poison())].concat(),
        ),
        ("a huge packet", [&version[..], &[0xff; 64]].concat()),
        ("an empty packet", [&version[..], &[0; 64]].concat()),
    ] {
        let config = Config::new().set("request_timeout", "'1s'");
        let config = config.set("log_level", "'debug'");
        let daemon = Daemon::start(&config.node("pve1", server_sending(bytes)));
        let error = daemon.temperature("pve1").unwrap_err();
        assert!(error.starts_with("node \"pve1\" "), "{what}: {error}");
        assert!(error.len() < 1_000, "{what}: {} bytes", error.len());
        assert!(
            error.chars().all(|c| c == ' ' || c.is_ascii_graphic()),
            "{what}: {error:?}"
        );
        let records = daemon.home().records_of("command.finish");
        assert_eq!(records.len(), 1, "{what}");
        let log = daemon.log();
        assert!(
            !log.contains('\u{1b}') && !log.contains("\nERROR audit"),
            "{what}: {log}"
        );
        assert!(log.len() < 20_000, "{what}: {} bytes", log.len());
    }
}
