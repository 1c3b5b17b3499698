//! Profiles that last: saved, loaded before the first call, evicted and brought back, imported.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use ebph::{Error, Event, Key, Monitor, MonitorBuilder, Profile, State, Store};

use crate::harness::{Stage, Watch, call, eventually, getppid, held, helper, learnt, require_root};

/// What the victim does that it did not do in training.
pub(crate) fn deviation() -> [String; 2] {
    [call(libc::SYS_getpid, 1), getppid(1)]
}

pub(crate) fn folder(stage: &Stage) -> PathBuf {
    stage.directory().join("profiles")
}

pub(crate) fn keeping(stage: &Stage) -> impl Fn(MonitorBuilder) -> MonitorBuilder + use<> {
    let folder = folder(stage);
    move |builder| builder.profile_dir(&folder)
}

/// A monitor that keeps profiles, and all of its events from the start on.
pub(crate) fn watch(stage: &Stage) -> (Watch, mpsc::Receiver<Event>) {
    let (sender, events) = mpsc::channel();
    let watch = stage.watch_with(|builder| keeping(stage)(builder).handler(sender));
    (watch, events)
}

/// Trains the victim and makes its profile normal.
pub(crate) fn train(stage: &Stage, watch: &Watch, name: &str) -> Key {
    stage.run_ok(3, name, &[getppid(10)]);
    let key = stage.key(watch, name);
    watch.normalize(key).expect("the profile exists");
    key
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect()
}

pub(crate) fn stored(folder: &Path, exe: &Path) -> Profile {
    let store = Store::open(folder).expect("the folder is ours");
    let loaded = store.load().expect("it can be read");
    assert!(loaded.set_aside.is_empty(), "{:?}", loaded.set_aside);
    let mut profiles = loaded.profiles.into_iter().map(|stored| stored.profile);
    profiles
        .rfind(|profile| profile.exe() == Some(exe))
        .unwrap_or_else(|| panic!("no file of {}", exe.display()))
}

/// Check that a profile is in force again before the first call after a restart: the same pairs,
/// state and counts, no alarm at what was learnt, and one at the first call that was not.
#[test]
fn profiles_outlive_the_monitor() {
    let stage = Stage::new();
    let (first, _events) = watch(&stage);
    let key = train(&stage, &first, "calls");
    stage.run_ok(1, "calls", &[getppid(20)]);
    let before = stage.profile(&first, "calls");
    let outcome = first.finish();
    assert!(outcome.stats.store.saved >= 2, "{:?}", outcome.stats.store);
    let mode = |path: &Path| {
        let metadata = fs::metadata(path).expect("it is there");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(&folder(&stage)), 0o700);
    for file in files(&folder(&stage)) {
        assert_eq!(mode(&file), 0o600);
    }

    let (second, events) = watch(&stage);
    let after = stage.profile(&second, "calls");
    assert_eq!(after.state(), State::Normal);
    assert_eq!(
        (held(&after), learnt(&after)),
        (held(&before), learnt(&before))
    );
    let counts = |profile: &Profile| {
        [
            profile.train_count(),
            profile.last_mod_count(),
            profile.sequences(),
            profile.anomalies(),
            profile.execs(),
            profile.processes_ended(),
        ]
    };
    assert_eq!(counts(&after), counts(&before));
    let age = |profile: &Profile| profile.created_at().expect("it is live");
    let apart = age(&after).duration_since(age(&before));
    assert!(apart.unwrap_or_else(|e| e.duration()) < Duration::from_secs(1));
    stage.run_ok(2, "calls", &[getppid(10)]);
    stage.run_ok(1, "calls", &deviation());
    let outcome = second.finish();
    assert!(outcome.stats.store.loaded >= 2);
    let anomalies = outcome.of("anomaly", key);
    let calls: Vec<_> = anomalies
        .iter()
        .map(|seen| seen.text("symbol.name"))
        .collect();
    assert_eq!(calls, ["getppid", "exit_group"]);
    let loaded = events.try_iter().filter_map(|event| match event {
        Event::ProfileLoaded(loaded) => Some(loaded),
        _ => None,
    });
    let of_it: Vec<_> = loaded
        .filter(|event| event.context.profile.as_ref().is_some_and(|p| p.key == key))
        .collect();
    assert_eq!(of_it.len(), 1);
    assert!(!of_it[0].returned);
}

