//! Signals: handlers are learnt apart from what they interrupt, and a call that the kernel issues
//! again is the same call.

use rustix::process::Signal;

use crate::harness::{
    Pipe, Run, Stage, Start, Watch, assert_has, assert_lacks, eventually, getppid, learnt,
};

/// Waits until the victim's profile has counted so many calls.
#[track_caller]
fn until_counted(stage: &Stage, watch: &Watch, calls: u64) {
    let key = stage.key(watch, "signals");
    eventually(&format!("{calls} calls to be counted"), || {
        // There is none before the victim was executed.
        let profile = watch.profile(key).expect("profiles can be read")?;
        (profile.train_count() == calls).then_some(())
    });
}

/// Check that a handler has a window of its own and the interrupted code gets its own back.
#[test]
fn a_handler_is_learnt_apart() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "signals", &["nest", "1"]);
    let profile = stage.profile(&watch, "signals");
    assert_eq!(profile.train_count(), 1 + 4 + 2);
    let learnt = learnt(&profile);
    assert_has(
        &learnt,
        &[
            "rt_sigreturn<-getppid@1",
            "getuid<-kill@1",
            "getuid<-getpid@2",
            "getuid<-rt_sigaction@3",
        ],
    );
    assert_lacks(
        &learnt,
        &["getppid<-", "getuid<-getppid", "getuid<-rt_sigreturn"],
    );
    let outcome = watch.finish();
    assert_eq!(outcome.stats.threads.signals, 1);
    outcome.none("unbalanced_sigreturn", profile.key());
}

/// Check that nested handlers give back one window after the other.
#[test]
fn handlers_nest() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "signals", &["nest", "3"]);
    let profile = stage.profile(&watch, "signals");
    assert_eq!(profile.train_count(), 1 + 3 * 4 + 2);
    let learnt = learnt(&profile);
    assert_has(
        &learnt,
        &[
            "rt_sigreturn<-kill@1",
            "rt_sigreturn<-getppid@3",
            "getuid<-kill@1",
            "getuid<-rt_sigaction@3",
        ],
    );
    assert_lacks(&learnt, &["getuid<-getppid", "rt_sigreturn<-rt_sigreturn"]);
    let outcome = watch.finish();
    assert_eq!(outcome.stats.threads.signals, 3);
    outcome.none("unbalanced_sigreturn", profile.key());
}

/// Check that handlers nested deeper than there are frames are counted and stay balanced.
#[test]
fn deep_nesting_stays_balanced() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "signals", &["nest", "12"]);
    let profile = stage.profile(&watch, "signals");
    assert_eq!(profile.train_count(), 1 + 12 * 4 + 2);
    assert_has(
        &learnt(&profile),
        &["getuid<-kill@1", "getuid<-rt_sigaction@3"],
    );
    let outcome = watch.finish();
    assert_eq!(outcome.stats.threads.frames_overflow, 12 - 8);
    outcome.none("unbalanced_sigreturn", profile.key());
}

/// Check that a handler left by longjmp is noticed, with and without an alternate stack.
#[test]
fn longjmp_leaves_the_handler() {
    for (mode, alternate) in [("jump", 0), ("jumpalt", 1)] {
        let stage = Stage::new();
        let watch = stage.watch();
        stage.run_ok(1, "signals", &[mode, "5"]);
        let profile = stage.profile(&watch, "signals");
        assert_eq!(profile.train_count(), 1 + alternate + 5 * 4 + 1, "{mode}");
        let learnt = learnt(&profile);
        assert_has(&learnt, &["getuid<-kill@1", "getpid<-getuid@1"]);
        assert_lacks(&learnt, &["getuid<-getppid", "getpid<-getppid"]);
        let outcome = watch.finish();
        assert_eq!(outcome.stats.threads.frames_dropped, 5, "{mode}");
        outcome.none("unbalanced_sigreturn", profile.key());
    }
}

