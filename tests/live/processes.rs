//! Counting, threads, fork and exit: that no call is missed and none is invented.

use ebph::{EntryHook, Monitor, Profile, Scope};
use rustix::process::Signal;

use crate::harness::{
    Gated, Pipe, Stage, Start, Watch, assert_has, call, eventually, getppid, kernel, learnt,
    program,
};

/// Check that each call of a program is counted once, the last one included.
#[test]
fn every_call_is_counted() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "calls", &[getppid(1000)]);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.train_count(), 1001);
    assert_eq!((profile.execs(), profile.processes_ended()), (1, 1));
    assert_eq!(profile.exe(), Some(stage.path("calls").as_path()));
    stage.run_ok(2, "calls", &[getppid(10)]);
    assert_eq!(stage.profile(&watch, "calls").train_count(), 1001 + 22);
    watch.finish();
}

/// Check that a child of the embedding process is watched from its exec on, and not before.
#[test]
fn a_child_is_watched_from_its_first_call() {
    let gated = Gated::new(program("calls"), &[getppid(100)]);
    let watch = Watch::start(Monitor::builder().scope(Scope::Tree(gated.pid)));
    assert!(gated.go().wait().expect("it is our child").success());
    let profiles: Vec<Profile> = watch.profiles().expect("profiles can be read").collect();
    assert_eq!(profiles.len(), 1, "{profiles:?}");
    assert_eq!(profiles[0].train_count(), 101);
    let outcome = watch.finish();
    assert_eq!(outcome.stats.calls.recorded, 101);
}

/// Check that counts are whole while a thread still holds some of them back, and after it was
/// killed in the middle of a call.
#[test]
fn counts_are_exact_before_and_after_the_end() {
    let stage = Stage::new();
    let watch = stage.watch();
    let gate = Pipe::new();
    let run = stage.start_with(
        &Start::new().input(&gate),
        "calls",
        &[getppid(70), "r".into(), getppid(7)],
    );
    run.until_blocked_in(libc::SYS_read);
    assert_eq!(stage.profile(&watch, "calls").train_count(), 71);
    let pid = run.pid;
    let listed = || {
        let mut all = watch.processes().expect("processes can be listed");
        all.find(|process| process.pid == pid)
    };
    let process = listed().expect("a living process is listed");
    assert_eq!(process.key, Some(stage.key(&watch, "calls")));
    assert_eq!(process.calls(), 71);
    assert_eq!(process.threads().len(), 1);
    run.signal(Signal::KILL);
    run.wait();
    assert_eq!(stage.profile(&watch, "calls").train_count(), 71);
    assert!(listed().is_none(), "an ended process is not listed");
    watch.finish();
}

/// Check that what a thread holds back while another one teaches their profile something new is
/// not taken for calls since that novelty.
#[test]
fn novelties_of_others_are_counted_from() {
    let stage = Stage::new();
    let watch = stage.watch();
    let gate = Pipe::new();
    let start = Start::new().input(&gate);
    let arguments = [getppid(30), "r".into(), getppid(3), "r".into()];
    gate.send(2);
    let taught = stage.start_with(&start, "calls", &arguments);
    assert!(taught.wait().success());
    let counts = || {
        let profile = stage.profile(&watch, "calls");
        (profile.train_count(), profile.last_mod_count())
    };
    // The last call, exit_group, was new.
    assert_eq!(counts(), (36, 0));
    let run = stage.start_with(&start, "calls", &arguments);
    run.until_blocked_in(libc::SYS_read);
    assert_eq!(counts(), (36 + 31, 31));
    // Its exit_group is new again: nothing but getuid came before.
    stage.run_ok(1, "calls", &[call(libc::SYS_getuid, 1)]);
    assert_eq!(counts(), (36 + 31 + 2, 0));
    gate.send(1);
    eventually("the calls up to the second read", || {
        (counts() == (36 + 31 + 2 + 4, 4)).then_some(())
    });
    gate.send(1);
    assert!(run.wait().success());
    assert_eq!(counts(), (36 + 36 + 2, 5));
    watch.finish();
}

/// Check that threads count into their program's profile, each with a window of its own that
/// begins with what came before its clone.
#[test]
fn threads_share_the_profile() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "threads", &[8, 100]);
    let profile = stage.profile(&watch, "threads");
    assert_eq!(profile.train_count(), 8 * 102 + 1);
    assert_eq!((profile.execs(), profile.processes_ended()), (1, 1));
    assert_has(
        &learnt(&profile),
        &["getppid<-clone@1", "getppid<-getppid@8"],
    );
    watch.finish();
}

/// Check that a forked child goes on with its parent's profile and window: a fork launders
/// nothing.
#[test]
fn fork_keeps_profile_and_window() {
    let stage = Stage::new();
    let watch = stage.watch();
    let getuid = libc::SYS_getuid.to_string();
    stage.run_ok(1, "procs", &["before", "2", &getuid, "3"]);
    let profile = stage.profile(&watch, "procs");
    // 2 getuid, clone; the child's 3 getppid and exit_group; wait4, exit_group.
    assert_eq!(profile.train_count(), 2 + 1 + 4 + 2);
    assert_eq!((profile.execs(), profile.processes_ended()), (1, 2));
    assert_has(
        &learnt(&profile),
        &[
            "getppid<-clone@1",
            "getppid<-getuid@2",
            "getppid<-getuid@3",
            "wait4<-clone@1",
            "wait4<-getuid@2",
        ],
    );
    watch.finish();
}

