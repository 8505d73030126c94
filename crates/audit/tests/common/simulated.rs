//! A disk that can fail and lose power.
//!
//! Files have two contents: what the program sees, and what is on the platter. A crash leaves the
//! content of the platter, and of what was appended since the last sync a prefix of any length,
//! perhaps with garbage after it. Names change at once and durably, as `Storage` requires: between
//! two of its methods a test can refuse the next one, or cut the power before, during or after
//! it.

use pulse_audit::verify::StateKeys;
use pulse_audit::{Dir, FileState, LIVE, Live, Storage};
use std::collections::BTreeMap;
use std::io::{self, Cursor, ErrorKind, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex};

#[derive(Clone, Debug, Default)]
pub struct File {
    pub seen: Vec<u8>,
    pub safe: usize,
    /// Visible until the power fails, and never on the platter.
    lost: Vec<Range<usize>>,
}

pub const EIO: i32 = 5;
pub const EMFILE: i32 = 24;
pub const ENOSPC: i32 = 28;
pub const EROFS: i32 = 30;

/// The fate of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused with this error number, without effect.
    Before(i32),
    /// Refused after it was done, or half done for an append.
    After(i32),
    /// A sync is refused, and its bytes count as written, as on Linux: no later sync puts them on
    /// the platter.
    Lost(i32),
    /// The power fails before it.
    PowerBefore,
    /// The power fails in the middle or right after it.
    PowerAfter,
}

#[derive(Debug, Default)]
pub struct Disk {
    pub files: BTreeMap<(u8, String), u64>,
    pub inodes: BTreeMap<u64, File>,
    next: u64,
    /// Operations done so far.
    pub operations: u64,
    /// The fate of operations: from which on, and for how many.
    pub fault: Option<(u64, u64, Fault)>,
    pub dead: bool,
    /// Only fdatasync(2) of the live file fails, with EIO.
    pub sync_fails: bool,
    /// No file can be opened, and no directory be listed.
    pub no_descriptors: bool,
    /// The number of times that the space was reserved.
    pub reservations: u64,
    /// The live file's name is that of a link, which this process may remove and not rename.
    pub live_is_a_link: bool,
    /// The device number, which a mount can change.
    pub device: u64,
    /// Files cannot be cut or renamed (`chattr +a`).
    pub append_only: bool,
    pub seed: u64,
}

/// The disk, shared by the test and the log.
#[derive(Clone, Debug, Default)]
pub struct Simulated {
    pub disk: Arc<Mutex<Disk>>,
    open: Option<u64>,
}

impl Simulated {
    /// Removes what the last writer has stored about its files, as if an earlier release had
    /// written the log, or a crash had come before.
    pub fn forget(&self) {
        let mut disk = self.disk.lock().unwrap();
        for name in ["end", "files", "stopped"] {
            disk.files.remove(&(1, name.to_owned()));
        }
    }
}

enum Go {
    On,
    ThenFail(io::Error),
    ThenLose(io::Error),
}

/// True for a private key, among the files of both directories.
pub fn is_key((place, name): &(u8, String)) -> bool {
    *place == 1 && name.starts_with("seal-key-")
}

fn key(place: Dir, name: &str) -> (u8, String) {
    (u8::from(place == Dir::State), name.to_owned())
}

impl Disk {
    fn operation(&mut self) -> io::Result<Go> {
        if self.dead {
            return Err(io::Error::other("no power"));
        }
        let number = self.operations;
        self.operations += 1;
        match self.fault {
            Some((from, count, fault)) if number >= from && number < from + count => match fault {
                Fault::Before(number) => Err(io::Error::from_raw_os_error(number)),
                Fault::After(number) => Ok(Go::ThenFail(io::Error::from_raw_os_error(number))),
                Fault::Lost(number) => Ok(Go::ThenLose(io::Error::from_raw_os_error(number))),
                Fault::PowerBefore => {
                    self.dead = true;
                    Err(io::Error::other("no power"))
                }
                Fault::PowerAfter => {
                    self.dead = true;
                    Ok(Go::ThenFail(io::Error::other("no power")))
                }
            },
            _ => Ok(Go::On),
        }
    }

