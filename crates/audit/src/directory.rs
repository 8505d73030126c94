//! The storage on a file system: two directories.
//!
//! Only what was synced is assumed to survive a power failure: a new name is durable after
//! its directory was synced, and a small file is replaced by a rename, so it is never
//! incomplete. A lock excludes a second writer.

use crate::regular::{
    RegularFile, identity, look_at, names_in, open_directory, open_with, with_path,
};
use crate::storage::{Dir, FileState, LIVE, Live, RESERVE, Storage, is_removed_on_nfs};
use nix::sys::statvfs::statvfs;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const LOG_MODE: u32 = 0o640;
const KEY_MODE: u32 = 0o600;

/// The log's directory and the private one beside it.
#[derive(Debug)]
pub struct Directory {
    log: PathBuf,
    state: PathBuf,
    live: Option<File>,
    /// The kernel holds the lock until this file is closed.
    _lock: File,
}

impl Directory {
    /// Locks both directories for one writer. The state directory is created with mode 0700 if
    /// it does not exist; the log's directory must exist.
    ///
    /// # Errors
    /// `WouldBlock` if another writer has the lock; else the operating system's error.
    pub fn lock(log: &Path, state: &Path) -> io::Result<Self> {
        if !state.exists() {
            DirBuilder::new().mode(0o700).create(state)?;
        }
        // flock(2) on the directory itself: it needs no file, and the kernel releases it however
        // the process ends, so a crash leaves no stale lock behind.
        let lock = open_directory(state)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::WouldBlock, "another process writes this log")
            }
        })?;
        Ok(Self {
            log: log.to_owned(),
            state: state.to_owned(),
            live: None,
            _lock: lock,
        })
    }

    fn path(&self, place: Dir) -> &Path {
        match place {
            Dir::Log => &self.log,
            Dir::State => &self.state,
        }
    }

    fn file(&self) -> io::Result<&File> {
        self.live
            .as_ref()
            .ok_or_else(|| io::Error::other("the audit log is not open"))
    }
}

impl Storage for Directory {
    fn open(&mut self, create: bool) -> io::Result<()> {
        self.live = None;
        // O_APPEND: a file with `chattr +a` cannot be opened for writing without it (chattr(1)).
        let mut options = OpenOptions::new();
        // Reading too: once it is removed, only this descriptor has its records.
        options
            .read(true)
            .append(true)
            .create_new(create)
            .mode(LOG_MODE);
        let file = open_with(&mut options, &self.log.join(LIVE))?;
        if create {
            // The file's name is durable before the first record in it is.
            sync_directory(&self.log)?;
        }
        self.live = Some(file);
        Ok(())
    }

    fn close(&mut self) {
        self.live = None;
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self.file()?.write_all(lines);
        written.map_err(|error| with_path(&self.log.join(LIVE), error))
    }

    fn sync(&mut self) -> io::Result<()> {
        let synced = self.file()?.sync_data();
        synced.map_err(|error| with_path(&self.log.join(LIVE), error))
    }

