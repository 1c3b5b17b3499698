//! Operations of io_uring: letters between the calls of the thread that submits them.

mod library;

use std::collections::BTreeSet;
use std::process::Command;

use ebph::{Abi, Monitor, MonitorBuilder, Scope, Store, Symbol};
use io_uring::{IoUring, opcode};
use libbpf_rs::btf::{self, Btf};

use crate::harness::cgroup::Cgroup;
use crate::harness::{Pipe, Stage, Start, Watch, helper, learnt, program};
use crate::store::{folder, keeping};

const SET_UP: [&str; 3] = ["io_uring_setup", "mmap", "mmap"];
const NOP: &str = "io_uring:nop";

/// All pairs of a thread that makes these calls, and no other, from its program's start on.
fn pairs(calls: &[&str]) -> BTreeSet<String> {
    let mut pairs = BTreeSet::new();
    for (at, current) in calls.iter().enumerate() {
        for (distance, previous) in calls[..at].iter().rev().take(8).enumerate() {
            pairs.insert(format!("{current}<-{previous}@{}", distance + 1));
        }
    }
    pairs
}

/// What the victim does after it has set a ring up, to its end.
fn with_ring(calls: &[&'static str]) -> Vec<&'static str> {
    [&SET_UP, calls, &["exit_group"]].concat()
}

/// A call that submits these operations.
fn entered(operations: &[&'static str]) -> Vec<&'static str> {
    [&["io_uring_enter"], operations].concat()
}

/// Fails unless the victim's profile rests on these threads' calls and on no other.
#[track_caller]
fn assert_exactly(watch: &Watch, stage: &Stage, name: &str, threads: &[Vec<&str>]) {
    let profile = stage.profile(watch, name);
    let expected: BTreeSet<String> = threads.iter().flat_map(|calls| pairs(calls)).collect();
    let found = learnt(&profile);
    let missing: Vec<_> = expected.difference(&found).collect();
    let surplus: Vec<_> = found.difference(&expected).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing: {missing:?}, not expected: {surplus:?}"
    );
}

#[track_caller]
fn assert_count(watch: &Watch, stage: &Stage, name: &str, calls: usize) {
    let count = stage.profile(watch, name).train_count();
    assert_eq!(count, calls as u64, "calls and operations");
}

/// A file for the victim to write and read.
fn file(stage: &Stage) -> String {
    format!("file:{}", stage.directory().join("data").display())
}

const FILE: [&str; 5] = [
    "io_uring:openat",
    "io_uring:write",
    "io_uring:fsync",
    "io_uring:read",
    "io_uring:close",
];

/// Check that operations have the names that this kernel has for them; one that is newer than this
/// crate has its number.
#[test]
fn names_are_the_kernels() {
    let types = Btf::from_vmlinux().expect("the live tests need /sys/kernel/btf/vmlinux");
    let kernels: btf::types::Enum<'_> = types
        .type_by_name("io_uring_op")
        .expect("this test needs a kernel with io_uring");
    let mut count = 0;
    for operation in kernels.iter() {
        let name = operation.name.expect("its values have names");
        let name = name.to_str().expect("and those are ASCII");
        let name = name.trim_start_matches("IORING_OP_").to_lowercase();
        if name == "last" {
            continue;
        }
        let number = u32::try_from(operation.value).expect("it is a small number");
        let ours = Symbol::new(Abi::IoUring, number).name();
        assert!(
            ours == name || ours == format!("call_{number}"),
            "{number} is {name}, not {ours}"
        );
        count += 1;
    }
    assert!(count >= 49, "Linux 6.1 has that many: {count}");
}

/// Check that what a program does to files and sockets by way of a ring is in its profile, each
/// operation under its name and between the calls where it was submitted.
#[test]
fn operations_stand_between_calls() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "uring", &["ring", &file(&stage), "unix", "tcp"]);
    let each = |operations: &[&'static str]| -> Vec<&'static str> {
        let operations = operations.iter().map(|operation| [*operation]);
        operations.flat_map(|one| entered(&one)).collect()
    };
    let calls = with_ring(
        &[
            each(&FILE),
            vec!["socketpair"],
            each(&["io_uring:send", "io_uring:recv"]),
            each(&["io_uring:socket", "io_uring:socket"]),
            vec!["bind", "listen", "getsockname"],
            entered(&["io_uring:accept", "io_uring:connect"]),
            each(&["io_uring:send", "io_uring:recv", "io_uring:shutdown"]),
        ]
        .concat(),
    );
    assert_exactly(&watch, &stage, "uring", std::slice::from_ref(&calls));
    assert_count(&watch, &stage, "uring", calls.len());
    watch.finish();
}

/// Check that each entry of the queue counts once, whether it is linked to the next, left to a
/// worker or answered several times, and that one which the kernel refuses does not.
#[test]
fn each_submission_counts_once() {
    let stage = Stage::new();
    let watch = stage.watch();
    let steps = ["ring", "nop:50", "link:40", "async:30", "multi:5", "op:200"];
    stage.run_ok(1, "uring", &steps);
    let mut calls = Vec::new();
    for count in [50, 40, 30] {
        calls.extend(entered(&vec![NOP; count]));
    }
    calls.push("pipe2");
    calls.extend(entered(&["io_uring:poll_add"]));
    for _ in 0..5 {
        calls.extend(["write", "io_uring_enter"]);
    }
    // No kernel has an operation of this number.
    calls.push("io_uring_enter");
    let calls = with_ring(&calls);
    assert_count(&watch, &stage, "uring", calls.len());
    assert_exactly(&watch, &stage, "uring", &[calls]);
    watch.finish();
}

/// Check that an operation never seen before is an anomaly of the process that submitted it, and
/// that what it follows is said.
#[test]
fn an_unknown_operation_is_an_anomaly() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(2, "uring", &["ring", "nop:1", "nop:1"]);
    let key = stage.key(&watch, "uring");
    watch.normalize(key).expect("the profile exists");
    stage.run_ok(1, "uring", &["ring", "nop:1", "nop:1"]);
    assert_eq!(stage.profile(&watch, "uring").anomalies(), 0);

    let run = stage.start("uring", &["ring", "nop:1", "op:3"]);
    let pid = run.pid;
    assert!(run.wait().success());
    let anomaly = watch.wait_for_kind("anomaly", key);
    assert_eq!(anomaly.number("pid"), u64::from(pid));
    assert_eq!(anomaly.text("symbol.abi"), "io_uring");
    assert_eq!(anomaly.text("symbol.name"), "fsync");
    let before = [&SET_UP[..], &entered(&[NOP]), &["io_uring_enter"]].concat();
    // An operation does not tell which machine it was on, so calls beside it do.
    let named = |call: &&str| match *call {
        NOP => NOP.to_owned(),
        call => format!("{}:{call}", Abi::NATIVE),
    };
    let mut window: Vec<String> = before.iter().map(named).collect();
    window.push("io_uring:fsync".to_owned());
    assert_eq!(anomaly.window(), window);
    assert_eq!(anomaly.missed().len(), before.len());
    assert_eq!(
        stage.profile(&watch, "uring").anomalies(),
        2,
        "the operation, and the end that follows it"
    );
    watch.finish();
}

/// What a program with a polled ring does: its own calls, and those of the kernel's thread.
fn polled() -> [Vec<&'static str>; 2] {
    let own = with_ring(&["io_uring_enter", "getppid", "getppid"]);
    [own, [&[NOP; 3][..], &FILE].concat()]
}

/// Check that what the kernel's thread takes from a polled ring is in the program's profile, with a
/// window of its own, in a tree.
#[test]
fn a_polled_ring_in_a_tree() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(3, "uring", &["sqpoll", "nop:3", &file(&stage), "getppid:2"]);
    assert_exactly(&watch, &stage, "uring", &polled());
    assert_count(&watch, &stage, "uring", 3 * polled().concat().len());
    let outcome = watch.finish();
    assert_eq!(outcome.stats.threads.late_tasks, 0, "it was not missed");
}