/// Replaces a victim as a package manager does: by another file, which is another program.
pub(crate) fn replace(path: &Path, with: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("it is there");
    with(&mut bytes);
    let new = path.with_extension("new");
    fs::write(&new, bytes).expect("it can be written");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::rename(&new, path).expect("it can be renamed");
}

/// Check that a program which was replaced while nobody watched trains on from the old pairs, and
/// that this is told; and that the same content in a new file is the same program.
#[test]
fn another_file_is_another_program() {
    let stage = Stage::new();
    let (first, _events) = watch(&stage);
    train(&stage, &first, "calls");
    let same = stage.copy("calls", "same");
    let same = same.to_str().expect("test paths are UTF-8");
    train(&stage, &first, same);
    let pairs = held(&stage.profile(&first, "calls"));
    first.finish();

    replace(&stage.path("calls"), |bytes| bytes.push(0));
    replace(Path::new(same), |_| ());
    let (second, events) = watch(&stage);
    let profile = stage.profile(&second, "calls");
    assert_eq!(profile.state(), State::Training);
    assert_eq!(learnt(&profile), pairs);
    assert!(held(&profile).is_empty(), "{:?}", held(&profile));
    assert_eq!(profile.last_mod_count(), 0);
    assert!(profile.train_count() > 0 && profile.sequences() > 0);
    assert_eq!(stage.profile(&second, same).state(), State::Normal);
    stage.run_ok(1, "calls", &deviation());
    let key = stage.key(&second, "calls");
    let outcome = second.finish();
    outcome.none("anomaly", key);
    assert_eq!(outcome.stats.store.changed, 1);
    let changes: Vec<_> = events
        .try_iter()
        .filter_map(|event| match event {
            Event::ExecutableChanged(change) => Some(change),
            _ => None,
        })
        .collect();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].replaced);
    let view = changes[0].context.profile.as_ref().expect("it has one");
    assert_eq!((view.key, view.state), (key, State::Training));
}

/// Check that a file which was rewritten with its size and time of modification kept is found out.
#[test]
fn a_forged_time_fools_nobody() {
    let stage = Stage::new();
    let (first, _events) = watch(&stage);
    train(&stage, &first, "calls");
    first.finish();
    let path = stage.path("calls");
    let before = fs::metadata(&path).expect("it is there");
    let mut bytes = fs::read(&path).expect("it is there");
    // Its section headers, which nobody needs to run it.
    *bytes.last_mut().expect("it is not empty") ^= 1;
    let file = fs::OpenOptions::new().write(true).open(&path);
    let mut file = file.expect("the copy can be written");
    file.write_all(&bytes).expect("it can be written");
    let modified = before.modified().expect("this file system has times");
    file.set_modified(modified).expect("it is ours");
    drop(file);
    let after = fs::metadata(&path).expect("it is there");
    assert_eq!(
        (after.ino(), after.len(), after.modified().ok()),
        (before.ino(), before.len(), Some(modified))
    );
    let (second, events) = watch(&stage);
    assert_eq!(stage.profile(&second, "calls").state(), State::Training);
    second.finish();
    let change = events
        .try_iter()
        .find_map(|event| match event {
            Event::ExecutableChanged(change) => Some(change),
            _ => None,
        })
        .expect("it is told");
    assert!(!change.replaced);
}

/// Check that an update under the eyes of the monitor does the same, with files and without.
#[test]
fn an_update_while_watched() {
    for keep in [true, false] {
        let stage = Stage::new();
        let watch = stage.watch_with(|builder| match keep {
            true => keeping(&stage)(builder),
            false => builder,
        });
        // A program that is replaced before the monitor could look at it cannot be known as the
        // older version of the one after it; that one can, when it is replaced in its turn.
        let (new, pairs) = eventually("the old pairs to be there", || {
            let old = train(&stage, &watch, "calls");
            let pairs = held(&stage.profile(&watch, "calls"));
            replace(&stage.path("calls"), |bytes| bytes.push(0));
            stage.run_ok(1, "calls", &[call(libc::SYS_getpid, 1)]);
            let new = stage.key(&watch, "calls");
            assert_ne!(new, old);
            let came = |_: &i32| learnt(&stage.profile(&watch, "calls")).is_superset(&pairs);
            let pause = || std::thread::sleep(Duration::from_millis(5));
            let found = (0..200).inspect(|_| pause()).find(came);
            found.map(|_| (new, pairs))
        });
        let told = watch.wait_for_kind("executable_changed", new);
        assert!(told.is_true("replaced"));
        let profile = stage.profile(&watch, "calls");
        assert_eq!(profile.state(), State::Training);
        let now = learnt(&profile);
        assert!(now.is_superset(&pairs), "{now:?} lacks of {pairs:?}");
        assert!(now.contains("exit_group<-getpid@1"), "{now:?}");
        assert!(held(&profile).is_empty());
        watch.finish();
    }
}

