//! Who may have a folder of profiles.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use ebph::{Error, Profile, Store};
use rustix::fs::Mode;

use crate::helper;
use crate::{scratch, small};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn insecure(result: Result<impl Sized, Error>, why: &str) -> u32 {
    match result.err() {
        Some(error @ Error::InsecureDirectory { mode, .. }) => {
            assert!(error.to_string().contains(why), "{error}");
            mode
        }
        other => panic!("not refused as insecure: {other:?}"),
    }
}

/// Check that folder and files are the owner's alone, whatever the umask.
#[test]
fn modes() {
    helper::run("folder::part_modes");
}

#[test]
fn part_modes() {
    if !helper::part("folder::part_modes") {
        return;
    }
    for umask in [0o000, 0o022, 0o777] {
        let (scratch, folder) = scratch();
        // Those above it can only be made where the mask lets their owner in.
        let folder = if umask == 0 {
            folder.join("deeper")
        } else {
            folder
        };
        rustix::process::umask(Mode::from_raw_mode(umask));
        let store = Store::open(&folder).unwrap();
        let path = store.save(&small()).unwrap();
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600), "{umask:o}");
        let lone = scratch.path().join("lone.json");
        small().write_to(&lone).unwrap();
        assert_eq!(mode(&lone), 0o600);
        fs::write(&path, "damaged").unwrap();
        let loaded = store.load().unwrap();
        let aside = loaded.set_aside[0].path.parent().unwrap().to_owned();
        assert_eq!(mode(&aside), 0o700, "{umask:o}");
    }
}

/// Check that a file which others could read is replaced by one that they cannot.
#[test]
fn replaced_file() {
    let (scratch, _) = scratch();
    let path = scratch.path().join("profile.json");
    fs::write(&path, "for all").unwrap();
    set_mode(&path, 0o666);
    small().write_to(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert!(Profile::read_from(&path).is_ok());
}

/// Check that a folder which others can write to is refused, at the start and later.
#[test]
fn writable() {
    let (_scratch, folder) = scratch();
    let store = Store::open(&folder).unwrap();
    for bits in [0o770, 0o702, 0o720, 0o1777] {
        set_mode(&folder, bits);
        let found = insecure(Store::open(&folder), "mode 0700");
        assert_eq!(found, bits);
        insecure(store.save(&small()), "mode 0700");
        insecure(store.load(), "mode 0700");
        insecure(store.remove(&small()), "mode 0700");
    }
    set_mode(&folder, 0o755);
    assert!(
        Store::open(&folder).is_ok(),
        "that others can list it does no harm"
    );
}

/// Check that a link is as good as what it leads to.
#[test]
fn links() {
    let (scratch, folder) = scratch();
    let link = scratch.path().join("link");
    symlink(&folder, &link).unwrap();
    assert!(
        matches!(Store::open(&link), Err(Error::Io { .. })),
        "it leads nowhere"
    );
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o777);
    insecure(Store::open(&link), "mode 0700");
    set_mode(&folder, 0o700);
    let store = Store::open(&link).unwrap();
    store.save(&small()).unwrap();
    assert_eq!(store.load().unwrap().profiles.len(), 1);
}

/// Check that a folder of another user is refused, and so is another user's link. Needs root.
#[test]
fn root_other_owners() {
    assert!(rustix::process::geteuid().is_root(), "this test needs root");
    let (scratch, folder) = scratch();
    Store::open(&folder).unwrap();
    let link = scratch.path().join("link");
    symlink(&folder, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
    insecure(
        Store::open(&link),
        "symbolic link that belongs to user 65534",
    );
    chown(&folder, Some(65534), None).unwrap();
    insecure(Store::open(&folder), "belongs to user 65534, not to user 0");
}

/// Check that what is no folder is an error of the system.
#[test]
fn no_folder() {
    let (scratch, folder) = scratch();
    fs::write(&folder, "").unwrap();
    assert!(matches!(Store::open(&folder), Err(Error::Io { .. })));
    assert!(matches!(
        Store::open(folder.join("below")),
        Err(Error::Io { .. })
    ));
    let store = Store::open(scratch.path().join("gone")).unwrap();
    fs::remove_dir(store.path()).unwrap();
    assert!(matches!(store.save(&small()), Err(Error::Io { .. })));
    assert!(matches!(store.load(), Err(Error::Io { .. })));
}
