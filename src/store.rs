//! A folder of profile files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::profile::{FormatError, Profile, State};

mod file;
mod folder;
mod load;
mod name;
mod stale;

pub use stale::{Stale, StaleCause};

pub(crate) use folder::Claim;
use folder::Folder;

/// How the name ends of what a profile was when it last was normal, if it is not any more.
const NORMAL: &str = "normal";

/// A folder with one file for each profile.
///
/// Only its owner can read or change it. Files are replaced whole, so whatever happens to the
/// process or the machine, each is as it was saved once. Several processes can use one folder, but only one monitor at a time.
///
/// A profile that is no longer normal, because there were too many anomalies perhaps, is saved as the
/// training profile that it is. What it was when it was last saved as a normal one stays beside it, in a file of the same name that ends in
/// `.normal`, so that whoever looks into the matter can have it back: [`Profile::read_from`],
/// [`Monitor::reset`](crate::Monitor::reset), [`Monitor::import`](crate::Monitor::import).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use ebph::{Detector, Key, Limits, Store};
///
/// # let scratch = tempfile::tempdir().unwrap();
/// # let folder = scratch.path().join("profiles");
/// let mut detector = Detector::new(Limits::default());
/// let id = detector.add_profile(Key::new(8, 1, 42, 0));
/// let profile = detector.profile(id).expect("it was added");
///
/// let store = Store::open(folder)?;
/// store.save(&profile)?;
/// assert_eq!(store.load()?.profiles.len(), 1);
/// # Ok::<(), ebph::Error>(())
/// ```
#[derive(Debug)]
pub struct Store {
    folder: Folder,
}

/// What is in a [`Store`].
#[non_exhaustive]
#[derive(Debug, Default)]
pub struct Loaded {
    /// The profiles, the one saved last at the end.
    pub profiles: Vec<Stored>,
    /// What was found in place of profiles.
    pub set_aside: Vec<SetAside>,
}

/// A profile and its file.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Stored {
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub profile: Profile,
    /// When it was written.
    pub saved: SystemTime,
}

/// A file that is no profile that can be used.
#[non_exhaustive]
#[derive(Debug)]
pub struct SetAside {
    /// Where it is now: in the folder `set-aside`, or where it was if it could not be moved.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: FormatError,
}

impl Store {
    /// Opens a folder for profiles, or makes it, for this user alone.
    ///
    /// # Errors
    ///
    /// [`Error::InsecureDirectory`] if others could put their profiles there: it, or what it is a
    /// symbolic link to, belongs to another user, or its group or all may write to it.
    /// [`Error::Io`] if it can be neither made nor opened.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        let folder = Folder::open(dir.into())?;
        Ok(Self { folder })
    }

    /// Takes the folder for one monitor alone, until the claim is dropped: two would write over each
    /// other's files.
    pub(crate) fn claim(&self) -> Result<Claim> {
        self.folder.claim()
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a profile to its file, in place of what was there, and returns the file's path.
    ///
    /// Which file it is depends on the program's path, its content and for whom the profile is, so
    /// a changed program has another file, and that of the old one stays. For a profile without
    /// identity it depends on the key.
    ///
    /// # Errors
    ///
    /// As for [`Profile::write_to`], and [`Error::InsecureDirectory`] as for
    /// [`open`](Self::open): the folder is looked at each time.
    pub fn save(&self, profile: &Profile) -> Result<PathBuf> {
        let _lock = self.folder.check()?.share();
        let path = self.path_of(profile);
        keep_normal(&path, profile)?;
        profile.write_to(&path)?;
        Ok(path)
    }

    /// Reads all profiles, sets aside what should be one and is not, and removes what interrupted
    /// writes left.
    ///
    /// Nothing is moved or removed while another process writes to the folder. Files whose names
    /// do not end in `.json` are left alone.
    ///
    /// # Errors
    ///
    /// [`Error::InsecureDirectory`] as for [`open`](Self::open), [`Error::Io`] if the folder cannot
    /// be listed. A file that cannot be read is no error, but reported in what is returned.
    pub fn load(&self) -> Result<Loaded> {
        let lock = self.folder.check()?.exclude();
        load::load(&self.folder, lock.is_some())
    }

    /// Removes a profile's file; false if there was none.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be removed, [`Error::InsecureDirectory`] as for
    /// [`open`](Self::open).
    pub fn remove(&self, profile: &Profile) -> Result<bool> {
        self.remove_file(&self.path_of(profile))
    }

    /// Returns the profiles whose program is gone, or is another by now.
    ///
    /// A program counts as gone when there is none at its path as seen by this process: those of
    /// other mount namespaces, containers' for example, are not there. Profiles without identity
    /// are not listed, nor those whose program cannot be looked at.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn stale(&self) -> Result<Vec<Stale>> {
        self.folder.check()?;
        // What is no profile is for a load to report and to move.
        let profiles = load::load(&self.folder, false)?.profiles;
        Ok(profiles.into_iter().filter_map(stale::judge).collect())
    }

    /// Removes the file of a profile that [`stale`](Self::stale) listed; false if it is gone.
    ///
    /// # Errors
    ///
    /// As for [`remove`](Self::remove).
    pub fn forget(&self, stale: &Stale) -> Result<bool> {
        self.remove_file(&stale.path)
    }

    fn path_of(&self, profile: &Profile) -> PathBuf {
        self.path().join(name::of(profile))
    }

    /// Removes the file at `path`, of a profile that is forgotten.
    pub(crate) fn discard(&self, path: &Path) -> Result<()> {
        self.remove_file(path).map(|_was_there| ())
    }

    fn remove_file(&self, path: &Path) -> Result<bool> {
        let handle = self.folder.check()?;
        let _lock = handle.share();
        // First, so that none is left of which nobody knows.
        match fs::remove_file(path.with_extension(NORMAL)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let what = format!("removing what profile {} was", path.display());
                return Err(Error::io(what)(error));
            }
            _ => {}
        }
        match fs::remove_file(path) {
            Ok(()) => {
                let what = format!("removing profile {}", path.display());
                handle.sync().map_err(Error::io(what))?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io(format!("removing profile {}", path.display()))(
                error,
            )),
        }
    }
}

/// Keeps what is at `path` if it was normal and `next`, which takes its place, is not.
fn keep_normal(path: &Path, next: &Profile) -> Result<()> {
    // One that never was normal has nothing behind it, and need not be compared each time.
    if next.state() == State::Normal || next.basis() == 0 {
        return Ok(());
    }
    match file::read(path, libc::O_NOFOLLOW) {
        Ok(last) if last.state() == State::Normal => last.write_to(path.with_extension(NORMAL)),
        Err(FormatError::Unreadable { cause }) if cause.kind() != io::ErrorKind::NotFound => {
            // It may be a normal one.
            Err(Error::io(format!("reading profile {}", path.display()))(
                cause,
            ))
        }
        // Nothing there, or nothing to keep: what is no profile is for a load to set aside.
        _ => Ok(()),
    }
}