/// Check that a jump out of handlers nested deeper than there are frames is noticed as well.
#[test]
fn longjmp_leaves_deep_nesting() {
    let stage = Stage::new();
    let watch = stage.watch();
    let gate = Pipe::new();
    let start = Start::new().input(&gate);
    let run = stage.start_with(&start, "signals", &["nestjump", "12"]);
    run.until_blocked_in(libc::SYS_read);
    let process = watch
        .processes()
        .expect("processes can be listed")
        .find(|process| process.pid == run.pid)
        .expect("a living process is listed");
    assert_eq!(process.threads()[0].signal_depth, 0);
    let profile = stage.profile(&watch, "signals");
    assert_eq!(profile.train_count(), 1 + 12 * 3 + 2);
    assert_has(
        &learnt(&profile),
        &["getuid<-kill@1", "getuid<-rt_sigaction@3"],
    );
    gate.send(1);
    assert!(run.wait().success());
    let threads = watch.finish().stats.threads;
    assert_eq!(threads.frames_overflow, 12 - 8);
    assert!(threads.frames_dropped > 0);
}

/// Check that a read which the kernel restarts after a handler is recorded once.
#[test]
fn a_restarted_read_is_one_call() {
    let stage = Stage::new();
    let watch = stage.watch();
    let gate = Pipe::new();
    let run = stage.start_with(&Start::new().input(&gate), "signals", &["read"]);
    for handled in 0..3 {
        until_counted(&stage, &watch, 2 + 2 * handled);
        run.until_blocked_in(libc::SYS_read);
        run.signal(Signal::USR1);
    }
    until_counted(&stage, &watch, 2 + 2 * 3);
    gate.send(1);
    assert!(run.wait().success());
    let profile = stage.profile(&watch, "signals");
    // rt_sigaction, read; 3 times getppid and rt_sigreturn; exit_group
    assert_eq!(profile.train_count(), 2 + 2 * 3 + 1);
    assert_lacks(&learnt(&profile), &["read<-read"]);
    let outcome = watch.finish();
    assert!(outcome.stats.calls.restarts >= 3, "{}", outcome.stats);
}

/// Check that a loop which reads again on EINTR makes a new call each time.
#[test]
fn a_loop_on_eintr_is_many_calls() {
    let stage = Stage::new();
    let watch = stage.watch();
    let gate = Pipe::new();
    let run = stage.start_with(&Start::new().input(&gate), "signals", &["eintr"]);
    for handled in 0..2 {
        until_counted(&stage, &watch, 2 + 3 * handled);
        run.until_blocked_in(libc::SYS_read);
        run.signal(Signal::USR1);
    }
    until_counted(&stage, &watch, 2 + 3 * 2);
    gate.send(1);
    assert!(run.wait().success());
    let profile = stage.profile(&watch, "signals");
    assert_eq!(profile.train_count(), 2 + 3 * 2 + 1);
    assert_has(&learnt(&profile), &["read<-read@1"]);
    watch.finish();
}

fn stop_and_continue(run: &Run<'_>, call: libc::c_long) {
    run.until_blocked_in(call);
    run.signal(Signal::STOP);
    run.until_state('T');
    run.signal(Signal::CONT);
    run.until_state('S');
}

/// Check that a call restarted after SIGSTOP and SIGCONT, which no handler sees, is recorded once.
#[test]
fn a_stop_restarts_no_new_call() {
    let stage = Stage::new();
    let watch = stage.watch();
    let gate = Pipe::new();
    let arguments = ["r".to_owned(), getppid(2)];
    let run = stage.start_with(&Start::new().input(&gate), "calls", &arguments);
    stop_and_continue(&run, libc::SYS_read);
    stop_and_continue(&run, libc::SYS_read);
    gate.send(1);
    assert!(run.wait().success());
    assert_eq!(stage.profile(&watch, "calls").train_count(), 1 + 2 + 1);
    watch.finish();
}

