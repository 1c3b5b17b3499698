//! What happens when there is no more room: less is learnt or reported, and that is said.

use std::path::PathBuf;

use ebph::{Error, EventMask, Monitor, Scope, State};

#[cfg(target_arch = "x86_64")]
use crate::harness::learnt;
use crate::harness::{Gated, Stage, Watch, call, getppid, program};

/// Check that programs beyond the last profile run unharmed and unlearnt, and that this is told
/// once.
#[test]
fn no_room_for_a_profile() {
    let stage = Stage::new();
    // The runner and one more.
    let watch = stage.watch_with(|builder| builder.max_profiles(2));
    stage.run_ok(1, "calls", &[getppid(10)]);
    for copy in ["second", "third"] {
        let path = stage.copy("calls", copy);
        stage.run_ok(
            1,
            path.to_str().expect("test paths are UTF-8"),
            &[getppid(20)],
        );
        let key = watch.key_of(&path).expect("the file exists");
        let profile = watch.profile(key).expect("readable");
        assert!(profile.is_none(), "{profile:?}");
    }
    assert_eq!(stage.profile(&watch, "calls").train_count(), 11);
    let stats = watch.stats().expect("stats can be read");
    assert_eq!((stats.profiles.used, stats.profiles.capacity), (2, 2));
    assert_eq!(stats.calls.unprofiled, 2 * 21);

    // A profile that is forgotten makes room for another.
    watch
        .forget(stage.key(&watch, "calls"))
        .expect("its process has ended");
    stage.run_ok(
        1,
        stage.path("second").to_str().expect("UTF-8"),
        &[getppid(20)],
    );
    assert_eq!(stage.profile(&watch, "second").train_count(), 21);
    let outcome = watch.finish();
    let told: Vec<_> = outcome.all("capacity_exhausted").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].text("what"), "profiles");
}

/// Check that programs which are executed while their profiles are forgotten are learnt apart, and
/// that every slot and row comes back in the end.
#[test]
fn forgetting_beside_execs_loses_nothing() {
    let stage = Stage::new();
    // The runner and two more.
    let watch = stage.watch_with(|builder| builder.max_profiles(3).max_rows(64));
    let programs = [
        ("first", libc::SYS_getuid, "getuid"),
        ("second", libc::SYS_getgid, "getgid"),
    ]
    .map(|(name, number, symbol)| (stage.copy("calls", name), call(number, 200), symbol));
    let keys = programs
        .each_ref()
        .map(|(path, ..)| watch.key_of(path).expect("the file exists"));
    let mut forgotten = 0;
    std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            for _ in 0..200 {
                let start = |(path, calls, _): &(PathBuf, String, _)| {
                    stage.start(path.to_str().expect("test paths are UTF-8"), &[calls])
                };
                let runs = programs.iter().cycle().take(4).map(start);
                for run in runs.collect::<Vec<_>>() {
                    assert!(run.wait().success());
                }
            }
        });
        while !storm.is_finished() {
            for (key, (_, _, own)) in keys.iter().zip(&programs) {
                if let Some(profile) = watch.profile(*key).expect("readable") {
                    let stranger = profile
                        .symbols()
                        .find(|symbol| symbol.name() != *own && symbol.name() != "exit_group");
                    assert_eq!(stranger, None, "in the profile that makes {own}");
                }
                match watch.forget(*key) {
                    Ok(()) => forgotten += 1,
                    Err(Error::NoSuchProfile(_) | Error::ProfileInUse { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    });
    for key in keys {
        match watch.forget(key) {
            Ok(()) => forgotten += 1,
            Err(error) => assert!(matches!(error, Error::NoSuchProfile(_)), "{error}"),
        }
    }
    let left: Vec<_> = watch.profiles().expect("readable").collect();
    let stats = watch.finish().stats;
    assert_eq!(left.len(), 1, "the runner's: {left:?}");
    assert_eq!(stats.profiles.used, 1);
    assert_eq!(stats.rows.used, left[0].rows());
    assert_eq!(stats.profiles.created, 1 + forgotten);
    assert_eq!(stats.rows.refused, 0);
}

/// Check that calls which find no row are counted, and that their profile, which lacks them,
/// never becomes normal on its own.
#[test]
fn no_room_for_a_row() {
    let numbers = [
        libc::SYS_getpid,
        libc::SYS_getuid,
        libc::SYS_getgid,
        libc::SYS_geteuid,
        libc::SYS_getegid,
        libc::SYS_getppid,
    ];
    // All of them once, so that the profile lacks something before it could settle.
    let once = numbers.map(|number| call(number, 1));
    let often = numbers.map(|number| call(number, 100));
    let gated = Gated::new(program("calls"), &[once, often].concat());
    let watch = Watch::start(
        Monitor::builder()
            .scope(Scope::Tree(gated.pid))
            .normal_wait(std::time::Duration::ZERO)
            .max_rows(4),
    );
    assert!(gated.go().wait().expect("it is our child").success());
    let profile = watch.profiles().expect("readable").next().expect("one");
    let stats = watch.stats().expect("stats can be read");
    assert_eq!((stats.rows.used, stats.rows.capacity), (4, 4));
    assert_eq!(profile.rows(), 4);
    // The fifth and sixth symbol, and exit_group.
    assert_eq!(profile.unlearnt(), 2 * 101 + 1);
    assert_eq!(profile.train_count(), 4 * 101);
    assert_eq!(stats.calls.recorded, 6 * 101 + 1);
    assert_eq!(stats.calls.unlearnt, 2 * 101 + 1);
    assert!(profile.is_incomplete());
    assert_ne!(profile.state(), State::Normal);
    let outcome = watch.finish();
    let told: Vec<_> = outcome.all("capacity_exhausted").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].text("what"), "rows");
}

