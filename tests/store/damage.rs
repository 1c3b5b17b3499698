//! What can be found in place of profiles.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use ebph::{Error, FormatError, Loaded, Profile, SetAside, Store};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{content, names, scratch, small};

/// A store with one good profile, whose file is called `good.json`.
fn store_with_one(folder: &Path) -> Store {
    let store = Store::open(folder).unwrap();
    small().write_to(folder.join("good.json")).unwrap();
    store
}

/// What is set aside beside the one good profile.
#[track_caller]
fn set_aside(loaded: Loaded) -> SetAside {
    assert_eq!(loaded.profiles.len(), 1);
    let [one] = <[SetAside; 1]>::try_from(loaded.set_aside).unwrap();
    one
}

/// Check that each kind of damage is set aside with its reason, once, and the rest is loaded.
#[test]
fn reasons() {
    let (_scratch, folder) = scratch();
    let store = store_with_one(&folder);
    let text = small().to_json();
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("empty", Vec::new(), "incomplete: it ends in line 1"),
        ("zeros", vec![0; 4096], "not JSON"),
        (
            "cut",
            text.as_bytes()[..text.len() / 2].to_vec(),
            "incomplete: it ends in line",
        ),
        (
            "foreign",
            b"{\"schema\": \"passwd\"}".to_vec(),
            "found \"passwd\"",
        ),
        (
            "later",
            text.replace("\"version\": 1", "\"version\": 2").into(),
            "version 2 of the format",
        ),
        (
            "wrong",
            text.replace("\"window\": 9", "\"window\": 0").into(),
            "field window: expected 2 to 9",
        ),
        ("\u{e9} \n", b"\xff".to_vec(), "not JSON"),
    ];
    for (name, bytes, why) in cases {
        let name = format!("{name}.json");
        fs::write(folder.join(&name), &bytes).unwrap();
        let aside = set_aside(store.load().unwrap());
        assert!(
            aside.reason.to_string().contains(why),
            "{name}: {}",
            aside.reason
        );
        assert_eq!(aside.path, folder.join("set-aside").join(&name));
        assert_eq!(
            fs::read(&aside.path).unwrap(),
            bytes,
            "it is kept as it was"
        );
        assert_eq!(names(&folder), ["good.json", "set-aside"]);
        assert!(store.load().unwrap().set_aside.is_empty());
    }
}

/// Check that files of the same name set aside one after the other are all kept.
#[test]
fn namesakes() {
    let (_scratch, folder) = scratch();
    let store = store_with_one(&folder);
    for number in 0..3 {
        fs::write(folder.join("a.json"), format!("{number}")).unwrap();
        let aside = set_aside(store.load().unwrap());
        assert_eq!(fs::read_to_string(aside.path).unwrap(), format!("{number}"));
    }
    let kept = names(&folder.join("set-aside"));
    assert_eq!(kept, ["a.json", "a.json.1", "a.json.2"]);
}

/// Check that a huge file is not read.
#[test]
fn oversized() {
    let (_scratch, folder) = scratch();
    let store = store_with_one(&folder);
    let path = folder.join("huge.json");
    // A hole: this would take long to read.
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = Profile::read_from(&path).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("huge.json: too large to be a profile: 1099511627776 bytes")
    );
    let aside = set_aside(store.load().unwrap());
    assert!(matches!(aside.reason, FormatError::TooLarge { .. }));
    assert!(aside.path.starts_with(folder.join("set-aside")));
}

