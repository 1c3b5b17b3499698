//! That nobody stays stopped, however a monitor or its guardian ends.

use std::fs;
use std::io::{BufRead as _, Write as _};

use ebph::{Event, Monitor, Scope, WarningKind};
use rustix::process::{Pid, Signal, kill_process};

use super::{HOUR, delays, held, offence, slowed, usual};
use crate::harness::{Run, Stage, eventually, helper};

/// Check that those who are stopped go on when the monitor is stopped, and when it is dropped by a panic.
#[test]
fn the_monitors_end() {
    for panics in [false, true] {
        let (stage, watch) = slowed(delays(HOUR, HOUR));
        let run = held(&stage, &watch, &offence());
        if panics {
            let thrown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                let _monitor = watch;
                std::panic::resume_unwind(Box::new("on purpose"));
            }));
            assert!(thrown.is_err());
        } else {
            let stats = watch.finish().stats.responses;
            assert_eq!((stats.delays, stats.released, stats.held), (1, 1, 0));
        }
        assert!(run.wait().success());
    }
}

/// A monitor in a process of its own, of a stage of this one's.
struct Apart<'a> {
    stage: &'a Stage,
    running: helper::Running,
}

impl<'a> Apart<'a> {
    /// Starts it, and makes `paced` normal.
    fn start(stage: &'a Stage) -> Self {
        let running = helper::Running::start("delay::ends::part_that_delays");
        let mut apart = Self { stage, running };
        let path = stage.path("paced");
        apart.tell(&format!("{} {}", stage.pid(), path.display()));
        apart.running.expect("watches");
        stage.run_ok(2, "paced", &usual());
        apart.tell("normalize");
        apart.running.expect("is normal");
        apart
    }

    fn tell(&mut self, line: &str) {
        let stdin = self.running.child.stdin.as_mut().expect("it is piped");
        writeln!(stdin, "{line}").expect("it reads lines");
    }

    fn held(&self) -> Run<'a> {
        let run = self.stage.start("paced", &offence());
        run.until_state('T');
        run
    }

    /// The pid of its guardian.
    fn guardian(&self) -> u32 {
        let own = self.running.child.id();
        eventually("the guardian to be there", || {
            let tasks = fs::read_dir("/proc").expect("/proc is mounted");
            tasks
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
                .find(|pid| is_guardian_of(*pid, own))
        })
    }
}

fn is_guardian_of(pid: u32, parent: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let has = |line: &str| status.lines().any(|other| other == line);
    has("Name:\tebph-guardian") && has(&format!("PPid:\t{parent}"))
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a pid is not 0");
    kill_process(pid, Signal::KILL).expect("it is there");
}

/// Waits until nothing is left of a process that need not be this one's child.
fn until_gone(pid: u32) {
    eventually("the guardian to be gone", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        // Whoever inherited it may take its time to wait for it.
        matches!(state, None | Some('Z' | 'X')).then_some(())
    });
}

/// Check that nobody stays stopped when the monitor's process is killed, aborts, panics or ends, and that
/// its guardian does not stay either.
#[test]
fn the_process_ends() {
    let stage = Stage::new();
    for how in ["killed", "abort", "panic", "exit"] {
        let mut apart = Apart::start(&stage);
        let run = apart.held();
        let guardian = apart.guardian();
        if how == "killed" {
            kill(apart.running.child.id());
        } else {
            apart.tell(how);
        }
        assert!(run.wait().success(), "{how}");
        until_gone(guardian);
    }
}

/// Check that a guardian that is killed is replaced, with a warning, and that those it held go on.
#[test]
fn the_guardian_is_killed() {
    let stage = Stage::new();
    let mut apart = Apart::start(&stage);
    for _ in 0..2 {
        let run = apart.held();
        let first = apart.guardian();
        kill(first);
        assert!(run.wait().success());
        apart.running.expect("warned");
        assert_ne!(apart.guardian(), first);
    }
    let run = apart.held();
    kill(apart.running.child.id());
    assert!(run.wait().success());
}

/// Check that nobody is stopped any more when the monitor's process has ended, though a fork of it has what
/// the kernel's part is attached by.
#[test]
fn a_fork_of_the_process_stays() {
    let stage = Stage::new();
    let mut apart = Apart::start(&stage);
    apart.tell("fork");
    apart.running.expect("forked");
    let run = apart.held();
    let guardian = apart.guardian();
    // Its standard input stays open, and so does the fork.
    kill(apart.running.child.id());
    assert!(run.wait().success());
    until_gone(guardian);
    stage.run_ok(3, "paced", &offence());
}

#[test]
fn part_that_delays() {
    if !helper::part("delay::ends::part_that_delays") {
        return;
    }
    let mut lines = std::io::stdin().lock().lines();
    let mut next = || match lines.next() {
        Some(line) => line.expect("lines are text"),
        None => String::new(),
    };
    let whom = next();
    let (root, path) = whom.split_once(' ').expect("a pid and a path");
    let monitor = Monitor::builder()
        .scope(Scope::Tree(root.parse().expect("a pid")))
        .responses(delays(HOUR, HOUR))
        .handler(|event: &Event| {
            if let Event::Warning(warning) = event
                && warning.what == WarningKind::Guardian
            {
                println!("\nwarned");
            }
        })
        .start()
        .expect("the monitor starts");
    println!("\nwatches");
    next();
    let key = monitor.key_of(path).expect("it is there");
    monitor.normalize(key).expect("it has run");
    println!("\nis normal");
    let mut what = next();
    if what == "fork" {
        fork_and_wait();
        println!("\nforked");
        what = next();
    }
    match what.as_str() {
        "abort" => std::process::abort(),
        "panic" => std::panic::resume_unwind(Box::new("on purpose")),
        // Nothing is dropped.
        "exit" => std::process::exit(0),
        _ => {}
    }
}

/// Makes a process that has all that this one has, and does nothing until standard input is closed.
#[allow(unsafe_code)]
fn fork_and_wait() {
    let mut byte = [0_u8];
    // SAFETY: the child makes system calls only, and ends.
    unsafe {
        if libc::fork() == 0 {
            while libc::read(libc::STDIN_FILENO, byte.as_mut_ptr().cast(), 1) == 1 {}
            libc::_exit(0);
        }
    }
}
