//! What is learnt offline from strace's output, and what the live kernel learns of the same
//! program, are the same.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use ebph::Profile;
use rustix::process::{Pid, Signal, kill_process};

use crate::Folder;
use crate::harness::{Pipe, Stage, Start, eventually, learnt};
use crate::strace::strace;
use crate::tool::run;

fn offline(folder: &Folder, file: &str, exe: &Path) -> Profile {
    let exe = exe.to_str().expect("test paths are UTF-8");
    run(&["train", "--out", &folder.arg("p.json"), "--exe", exe, file]).ok();
    folder.profile("p.json")
}

#[track_caller]
fn assert_same(what: &str, live: &Profile, offline: &Profile) {
    let (live_pairs, pairs) = (learnt(live), learnt(offline));
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| -> Vec<String> {
        one.difference(other).cloned().collect()
    };
    let (missing, extra) = (only(&live_pairs, &pairs), only(&pairs, &live_pairs));
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{what}: offline lacks {missing:?} and has {extra:?} besides"
    );
    assert!(!pairs.is_empty(), "{what}");
    let symbols = |profile: &Profile| profile.symbols().collect::<BTreeSet<_>>();
    assert_eq!(symbols(live), symbols(offline), "{what}");
}

/// Check that forks, threads, execs, handlers and 32-bit calls lead to the same pairs. Needs root
/// and strace.
#[test]
fn offline_as_live_needs_root_and_strace() {
    let nowhere = "e/nowhere";
    let mut all: Vec<(&str, Vec<&str>)> = vec![
        ("procs", vec!["fork", "3"]),
        ("procs", vec!["vfork", "3"]),
        ("procs", vec!["exec", "/bin/true"]),
        ("procs", vec!["before", "5", "102", "4"]),
        ("threads", vec!["5", "12"]),
        ("threads", vec!["exec", "/bin/true"]),
        ("signals", vec!["nest", "3"]),
        ("signals", vec!["nest", "12"]),
        ("signals", vec!["inside"]),
        ("calls", vec!["39x2", nowhere, "102", "k10"]),
        ("calls", vec!["39", "500", "600", "102"]),
    ];
    if cfg!(target_arch = "x86_64") {
        all.push(("calls", vec!["39", "i20", "i24x2", "39", "102"]));
    }
    let stage = Stage::new();
    let folder = Folder::new();
    let watch = stage.watch();
    // Each has an executable of its own, and so a profile.
    let copies = all.iter().enumerate().map(|(number, (name, args))| {
        let copy = stage.copy(name, &format!("{name}-{number}"));
        stage.run(copy.to_str().expect("test paths are UTF-8"), args);
        copy
    });
    let copies: Vec<_> = copies.collect();
    let lives = copies.iter().map(|copy| {
        let path = copy.to_str().expect("test paths are UTF-8");
        stage.profile(&watch, path)
    });
    let lives: Vec<_> = lives.collect();
    drop(watch);
    for (((name, args), path), live) in all.into_iter().zip(copies).zip(lives) {
        let what = format!("{name} {}", args.join(" "));
        let exe = path.to_str().expect("test paths are UTF-8");
        let killed = args.contains(&"k10");
        // The number of a call shows whether it is a 32-bit one.
        let file = match killed {
            false => strace(&folder, "t", &["-f", "-n"], &[&[exe], &args[..]].concat()),
            true => killed_under_strace(&folder, &path, &args),
        };
        assert_same(&what, &live, &offline(&folder, &file, &path));
    }
}

/// A program that a signal ends, and strace with it.
fn killed_under_strace(folder: &Folder, exe: &Path, args: &[&str]) -> String {
    let file = folder.arg("t");
    let status = Command::new("strace")
        .args(["-f", "-o", &file, "--"])
        .arg(exe)
        .args(args)
        .status()
        .unwrap_or_else(|error| panic!("this test needs strace, from the package strace: {error}"));
    assert!(!status.success());
    file
}

/// Check that a call which a signal interrupts, and which is issued again by the kernel or by the
/// program, counts as often as it does live. Needs root and strace.
#[test]
fn interrupted_calls_as_live_need_root_and_strace() {
    for mode in ["read", "eintr"] {
        let stage = Stage::new();
        let gate = Pipe::new();
        let watch = stage.watch();
        let run = stage.start_with(&Start::new().input(&gate), "signals", &[mode]);
        run.until_blocked_in(libc::SYS_read);
        let counted = stage.profile(&watch, "signals").train_count();
        run.signal(Signal::USR1);
        // The handler makes a call and returns; a read that fails is made again.
        let more = 2 + u64::from(mode == "eintr");
        eventually("the handler to return", || {
            let count = stage.profile(&watch, "signals").train_count();
            (count == counted + more).then_some(())
        });
        run.until_blocked_in(libc::SYS_read);
        gate.send(1);
        assert!(run.wait().success());
        let live = stage.profile(&watch, "signals");
        drop(watch);

        let folder = Folder::new();
        let file = folder.arg("t");
        let path = stage.path("signals");
        let mut child = Command::new("strace")
            .args(["-f", "-o", &file, "--"])
            .arg(&path)
            .arg(mode)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("this test needs strace, from the package strace: {error}")
            });
        let written = |wanted: usize| {
            eventually("strace to write of a read", || {
                let text = fs::read_to_string(&file).ok()?;
                (text.matches(" read(0,").count() == wanted).then_some(text)
            })
        };
        let text = written(1);
        let pid = text.split(' ').next().expect("a line begins with a pid");
        let pid = Pid::from_raw(pid.parse().expect("it is a number")).expect("it is not 0");
        kill_process(pid, Signal::USR1).expect("the victim lives");
        written(2);
        let mut pipe = child.stdin.take().expect("it is piped");
        pipe.write_all(b".").expect("the victim reads");
        assert!(child.wait().expect("it is our child").success());
        assert_same(mode, &live, &offline(&folder, &file, &path));
    }
}
