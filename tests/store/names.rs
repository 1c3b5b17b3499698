//! Which file a profile is in, and what becomes of it when its program changes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ebph::{FileIdentity, Identity, Key, Profile, StaleCause, Store};

use crate::{names, profile, scratch, small};

fn program(path: &Path, content: &str) -> Profile {
    fs::write(path, content).unwrap();
    small().with_identity(Identity::new(FileIdentity::of(path).unwrap()))
}

/// Check that profiles of different programs, versions and owners have files of their own, and
/// the same always the same.
#[test]
fn who_has_which() {
    let (scratch, folder) = scratch();
    let store = Store::open(&folder).unwrap();
    let path = |name: &str| scratch.path().join(name);
    let exe = program(&path("tool"), "1");
    let of = |exe: &Profile| exe.identity().unwrap().exe.clone();
    let script = of(&program(&path("script.sh"), "echo"));
    let keyed = |key: &str| profile(key.parse().unwrap(), 5);
    let without_hash = FileIdentity::stat_of(&path("tool")).unwrap();
    let all = [
        keyed("8:1:42:0"),
        keyed("8:1:43:0"),
        keyed("8:1:42:0:u1"),
        keyed("8:1:42:0:u1").with_identity(Identity::new(of(&exe))),
        keyed("8:1:42:0:u2").with_identity(Identity::new(of(&exe))),
        keyed("8:1:42:0:c2").with_identity(Identity::new(of(&exe)).with_cgroup("a")),
        keyed("8:1:42:0:c2").with_identity(Identity::new(of(&exe)).with_cgroup("")),
        small().with_identity(Identity::new(of(&exe)).with_script(script)),
        small().with_identity(Identity::new(without_hash)),
        exe.clone(),
        program(&path("tool"), "2"),
        program(&path("tool2"), "1"),
    ];
    let first: Vec<PathBuf> = all.iter().map(|one| store.save(one).unwrap()).collect();
    assert_eq!(names(&folder).len(), all.len());
    for (profile, path) in all.iter().zip(&first) {
        assert_eq!(store.save(profile).unwrap(), *path);
        // It is the same after a restart, when cgroups and devices have other numbers.
        let again = Profile::read_from(path).unwrap();
        assert_eq!(store.save(&again).unwrap(), *path);
    }
    let moved = keyed("9:2:77:0:c9").with_identity(all[5].identity().unwrap().clone());
    assert_eq!(store.save(&moved).unwrap(), first[5]);
    assert_eq!(names(&folder).len(), all.len());

    assert!(store.remove(&exe).unwrap());
    assert!(!store.remove(&exe).unwrap());
    assert_eq!(store.load().unwrap().profiles.len(), all.len() - 1);
}

/// Check that file names can be typed, and tell the program.
#[test]
fn plain() {
    let (scratch, folder) = scratch();
    let store = Store::open(&folder).unwrap();
    let long = "l".repeat(200);
    for (name, start) in [
        (&b"nginx"[..], "nginx-"),
        (b"..hidden", "hidden-"),
        (b"-rf", "rf-"),
        (b"a b\n$(x)\xff", "a_b___x__-"),
        (b"\xe7\x8c\xab", "_-"),
        (b"...", "profile-"),
        (
            long.as_bytes(),
            "llllllllllllllllllllllllllllllllllllllllllllllll-",
        ),
    ] {
        // As it might be called where it came from.
        let mut identity = FileIdentity::stat_of("/proc/self/exe".as_ref()).unwrap();
        identity.path = scratch.path().join(OsStr::from_bytes(name));
        let profile = small().with_identity(Identity::new(identity));
        let path = store.save(&profile).unwrap();
        let file = path.file_name().unwrap().to_str().unwrap();
        let digits = file
            .strip_prefix(start)
            .and_then(|rest| rest.strip_suffix(".json"));
        let digits = digits.unwrap_or_else(|| panic!("{file} is not {start}..."));
        assert!(
            digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()),
            "{file}"
        );
        let again = Profile::read_from(&path).unwrap();
        assert_eq!(again.identity(), profile.identity());
    }
    let lone = store.save(&small()).unwrap();
    assert!(
        lone.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("profile-")
    );
}