/// Check the same in a cgroup, and that a program outside is not seen.
#[test]
fn a_polled_ring_in_a_cgroup() {
    let stage = Stage::new();
    let cgroup = Cgroup::new();
    let watch = Watch::start(Monitor::builder().scope(Scope::Cgroup(cgroup.path().into())));
    let steps = ["sqpoll", "nop:3", &file(&stage), "getppid:2"];
    let start = Start::new().cgroup(cgroup.path());
    assert!(stage.start_with(&start, "uring", &steps).wait().success());
    let outside = stage.copy("uring", "outside");
    let outside = outside.to_str().expect("test paths are UTF-8");
    stage.run_ok(1, outside, &steps);
    stage.run_ok(1, outside, &["ring", "nop:3"]);
    assert_exactly(&watch, &stage, "uring", &polled());
    assert_count(&watch, &stage, "uring", polled().concat().len());
    let key = stage.key(&watch, outside);
    assert!(watch.profile(key).expect("readable").is_none());
    watch.finish();
}

/// Check that an anomaly in a polled ring names the process, by the kernel's thread.
#[test]
fn an_anomaly_in_a_polled_ring() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(2, "uring", &["sqpoll", "nop:2"]);
    let key = stage.key(&watch, "uring");
    watch.normalize(key).expect("the profile exists");
    let run = stage.start("uring", &["sqpoll", "nop:1", "op:3"]);
    let pid = run.pid;
    assert!(run.wait().success());
    let anomaly = watch.wait_for_kind("anomaly", key);
    assert_eq!(anomaly.number("pid"), u64::from(pid));
    assert_ne!(anomaly.number("tid"), u64::from(pid));
    assert!(anomaly.text("comm").starts_with("iou-sqp-"));
    assert_eq!(anomaly.text("symbol.name"), "fsync");
    assert_eq!(anomaly.missed(), [format!("{NOP}@1")]);
    assert!(anomaly.is_of(&stage.path("uring")));
    assert_eq!(stage.profile(&watch, "uring").anomalies(), 1);
    watch.finish();
}

