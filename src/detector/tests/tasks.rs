//! Threads, fork, exec, exit.

use crate::limits::Limits;
use crate::syscall::Symbol;

use super::super::{Command, Did, HandlerFrame, Interrupted, Op, ProfileId, Step, TaskId, Verdict};
use super::{Rig, SP, key, sigreturn};

/// Check that a forked child goes on where its parent was.
#[test]
fn fork_inherits_the_past() {
    let mut rig = Rig::normal(Limits::default(), &[1, 2]);
    rig.calls(&[1, 1]);
    rig.detector
        .signal(rig.task, Some(HandlerFrame::new(SP + 1)), Interrupted::None);
    rig.call(2);
    let child = rig.detector.fork(rig.task);
    let status = rig.detector.task(child).unwrap();
    assert_eq!((status.lfc, status.max_lfc), (1, 1));
    assert_eq!(status.signal_depth, 1);
    assert_eq!((status.calls, status.anomalies), (0, 0));
    assert_eq!(status.profile, rig.profile);

    // Its first call is judged by the parent's window, and its handler's
    // return leads back to what the parent did before.
    assert_eq!(rig.call_of(child, 2).missed, 1);
    rig.detector.call(child, sigreturn(), SP, rig.now);
    let verdict = rig.call_of(child, 1);
    assert_eq!(verdict.missed, 0b11);
    // The parent is not touched.
    assert_eq!(rig.detector.task(rig.task).unwrap().signal_depth, 1);
}

/// Check that a child on a stack of its own inherits the window alone.
#[test]
fn thread_inherits_the_window() {
    let mut rig = Rig::normal(Limits::default(), &[1, 2]);
    rig.calls(&[1, 1]);
    rig.detector
        .signal(rig.task, Some(HandlerFrame::new(SP + 1)), Interrupted::None);
    rig.call(2);
    let child = rig.detector.fork_on_new_stack(rig.task);
    let status = rig.detector.task(child).unwrap();
    assert_eq!((status.lfc, status.max_lfc), (0, 0));
    assert_eq!(status.signal_depth, 0);
    let verdict = rig.call_of(child, 2);
    assert_eq!((verdict.missed, verdict.lfc), (1, 1));
    let verdict = rig.detector.call(child, sigreturn(), SP, rig.now);
    assert!(verdict.did.contains(Did::UNBALANCED));
}

/// Check that a child does not inherit the call that its parent is to make again.
#[test]
fn fork_leaves_the_restart_behind() {
    let mut rig = Rig::new(Limits::default());
    rig.detector
        .signal(rig.task, None, Interrupted::Restarts(Symbol::native(1)));
    let child = rig.detector.fork(rig.task);
    assert!(rig.call_of(child, 1).did.contains(Did::RECORD));
    assert_eq!(rig.call(1).did, Did::RESTART);
}

/// Check that a child inherits the doubt about its parent's frames.
#[test]
fn fork_inherits_doubt() {
    let mut rig = Rig::new(Limits::default());
    rig.detector
        .signal(rig.task, Some(HandlerFrame::new(SP)), Interrupted::None);
    rig.call(1);
    for child in [
        rig.detector.fork(rig.task),
        rig.detector.fork_on_new_stack(rig.task),
    ] {
        assert!(!rig.detector.task(child).unwrap().certain);
    }
}

/// Check that a transition between the fork and the child's first call empties
/// the locality frame that the child inherited.
#[test]
fn fork_inherits_a_stale_locality_frame() {
    let mut rig = Rig::normal(Limits::default(), &[1, 2]);
    rig.calls(&[1, 1]);
    rig.command(Command::Sensitize);
    let child = rig.detector.fork(rig.task);
    assert_eq!(rig.call_of(child, 1).lfc, 1);
}