    fn live(&self) -> io::Result<Live> {
        let open = self.file()?.metadata()?;
        let is_taken = match fs::symlink_metadata(self.log.join(LIVE)) {
            Ok(named) if identity(&named) == identity(&open) => return Ok(Live::Here(open.len())),
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        // No link is left: the kernel frees the blocks as soon as this process closes the file.
        if open.nlink() == 0 {
            return Ok(if is_taken { Live::Replaced } else { Live::Gone });
        }
        // Another program renamed the file, and only the inode tells its present name.
        for entry in fs::read_dir(&self.log)? {
            let entry = entry?;
            let found = match entry.metadata() {
                // It was removed or renamed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                found => found?,
            };
            if identity(&found) == identity(&open) {
                let name = entry.file_name().into_string().ok();
                return Ok(match name {
                    Some(name) if is_removed_on_nfs(&name) && is_taken => Live::Replaced,
                    Some(name) if is_removed_on_nfs(&name) => Live::Gone,
                    name => Live::Renamed {
                        name,
                        length: open.len(),
                    },
                });
            }
        }
        Ok(if is_taken {
            Live::Replaced
        } else {
            Live::Renamed {
                name: None,
                length: open.len(),
            }
        })
    }

    fn rename_live(&mut self, name: &str) -> io::Result<()> {
        let to = self.log.join(name);
        // rename(2) would replace an existing segment without an error.
        if to.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(self.log.join(LIVE), to)?;
        sync_directory(&self.log)
    }

    fn copy_live(&mut self, name: &str, length: u64, reserve: u64) -> io::Result<()> {
        let (to, unfinished) = (self.log.join(name), self.log.join(format!("{name}.new")));
        if to.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let live = self.file()?;
        if self.free()? < length.saturating_add(reserve) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let copied = create(&unfinished, LOG_MODE).and_then(|mut copy| {
            let mut from = FromStart { file: live, at: 0 };
            io::copy(&mut from.by_ref().take(length), &mut copy)?;
            copy.sync_all()?;
            fs::rename(&unfinished, to)
        });
        if copied.is_err() {
            // A part of it only takes space. It may not exist.
            let _ = fs::remove_file(unfinished);
        }
        copied?;
        sync_directory(&self.log)
    }

    fn cut(&mut self, name: &str, length: u64) -> io::Result<()> {
        let file = open_with(OpenOptions::new().write(true), &self.log.join(name))?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn list(&self, place: Dir) -> io::Result<Vec<String>> {
        names_in(self.path(place))
    }

    fn read(&self, place: Dir, name: &str) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(RegularFile::open(&self.path(place).join(name))?))
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = RegularFile::open(&self.log.join(name))?;
        let mut filled = 0;
        // pread(2) may give fewer bytes than asked for before the end of the file.
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn state(&self, name: &str) -> io::Result<FileState> {
        look_at(&self.log.join(name)).map(|found| FileState {
            identity: identity(&found),
            length: found.len(),
        })
    }

    fn append_to(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(LOG_MODE);
        let path = self.log.join(name);
        let mut file = open_with(&mut options, &path)?;
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(|error| with_path(&path, error))?;
        // The file may be new.
        sync_directory(&self.log)
    }

    fn remove(&mut self, place: Dir, name: &str) -> io::Result<()> {
        let directory = self.path(place);
        let path = directory.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            removed => removed.map_err(|error| with_path(&path, error))?,
        }
        sync_directory(directory)
    }

    fn free(&self) -> io::Result<u64> {
        let disk = statvfs(&self.log)?;
        // Blocks for unprivileged users (`f_bavail`), without those reserved for root, in units
        // of `f_frsize` (statvfs(3)).
        Ok(disk.blocks_available().saturating_mul(disk.fragment_size()))
    }

    fn store(&mut self, place: Dir, name: &str, content: &[u8]) -> io::Result<()> {
        let directory = self.path(place);
        let unfinished = directory.join(format!("{name}.new"));
        let mode = if place == Dir::State {
            KEY_MODE
        } else {
            LOG_MODE
        };
        // Synced before the rename: otherwise a power failure can leave the new name with none of
        // its content.
        let mut file = create(&unfinished, mode)?;
        let stored = file
            .write_all(content)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&unfinished, directory.join(name)));
        if stored.is_err() {
            // A part of it only takes space, on a disk that may be full.
            let _ = fs::remove_file(&unfinished);
        }
        stored.map_err(|error| with_path(&unfinished, error))?;
        sync_directory(directory)
    }

    fn erase(&mut self, place: Dir, name: &str) -> io::Result<()> {
        let directory = self.path(place);
        let path = directory.join(name);
        let file = match open_with(OpenOptions::new().write(true), &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        // unlink(2) alone leaves the bytes on the disk. Copy-on-write file systems and snapshots
        // keep them in any case (docs/audit-format.md).
        write_zeros(&file, file.metadata()?.len())?;
        fs::remove_file(path)?;
        sync_directory(directory)
    }

    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        let path = self.log.join(RESERVE);
        if look_at(&path).is_ok_and(|found| found.len() == bytes) {
            return Ok(());
        }
        // A link or a FIFO in its place would keep the log from resuming after each failure.
        if look_at(&path).is_err_and(|error| error.kind() == io::ErrorKind::InvalidInput) {
            fs::remove_file(&path)?;
        }
        let written = write_zeros(&create(&path, LOG_MODE)?, bytes);
        if written.is_err() {
            // A part of the reservation only takes space that the log can use.
            fs::remove_file(path)?;
        }
        written
    }

    fn release(&mut self) -> io::Result<()> {
        match fs::remove_file(self.log.join(RESERVE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Reads an open file without moving its position, which appending does not use either.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    open_with(&mut options, path)
}

/// Overwrites the first `bytes`. Written zeros occupy blocks, as a sparse file does not.
fn write_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(bytes), &mut file)?;
    file.sync_all()
}

pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    open_directory(path)?.sync_all()
}
