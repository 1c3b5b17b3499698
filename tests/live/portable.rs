//! Profiles in other places: containers, other monitors, scripts, users and cgroups.

use std::fs;
use std::path::Path;

use ebph::{Error, Imported, Partition, Profile, StaleCause, State, Store};
use rustix::process::Signal;

use crate::harness::cgroup::Cgroup;
use crate::harness::{Run, Stage, Start, Watch, call, getppid, held, learnt};
use crate::store::{deviation, files, folder, keeping, replace, train, watch};

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
    let waits = call(libc::SYS_ppoll, 1);
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
        &[call(libc::SYS_getuid, 3), call(libc::SYS_ppoll, 1)],
    );
    run.until_blocked_in(libc::SYS_ppoll);
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
            "ppoll<-getuid@1",
            "ppoll<-getuid@2",
            "ppoll<-getuid@3"
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