    fn random(&mut self) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.seed >> 33
    }

    fn inode(&mut self, place: Dir, name: &str) -> io::Result<u64> {
        self.files
            .get(&key(place, name))
            .copied()
            .ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn check_regular(&self, name: &str) -> io::Result<()> {
        if self.live_is_a_link && name == LIVE {
            return Err(ErrorKind::InvalidInput.into());
        }
        Ok(())
    }

    fn create(&mut self, place: Dir, name: &str, content: &[u8]) {
        self.next += 1;
        let file = File {
            seen: content.to_vec(),
            safe: content.len(),
            lost: Vec::new(),
        };
        self.inodes.insert(self.next, file);
        self.files.insert(key(place, name), self.next);
    }

    /// Puts a file on the disk, as another program does.
    pub fn create_log_file(&mut self, name: &str, content: &[u8]) {
        self.create(Dir::Log, name, content);
    }

    /// Restores the power.
    pub fn restart(&mut self) {
        self.dead = false;
        self.fault = None;
        let numbers: Vec<u64> = self.inodes.keys().copied().collect();
        for number in numbers {
            let (keep, rubbish) = (self.random(), self.random());
            let file = self.inodes.get_mut(&number).unwrap();
            let unsafe_bytes = file.seen.len() - file.safe;
            let kept = file.safe + usize::try_from(keep).unwrap() % (unsafe_bytes + 1);
            file.seen.truncate(kept);
            for lost in std::mem::take(&mut file.lost) {
                file.seen[lost].fill(0);
            }
            if unsafe_bytes > 0 && rubbish % 4 == 0 {
                file.seen.extend_from_slice(
                    &b"\0\0\n\xffrubbish\n{"[..usize::try_from(rubbish / 4 % 12).unwrap()],
                );
            }
            file.safe = file.seen.len();
        }
    }

    pub fn content(&self, place: Dir, name: &str) -> Option<Vec<u8>> {
        let inode = self.files.get(&key(place, name))?;
        Some(self.inodes[inode].seen.clone())
    }

    /// The private keys.
    pub fn state_keys(&self) -> StateKeys {
        let keys = self.files.iter().filter(|(file, _)| is_key(file));
        StateKeys::of_files(keys.map(|((_, name), inode)| (&**name, &*self.inodes[inode].seen)))
    }

    /// The whole log: segments by age, then the live file.
    pub fn log(&self) -> Vec<(String, Vec<u8>)> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        for (place, name) in self.files.keys() {
            if *place == 0 && name.starts_with("audit.log-") {
                found.push((name.clone(), self.content(Dir::Log, name).unwrap()));
            }
        }
        if let Some(live) = self.content(Dir::Log, LIVE) {
            found.push((LIVE.to_owned(), live));
        }
        found
    }
}

fn after(go: Go) -> io::Result<()> {
    match go {
        Go::On => Ok(()),
        Go::ThenFail(error) | Go::ThenLose(error) => Err(error),
    }
}

