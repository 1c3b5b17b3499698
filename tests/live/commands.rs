//! Commands: each one's effect, its event, and its refusal.

use std::collections::BTreeSet;
use std::time::Duration;

use ebph::{Error, Key, Limits, Profile, State};

use crate::harness::{
    Pipe, Run, Seen, Stage, Start, Watch, call, eventually, getppid, held, learnt,
};

/// A stage with one trained profile, of a victim that has ended.
fn trained() -> (Stage, Watch, Key) {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(2, "calls", &[getppid(10)]);
    let key = stage.key(&watch, "calls");
    (stage, watch, key)
}

#[track_caller]
fn by_command(seen: &Seen) {
    assert!(seen.is_true("by_command"), "{seen:?}");
}

/// Check that normalize makes what was learnt normal, from any state.
#[test]
fn normalize() {
    let (stage, watch, key) = trained();
    watch.normalize(key).expect("the profile exists");
    let start = watch.wait_for_kind("start_normal", key);
    by_command(&start);
    assert!(!start.is_true("refresh"));
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.state(), State::Normal);
    assert_eq!((profile.train_count(), profile.anomalies()), (0, 0));
    assert_eq!(held(&profile), learnt(&profile));
    assert!(!held(&profile).is_empty());
    watch
        .normalize(key)
        .expect("a normal profile can be normalized");
    assert!(watch.wait_for_kind("start_normal", key).is_true("refresh"));
    watch.finish();
}

/// Check that tolerize ends normal and keeps what was learnt, and needs a normal profile.
#[test]
fn tolerize() {
    let (stage, watch, key) = trained();
    let refused = watch.tolerize(key);
    assert!(
        matches!(refused, Err(Error::NotNormal(found)) if found == key),
        "{refused:?}"
    );
    watch.normalize(key).expect("the profile exists");
    let before = learnt(&stage.profile(&watch, "calls"));
    watch.tolerize(key).expect("it is normal");
    assert_eq!(
        watch.wait_for_kind("stop_normal", key).text("cause"),
        "command"
    );
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.state(), State::Training);
    assert_eq!(learnt(&profile), before);
    watch.finish();
}

/// Check that sensitize forgets what is being learnt and keeps what is normal.
#[test]
fn sensitize() {
    let (stage, watch, key) = trained();
    watch.normalize(key).expect("the profile exists");
    watch.sensitize(key).expect("any state will do");
    watch.wait_for_kind("sensitized", key);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.state(), State::Normal);
    assert!(learnt(&profile).is_empty());
    assert!(!held(&profile).is_empty());
    assert_eq!((profile.train_count(), profile.sequences()), (0, 0));
    watch.finish();
}

/// Check that freeze and thaw do so, and need a profile that is not what they make it.
#[test]
fn freeze_and_thaw() {
    let (stage, watch, key) = trained();
    let refused = watch.thaw(key);
    assert!(
        matches!(refused, Err(Error::NotFrozen(found)) if found == key),
        "{refused:?}"
    );
    watch.freeze(key).expect("it is not frozen");
    by_command(&watch.wait_for_kind("profile_frozen", key));
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.state(), State::Frozen);
    assert!(profile.normal_at().is_some());
    let refused = watch.freeze(key);
    assert!(
        matches!(refused, Err(Error::AlreadyFrozen(found)) if found == key),
        "{refused:?}"
    );
    watch.thaw(key).expect("it is frozen");
    by_command(&watch.wait_for_kind("profile_thawed", key));
    assert_eq!(stage.profile(&watch, "calls").state(), State::Training);
    watch.finish();
}

/// Check that reset wipes everything but the profile itself.
#[test]
fn reset() {
    let (stage, watch, key) = trained();
    watch.normalize(key).expect("the profile exists");
    watch.reset(key).expect("any state will do");
    watch.wait_for_kind("profile_reset", key);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.state(), State::Training);
    assert!(learnt(&profile).is_empty() && held(&profile).is_empty());
    assert_eq!((profile.train_count(), profile.sequences()), (0, 0));
    assert_eq!(profile.symbols().count(), 2, "ids are kept");
    stage.run_ok(1, "calls", &[getppid(10)]);
    assert_eq!(stage.profile(&watch, "calls").train_count(), 11);
    watch.finish();
}

