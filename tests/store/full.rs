//! A disk without room.

use std::fs;
use std::thread;

use ebph::{Error, Key, Profile, Store};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::{content, names, profile, scratch};

/// Check that a disk which is full leaves the old file whole, and nothing else. Needs root: the
/// disk is a small tmpfs, in a mount namespace that ends with its thread.
#[test]
fn root_full_disk() {
    assert!(rustix::process::geteuid().is_root(), "this test needs root");
    let (scratch, _) = scratch();
    let disk = scratch.path().to_owned();
    let thread = thread::spawn(move || {
        // SAFETY: no file descriptors are unshared, and the thread's working directory is used by
        // nobody else.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.expect("root can make a mount namespace");
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        let flags = MountFlags::empty();
        mount("none", &disk, "tmpfs", flags, Some(c"size=64k,mode=0700")).unwrap();

        let store = Store::open(&disk).unwrap();
        let key = Key::new(8, 1, 42, 0);
        let (old, new) = (profile(key, 20), profile(key, 200));
        assert!(old.to_json().len() < 32 << 10 && new.to_json().len() > 64 << 10);
        let path = store.save(&old).unwrap();
        let before = fs::read(&path).unwrap();
        for _ in 0..3 {
            let error = store.save(&new).unwrap_err();
            assert!(
                matches!(&error, Error::Io { cause, .. }
                if cause.kind() == std::io::ErrorKind::StorageFull),
                "{error}"
            );
            assert!(error.to_string().starts_with("writing profile "), "{error}");
            assert!(fs::read(&path).unwrap() == before, "the old file changed");
            assert_eq!(names(&disk).len(), 1);
        }
        let loaded = store.load().unwrap();
        assert!(loaded.set_aside.is_empty());
        assert_eq!(content(&loaded.profiles[0].profile), content(&old));
        assert!(new.write_to(disk.join("x.json")).is_err());
        assert!(Profile::read_from(disk.join("x.json")).is_err());
    });
    thread.join().unwrap();
}
