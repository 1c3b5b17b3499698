//! Profiles whose program is no longer what they were learnt from.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::Stored;
use crate::profile::{FileIdentity, Profile};

/// A stored profile whose program is gone, or is another by now.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Stale {
    /// The profile's file.
    pub path: PathBuf,
    /// The profile.
    pub profile: Profile,
    /// What became of the program.
    pub cause: StaleCause,
    /// Which file it is that is gone or replaced: the executable or the script.
    pub program: PathBuf,
}

/// What became of a profile's program.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StaleCause {
    /// Nothing is at its path, or no file.
    Gone,
    /// A file with another content is at its path.
    Replaced,
}

impl fmt::Display for StaleCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gone => "gone",
            Self::Replaced => "replaced",
        })
    }
}

pub(super) fn judge(stored: Stored) -> Option<Stale> {
    let identity = stored.profile.identity()?;
    let files = [Some(&identity.exe), identity.script.as_ref()];
    let (program, cause) = files.into_iter().flatten().find_map(|file| {
        let cause = cause(file)?;
        Some((file.path.clone(), cause))
    })?;
    Some(Stale {
        path: stored.path,
        profile: stored.profile,
        cause,
        program,
    })
}

/// What became of a file; `None` if it is what it was, or cannot be looked at.
fn cause(file: &FileIdentity) -> Option<StaleCause> {
    use io::ErrorKind::{InvalidInput, NotADirectory, NotFound};

    let now = match FileIdentity::stat_of(&file.path) {
        Ok(now) => now,
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | InvalidInput) => {
            return Some(StaleCause::Gone);
        }
        Err(_) => return None,
    };
    if file.same_file(&now) {
        return None;
    }
    // An update may bring the same content again; without a hash that cannot be told.
    let same = now.size == file.size
        && match file.sha256 {
            Some(_) => file.same_content(&FileIdentity::of(&file.path).ok()?),
            None => false,
        };
    (!same).then_some(StaleCause::Replaced)
}