/// Check that a reset reaches a thread that holds back counts from before it.
#[test]
fn reset_of_a_living_profile() {
    let stage = Stage::new();
    let watch = stage.watch();
    let gate = Pipe::new();
    let arguments = [getppid(30), "r".into(), getppid(3)];
    let run = stage.start_with(&Start::new().input(&gate), "calls", &arguments);
    run.until_blocked_in(libc::SYS_read);
    let key = stage.key(&watch, "calls");
    watch.reset(key).expect("any state will do");
    assert_eq!(stage.profile(&watch, "calls").train_count(), 0);
    gate.send(1);
    assert!(run.wait().success());
    assert_eq!(stage.profile(&watch, "calls").train_count(), 3 + 1);
    watch.finish();
}

/// Checks what a command does to a profile that more threads than there are processors use, all of
/// them making the same five calls over and over.
struct Busy<'a> {
    run: Run<'a>,
    gate: &'a Pipe,
    watch: &'a Watch,
    key: Key,
    /// All there is to learn from those calls.
    pairs: BTreeSet<String>,
}

impl<'a> Busy<'a> {
    fn start(stage: &'a Stage, watch: &'a Watch, gate: &'a Pipe) -> Self {
        let threads = 3 * std::thread::available_parallelism().map_or(2, usize::from);
        let threads = threads.min(48);
        let arguments = ["loop".to_owned(), threads.to_string()];
        let run = stage.start_with(&Start::new().input(gate), "threads", &arguments);
        let pid = run.pid;
        eventually("all threads to be in their loops", || {
            let mut all = watch.processes().expect("processes can be listed");
            let process = all.find(|process| process.pid == pid)?;
            let looping = process.threads().iter().filter(|thread| thread.calls > 20);
            (looping.count() >= threads).then_some(())
        });
        // The leader's last call but one.
        run.until_blocked_in(libc::SYS_read);
        let calls = ["getppid", "getuid", "getpid", "getuid", "getgid"];
        let pairs = (0..calls.len()).flat_map(|at| {
            (1..=8).map(move |back| {
                let previous = calls[(at + 2 * calls.len() - back) % calls.len()];
                format!("{}<-{previous}@{back}", calls[at])
            })
        });
        Self {
            run,
            gate,
            watch,
            key: stage.key(watch, "threads"),
            pairs: pairs.collect(),
        }
    }

    fn profile(&self) -> Profile {
        let profile = self.watch.profile(self.key).expect("readable");
        profile.expect("it is in use")
    }

    /// Waits until everything was learnt again.
    #[track_caller]
    fn until_learnt(&self) {
        eventually("all pairs to be learnt again", || {
            (learnt(&self.profile()) == self.pairs).then_some(())
        });
    }

    #[track_caller]
    fn until_frozen(&self) {
        eventually("the profile to freeze again", || {
            self.profile().is_frozen().then_some(())
        });
        assert!(self.profile().sequences() > 0);
    }

    fn end(self) {
        self.gate.send(1);
        assert!(self.run.wait().success());
    }
}

/// Check that a profile which is wiped while its threads go on learns everything anew, and freezes.
#[test]
fn a_wiped_profile_in_use_learns_anew() {
    let (stage, gate) = (Stage::new(), Pipe::new());
    let watch = stage.watch_with(|builder| builder.normal_wait(Duration::from_secs(3600)));
    let busy = Busy::start(&stage, &watch, &gate);
    for _ in 0..30 {
        watch.reset(busy.key).expect("any state will do");
        busy.until_learnt();
        busy.until_frozen();
        watch.sensitize(busy.key).expect("any state will do");
        busy.until_learnt();
        busy.until_frozen();
    }
    busy.end();
    watch.finish();
}

/// Check that commands given while threads go on make no anomalies of the calls that they know.
#[test]
fn commands_to_a_profile_in_use_raise_no_alarm() {
    let (stage, gate) = (Stage::new(), Pipe::new());
    let watch = stage.watch_with(|builder| builder.normal_wait(Duration::from_secs(3600)));
    let busy = Busy::start(&stage, &watch, &gate);
    for _ in 0..30 {
        watch.reset(busy.key).expect("any state will do");
        busy.until_learnt();
        watch.normalize(busy.key).expect("any state will do");
        assert_eq!(held(&busy.profile()), busy.pairs);
        // Once more, from the same.
        watch.normalize(busy.key).expect("any state will do");
        assert_eq!(busy.profile().state(), State::Normal);
    }
    // Its end is new.
    let stats = watch.stats().expect("stats can be read");
    assert_eq!(stats.detection.anomalies, 0);
    busy.end();
    watch.finish();
}