/// Check that to look at an executable is not to change it. (From 6.13 on the kernel notes in a
/// file's time of change that somebody asked for it.)
#[test]
fn looking_is_not_changing() {
    let stage = Stage::new();
    let watch = stage.watch();
    let path = stage.path("calls");
    for _ in 0..3 {
        // A new time of change, which nobody has seen, and one that somebody has.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        stage.run_ok(1, "calls", &[getppid(2)]);
        let changed = watch.stats().expect("stats can be read").profiles.changed;
        fs::metadata(&path).expect("it is there");
        stage.run_ok(1, "calls", &[getppid(2)]);
        let stats = watch.stats().expect("stats can be read");
        assert_eq!(stats.profiles.changed, changed);
    }
    watch.finish();
}

/// Check that a rewritten executable is told of, whatever state its profile is in.
#[test]
fn rewriting_is_told() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(2, "calls", &[getppid(10)]);
    let key = stage.key(&watch, "calls");
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(stage.path("calls"))
        .expect("the copy can be written");
    file.write_all(&[0]).expect("it can be written");
    drop(file);
    stage.run_ok(1, "calls", &[getppid(10)]);
    let told = watch.wait_for_kind("executable_changed", key);
    assert!(!told.is_true("replaced"));
    watch.finish();
}

/// Check that what was saved at an interval is there after the monitor was killed.
#[test]
fn a_kill_loses_no_more_than_an_interval() {
    require_root();
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let folder = scratch.path().join("profiles");
    let mut command = helper::command("store::part_that_saves");
    let mut part = command
        .env("EBPH_LIVE_FOLDER", &folder)
        .spawn()
        .expect("this binary can be run");
    eventually("a profile to be saved", || {
        let entries = fs::read_dir(&folder).ok()?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let name = names.into_iter().find(|name| name.starts_with("calls-"))?;
        let profile = Profile::read_from(folder.join(name)).ok()?;
        (profile.state() == State::Normal).then_some(())
    });
    part.kill().expect("it is our child");
    part.wait().expect("it is our child");
    let store = Store::open(&folder).expect("the folder is ours");
    let loaded = store.load().expect("it can be read");
    assert!(loaded.set_aside.is_empty(), "{:?}", loaded.set_aside);
    assert!(!loaded.profiles.is_empty());
}

#[test]
fn part_that_saves() {
    if !helper::part("store::part_that_saves") {
        return;
    }
    let folder = std::env::var("EBPH_LIVE_FOLDER").expect("the test says where");
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| {
        builder
            .profile_dir(folder)
            .save_interval(Duration::from_millis(50))
    });
    train(&stage, &watch, "calls");
    loop {
        stage.run_ok(1, "calls", &[getppid(10)]);
    }
}

/// Check that a damaged file is set aside and told of, and the others are in force.
#[test]
fn damaged_files_are_set_aside() {
    let stage = Stage::new();
    let (first, _events) = watch(&stage);
    let key = train(&stage, &first, "calls");
    first.finish();
    let damaged = folder(&stage).join("damaged-0123456789abcdef.json");
    fs::write(&damaged, "{\"schema\":").expect("it can be written");
    let (second, events) = watch(&stage);
    assert!(second.profile(key).expect("readable").is_some());
    let outcome = second.finish();
    assert_eq!(outcome.stats.store.set_aside, 1);
    let aside = events
        .try_iter()
        .find_map(|event| match event {
            Event::ProfileSetAside(aside) => Some(aside),
            _ => None,
        })
        .expect("it is told");
    assert!(aside.path.exists() && !damaged.exists(), "{aside:?}");
    assert!(!aside.reason.is_empty());
}

