//! Profiles that last: saved, loaded before the first call, evicted and brought back, imported.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use ebph::{
    Error, Event, Imported, Key, Monitor, MonitorBuilder, Partition, Profile, StaleCause, State,
    Store,
};

use rustix::process::Signal;

use crate::harness::cgroup::Cgroup;
use crate::harness::{
    Run, Stage, Start, Watch, call, eventually, getppid, held, helper, learnt, require_root,
};

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
fn watch(stage: &Stage) -> (Watch, mpsc::Receiver<Event>) {
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

/// Check that the least recently executed idle profile makes room, is on disk before it goes, and
/// returns with all it knew when its program is executed again.
#[test]
fn room_is_made_and_profiles_return() {
    let stage = Stage::new();
    let [second, third] = ["second", "third"].map(|name| {
        let path = stage.copy("calls", name);
        path.to_str().expect("test paths are UTF-8").to_owned()
    });
    // The runner and two more.
    let watch = stage.watch_with(|builder| keeping(&stage)(builder).max_profiles(3));
    let key = train(&stage, &watch, "calls");
    let before = stage.profile(&watch, "calls");
    stage.run_ok(1, &second, &[getppid(10)]);
    assert!(watch.profile(key).expect("readable").is_some());
    // No room: the first call of the first run that finds any is told by its profile.
    eventually("room to be made", || {
        stage.run_ok(1, &third, &[getppid(10)]);
        watch.profile(stage.key(&watch, &third)).expect("readable")
    });
    let evicted = watch.wait_for_kind("profile_evicted", key);
    assert!(evicted.is_true("by_command"));
    assert!(watch.profile(key).expect("readable").is_none());
    let on_disk = stored(&folder(&stage), &stage.path("calls"));
    assert_eq!(held(&on_disk), held(&before));
    assert_eq!(on_disk.train_count(), before.train_count());

    let returned = eventually("it to return", || {
        stage.run_ok(1, "calls", &[getppid(10)]);
        let profile = watch.profile(key).expect("readable")?;
        (profile.state() == State::Normal).then_some(profile)
    });
    assert!(held(&returned).is_superset(&held(&before)));
    let told = watch.wait_for_kind("profile_loaded", key);
    assert!(told.is_true("returned"));
    stage.run_ok(1, "calls", &deviation());
    let outcome = watch.finish();
    assert_eq!(outcome.of("anomaly", key).len(), 2);
    let store = &outcome.stats.store;
    assert!(store.evicted >= 2 && store.returned >= 1, "{store:?}");
    assert_eq!(store.failures, 0);
}

/// Check that a profile in use is never evicted, even where nobody else could go.
#[test]
fn profiles_in_use_stay() {
    let stage = Stage::new();
    let waiting = stage.copy("calls", "waiting");
    let pipe = crate::harness::Pipe::new();
    let watch = stage.watch_with(|builder| keeping(&stage)(builder).max_profiles(2));
    let start = Start::new().input(&pipe);
    let args = [getppid(5), call(libc::SYS_pause, 1)];
    let run = stage.start_with(&start, waiting.to_str().expect("UTF-8"), &args);
    run.until_blocked_in(libc::SYS_pause);
    let key = watch.key_of(&waiting).expect("it is there");
    for _ in 0..5 {
        stage.run_ok(1, "calls", &[getppid(10)]);
    }
    assert!(watch.profile(key).expect("readable").is_some());
    run.signal(Signal::TERM);
    run.wait();
    eventually("room, now that it has ended", || {
        stage.run_ok(1, "calls", &[getppid(10)]);
        let key = stage.key(&watch, "calls");
        watch.profile(key).expect("readable")
    });
    let outcome = watch.finish();
    assert!(outcome.stats.calls.unprofiled > 0);
}

/// Check that no call is lost between kernel and disk: many programs in few places come and go,
/// and in the end their files know of every call that was not counted as unprofiled.
#[test]
fn every_call_is_kept_somewhere() {
    const PROGRAMS: usize = 9;
    const ROUNDS: usize = 12;

    let stage = Stage::new();
    let programs: Vec<_> = (0..PROGRAMS)
        .map(|i| stage.copy("calls", &format!("program{i}")))
        .collect();
    let watch = stage.watch_with(|builder| keeping(&stage)(builder).max_profiles(4));
    for round in 0..ROUNDS {
        // Each round in another order.
        for i in 0..PROGRAMS {
            let program = &programs[(i * (round % 7 + 1) + round) % PROGRAMS];
            let args = [getppid(30), call(libc::SYS_getpid, round % 3)];
            eventually("room for it", || {
                stage.run_ok(1, program.to_str().expect("UTF-8"), &args);
                let key = watch.key_of(program).expect("it is there");
                watch.profile(key).expect("readable")
            });
        }
    }
    let outcome = watch.finish();
    let store = &outcome.stats.store;
    assert!(store.evicted > 0 && store.returned > 0, "{store:?}");
    assert_eq!(store.failures, 0);
    let loaded = Store::open(folder(&stage))
        .expect("ours")
        .load()
        .expect("readable");
    let kept: u64 = loaded
        .profiles
        .iter()
        .map(|stored| stored.profile.train_count())
        .sum();
    let calls = &outcome.stats.calls;
    let each: Vec<_> = loaded
        .profiles
        .iter()
        .map(|stored| (&stored.path, stored.profile.train_count()))
        .collect();
    assert_eq!(kept, calls.recorded, "{store:?} {each:#?}");
}

/// Check the same where it is rows that run out, which a program needs in different numbers: each
/// knows in the end how often it was executed.
#[test]
fn rows_run_out() {
    let stage = Stage::new();
    let programs: Vec<_> = (1..=6)
        .map(|i| {
            let calls: Vec<_> = (0..4 * i).map(|n| call(480 + n, 2)).collect();
            (stage.copy("calls", &format!("program{i}")), calls)
        })
        .collect();
    let watch = stage.watch_with(|builder| keeping(&stage)(builder).max_rows(60));
    let mut runs = vec![0; programs.len()];
    for _ in 0..4 {
        for ((program, calls), runs) in programs.iter().zip(&mut runs) {
            eventually("a row for each of its calls", || {
                *runs += 1;
                stage.run_ok(1, program.to_str().expect("UTF-8"), calls);
                let key = watch.key_of(program).expect("it is there");
                let profile = watch.profile(key).expect("readable")?;
                // Those of the calls, and of exit_group.
                (profile.rows() == calls.len() as u64 + 1).then_some(())
            });
        }
    }
    let outcome = watch.finish();
    let store = &outcome.stats.store;
    assert!(store.evicted > 0 && store.returned > 0, "{store:?}");
    assert_eq!(store.failures, 0);
    for ((program, _), runs) in programs.iter().zip(runs) {
        let profile = stored(&folder(&stage), program);
        assert_eq!((profile.execs(), profile.processes_ended()), (runs, runs));
    }
    let kept: u64 = Store::open(folder(&stage))
        .expect("ours")
        .load()
        .expect("readable")
        .profiles
        .iter()
        .map(|stored| stored.profile.train_count() + stored.profile.unlearnt())
        .sum();
    assert_eq!(kept, outcome.stats.calls.recorded);
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
        let profile = Profile::read_from(&folder.join(name)).ok()?;
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

/// Check that a profile goes from one monitor to another: in force where the program is the same,
/// a beginning where it is not.
#[test]
fn from_one_monitor_to_another() {
    let stage = Stage::new();
    let here = stage.watch();
    let key = train(&stage, &here, "calls");
    let exported = here.export(key).expect("readable").expect("it exists");
    let identity = exported.identity().expect("its program is there");
    assert_eq!(identity.exe.path, stage.path("calls"));
    assert!(identity.exe.sha256.is_some());
    here.finish();
    let text = exported.to_json();
    let profile = Profile::from_json(text.as_bytes()).expect("it was just written");

    let there = stage.watch();
    let Imported { key, unchanged, .. } = there.import(&profile).expect("the program is here");
    assert!(unchanged);
    assert_eq!(stage.profile(&there, "calls").state(), State::Normal);
    stage.run_ok(1, "calls", &deviation());
    there.wait_for_kind("anomaly", key);
    there.finish();

    replace(&stage.path("calls"), |bytes| bytes.push(0));
    let elsewhere = stage.watch();
    let imported = elsewhere.import(&profile).expect("a program is there");
    assert!(!imported.unchanged);
    let profile_there = stage.profile(&elsewhere, "calls");
    assert_eq!(profile_there.state(), State::Training);
    assert_eq!(learnt(&profile_there), held(&profile));

    fs::remove_file(stage.path("calls")).expect("it is ours");
    let error = elsewhere.import(&profile).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    elsewhere.finish();
}

/// Check that what is imported is added to what was learnt here.
#[test]
fn an_import_adds() {
    let stage = Stage::new();
    let here = stage.watch();
    let key = train(&stage, &here, "calls");
    let exported = here.export(key).expect("readable").expect("it exists");
    here.finish();

    let there = stage.watch();
    stage.run_ok(1, "calls", &[call(libc::SYS_getuid, 5)]);
    let before = stage.profile(&there, "calls");
    there.import(&exported).expect("the program is here");
    let after = stage.profile(&there, "calls");
    assert_eq!(after.state(), State::Normal);
    assert!(learnt(&after).is_superset(&learnt(&before)));
    assert!(learnt(&after).is_superset(&learnt(&exported)));
    assert_eq!(held(&after), held(&exported));
    assert_eq!(
        after.train_count(),
        before.train_count() + exported.train_count()
    );
    there.finish();
}

/// Check that programs whose file is gone or replaced are listed, and removed on request.
#[test]
fn pruning() {
    let stage = Stage::new();
    let (watch, _events) = watch(&stage);
    let gone = stage.copy("calls", "gone");
    for name in ["calls", gone.to_str().expect("UTF-8")] {
        train(&stage, &watch, name);
    }
    let key = stage.key(&watch, gone.to_str().expect("UTF-8"));
    watch.save().expect("it can be saved");
    assert!(watch.stale().expect("it can be listed").is_empty());
    fs::remove_file(&gone).expect("it is ours");
    replace(&stage.path("calls"), |bytes| bytes.push(0));
    let mut stale = watch.stale().expect("it can be listed");
    stale.sort_by_key(|stale| stale.cause == StaleCause::Replaced);
    let causes: Vec<_> = stale.iter().map(|stale| stale.cause).collect();
    assert_eq!(causes, [StaleCause::Gone, StaleCause::Replaced]);
    assert!(watch.profile(key).expect("readable").is_some());
    for stale in &stale {
        assert!(watch.prune(stale).expect("it can be removed"));
        assert!(!watch.prune(stale).expect("it is gone already"));
    }
    assert!(watch.profile(key).expect("readable").is_none());
    assert!(watch.stale().expect("it can be listed").is_empty());
    watch.finish();
}

/// Check that scripts have their own files, and that a rewritten one trains anew.
#[test]
fn scripts_last() {
    let stage = Stage::new();
    let script = stage.file("script", "#!/bin/sh\n:\n");
    let path = script.to_str().expect("test paths are UTF-8");
    let of_script = |watch: &Watch| {
        let all = watch.profiles().expect("readable");
        all.into_iter()
            .find(|profile| profile.script() == Some(&script))
            .expect("it has a profile")
    };
    let (first, _events) = watch(&stage);
    stage.run_ok(2, path, &[""]);
    let before = of_script(&first);
    first.normalize(before.key()).expect("it exists");
    first.finish();

    let (second, _events) = watch(&stage);
    assert_eq!(of_script(&second).state(), State::Normal);
    assert_eq!(of_script(&second).key(), before.key());
    stage.run_ok(1, path, &[""]);
    let outcome = second.finish();
    outcome.none("anomaly", before.key());

    fs::write(&script, "#!/bin/sh\n: ; :\n").expect("it can be written");
    let (third, _events) = watch(&stage);
    assert_eq!(of_script(&third).state(), State::Training);
    third.finish();
}

/// Check that profiles of one executable by user and by cgroup each find their own again.
#[test]
fn partitions_last() {
    let stage = Stage::new();
    let by_user =
        || stage.watch_with(|builder| keeping(&stage)(builder).partition(Partition::User));
    let first = by_user();
    for uid in [1234, 1235] {
        let run = stage.start_with(
            &Start::new().user(uid),
            "calls",
            &[getppid(uid as usize - 1230)],
        );
        assert!(run.wait().success());
    }
    let counts = |watch: &Watch| {
        let all = watch.profiles().expect("readable");
        let own = all.filter(|profile| profile.exe() == Some(&stage.path("calls")));
        let mut counts: Vec<_> = own
            .map(|profile| (profile.key(), profile.train_count()))
            .collect();
        counts.sort();
        counts
    };
    let before = counts(&first);
    assert_eq!(before.len(), 2);
    first.finish();
    let second = by_user();
    assert_eq!(counts(&second), before);
    second.finish();
    // A monitor that does not tell users apart leaves their files alone.
    let (third, _events) = watch(&stage);
    assert_eq!(counts(&third), []);
    third.finish();
    assert_eq!(
        files(&folder(&stage))
            .iter()
            .filter(|path| path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("calls-")))
            .count(),
        2
    );

    let cgroup = Cgroup::new();
    let by_cgroup =
        || stage.watch_with(|builder| keeping(&stage)(builder).partition(Partition::Cgroup));
    let first = by_cgroup();
    let run = stage.start_with(&Start::new().cgroup(cgroup.path()), "calls", &[getppid(3)]);
    assert!(run.wait().success());
    let before = counts(&first);
    first.finish();
    let second = by_cgroup();
    assert_eq!(counts(&second), before);
    second.finish();
}

/// Runs the victim in a mount namespace where a file of `other` is at its path.
fn start_elsewhere<'a>(stage: &'a Stage, other: &Path, args: &[String]) -> Run<'a> {
    let path = stage.path("calls");
    let script = format!(
        "mount --bind {} {} && exec {} {}",
        other.display(),
        path.display(),
        path.display(),
        args.join(" ")
    );
    stage.start("/usr/bin/unshare", &["-m", "sh", "-c", &script])
}