/// Check that programs which are gone or replaced are found, and others are not.
#[test]
fn stale() {
    let (scratch, folder) = scratch();
    let store = Store::open(&folder).unwrap();
    let path = |name: &str| scratch.path().join(name);
    for name in [
        "same",
        "touched",
        "gone",
        "replaced",
        "became-folder",
        "grown",
    ] {
        store.save(&program(&path(name), "1")).unwrap();
    }
    let interpreter = program(&path("interpreter"), "1")
        .identity()
        .unwrap()
        .clone();
    let script = program(&path("script"), "1")
        .identity()
        .unwrap()
        .exe
        .clone();
    store
        .save(&small().with_identity(interpreter.with_script(script)))
        .unwrap();
    store.save(&small()).unwrap();
    assert!(store.stale().unwrap().is_empty());

    let later = SystemTime::now() + Duration::from_secs(100);
    fs::File::open(path("touched"))
        .unwrap()
        .set_modified(later)
        .unwrap();
    fs::remove_file(path("gone")).unwrap();
    fs::remove_file(path("script")).unwrap();
    fs::write(path("replaced"), "2").unwrap();
    fs::write(path("grown"), "11").unwrap();
    fs::remove_file(path("became-folder")).unwrap();
    fs::create_dir(path("became-folder")).unwrap();
    let stale = store.stale().unwrap();
    let mut found: Vec<_> = stale
        .iter()
        .map(|stale| (stale.program.clone(), stale.cause))
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("became-folder", StaleCause::Gone),
        ("gone", StaleCause::Gone),
        ("grown", StaleCause::Replaced),
        ("replaced", StaleCause::Replaced),
        ("script", StaleCause::Gone),
    ];
    assert_eq!(found, expected.map(|(name, cause)| (path(name), cause)));
    // Looking for them moves nothing.
    fs::write(folder.join("damaged.json"), "").unwrap();
    assert_eq!(store.stale().unwrap().len(), stale.len());
    assert!(folder.join("damaged.json").is_file());
    for stale in &stale {
        assert!(store.forget(stale).unwrap());
        assert!(!store.forget(stale).unwrap());
    }
    assert!(store.stale().unwrap().is_empty());
    assert_eq!(store.load().unwrap().profiles.len(), 3);
}

/// Check that profiles come back in the order in which they were saved.
#[test]
fn saved_last() {
    let (_scratch, folder) = scratch();
    let store = Store::open(&folder).unwrap();
    for inode in [42, 43, 44, 42] {
        store.save(&profile(Key::new(8, 1, inode, 0), 5)).unwrap();
    }
    let loaded = store.load().unwrap().profiles;
    let inodes: Vec<_> = loaded.iter().map(|one| one.profile.key().inode).collect();
    assert_eq!(inodes, [43, 44, 42]);
    assert!(loaded.is_sorted_by(|one, next| one.saved < next.saved));
}

/// Check what is told of a file, and that hashing it leaves it as it was.
#[test]
fn identities() {
    use std::io::{Read as _, Seek as _};

    let (scratch, _) = scratch();
    let path = scratch.path().join("file");
    fs::write(&path, "abc").unwrap();
    let identity = FileIdentity::of(&path).unwrap();
    let hash = identity.sha256.unwrap();
    assert_eq!((hash[0], hash[31]), (0xba, 0xad), "as FIPS 180 says of abc");
    let mut open = fs::File::open(&path).unwrap();
    open.seek_relative(1).unwrap();
    assert_eq!(FileIdentity::of_open(&path, &open).unwrap(), identity);
    let mut rest = String::new();
    open.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "bc");

    let stat = FileIdentity::stat_of(&path).unwrap();
    assert!(stat.same_file(&identity) && !stat.same_content(&identity));
    let copy = scratch.path().join("copy");
    fs::copy(&path, &copy).unwrap();
    let copy = FileIdentity::of(&copy).unwrap();
    assert!(copy.same_content(&identity) && !copy.same_file(&identity));
    for path in ["/dev/zero", "/"] {
        let error = FileIdentity::of(path.as_ref()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
}