/// Check that symbols after the 254th share the last id, are learnt there, and are counted.
#[cfg(target_arch = "x86_64")]
#[test]
fn more_symbols_than_ids() {
    // Calls that harm nobody when all their arguments are 0, then numbers without a call.
    let harmless = [
        11, 12, 24, 39, 63, 79, 95, 96, 98, 99, 100, 102, 104, 107, 108, 110, 111, 121, 124, 140,
        145, 146, 147, 186,
    ];
    let native = harmless
        .into_iter()
        .chain(256..=269)
        // 317 is seccomp, whose mode 0 forbids everything.
        .chain(272..=316)
        .chain(318..=319)
        .chain(321..=334)
        .chain(345..=423)
        .chain(471..=510);
    let mut arguments: Vec<String> = native.map(|number| call(number, 1)).collect();
    arguments.extend((471..=510).map(|number| format!("i{number}x1")));
    let letters = arguments.len() as u64 + 1;
    assert!(letters > 254);
    let gated = Gated::new(program("calls"), &arguments);
    let watch = Watch::start(Monitor::builder().scope(Scope::Tree(gated.pid)));
    assert!(gated.go().wait().expect("it is our child").success());
    let profile = watch.profiles().expect("readable").next().expect("one");
    assert_eq!(profile.train_count(), letters);
    assert_eq!(profile.symbols().count() as u64, letters);
    assert!(!profile.is_incomplete());
    let other = "other<-other@1".to_owned();
    assert!(learnt(&profile).contains(&other), "{:#?}", learnt(&profile));
    let outcome = watch.finish();
    assert_eq!(outcome.stats.calls.other_ids, letters - 254);
}

/// Check that a ring that is too small costs reports only: learning is complete, and the lost
/// ones are counted and told.
#[test]
fn a_full_ring_is_told() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.ring_bytes(4096).events(EventMask::ALL));
    let key = stage.key(&watch, "calls");
    // Each of these calls is a new letter, and teaches the profile something.
    let arguments: Vec<String> = (471..=510).map(|number| call(number, 1)).collect();
    let lost = || watch.stats().expect("there are stats").events.lost_in_ring;
    // Who reads may be the faster one for some time.
    for round in 0..1000 {
        if round >= 30 && lost() > 0 {
            break;
        }
        stage.run_ok(1, "calls", &arguments);
        let profile = stage.profile(&watch, "calls");
        assert_eq!(profile.train_count(), arguments.len() as u64 + 1);
        assert_eq!(profile.sequences(), arguments.len() as u64);
        watch.reset(key).expect("any state will do");
    }
    let outcome = watch.finish();
    let events = &outcome.stats.events;
    assert!(events.lost_in_ring > 0, "{}", outcome.stats);
    let told: u64 = outcome
        .all("lost")
        .filter(|lost| lost.text("place") == "ring")
        .map(|lost| lost.number("count"))
        .sum();
    assert_eq!(told, events.lost_in_ring);
}

/// Check that sizes nobody can mean are refused by name.
#[test]
fn absurd_sizes_are_refused() {
    let stage = Stage::new();
    let builder = || Monitor::builder().scope(stage.scope());
    let cases = [
        ("max_profiles", builder().max_profiles(0)),
        ("max_profiles", builder().max_profiles(u32::MAX)),
        ("max_rows", builder().max_rows(0)),
        ("max_rows", builder().max_rows(u32::MAX)),
        ("ring_bytes", builder().ring_bytes(0)),
        ("ring_bytes", builder().ring_bytes(u32::MAX)),
        ("channel_capacity", builder().channel_capacity(0)),
        (
            "freeze_factor",
            builder().limits(ebph::Limits::default().freeze_factor(1, 0)),
        ),
        ("tolerize_limit", builder().tolerize_limit(129)),
    ];
    for (wanted, builder) in cases {
        match builder.start() {
            Err(Error::InvalidSetting { name, .. }) => assert_eq!(name, wanted),
            Err(other) => panic!("{wanted}: {other:?}"),
            Ok(_) => panic!("{wanted} was accepted"),
        }
    }
}