/// Check that a program at one path in two mount namespaces, as in containers, is one program if
/// the contents are the same, with one file for what both learnt, and two if they are not.
#[test]
fn in_another_mount_namespace() {
    let stage = Stage::new();
    let (watch, _events) = watch(&stage);
    let here = train(&stage, &watch, "calls");
    let pairs = held(&stage.profile(&watch, "calls"));
    let same = stage.copy("calls", "same-content");
    let there = watch.key_of(&same).expect("it is there");
    // It must be there still when the monitor looks for it, which it does at its own pace.
    let waits = call(libc::SYS_pause, 1);
    let run = start_elsewhere(&stage, &same, &[getppid(10), waits]);
    let told = watch.wait_for_kind("profile_loaded", there);
    assert!(told.is_true("returned"));
    let profile = watch.profile(there).expect("readable").expect("it exists");
    assert_eq!(profile.exe(), Some(stage.path("calls").as_path()));
    assert_eq!((profile.state(), held(&profile)), (State::Normal, pairs));
    run.signal(Signal::TERM);
    run.wait();
    start_elsewhere(&stage, &same, &deviation()).wait();
    watch.wait_for_kind("anomaly", there);

    let other = stage.copy("calls", "other-content");
    replace(&other, |bytes| bytes.push(0));
    let stranger = watch.key_of(&other).expect("it is there");
    let run = start_elsewhere(
        &stage,
        &other,
        &[call(libc::SYS_getuid, 3), call(libc::SYS_pause, 1)],
    );
    run.until_blocked_in(libc::SYS_pause);
    watch.save().expect("it can be saved");
    run.signal(Signal::TERM);
    run.wait();
    let profile = watch
        .profile(stranger)
        .expect("readable")
        .expect("it exists");
    assert_eq!(profile.state(), State::Training);
    assert_eq!(
        learnt(&profile).into_iter().collect::<Vec<_>>(),
        [
            "getuid<-getuid@1",
            "getuid<-getuid@2",
            "pause<-getuid@1",
            "pause<-getuid@2",
            "pause<-getuid@3"
        ]
    );
    let outcome = watch.finish();
    outcome.none("executable_changed", stranger);
    outcome.none("anomaly", here);

    let store = Store::open(folder(&stage))
        .expect("ours")
        .load()
        .expect("readable");
    let of_path = store.profiles.iter().map(|stored| &stored.profile);
    let of_path: Vec<_> = of_path
        .filter(|p| p.exe() == Some(&stage.path("calls")))
        .collect();
    assert_eq!(of_path.len(), 2);
    let normal = of_path.iter().find(|p| p.is_normal()).expect("one is");
    assert!(
        learnt(normal).contains("getppid<-getpid@1"),
        "{:?}",
        learnt(normal)
    );
    assert!(!held(normal).contains("getppid<-getpid@1"));
}

/// Check that what cannot be found again is not kept, and harms nothing.
#[test]
fn the_nameless_are_not_kept() {
    let stage = Stage::new();
    let (watch, _events) = watch(&stage);
    let run = stage.start_with(&Start::new().nameless(), "calls", &[getppid(3)]);
    assert!(run.wait().success());
    let outcome = watch.finish();
    assert_eq!(outcome.stats.store.failures, 0);
    let names: Vec<_> = files(&folder(&stage))
        .iter()
        .map(|path| path.file_name().expect("a file has a name").to_owned())
        .collect();
    assert!(
        names
            .iter()
            .all(|name| name.to_string_lossy().starts_with("victim-runner-")),
        "{names:?}"
    );
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