/// Check that the kernel's thread belongs to the script that its process runs, not to the
/// interpreter.
#[test]
fn a_polled_ring_of_a_script() {
    let stage = Stage::new();
    let watch = stage.watch();
    let interpreter = stage.path("uring");
    let script = stage.file("script", &format!("#!{} sqpoll\n", interpreter.display()));
    let script = script.to_str().expect("test paths are UTF-8");
    stage.run_ok(1, script, &["nop:3"]);
    let key = stage.key(&watch, "uring");
    assert!(
        watch.profile(key).expect("readable").is_none(),
        "nothing ran it but the script"
    );
    let mut profiles = watch.profiles().expect("readable");
    let profile = profiles
        .find(|profile| profile.exe() == Some(&*interpreter))
        .expect("the script has a profile");
    let found = learnt(&profile);
    assert_eq!(
        found,
        &pairs(&with_ring(&["io_uring_enter"])) | &pairs(&[NOP; 3])
    );
    assert_eq!(profile.train_count(), 5 + 3);
    drop(profiles);
    watch.finish();
}

/// Check that programs outside the tree are not seen, whoever submits for them.
#[test]
fn outside_the_tree() {
    let (stage, stranger) = (Stage::new(), Stage::new());
    let watch = stage.watch();
    stranger.run_ok(1, "uring", &["ring", "nop:10"]);
    stranger.run_ok(1, "uring", &["sqpoll", "nop:10"]);
    stage.run_ok(1, "uring", &["ring", "nop:1"]);
    let key = stranger.key(&watch, "uring");
    assert!(watch.profile(key).expect("readable").is_none());
    assert_count(&watch, &stage, "uring", 6);
    let outcome = watch.finish();
    let strange = stranger.path("uring");
    assert!(outcome.events.iter().all(|seen| !seen.is_of(&strange)));
}

