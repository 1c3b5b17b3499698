//! What happens when room runs out: who goes, and how it comes back.

use std::fs;

use ebph::{Error, Key, State, Store};
use rustix::process::Signal;

use crate::grudges::{kept, rich, start_at, text, watch};
use crate::harness::{Stage, Start, Watch, call, eventually, getppid, held, learnt};
use crate::store::{deviation, folder, keeping, stored, train};

/// Executes programs until the victim's idle profile has made room for one.
fn crowd_out(stage: &Stage, watch: &Watch, key: Key, count: usize) {
    for number in 0..count {
        let other = stage.copy("calls", &format!("other{number}"));
        eventually("room to be made", || {
            stage.run_ok(1, text(&other), &[getppid(10)]);
            let key = watch.key_of(&other).expect("it is there");
            watch.profile(key).expect("readable")
        });
    }
    watch.wait_for_kind("profile_evicted", key);
    assert!(watch.profile(key).expect("readable").is_none());
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
    let args = [getppid(5), call(libc::SYS_ppoll, 1)];
    let run = stage.start_with(&start, waiting.to_str().expect("UTF-8"), &args);
    run.until_blocked_in(libc::SYS_ppoll);
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

/// Check that a past for which there are too few rows harms nobody when its program has ended
/// before the monitor could look at it: the monitor goes on, and the file stays as it is.
#[test]
fn too_few_rows_for_a_past() {
    let stage = Stage::new();
    let first = watch(&stage);
    stage.run_ok(1, "calls", &rich());
    first.finish();
    let before = learnt(&stored(&folder(&stage), &stage.path("calls")));
    let second = stage.watch_with(|builder| keeping(&stage)(builder).max_rows(40));
    // To read it takes the monitor a moment.
    let large = stage.copy("calls", "large");
    let file = fs::OpenOptions::new().write(true).open(&large);
    let file = file.expect("it is ours");
    file.set_len(8 << 20).expect("it can be made larger");
    drop(file);
    stage.run_ok(1, text(&large), &[getppid(1)]);
    stage.run_ok(1, "calls", &[getppid(1)]);
    second.save().expect("it can be saved");
    let other = stage.copy("calls", "other");
    eventually("room for others", || {
        stage.run_ok(1, text(&other), &[getppid(1)]);
        let key = second.key_of(&other).expect("it is there");
        let profile = second.profile(key).expect("readable")?;
        learnt(&profile)
            .contains("exit_group<-getppid@1")
            .then_some(())
    });
    second.save().expect("it can be saved");
    let outcome = second.finish_unchecked();
    assert_eq!(outcome.stats.store.failures, 0);
    let after = learnt(&stored(&folder(&stage), &stage.path("calls")));
    assert!(after.is_superset(&before), "{after:?}");
}

/// Check that an import is added to what is only on disk, rather than put in its place.
#[test]
fn an_import_adds_to_an_evicted_profile() {
    let stage = Stage::new();
    let elsewhere = stage.watch();
    stage.run_ok(1, "calls", &[getppid(1)]);
    let key = stage.key(&elsewhere, "calls");
    let poor = elsewhere.export(key).expect("readable");
    let poor = poor.expect("it exists");
    elsewhere.finish();

    let watch = stage.watch_with(|builder| keeping(&stage)(builder).max_profiles(3));
    stage.run_ok(1, "calls", &[call(libc::SYS_getuid, 50)]);
    train(&stage, &watch, "calls");
    crowd_out(&stage, &watch, key, 2);
    let before = stored(&folder(&stage), &stage.path("calls"));
    eventually("room for the import", || match watch.import(&poor) {
        Ok(imported) => Some(imported),
        Err(Error::NoRoom(_)) => None,
        Err(error) => panic!("{error}"),
    });
    watch.save().expect("it can be saved");
    let after = stored(&folder(&stage), &stage.path("calls"));
    assert_eq!(after.state(), State::Normal);
    assert!(
        held(&after).is_superset(&held(&before)),
        "{:?}",
        held(&after)
    );
    watch.finish();
}

/// Check that an evicted profile returns under its own name when its program is first executed by
/// another path, as any user can do in namespaces of his own.
#[test]
fn known_by_another_path() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| keeping(&stage)(builder).max_profiles(8));
    let key = train(&stage, &watch, "calls");
    crowd_out(&stage, &watch, key, 9);
    let alias = stage.file("alias", "");
    eventually("room", || {
        start_at(&stage, &stage.path("calls"), &alias, &[getppid(1)]).wait();
        watch.profile(key).expect("readable")
    });
    eventually("its past", || {
        stage.run_ok(1, "calls", &[getppid(1)]);
        let profile = watch.profile(key).expect("readable")?;
        profile.is_normal().then_some(())
    });
    watch.save().expect("it can be saved");
    stage.run_ok(1, "calls", &deviation());
    watch.wait_for_kind("anomaly", key);
    watch.finish_unchecked();
    let again = self::watch(&stage);
    let profile = stage.profile(&again, "calls");
    assert_eq!(profile.exe(), Some(stage.path("calls").as_path()));
    assert!(profile.is_normal());
    again.finish();
}

/// Check that a past which cannot fit, whatever is evicted, drives nobody else out.
#[test]
fn a_past_that_never_fits() {
    let stage = Stage::new();
    let first = watch(&stage);
    stage.run_ok(1, "calls", &rich());
    first.finish();
    let second = stage.watch_with(|builder| keeping(&stage)(builder).max_rows(36));
    let small = stage.copy("calls", "small");
    stage.run_ok(1, text(&small), &[getppid(1)]);
    let key = second.key_of(&small).expect("it is there");
    second.save().expect("it can be saved");
    let run = stage.start("calls", &[getppid(1), call(libc::SYS_ppoll, 1)]);
    run.until_blocked_in(libc::SYS_ppoll);
    // Its past is looked for at once.
    second.save().expect("it can be saved");
    stage.run_ok(1, text(&small), &[getppid(1)]);
    run.signal(Signal::TERM);
    run.wait();
    let outcome = second.finish();
    outcome.none("profile_evicted", key);
    assert_eq!(outcome.stats.rows.refused, 0);
}

/// Check that an evicted profile can be forgotten, once.
#[test]
fn forgotten_when_evicted() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| keeping(&stage)(builder).max_profiles(3));
    let key = train(&stage, &watch, "calls");
    crowd_out(&stage, &watch, key, 2);
    assert_eq!(kept(&stage).len(), 1);
    watch.forget(key).expect("its file is there");
    assert!(kept(&stage).is_empty());
    let error = watch.forget(key).unwrap_err();
    assert!(
        matches!(error, Error::NoSuchProfile(of) if of == key),
        "{error}"
    );
    watch.finish();
}