/// Check that a folder which others can write to is refused, before anything is attached.
#[test]
fn an_open_folder_is_refused() {
    let stage = Stage::new();
    let folder = folder(&stage);
    fs::create_dir(&folder).expect("it can be made");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).expect("it is ours");
    let error = Monitor::builder()
        .scope(stage.scope())
        .profile_dir(&folder)
        .start()
        .unwrap_err();
    assert!(matches!(error, Error::InsecureDirectory { .. }), "{error}");
}

/// Check that a forgotten profile does not come back from its file.
#[test]
fn forgotten_for_good() {
    let stage = Stage::new();
    let (watch, _events) = watch(&stage);
    let key = train(&stage, &watch, "calls");
    watch.save().expect("it can be saved");
    let there = files(&folder(&stage)).len();
    watch.forget(key).expect("nobody uses it");
    assert_eq!(files(&folder(&stage)).len(), there - 1);
    stage.run_ok(1, "calls", &[getppid(1)]);
    watch.save().expect("it can be saved");
    assert_eq!(stage.profile(&watch, "calls").state(), State::Training);
    assert_eq!(stage.profile(&watch, "calls").train_count(), 2);
    watch.finish();
}

/// Check that an abuse which ends what a profile is trusted for does not take what was normal from
/// the disk: put back, it finds the same abuse again.
#[test]
fn what_was_normal_can_be_had_back() {
    let stage = Stage::new();
    let (watch, _events) = watch(&stage);
    let key = train(&stage, &watch, "calls");
    watch.save().expect("it can be saved");
    let limits = watch.limits().anomaly_limit(1);
    watch.set_limits(limits).expect("it makes sense");
    stage.run_ok(1, "calls", &deviation());
    assert_eq!(stage.profile(&watch, "calls").state(), State::Training);
    watch.save().expect("it can be saved");
    let mut kept: Vec<_> = files(&folder(&stage))
        .into_iter()
        .map(|file| file.with_extension("normal"))
        .filter(|file| file.exists())
        .collect();
    let path = kept.pop().expect("what was normal is kept");

    watch.reset(key).expect("the profile exists");
    let kept = Profile::read_from(&path).expect("it is a profile");
    watch.import(&kept).expect("it is one of this machine's");
    watch.save().expect("it can be saved");
    assert!(path.exists(), "it stays until it is forgotten");
    assert_eq!(stage.profile(&watch, "calls").state(), State::Normal);
    stage.run_ok(1, "calls", &deviation());
    watch.forget(key).expect("nobody uses it");
    assert!(!path.exists());
    let calls: Vec<_> = watch
        .finish()
        .of("anomaly", key)
        .iter()
        .map(|seen| seen.text("symbol.name").to_owned())
        .collect();
    assert_eq!(calls, ["getppid", "exit_group", "getppid", "exit_group"]);
}

/// Check that only what changed is written.
#[test]
fn only_what_changed_is_saved() {
    let stage = Stage::new();
    let (watch, _events) = watch(&stage);
    let other = stage.copy("calls", "other");
    train(&stage, &watch, "calls");
    train(&stage, &watch, other.to_str().expect("UTF-8"));
    watch.save().expect("it can be saved");
    assert_eq!(watch.save().expect("it can be saved"), 0);
    stage.run_ok(1, "calls", &[getppid(1)]);
    // The victim's and the runner's.
    assert_eq!(watch.save().expect("it can be saved"), 2);
    watch.finish();
}

/// Check that a monitor which cannot write says so, keeps what it has, and writes it when it can.
#[test]
fn a_full_disk_is_said() {
    require_root();
    let mount = tempfile::tempdir().expect("a folder can be made");
    let done = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"])
        .arg(mount.path())
        .status()
        .expect("mount is there");
    assert!(done.success(), "this test needs to mount a tmpfs");
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.profile_dir(mount.path().join("profiles")));
    stage.run_ok(1, "calls", &[getppid(10)]);
    fs::write(mount.path().join("filler"), vec![0; 1 << 20]).unwrap_err();
    let error = watch.save().unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    watch.wait_for("a warning", |seen| {
        seen.kind() == "warning" && seen.text("what") == "store"
    });
    fs::remove_file(mount.path().join("filler")).expect("it is ours");
    assert!(watch.save().expect("there is room again") > 0);
    let outcome = watch.finish_unchecked();
    assert!(outcome.stats.store.failures > 0);
    let done = Command::new("umount")
        .arg(mount.path())
        .status()
        .expect("umount is there");
    assert!(done.success());
}