/// Check that two threads with one ring have each the operations that they submitted.
#[test]
fn two_threads_with_one_ring() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "uring", &["ring", "thread:3", "nop:2"]);
    let first = with_ring(&["clone", "io_uring_enter", NOP, NOP]);
    let mut second = [&SET_UP[..], &["clone"]].concat();
    for _ in 0..3 {
        second.extend(entered(&[NOP]));
    }
    second.push("exit");
    // What both share is the past before the clone.
    let calls = first.len() + second.len() - SET_UP.len() - 1;
    assert_exactly(&watch, &stage, "uring", &[first, second]);
    assert_count(&watch, &stage, "uring", calls);
    watch.finish();
}

/// Check that an operation is its submitter's, not that of the program which set the ring up.
#[test]
fn a_ring_that_was_inherited() {
    let stage = Stage::new();
    let watch = stage.watch();
    let heir = stage.copy("uring", "heir");
    let become_heir = format!("exec:{}", heir.display());
    stage.run_ok(1, "uring", &["ring", "nop:1", &become_heir, "nop:2"]);
    let first = [&SET_UP[..], &entered(&[NOP]), &["fcntl", "execve"]].concat();
    let second = [&["mmap", "mmap"], &entered(&[NOP; 2])[..], &["exit_group"]].concat();
    assert_count(&watch, &stage, "uring", first.len());
    assert_exactly(&watch, &stage, "uring", &[first]);
    let name = heir.to_str().expect("test paths are UTF-8");
    assert_count(&watch, &stage, name, second.len());
    assert_exactly(&watch, &stage, name, &[second]);
    watch.finish();
}

/// Check that an operation of a signal handler is in the handler's window, and leaves no trace in
/// that of the code it interrupts.
#[test]
fn in_a_signal_handler() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "uring", &["ring", "handler", "getppid:1"]);
    let code = with_ring(&["rt_sigaction", "getpid", "kill", "getppid"]);
    let handler = [&entered(&[NOP])[..], &["rt_sigreturn"]].concat();
    assert_count(&watch, &stage, "uring", code.len() + handler.len());
    assert_exactly(&watch, &stage, "uring", &[code, handler]);
    watch.finish();
}

/// Check that operations are not recorded during a pause, and are again after it.
#[test]
fn paused() {
    let stage = Stage::new();
    let watch = stage.watch();
    let gate = Pipe::new();
    let steps = ["ring", "nop:1", "wait", "nop:7"];
    let run = stage.start_with(&Start::new().input(&gate), "uring", &steps);
    run.until_blocked_in(libc::SYS_read);
    watch.pause().expect("it runs");
    gate.send(1);
    assert!(run.wait().success());
    let first = [&SET_UP[..], &entered(&[NOP]), &["read"]].concat();
    assert_count(&watch, &stage, "uring", first.len());
    assert_exactly(&watch, &stage, "uring", std::slice::from_ref(&first));
    watch.resume().expect("it was paused");
    stage.run_ok(1, "uring", &["ring", "nop:1"]);
    let second = with_ring(&entered(&[NOP]));
    assert_count(&watch, &stage, "uring", first.len() + second.len());
    assert_exactly(&watch, &stage, "uring", &[first, second]);
    watch.finish();
}

/// Check that operations are left out if that is asked for, and calls are not.
#[test]
fn switched_off() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.io_uring(false));
    stage.run_ok(1, "uring", &["ring", "nop:5", "nop:5"]);
    stage.run_ok(1, "uring", &["sqpoll", "nop:5"]);
    let calls = with_ring(&["io_uring_enter", "io_uring_enter"]);
    let polled = with_ring(&["io_uring_enter"]);
    assert_count(&watch, &stage, "uring", calls.len() + polled.len());
    assert_exactly(&watch, &stage, "uring", &[calls, polled]);
    watch.finish();
}

