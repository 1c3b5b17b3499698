//! Cgroups of a test's own.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::eventually;

/// A cgroup that is removed when dropped.
pub struct Cgroup(PathBuf);

impl Cgroup {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ebph-live-{}-{number}", std::process::id());
        let path = mount().join(name);
        fs::create_dir(&path).unwrap_or_else(|error| {
            panic!(
                "this test needs to make a cgroup: {}: {error}",
                path.display()
            )
        });
        Self(path)
    }

    /// A cgroup below this one.
    pub fn child(&self, name: &str) -> Self {
        let path = self.0.join(name);
        fs::create_dir(&path).expect("a cgroup of ours takes children");
        Self(path)
    }

    /// Moves a process here.
    pub fn take(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("the process lives");
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its id is its inode number.
    pub fn id(&self) -> u64 {
        self.0.metadata().expect("it exists").ino()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = fs::remove_dir(&self.0);
            return;
        }
        // Its last process may still be on its way out.
        eventually("the cgroup to be empty", || fs::remove_dir(&self.0).ok());
    }
}

/// Where the cgroup v2 hierarchy is: where it is mounted, or else a mount that no other process
/// has in its tree.
fn mount() -> PathBuf {
    let mounts = fs::read_to_string("/proc/mounts").expect("/proc is mounted");
    let found = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let path = fields.nth(1)?;
        (fields.next()? == "cgroup2").then(|| PathBuf::from(path))
    });
    found.unwrap_or_else(|| {
        static DETACHED: OnceLock<OwnedFd> = OnceLock::new();
        let fd = DETACHED.get_or_init(|| detached().expect("this test needs cgroup v2"));
        PathBuf::from(format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            fd.as_raw_fd()
        ))
    })
}

fn detached() -> rustix::io::Result<OwnedFd> {
    let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )
}
