//! The means of somebody who can write every file: new numbers and hashes for records, and seals
//! with any key.

use super::simulated::{Simulated, is_key};
use super::{Sample, is_seal};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::{Path, PathBuf};

pub fn hash(line: &str) -> String {
    let (hashed, _) = line.split_once(",\"event_hash\"").unwrap();
    hash_of(hashed)
}

/// A SHA-256 in hexadecimal digits.
pub fn hash_of(hashed: &str) -> String {
    Sha256::digest(hashed)
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
}

pub fn value<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap();
    rest.trim_start_matches('"')
        .split(['"', ','])
        .next()
        .unwrap()
}

/// Changes the content of a record, but not its number and hashes.
pub fn falsify(line: &mut Vec<u8>) {
    let text = String::from_utf8(line.clone()).unwrap();
    *line = text.replacen("T10:", "T09:", 1).into_bytes();
}

/// Recomputes numbers and hashes from line `from` on.
pub fn rechain(lines: &[Vec<u8>], from: usize) -> Vec<Vec<u8>> {
    let mut out = lines[..from].to_vec();
    let mut prev = match from {
        0 => "0".repeat(64),
        _ => value(std::str::from_utf8(&lines[from - 1]).unwrap(), "event_hash").to_owned(),
    };
    for (index, line) in lines.iter().enumerate().skip(from) {
        let line = String::from_utf8(line.clone()).unwrap();
        let line = renumbered(&line, index + 1, &prev);
        let old = value(&line, "event_hash").to_owned();
        prev = hash(&line);
        out.push(line.replacen(&old, &prev, 1).into_bytes());
    }
    out
}

fn renumbered(line: &str, seq: usize, prev: &str) -> String {
    let (old_seq, old_prev) = (value(line, "seq"), value(line, "prev_hash"));
    let line = line.replacen(
        &format!("\"seq\":{old_seq},"),
        &format!("\"seq\":{seq},"),
        1,
    );
    line.replacen(
        &format!("\"prev_hash\":\"{old_prev}"),
        &format!("\"prev_hash\":\"{prev}"),
        1,
    )
}

/// Signs the seal in line `at` again, and leaves its hash and later lines.
pub fn reseal(lines: &mut [Vec<u8>], at: usize, key: &SigningKey) {
    let line = String::from_utf8(lines[at].clone()).unwrap();
    let (signed, _) = line.split_once(",\"signature\"").unwrap();
    let signature = STANDARD.encode(key.sign(signed.as_bytes()).to_bytes());
    lines[at] = line
        .replacen(value(&line, "signature"), &signature, 1)
        .into_bytes();
}

/// Recomputes hashes from line `from` on, and signs every seal there with `key`.
pub fn rechain_and_reseal(lines: &[Vec<u8>], from: usize, key: &SigningKey) -> Vec<Vec<u8>> {
    let mut lines = rechain(lines, from);
    for at in from..lines.len() {
        if is_seal(&lines[at]) {
            reseal(&mut lines, at, key);
            lines = rechain(&lines, at);
        }
    }
    lines
}

/// Puts `key` into every record from line `from` on that has one.
pub fn rename_keys(lines: &mut [Vec<u8>], from: usize, key: &SigningKey) {
    let ours = public(key);
    for line in &mut lines[from..] {
        let mut text = String::from_utf8(line.clone()).unwrap();
        for name in ["key", "next_key"] {
            if text.contains(&format!("\"{name}\":")) {
                text = text.replace(&value(&text, name).to_owned(), &ours);
            }
        }
        *line = text.into_bytes();
    }
}

pub fn public(key: &SigningKey) -> String {
    STANDARD.encode(key.verifying_key().to_bytes())
}

/// The one private key, as a thief reads it from its file.
pub fn todays_key(sample: &Sample) -> SigningKey {
    todays_key_on(&sample.disk)
}

/// As [`todays_key`], on this disk.
pub fn todays_key_on(disk: &Simulated) -> SigningKey {
    let disk = disk.disk.lock().unwrap();
    let (_, name) = disk.files.keys().find(|file| is_key(file)).unwrap();
    key_in(&disk.content(pulse_audit::Dir::State, name).unwrap())
}

/// The same, from a real state directory; it must be the only one.
pub fn stolen_key(state: &Path) -> SigningKey {
    let files = std::fs::read_dir(state).unwrap().flatten();
    let is_key = |path: &PathBuf| path.to_string_lossy().contains("seal-key-");
    let keys: Vec<_> = files.map(|file| file.path()).filter(is_key).collect();
    assert_eq!(keys.len(), 1, "old keys are erased");
    key_in(&std::fs::read(&keys[0]).unwrap())
}

fn key_in(file: &[u8]) -> SigningKey {
    let text = std::str::from_utf8(file).unwrap();
    let seed = STANDARD
        .decode(text.trim().rsplit(' ').next().unwrap())
        .unwrap();
    SigningKey::from_bytes(&seed.try_into().unwrap())
}

/// The public key in a record, if it has one.
pub fn key_named(line: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(line).unwrap();
    text.contains("\"key\":")
        .then(|| value(text, "key").to_owned())
}
