//! Scopes: who is watched and who is not.

use ebph::{Monitor, Scope};

use crate::harness::cgroup::Cgroup;
use crate::harness::{Pipe, Stage, Start, Watch, eventually, getppid};

/// Check that a tree is its root and its descendants, and nobody else.
#[test]
fn a_tree_is_its_own() {
    let (stage, stranger) = (Stage::new(), Stage::new());
    let watch = stage.watch();
    stranger.run_ok(3, "calls", &[getppid(10)]);
    stage.run_ok(1, "calls", &[getppid(10)]);
    assert_eq!(stage.profile(&watch, "calls").train_count(), 11);
    let key = watch
        .key_of(stranger.path("calls"))
        .expect("the file exists");
    assert!(watch.profile(key).expect("readable").is_none());
    let outcome = watch.finish();
    assert!(
        outcome
            .events
            .iter()
            .all(|seen| !seen.is_of(&stranger.path("calls")))
    );
}

/// Check that descendants which run already are part of the tree.
#[test]
fn running_descendants_belong_to_the_tree() {
    let stage = Stage::new();
    let gate = Pipe::new();
    let start = Start::new().input(&gate);
    let run = stage.start_with(&start, "calls", &["r".to_owned(), getppid(10)]);
    run.until_blocked_in(libc::SYS_read);
    // Not the victim's pid but its parent's.
    let watch = stage.watch();
    gate.send(1);
    assert!(run.wait().success());
    assert_eq!(stage.profile(&watch, "calls").train_count(), 11);
    watch.finish();
}

fn watch_cgroup(cgroup: &Cgroup) -> Watch {
    Watch::start(Monitor::builder().scope(Scope::Cgroup(cgroup.path().into())))
}

/// Check that a cgroup scope covers the cgroup and those below it, and nobody else.
#[test]
fn a_cgroup_and_those_below() {
    let stage = Stage::new();
    let (cgroup, stranger) = (Cgroup::new(), Cgroup::new());
    let below = cgroup.child("below");
    let watch = watch_cgroup(&cgroup);
    let run = |place: &Cgroup, name: &str, calls: usize| {
        let start = Start::new().cgroup(place.path());
        let path = stage.copy("calls", name);
        let path = path.to_str().expect("test paths are UTF-8");
        assert!(
            stage
                .start_with(&start, path, &[getppid(calls)])
                .wait()
                .success()
        );
    };
    run(&cgroup, "inside", 10);
    run(&below, "below", 20);
    run(&stranger, "outside", 30);
    stage.run_ok(1, "calls", &[getppid(40)]);
    assert_eq!(stage.profile(&watch, "inside").train_count(), 11);
    assert_eq!(stage.profile(&watch, "below").train_count(), 21);
    for name in ["outside", "calls"] {
        let key = stage.key(&watch, name);
        assert!(watch.profile(key).expect("readable").is_none(), "{name}");
    }
    let outcome = watch.finish();
    let created: Vec<_> = outcome.all("profile_created").collect();
    assert!(
        created
            .iter()
            .any(|seen| seen.number("cgroup_id") == below.id())
    );
    drop(below);
}

/// Check that a process which moves into the cgroup is watched from then on, and no longer once it
/// has moved out.
#[test]
fn moving_into_a_cgroup() {
    // The runner, which is in one of them, goes first in the end.
    let (cgroup, outside) = (Cgroup::new(), Cgroup::new());
    let stage = Stage::new();
    stage.move_to(outside.path());
    let watch = watch_cgroup(&cgroup);
    let gate = Pipe::new();
    let run = stage.start_with(
        &Start::new().input(&gate),
        "calls",
        &[getppid(3), "r".into(), getppid(10), "r".into(), getppid(5)],
    );
    let key = stage.key(&watch, "calls");
    run.until_blocked_in(libc::SYS_read);
    assert!(watch.profile(key).expect("readable").is_none());
    cgroup.take(run.pid);
    gate.send(1);
    eventually("the calls inside", || {
        let profile = watch.profile(key).expect("readable")?;
        (profile.train_count() == 11).then_some(())
    });
    run.until_blocked_in(libc::SYS_read);
    outside.take(run.pid);
    gate.send(1);
    assert!(run.wait().success());
    assert_eq!(stage.profile(&watch, "calls").train_count(), 11);
    watch.finish();
}