/// Check that what is no regular file is neither followed nor waited for.
#[test]
fn not_files() {
    let (scratch, folder) = scratch();
    let store = store_with_one(&folder);
    let elsewhere = scratch.path().join("elsewhere.json");
    small().write_to(&elsewhere).unwrap();

    let path = folder.join("a.json");
    let fifo = || mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let make: [(&dyn Fn(), &str); 4] = [
        (&fifo, "a named pipe"),
        (&|| symlink(&elsewhere, &path).unwrap(), "a symbolic link"),
        (&|| symlink("a.json", &path).unwrap(), "a symbolic link"),
        (&|| drop(UnixListener::bind(&path).unwrap()), "a socket"),
    ];
    for (make, kind) in make {
        make();
        let aside = set_aside(store.load().unwrap());
        assert_eq!(
            aside.reason.to_string(),
            format!("not a regular file but {kind}")
        );
        assert!(aside.path.starts_with(folder.join("set-aside")), "{kind}");
        assert_eq!(names(&folder), ["good.json", "set-aside"]);
    }
    assert!(elsewhere.is_file());

    // A folder stays where it is, and is told of each time.
    fs::create_dir(&path).unwrap();
    for _ in 0..2 {
        let aside = set_aside(store.load().unwrap());
        assert_eq!(
            aside.reason.to_string(),
            "not a regular file but a directory"
        );
        assert_eq!(aside.path, path);
    }
}

/// Check that reading one file by name waits for nothing either, but follows links.
#[test]
fn read_by_name() {
    let (scratch, _) = scratch();
    let path = |name: &str| scratch.path().join(name);
    small().write_to(path("real.json")).unwrap();
    symlink("real.json", path("link.json")).unwrap();
    let read = Profile::read_from(path("link.json")).unwrap();
    assert_eq!(content(&read), content(&small()));
    mknodat(
        CWD,
        path("fifo"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    for (name, why) in [("fifo", "named pipe"), (".", "directory")] {
        let error = Profile::read_from(path(name)).unwrap_err();
        assert!(matches!(error, Error::ProfileFile { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    let error = Profile::read_from("/dev/zero").unwrap_err();
    assert!(error.to_string().contains("but a device"), "{error}");
    let error = Profile::read_from(path("gone")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

/// Check that a file which cannot be read now is left where it is: it may be a good one.
#[test]
fn unreadable() {
    let (_scratch, folder) = scratch();
    // Root can read everything, so this is another user's work; the thread's alone.
    let read = || {
        let store = store_with_one(&folder);
        let path = folder.join("closed.json");
        small().write_to(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
        let aside = set_aside(store.load().unwrap());
        assert!(
            matches!(aside.reason, FormatError::Unreadable { .. }),
            "{}",
            aside.reason
        );
        assert_eq!(aside.path, path);
        assert_eq!(names(&folder), ["closed.json", "good.json"]);
        assert!(matches!(Profile::read_from(&path), Err(Error::Io { .. })));
    };
    if !rustix::process::geteuid().is_root() {
        return read();
    }
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(folder.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(&folder, Some(65534), None).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            read();
        });
        thread.join().unwrap();
    });
}

/// Check that what is not the store's is left alone, and what an interrupted write left is not.
#[test]
fn strangers() {
    let (_scratch, folder) = scratch();
    let store = store_with_one(&folder);
    for name in ["README", "notes.txt", ".ebph-1.json~", "x.tmp"] {
        fs::write(folder.join(name), "mine").unwrap();
    }
    fs::write(folder.join(".ebph-Ab12.tmp"), "{\"schema\"").unwrap();
    let odd = folder.join(OsStr::from_bytes(b"\xff\xfe.json"));
    small().write_to(&odd).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.profiles.len(), 2);
    assert!(loaded.set_aside.is_empty());
    let left = names(&folder);
    assert_eq!(left.len(), 6, "{left:?}");
    assert!(!left.iter().any(|name| name == ".ebph-Ab12.tmp"));
}

/// Check that where nothing can be set aside files stay, and are reported all the same.
#[test]
fn no_room_aside() {
    let (_scratch, folder) = scratch();
    let store = store_with_one(&folder);
    fs::write(folder.join("bad.json"), "{").unwrap();
    for make in [
        &|path: &Path| fs::write(path, "in the way").unwrap(),
        &|path: &Path| symlink("/tmp", path).unwrap(),
    ] as [&dyn Fn(&Path); 2]
    {
        let aside = folder.join("set-aside");
        make(&aside);
        for _ in 0..2 {
            let aside = set_aside(store.load().unwrap());
            assert_eq!(aside.path, folder.join("bad.json"));
        }
        fs::remove_file(aside).unwrap();
    }
}