impl Storage for Simulated {
    fn open(&mut self, create: bool) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        self.open = None;
        let go = disk.operation()?;
        if create {
            if disk.inode(Dir::Log, LIVE).is_ok() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            disk.create(Dir::Log, LIVE, b"");
        }
        self.open = Some(disk.inode(Dir::Log, LIVE)?);
        after(go)
    }

    fn close(&mut self) {
        self.open = None;
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        let go = disk.operation()?;
        let number = self.open.ok_or(ErrorKind::Other)?;
        let part = match go {
            Go::On => lines.len(),
            Go::ThenFail(_) | Go::ThenLose(_) => {
                usize::try_from(disk.random()).unwrap() % (lines.len() + 1)
            }
        };
        disk.inodes
            .get_mut(&number)
            .unwrap()
            .seen
            .extend_from_slice(&lines[..part]);
        after(go)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        let go = disk.operation()?;
        if disk.sync_fails {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let file = disk
            .inodes
            .get_mut(&self.open.ok_or(ErrorKind::Other)?)
            .unwrap();
        if let Go::ThenLose(_) = go {
            file.lost.push(file.safe..file.seen.len());
        }
        file.safe = file.seen.len();
        after(go)
    }

    fn live(&self) -> io::Result<Live> {
        let mut disk = self.disk.lock().unwrap();
        if disk.dead {
            return Err(io::Error::other("no power"));
        }
        let open = self.open.ok_or(ErrorKind::Other)?;
        let named = disk
            .files
            .iter()
            .find(|(_, inode)| **inode == open)
            .map(|(name, _)| name.1.clone());
        Ok(match named {
            None if disk.inode(Dir::Log, LIVE).is_ok() => Live::Replaced,
            None => Live::Gone,
            Some(name) if name == LIVE => {
                Live::Here(disk.inodes.get_mut(&open).unwrap().seen.len() as u64)
            }
            name => Live::Renamed {
                name,
                length: disk.inodes[&open].seen.len() as u64,
            },
        })
    }

    fn rename_live(&mut self, name: &str) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        if disk.append_only || disk.live_is_a_link {
            return Err(ErrorKind::PermissionDenied.into());
        }
        if disk.inode(Dir::Log, name).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let go = disk.operation()?;
        if disk.inode(Dir::Log, name).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = disk.inode(Dir::Log, LIVE)?;
        disk.files.remove(&key(Dir::Log, LIVE));
        disk.files.insert(key(Dir::Log, name), inode);
        after(go)
    }

    fn copy_live(&mut self, name: &str, length: u64, _: u64) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        let open = self.open.ok_or(ErrorKind::Other)?;
        if disk.inode(Dir::Log, name).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let go = disk.operation()?;
        let mut content = disk.inodes[&open].seen.clone();
        content.truncate(usize::try_from(length).unwrap());
        disk.create(Dir::Log, name, &content);
        after(go)
    }

    fn cut(&mut self, name: &str, length: u64) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        if disk.append_only {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let go = disk.operation()?;
        let inode = disk.inode(Dir::Log, name)?;
        let file = disk.inodes.get_mut(&inode).unwrap();
        let length = usize::try_from(length).unwrap();
        file.seen.truncate(length);
        file.safe = file.seen.len();
        for lost in &mut file.lost {
            *lost = lost.start.min(length)..lost.end.min(length);
        }
        after(go)
    }

    fn list(&self, place: Dir) -> io::Result<Vec<String>> {
        let mut disk = self.disk.lock().unwrap();
        after(disk.operation()?)?;
        if disk.no_descriptors {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        let wanted = key(place, "").0;
        let names = disk.files.keys().filter(|(place, _)| *place == wanted);
        Ok(names.map(|(_, name)| name.clone()).collect())
    }

    fn read(&self, place: Dir, name: &str) -> io::Result<Box<dyn Read + '_>> {
        let mut disk = self.disk.lock().unwrap();
        after(disk.operation()?)?;
        disk.check_regular(name)?;
        let inode = disk.inode(place, name)?;
        Ok(Box::new(Cursor::new(disk.inodes[&inode].seen.clone())))
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut disk = self.disk.lock().unwrap();
        after(disk.operation()?)?;
        if disk.no_descriptors {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        let inode = disk.inode(Dir::Log, name)?;
        let content = &disk.inodes[&inode].seen;
        let offset = usize::try_from(offset).unwrap().min(content.len());
        let count = buffer.len().min(content.len() - offset);
        buffer[..count].copy_from_slice(&content[offset..offset + count]);
        Ok(count)
    }

    fn state(&self, name: &str) -> io::Result<FileState> {
        let mut disk = self.disk.lock().unwrap();
        after(disk.operation()?)?;
        disk.check_regular(name)?;
        let inode = disk.inode(Dir::Log, name)?;
        Ok(FileState {
            identity: (disk.device, inode),
            length: disk.inodes[&inode].seen.len() as u64,
        })
    }

    fn append_to(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        let go = disk.operation()?;
        if disk.inode(Dir::Log, name).is_err() {
            disk.create(Dir::Log, name, b"");
        }
        let inode = disk.inode(Dir::Log, name)?;
        let part = match go {
            Go::On => bytes.len(),
            Go::ThenFail(_) | Go::ThenLose(_) => {
                usize::try_from(disk.random()).unwrap() % (bytes.len() + 1)
            }
        };
        let file = disk.inodes.get_mut(&inode).unwrap();
        file.seen.extend_from_slice(&bytes[..part]);
        match go {
            Go::On => file.safe = file.seen.len(),
            Go::ThenLose(_) => {
                file.lost.push(file.safe..file.seen.len());
                file.safe = file.seen.len();
            }
            Go::ThenFail(_) => (),
        }
        after(go)
    }

    fn remove(&mut self, place: Dir, name: &str) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        let go = disk.operation()?;
        disk.files.remove(&key(place, name));
        disk.live_is_a_link &= name != LIVE;
        after(go)
    }

    fn free(&self) -> io::Result<u64> {
        let mut disk = self.disk.lock().unwrap();
        after(disk.operation()?)?;
        Ok(1 << 30)
    }

    fn store(&mut self, place: Dir, name: &str, content: &[u8]) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        let go = disk.operation()?;
        disk.create(place, name, content);
        after(go)
    }

    fn erase(&mut self, place: Dir, name: &str) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        let go = disk.operation()?;
        let Ok(inode) = disk.inode(place, name) else {
            return after(go);
        };
        disk.inodes.get_mut(&inode).unwrap().seen.fill(0);
        after(go)?;
        // A crash can come between the zeros and the removal.
        let go = disk.operation()?;
        disk.files.remove(&key(place, name));
        after(go)
    }

    fn reserve(&mut self, _bytes: u64) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        disk.reservations += 1;
        after(disk.operation()?)
    }

    fn release(&mut self) -> io::Result<()> {
        after(self.disk.lock().unwrap().operation()?)
    }
}