/// Check that vfork is a fork, and that the parent's window is its own again afterwards.
#[test]
fn vfork_keeps_profile_and_window() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "procs", &["vfork", "3"]);
    let profile = stage.profile(&watch, "procs");
    assert_eq!(profile.train_count(), 1 + 4 + 2);
    assert_eq!(profile.processes_ended(), 2);
    let learnt = learnt(&profile);
    assert_has(&learnt, &["getppid<-clone@1", "wait4<-clone@1"]);
    assert!(!learnt.contains("wait4<-getppid@1"), "{learnt:#?}");
    watch.finish();
}

/// Check that processes which run already are picked up, with the profile of their executable,
/// at their next call.
#[test]
fn running_processes_are_picked_up() {
    let stage = Stage::new();
    let gate = Pipe::new();
    let arguments = [getppid(5), "r".into(), call(libc::SYS_getuid, 7)];
    let run = stage.start_with(&Start::new().input(&gate), "calls", &arguments);
    run.until_blocked_in(libc::SYS_read);
    let watch = stage.watch();
    let pid = run.pid;
    gate.send(1);
    assert!(run.wait().success());
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.train_count(), 7 + 1);
    assert_eq!(profile.execs(), 0, "its exec was before the start");
    assert_eq!(profile.processes_ended(), 1);
    let outcome = watch.finish();
    let created = outcome.one("profile_created", profile.key());
    assert_eq!(created.number("pid"), u64::from(pid));
}

/// Makes calls from more threads than there are processors, and checks that they are accounted for
/// to the last one; `counted`: as far as the kernel counts what it does not show.
fn storm(hook: EntryHook, counted: bool) {
    let threads = 4 * std::thread::available_parallelism()
        .map_or(2, usize::from)
        .min(16);
    let each = 20_000;
    let gated = Gated::new(program("threads"), &[threads, each]);
    let tree = Monitor::builder().scope(Scope::Tree(gated.pid));
    let watch = Watch::start(tree.hook(hook));
    assert!(gated.go().wait().expect("it is our child").success());
    let profile = watch.profiles().expect("readable").next().expect("one");
    let outcome = watch.finish();
    let made = (threads * (each + 2) + 1) as u64;
    let seen = outcome.stats.calls.seen();
    let missed: u64 = outcome
        .stats
        .programs
        .iter()
        .filter(|program| program.name.contains("sys_enter"))
        .map(|program| program.recursion_misses)
        .sum();
    assert!(seen <= made, "{seen} calls seen, {made} made");
    // The kernel counts the misses of every process on the machine, so there may be more of them.
    assert!(
        seen + missed >= made || !counted,
        "{made} calls made, {seen} seen, {missed} missed by the program: the rest is unaccounted for"
    );
    assert_eq!(profile.train_count(), outcome.stats.calls.recorded);
    assert_eq!(outcome.stats.calls.recorded, seen);
}

/// Check that a storm of calls is accounted for to the last call, but for kernels whose programs of
/// this kind run preemptibly: they skip calls in silence, which is why it is not the default there.
#[test]
fn a_storm_is_accounted_for() {
    storm(EntryHook::TpBtf, !kernel::hides_calls());
}

/// Check the same for the plain tracepoint.
#[test]
fn a_storm_is_accounted_for_by_the_tracepoint() {
    storm(EntryHook::Tracepoint, kernel::counts_hidden_calls());
}

/// Check that the process list follows threads, and names them by the profile they run.
#[test]
fn processes_are_listed() {
    let stage = Stage::new();
    let watch = stage.watch();
    let gate = Pipe::new();
    let start = Start::new().input(&gate);
    let first = stage.start_with(&start, "calls", &["r"]);
    let second = stage.start_with(&start, "calls", &[getppid(3), "r".into()]);
    first.until_blocked_in(libc::SYS_read);
    second.until_blocked_in(libc::SYS_read);
    let key = stage.key(&watch, "calls");
    let mut of_calls: Vec<_> = watch
        .processes()
        .expect("processes can be listed")
        .filter(|process| process.key == Some(key))
        .collect();
    of_calls.sort_by_key(ebph::Process::calls);
    let found: Vec<_> = of_calls
        .iter()
        .map(|process| (process.pid, process.comm.as_str(), process.calls()))
        .collect();
    assert_eq!(found, [(first.pid, "calls", 1), (second.pid, "calls", 4)]);
    gate.send(2);
    assert!(first.wait().success());
    assert!(second.wait().success());
    eventually("both to be gone from the list", || {
        let mut all = watch.processes().expect("processes can be listed");
        all.all(|process| process.key != Some(key)).then_some(())
    });
    watch.finish();
}
