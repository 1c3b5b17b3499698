//! Everything in a folder, and what should not be there.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::folder::Folder;
use super::{Loaded, SetAside, Stored, file};
use crate::error::{Error, Result};
use crate::profile::FormatError;

/// Where files go that are no profiles.
const SET_ASIDE: &str = "set-aside";
const EXTENSION: &str = "json";
/// How many files of one name can be set aside.
const NAMESAKES: u32 = 1000;

/// Reads a folder; moves and removes files only if nobody else is at work there.
pub(super) fn load(folder: &Folder, alone: bool) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    for path in list(folder.path())? {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let (prefix, suffix) = file::UNFINISHED;
        if name.starts_with(prefix.as_bytes()) && name.ends_with(suffix.as_bytes()) {
            if alone {
                // If it cannot be removed now it can be the next time.
                let _ = fs::remove_file(&path);
            }
        } else if path.extension().is_some_and(|end| end == EXTENSION) {
            match read(&path) {
                Ok(stored) => loaded.profiles.push(stored),
                // Removed by somebody else since the folder was listed.
                Err(FormatError::Unreadable { cause })
                    if cause.kind() == io::ErrorKind::NotFound => {}
                Err(reason) => {
                    // One that cannot be read now may be as good as any.
                    let movable = alone && !matches!(reason, FormatError::Unreadable { .. });
                    let moved = movable.then(|| set_aside(folder.path(), &path)).flatten();
                    let path = moved.unwrap_or(path);
                    loaded.set_aside.push(SetAside { path, reason });
                }
            }
        }
    }
    loaded
        .profiles
        .sort_by(|one, other| (one.saved, &one.path).cmp(&(other.saved, &other.path)));
    Ok(loaded)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    let mut paths = read().map_err(Error::io(format!(
        "listing the profile folder {}",
        folder.display()
    )))?;
    paths.sort_unstable();
    Ok(paths)
}

fn read(path: &Path) -> Result<Stored, FormatError> {
    let unreadable = |cause| FormatError::Unreadable { cause };
    let metadata = fs::symlink_metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FormatError::NotAFile {
            kind: file::kind(&metadata),
        });
    }
    // Not even if it became a link just now.
    let profile = file::read(path, libc::O_NOFOLLOW)?;
    Ok(Stored {
        path: path.to_owned(),
        saved: profile.saved_at().unwrap_or(SystemTime::UNIX_EPOCH),
        profile,
    })
}

/// Moves a file to where those go that are no profiles; `None` if it stays where it is.
fn set_aside(folder: &Path, path: &Path) -> Option<PathBuf> {
    // A folder is somebody's, and whatever is in it.
    let is_dir = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.is_dir());
    if is_dir(path).unwrap_or(true) {
        return None;
    }
    let aside = folder.join(SET_ASIDE);
    match DirBuilder::new().mode(0o700).create(&aside) {
        // Whatever this process masks out (umask).
        Ok(()) => fs::set_permissions(&aside, Permissions::from_mode(0o700)).ok()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
        Err(_) => return None,
    }
    if !is_dir(&aside).ok()? {
        return None;
    }
    let name = path.file_name()?;
    (0..NAMESAKES).find_map(|number| {
        let mut name = name.to_owned();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        let target = aside.join(name);
        renameat_with(CWD, path, CWD, &target, RenameFlags::NOREPLACE).ok()?;
        Some(target)
    })
}