/// Check that a profile whose processes have ended can be forgotten, and starts anew afterwards.
#[test]
fn forget() {
    let (stage, watch, key) = trained();
    let before = watch.stats().expect("stats can be read");
    watch.forget(key).expect("no process runs it");
    watch.wait_for_kind("profile_forgotten", key);
    assert!(watch.profile(key).expect("readable").is_none());
    let refused = watch.normalize(key);
    assert!(
        matches!(refused, Err(Error::NoSuchProfile(found)) if found == key),
        "{refused:?}"
    );
    eventually("slot and rows to be returned", || {
        let now = watch.stats().expect("stats can be read");
        (now.profiles.used + 1 == before.profiles.used && now.rows.used < before.rows.used)
            .then_some(())
    });
    stage.run_ok(1, "calls", &[getppid(5)]);
    assert_eq!(stage.profile(&watch, "calls").train_count(), 6);
    let outcome = watch.finish();
    assert_eq!(outcome.of("profile_created", key).len(), 2);
}

/// Check that a profile in use is not forgotten.
#[test]
fn forget_refuses_a_living_profile() {
    let stage = Stage::new();
    let watch = stage.watch();
    let gate = Pipe::new();
    let run = stage.start_with(&Start::new().input(&gate), "calls", &["r"]);
    run.until_blocked_in(libc::SYS_read);
    let key = stage.key(&watch, "calls");
    let expected = run.pid;
    match watch.forget(key) {
        Err(Error::ProfileInUse { key: found, pid }) => {
            assert_eq!((found, pid), (key, Some(expected)))
        }
        other => panic!("{other:?}"),
    }
    gate.send(1);
    assert!(run.wait().success());
    assert_eq!(stage.profile(&watch, "calls").train_count(), 2);
    watch.forget(key).expect("its process has ended");
    watch.finish();
}

/// Check that every command names a key that it does not know.
#[test]
fn unknown_keys_are_refused() {
    let stage = Stage::new();
    let watch = stage.watch();
    let key = stage.key(&watch, "calls");
    let results = [
        watch.normalize(key),
        watch.sensitize(key),
        watch.tolerize(key),
        watch.freeze(key),
        watch.thaw(key),
        watch.reset(key),
        watch.forget(key),
    ];
    for result in results {
        assert!(
            matches!(result, Err(Error::NoSuchProfile(found)) if found == key),
            "{result:?}"
        );
    }
    assert!(watch.profile(key).expect("readable").is_none());
    let outcome = watch.finish();
    outcome.none("profile_created", key);
}

/// Check that limits change while the monitor runs, and that absurd ones change nothing.
#[test]
fn limits_change_while_running() {
    let (stage, watch, key) = trained();
    watch.normalize(key).expect("the profile exists");
    let limits = watch.limits().anomaly_limit(0);
    watch.set_limits(limits).expect("these limits make sense");
    assert_eq!(watch.limits(), limits);
    let absurd = Limits::default()
        .freeze_factor(0, 0)
        .normal_wait(Duration::ZERO);
    let refused = watch.set_limits(absurd);
    assert!(
        matches!(
            refused,
            Err(Error::InvalidSetting {
                name: "freeze_factor",
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(watch.limits(), limits);
    // One anomaly is one too many now.
    stage.run_ok(1, "calls", &[call(libc::SYS_getpid, 1), getppid(10)]);
    assert_eq!(
        watch.wait_for_kind("stop_normal", key).text("cause"),
        "anomaly_limit"
    );
    let outcome = watch.finish();
    assert_eq!(outcome.of("anomaly", key).len(), 1);
}

/// Check that calls made during a pause are counted and nothing else, and that what follows is
/// not taken for the successor of what came before.
#[test]
fn pause_and_resume() {
    let stage = Stage::new();
    let watch = stage.watch();
    let gate = Pipe::new();
    let arguments = [
        getppid(3),
        "r".into(),
        call(libc::SYS_getpid, 2),
        "r".into(),
        call(libc::SYS_getuid, 1),
    ];
    let run = stage.start_with(&Start::new().input(&gate), "calls", &arguments);
    run.until_blocked_in(libc::SYS_read);
    assert_eq!(stage.profile(&watch, "calls").train_count(), 4);
    watch.pause().expect("it runs");
    gate.send(1);
    eventually("the calls made during the pause", || {
        let stats = watch.stats().expect("stats can be read");
        (stats.calls.paused >= 3).then_some(())
    });
    run.until_blocked_in(libc::SYS_read);
    assert_eq!(stage.profile(&watch, "calls").train_count(), 4);
    watch.resume().expect("it is paused");
    gate.send(1);
    assert!(run.wait().success());
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.train_count(), 4 + 1 + 1);
    let learnt = learnt(&profile);
    assert!(!learnt.contains("getuid<-read@1"), "{learnt:#?}");
    assert!(learnt.contains("exit_group<-getuid@1"), "{learnt:#?}");
    watch.finish();
}