/// Check that restart_syscall, by which the kernel continues a sleep, is never recorded.
#[test]
fn restart_syscall_is_not_recorded() {
    let stage = Stage::new();
    let watch = stage.watch();
    let run = stage.start("signals", &["sleep"]);
    stop_and_continue(&run, libc::SYS_nanosleep);
    run.until_blocked_in(libc::SYS_restart_syscall);
    run.signal(Signal::USR2);
    assert!(run.wait().success());
    let profile = stage.profile(&watch, "signals");
    // rt_sigaction, nanosleep, getppid, rt_sigreturn, exit_group
    assert_eq!(profile.train_count(), 5);
    assert!(
        profile
            .symbols()
            .all(|symbol| symbol.name() != "restart_syscall")
    );
    let outcome = watch.finish();
    assert!(outcome.stats.calls.ignored >= 1, "{}", outcome.stats);
}

/// Check that an rt_sigreturn out of nowhere is reported, and how sure that is.
#[test]
fn an_unbalanced_sigreturn_is_reported() {
    let stage = Stage::new();
    let watch = stage.watch();
    let run = stage.start("signals", &["sigreturn"]);
    let pid = run.pid;
    assert!(!run.wait().success(), "the kernel refuses the empty frame");
    let key = stage.key(&watch, "signals");
    let seen = watch.wait_for_kind("unbalanced_sigreturn", key);
    assert_eq!(seen.number("pid"), u64::from(pid));
    assert!(seen.is_true("certain"));
    assert_eq!(stage.profile(&watch, "signals").train_count(), 2);
    let outcome = watch.finish();
    outcome.one("unbalanced_sigreturn", key);
    assert_eq!(outcome.stats.threads.unbalanced, 1);
}

/// Check that an unbalanced rt_sigreturn is not certain once a frame was guessed away.
#[test]
fn a_guess_makes_a_report_uncertain() {
    let stage = Stage::new();
    let watch = stage.watch();
    assert!(!stage.run("signals", &["forged"]).success());
    let outcome = watch.finish();
    let all: Vec<_> = outcome.all("unbalanced_sigreturn").collect();
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(!all[0].is_true("certain"));
}

/// Check that an unbalanced rt_sigreturn is not certain in a thread that ran before the start: it
/// may have been inside a handler.
#[test]
fn a_late_start_makes_a_report_uncertain() {
    let stage = Stage::new();
    let gate = Pipe::new();
    let arguments = ["r".to_owned(), libc::SYS_rt_sigreturn.to_string()];
    let run = stage.start_with(&Start::new().input(&gate), "calls", &arguments);
    run.until_blocked_in(libc::SYS_read);
    let watch = stage.watch();
    gate.send(1);
    assert!(!run.wait().success());
    let outcome = watch.finish();
    let all: Vec<_> = outcome.all("unbalanced_sigreturn").collect();
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(!all[0].is_true("certain"));
}

/// Check that an unbalanced rt_sigreturn is not certain in a thread that got its profile in the
/// middle of its run: it may have been inside a handler, and here it was.
#[test]
fn a_late_profile_makes_a_report_uncertain() {
    let stage = Stage::new();
    // The runner and one more.
    let watch = stage.watch_with(|builder| builder.max_profiles(2));
    stage.run_ok(1, "calls", &[getppid(1)]);
    let gate = Pipe::new();
    let run = stage.start_with(&Start::new().input(&gate), "signals", &["inside"]);
    run.until_blocked_in(libc::SYS_read);
    watch
        .forget(stage.key(&watch, "calls"))
        .expect("its process has ended");
    gate.send(1);
    assert!(run.wait().success());
    // getppid, rt_sigreturn, exit_group
    assert_eq!(stage.profile(&watch, "signals").train_count(), 3);
    let outcome = watch.finish();
    let all: Vec<_> = outcome.all("unbalanced_sigreturn").collect();
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(!all[0].is_true("certain"));
}
