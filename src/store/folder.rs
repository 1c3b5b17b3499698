//! The folder itself: whose it is, who may write to it, and who does.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use crate::error::{Error, Result};

/// Write permission for anybody but the owner. An access list shows in the group's bits.
const OTHERS_WRITE: u32 = 0o022;

/// A folder that only its owner can write to.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens a folder, or makes it, with those above it.
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        create(&path).map_err(Error::io(format!(
            "making the profile folder {}",
            path.display()
        )))?;
        let folder = Self { path };
        folder.check()?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the folder, if others can still not write to it.
    pub(super) fn check(&self) -> Result<Handle> {
        let what = || format!("opening the profile folder {}", self.path.display());
        let own = rustix::process::geteuid().as_raw();
        let insecure = |mode: u32, why: String| Error::InsecureDirectory {
            path: self.path.clone(),
            mode: mode & 0o7777,
            why,
        };
        // Whoever owns the link decides what it leads to.
        let named = fs::symlink_metadata(&self.path).map_err(Error::io(what()))?;
        if named.is_symlink() && named.uid() != own && named.uid() != 0 {
            let why = format!(
                "it is a symbolic link that belongs to user {}: name the folder itself",
                named.uid()
            );
            return Err(insecure(named.mode(), why));
        }
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(&self.path)
            .map_err(Error::io(what()))?;
        let metadata = file.metadata().map_err(Error::io(what()))?;
        if metadata.uid() != own {
            let why = format!(
                "it belongs to user {}, not to user {own}, who uses it: use another, or chown it",
                metadata.uid()
            );
            return Err(insecure(metadata.mode(), why));
        }
        if metadata.mode() & OTHERS_WRITE != 0 {
            let why = "others than its owner can write to it, and so put profiles there by which \
                       anything is normal: use a folder for profiles alone, mode 0700";
            return Err(insecure(metadata.mode(), why.to_owned()));
        }
        Ok(Handle(file))
    }
}

/// The file whose lock says that a monitor keeps its profiles in the folder.
const CLAIM: &str = ".ebph-monitor.lock";

/// That nobody else keeps profiles in a folder, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    _file: Option<File>,
}

impl Folder {
    /// Takes the folder for one monitor alone. Where there are no locks, it trusts.
    pub(super) fn claim(&self) -> Result<Claim> {
        let path = self.path.join(CLAIM);
        let what = format!("opening {}", path.display());
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path)
            .map_err(Error::io(what))?;
        match retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(Claim { _file: Some(file) }),
            Err(Errno::WOULDBLOCK) => Err(Error::ProfileDirectoryInUse(self.path.clone())),
            Err(_) => Ok(Claim { _file: None }),
        }
    }
}

fn create(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    if let Some(above) = path.parent()
        && above != Path::new("")
    {
        builder.recursive(true).create(above)?;
    }
    match builder.recursive(false).create(path) {
        // Whatever this process masks out (umask).
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o700)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// The open folder.
pub(super) struct Handle(File);

/// A lock on a folder, until it is dropped.
pub(super) struct Lock {
    _handle: Handle,
}

impl Handle {
    /// Waits until nobody moves or removes what is in the folder, and keeps it so. Where there
    /// are no locks there is none.
    pub(super) fn share(&self) -> Option<Lock> {
        self.lock(FlockOperation::LockShared)
    }

    /// Keeps others from writing to the folder; `None` if somebody does.
    pub(super) fn exclude(&self) -> Option<Lock> {
        self.lock(FlockOperation::NonBlockingLockExclusive)
    }

    fn lock(&self, operation: FlockOperation) -> Option<Lock> {
        // The lock belongs to the open file, which its copy shares.
        let handle = Self(self.0.try_clone().ok()?);
        retry_on_intr(|| flock(&handle.0, operation)).ok()?;
        Some(Lock { _handle: handle })
    }

    /// Brings changes of names to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}
