//! Which program a profile was learnt from, in terms that survive a reboot.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::clock;

/// A larger file is not read: nobody shall wait for the hash of a sparse one.
const HASH_LIMIT: u64 = 256 << 20;

/// Which program, and whose, a profile was learnt from.
///
/// Unlike a [`Key`](crate::Key) it holds across reboots and can be compared with the files of
/// another machine.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The executable; for a script, the interpreter.
    pub exe: FileIdentity,
    /// The script, if the profile belongs to one.
    pub script: Option<FileIdentity>,
    /// The cgroup's path below the root of the cgroup file system, empty for the root itself, where
    /// profiles are partitioned by cgroup.
    pub cgroup: Option<PathBuf>,
}

impl Identity {
    /// Returns the identity of an executable that is no script and in no cgroup of its own.
    pub fn new(exe: FileIdentity) -> Self {
        Self {
            exe,
            script: None,
            cgroup: None,
        }
    }

    /// Says which script it is.
    #[must_use]
    pub fn with_script(mut self, script: FileIdentity) -> Self {
        self.script = Some(script);
        self
    }

    /// Says which cgroup it is for.
    #[must_use]
    pub fn with_cgroup(mut self, cgroup: impl Into<PathBuf>) -> Self {
        self.cgroup = Some(cgroup.into());
        self
    }
}

/// One file as it was when it was looked at.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// Where it was.
    pub path: PathBuf,
    /// Its inode, as `stat(2)` says.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When its content was last changed, to the nanosecond; never before 1970.
    pub modified: SystemTime,
    /// When anything about it was last changed, likewise; other than `modified`, nobody can set it.
    pub changed: SystemTime,
    /// The SHA-256 of its content, if that was read.
    pub sha256: Option<[u8; 32]>,
}

impl FileIdentity {
    /// Looks at the file at a path, and reads it for its hash.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot be opened or read; `InvalidInput` if it is not a
    /// regular file.
    pub fn of(path: &Path) -> io::Result<Self> {
        Self::of_open(path, &open_regular(path)?)
    }

    /// Looks at a file that is open already, and reads it for its hash.
    ///
    /// The file's position stays where it is. `path` is only noted. The hash is left out if the
    /// file changed while it was read, or has more than 256 MiB.
    ///
    /// # Errors
    ///
    /// As for [`of`](Self::of).
    pub fn of_open(path: &Path, file: &File) -> io::Result<Self> {
        let before = Self::from_metadata(path, &file.metadata()?)?;
        if before.size > HASH_LIMIT {
            return Ok(before);
        }
        let sha256 = hash(file)?;
        let after = Self::from_metadata(path, &file.metadata()?)?;
        Ok(Self {
            sha256: before.same_file(&after).then_some(sha256),
            ..after
        })
    }

    /// Looks at the file at a path without reading it: there is no hash.
    ///
    /// # Errors
    ///
    /// As for [`of`](Self::of).
    pub fn stat_of(path: &Path) -> io::Result<Self> {
        Self::from_metadata(path, &path.metadata()?)
    }

    /// Looks at an open file without reading it.
    pub(crate) fn stat_of_open(path: &Path, file: &File) -> io::Result<Self> {
        Self::from_metadata(path, &file.metadata()?)
    }

    fn from_metadata(path: &Path, metadata: &Metadata) -> io::Result<Self> {
        if !metadata.is_file() {
            return Err(no_regular_file());
        }
        Ok(Self {
            path: path.to_owned(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: clock::printable(metadata.modified()?),
            changed: changed(metadata),
            sha256: None,
        })
    }

    /// Tells whether inode, size and both times are the same: as far as can be told without
    /// reading, this is the same file, unchanged.
    pub fn same_file(&self, other: &Self) -> bool {
        let stat = |file: &Self| (file.inode, file.size, file.modified, file.changed);
        stat(self) == stat(other)
    }

    /// Tells whether the content is known to be the same: size and hash.
    pub fn same_content(&self, other: &Self) -> bool {
        self.size == other.size && self.sha256.is_some() && self.sha256 == other.sha256
    }
}

/// Opens a regular file to read it. What is none is not opened: that alone can wake who waits at
/// the other end of a pipe, or start a device.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let there = File::options()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)?;
    if !there.metadata()?.is_file() {
        return Err(no_regular_file());
    }
    File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{}", there.as_raw_fd()))
}

fn no_regular_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

fn changed(metadata: &Metadata) -> SystemTime {
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    let since = Duration::from_secs(part(metadata.ctime()))
        .saturating_add(Duration::from_nanos(part(metadata.ctime_nsec())));
    let time = SystemTime::UNIX_EPOCH.checked_add(since);
    clock::printable(time.unwrap_or(SystemTime::UNIX_EPOCH))
}

fn hash(file: &File) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut position = 0;
    loop {
        let read = match file.read_at(&mut buffer, position) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..read]);
        position += read as u64;
    }
}