/// Check that an exec starts afresh with another profile.
#[test]
fn exec_starts_afresh() {
    let mut rig = Rig::normal(Limits::default(), &[1, 2]);
    let other = rig.detector.add_profile(key());
    rig.calls(&[1, 1]);
    for _ in 0..10 {
        rig.detector
            .signal(rig.task, Some(HandlerFrame::new(SP + 1)), Interrupted::None);
    }
    rig.detector
        .signal(rig.task, None, Interrupted::Restarts(Symbol::native(2)));
    let ended = rig.profile().processes_ended();
    rig.detector.exec(rig.task, other);
    assert_eq!(rig.profile().processes_ended(), ended + 1);

    let status = rig.detector.task(rig.task).unwrap();
    assert_eq!(status.profile, other);
    assert_eq!((status.lfc, status.max_lfc), (0, 0));
    assert_eq!(status.signal_depth, 0);
    let verdict = rig.call(2);
    assert_eq!(verdict.did, Did::RECORD | Did::NEW_ID);
    let profile = rig.detector.profile(other).unwrap();
    assert_eq!((profile.execs(), profile.train_count()), (1, 1));
    assert_eq!(profile.processes_ended(), 0);
}

/// Check that an exit is counted and leaves nothing.
#[test]
fn exit_leaves_nothing() {
    let mut rig = Rig::new(Limits::default());
    rig.call(1);
    rig.detector.exit(rig.task);
    assert_eq!(rig.profile().processes_ended(), 1);
    assert_eq!(rig.detector.task(rig.task), None);
    assert_eq!(rig.call(1), Verdict::default());
    rig.detector.exit(rig.task);
    assert_eq!(rig.profile().processes_ended(), 1);
    // Its number does not name another task.
    assert_ne!(rig.detector.spawn(rig.profile), rig.task);
}

/// Check that tasks and profiles that do not exist are passed over.
#[test]
fn unknown_tasks_and_profiles() {
    let mut rig = Rig::new(Limits::default());
    let nobody = TaskId::new(1_000_000);
    let nothing = ProfileId::new(9);
    assert_eq!(rig.call_of(nobody, 1), Verdict::default());
    let verdict = rig
        .detector
        .signal(nobody, Some(HandlerFrame::new(SP)), Interrupted::Aborted);
    assert_eq!(verdict, Verdict::default());
    rig.detector.exit(nobody);
    let child = rig.detector.fork(nobody);
    assert_eq!(rig.detector.task(child), None);
    let task = rig.detector.spawn(nothing);
    assert_eq!(rig.detector.task(task), None);
    // A program that is not known is not run.
    rig.detector.exec(rig.task, nothing);
    assert_eq!(rig.detector.task(rig.task).unwrap().profile, rig.profile);
    assert_eq!(rig.profile().processes_ended(), 0);
}

/// Check that steps do what the methods of the same names do.
#[test]
fn steps() {
    let mut rig = Rig::new(Limits::default());
    let call = |task, number| Op::Call {
        task,
        symbol: Symbol::native(number),
        sp: SP,
    };
    let ops = [
        Op::Exec {
            task: 40,
            profile: 0,
        },
        call(40, 1),
        call(40, 2),
        Op::Fork {
            parent: 40,
            child: 41,
            new_stack: true,
        },
        call(41, 2),
        Op::Signal {
            task: 41,
            handler: Some(HandlerFrame::new(SP)),
            interrupted: Interrupted::None,
        },
        Op::Exit { task: 41 },
        Op::Command {
            profile: 0,
            command: Command::Thaw,
        },
        Op::Command {
            profile: u32::MAX,
            command: Command::Reset,
        },
        Op::Exec {
            task: 40,
            profile: u32::MAX,
        },
    ];
    let verdicts = ops.map(|op| rig.detector.apply(&Step::new(7, op)));
    assert_eq!(verdicts[2].novel, 0b1);
    assert_eq!(verdicts[4].novel, 0b11);
    assert_eq!(verdicts[5].did, Did::PUSH);
    assert_eq!(verdicts[7].result, -22);
    assert_eq!(verdicts[8].result, -22);
    assert_eq!(rig.profile().processes_ended(), 1);
    assert_eq!(rig.detector.task(TaskId::new(40)).unwrap().calls, 2);
}
