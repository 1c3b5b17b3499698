//! Profiles in files: written whole or not at all, read with care.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::error::{Error, Result};
use crate::profile::{FormatError, MAX_BYTES, Profile};

/// How the names of files begin and end that are being written; the rest is made up.
pub(super) const UNFINISHED: (&str, &str) = (".ebph-", ".tmp");

impl Profile {
    /// Writes it to a file that only the owner can read, in place of what was there.
    ///
    /// At any moment, even if this process is killed or the machine fails, the file at `path` is
    /// either the old one or the new one, whole. When this returns the new one is on the disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be written, for want of space, say, or because what is there is no
    /// regular file; it is then as it was.
    pub fn write_to(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        write(folder, path, self.to_json().as_bytes())
            .map_err(Error::io(format!("writing profile {}", path.display())))
    }

    /// Reads it from a file, as [`from_json`](Self::from_json) does.
    ///
    /// # Errors
    ///
    /// [`Error::ProfileFile`] if what is there is no profile, [`Error::Io`] if it cannot be read.
    pub fn read_from(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        read(path, 0).map_err(|error| match error {
            FormatError::Unreadable { cause } => Error::Io {
                what: format!("reading profile {}", path.display()),
                cause,
            },
            cause => Error::ProfileFile {
                path: path.to_owned(),
                cause,
            },
        })
    }
}

fn write(folder: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    // Neither a device nor a link is to be replaced by a file.
    if let Ok(there) = path.symlink_metadata()
        && !there.is_file()
    {
        let what = format!("there is a {} already", kind(&there));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let (prefix, suffix) = UNFINISHED;
    let mut file = tempfile::Builder::new()
        .prefix(prefix)
        .suffix(suffix)
        .tempfile_in(folder)?;
    // What the process masks out (umask) has to do with files that it shares.
    let open = file.as_file();
    open.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The new name, too, must be on the disk.
    File::open(folder)?.sync_all()
}

/// Reads a profile without ever waiting for a file that is none; `flags` are those of open(2).
pub(super) fn read(path: &Path, flags: i32) -> Result<Profile, FormatError> {
    let unreadable = |cause| FormatError::Unreadable { cause };
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | flags)
        .open(path)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FormatError::NotAFile {
            kind: kind(&metadata),
        });
    }
    let too_large = |bytes| FormatError::TooLarge {
        bytes,
        limit: MAX_BYTES,
    };
    if metadata.len() > MAX_BYTES {
        return Err(too_large(metadata.len()));
    }
    let mut text = Vec::with_capacity(metadata.len() as usize);
    // It may have grown, and some files do not tell their size.
    let mut limited = file.take(MAX_BYTES + 1);
    limited.read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(too_large(text.len() as u64));
    }
    Profile::from_json(&text)
}

/// What a file is that is not a regular one.
pub(super) fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "directory"
    } else if kind.is_symlink() {
        "symbolic link"
    } else if kind.is_fifo() {
        "named pipe"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    }
}
