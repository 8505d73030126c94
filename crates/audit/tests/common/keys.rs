//! All private keys of a log, as somebody has them who copied each in time, and under wrong
//! names.

use super::simulated::{Simulated, is_key};
use super::{Sample, at, join, lines, settings, write};
use pulse_audit::verify::StateKeys;
use pulse_audit::{Dir, Log};

pub type Files = Vec<(String, Vec<u8>)>;

/// The private keys' files.
pub fn keys(disk: &Simulated) -> Files {
    let disk = disk.disk.lock().unwrap();
    let names = disk.files.keys().filter(|file| is_key(file));
    names
        .map(|(_, name)| (name.clone(), disk.content(Dir::State, name).unwrap()))
        .collect()
}

pub fn state(keys: &[(String, Vec<u8>)]) -> StateKeys {
    StateKeys::of_files(keys.iter().map(|(name, text)| (&**name, &**text)))
}

/// The same key, in a file with another epoch in its name and content.
pub fn renamed((name, text): &(String, Vec<u8>), epoch: u64) -> (String, Vec<u8>) {
    let own = name.strip_prefix("seal-key-").unwrap();
    let text = String::from_utf8(text.clone()).unwrap();
    let text = text.replacen(&format!(" {own} "), &format!(" {epoch} "), 1);
    (format!("seal-key-{epoch}"), text.into_bytes())
}

/// A log in epoch 6 whose keys were all copied: its lines, and the keys by epoch.
pub fn with_all_keys() -> (Sample, Vec<Vec<u8>>, Files) {
    let disk = Simulated::default();
    let mut log = Log::open(disk.clone(), settings(), at(0)).unwrap();
    let key = log.public_key();
    let mut kept = keys(&disk);
    for second in 1..7 {
        write(&mut log, second, "x");
        log.seal(at(second)).unwrap();
        kept.extend(keys(&disk));
    }
    let files = disk.disk.lock().unwrap().log();
    let all = lines(&join(&files));
    (Sample { files, key, disk }, all, kept)
}