/// Submits NOPs, and waits until they are done.
fn submit_nops(ring: &mut IoUring, count: usize) {
    for _ in 0..count {
        // SAFETY: a NOP refers to no memory.
        let pushed = unsafe { ring.submission().push(&opcode::Nop::new().build()) };
        pushed.expect("there is room");
    }
    ring.submit_and_wait(count).expect("it is submitted");
    assert_eq!(ring.completion().count(), count);
}

#[test]
fn part_that_submits_itself() {
    if !helper::part("uring::part_that_submits_itself") {
        return;
    }
    let watch = Watch::start(Monitor::builder().scope(Scope::Tree(std::process::id())));
    let mut ring = IoUring::new(8).expect("this test needs io_uring");
    submit_nops(&mut ring, 8);
    let mut polled = IoUring::builder().setup_sqpoll(1000).build(8);
    submit_nops(polled.as_mut().expect("root may poll"), 8);
    let status = Command::new(program("uring"))
        .args(["ring", "nop:3"])
        .status()
        .expect("it can be run");
    assert!(status.success());
    let profiles: Vec<_> = watch.profiles().expect("readable").collect();
    assert_eq!(profiles.len(), 1, "{profiles:?}");
    assert_eq!(profiles[0].exe(), Some(program("uring")));
    let calls = with_ring(&entered(&[NOP; 3]));
    let outcome = watch.finish();
    assert_eq!(outcome.stats.calls.recorded, calls.len() as u64);
}

/// Check that what the embedding process submits is not watched, whoever does it for that.
#[test]
fn the_embedding_process_submits_unseen() {
    helper::run("uring::part_that_submits_itself");
}

/// Check that operations survive in a profile's file: what was learnt is normal after a restart,
/// and what was not is an anomaly.
#[test]
fn a_profile_that_returns() {
    let stage = Stage::new();
    let keep = |builder: MonitorBuilder| keeping(&stage)(builder);
    let watch = stage.watch_with(keep);
    stage.run_ok(2, "uring", &["ring", "nop:1", &file(&stage)]);
    let key = stage.key(&watch, "uring");
    watch.normalize(key).expect("the profile exists");
    let before = learnt(&stage.profile(&watch, "uring"));
    watch.finish();

    let store = Store::open(folder(&stage)).expect("the folder is ours");
    let loaded = store.load().expect("it can be read");
    assert!(loaded.set_aside.is_empty(), "{:?}", loaded.set_aside);
    let exe = stage.path("uring");
    let stored = loaded.profiles.iter().map(|stored| &stored.profile);
    let stored: Vec<_> = stored.filter(|p| p.exe() == Some(&*exe)).collect();
    assert_eq!(stored.len(), 1);
    assert_eq!(learnt(stored[0]), before);
    drop(store);

    let watch = stage.watch_with(keep);
    stage.run_ok(1, "uring", &["ring", "nop:1", &file(&stage)]);
    let profile = stage.profile(&watch, "uring");
    assert!(profile.is_normal());
    assert_eq!((profile.anomalies(), learnt(&profile)), (0, before));
    stage.run_ok(1, "uring", &["ring", "nop:1", "op:24"]);
    let anomaly = watch.wait_for_kind("anomaly", key);
    assert_eq!(anomaly.text("symbol.abi"), "io_uring");
    assert_eq!(anomaly.text("symbol.name"), "fadvise");
    watch.finish();
}

/// Check that a process which ends counts once, although threads of the kernel's may end after its
/// own.
#[test]
fn processes_with_workers_end() {
    const RUNS: usize = 30;

    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.io_uring(false));
    stage.run_ok(RUNS, "uring", &["ring", "async:8"]);
    stage.run_ok(RUNS, "uring", &["sqpoll", "nop:1"]);
    let ended = stage.profile(&watch, "uring").processes_ended();
    assert_eq!(ended, 2 * RUNS as u64);
    watch.finish();
}
