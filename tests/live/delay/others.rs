//! Delays among other users of the same signals: operators, shells, parents, and the process itself.

use std::cell::Cell;

use ebph::{Monitor, Responses, Scope};
use pty_process::blocking::Command;
use rustix::process::Signal;

use super::{
    HOUR, SECOND, Stage, delays, held, ms, normalize, odd, offence, slowed, stamps, until_released,
    usual,
};
use crate::harness::pipe::Pipe;
use crate::harness::{Start, Watch, eventually};
use crate::top::terminal::Terminal;

/// Check that a process which somebody stops during a delay stays stopped after it, until it is
/// continued by somebody.
#[test]
fn stopped_by_an_operator() {
    let (stage, watch) = slowed(delays(SECOND, SECOND));
    let run = held(&stage, &watch, &offence());
    run.signal(Signal::STOP);
    let stats = until_released(&watch, 1);
    assert_eq!(stats.left_stopped, 1);
    run.until_state('T');
    run.signal(Signal::CONT);
    assert!(run.wait().success());
    watch.finish();
}

/// Check that anybody's `SIGCONT` ends a delay, that this is counted, and that the process is not continued
/// once more.
#[test]
fn continued_by_an_operator() {
    let (stage, watch) = slowed(delays(HOUR, HOUR));
    let run = held(&stage, &watch, &offence());
    run.signal(Signal::CONT);
    assert!(run.wait().success());
    let stats = watch.finish().stats.responses;
    assert_eq!((stats.delays, stats.interrupted, stats.released), (1, 1, 0));
}

/// Check that a terminal's stop signal during a delay stops the process after it as well, for whoever
/// waits for that.
#[test]
fn stopped_by_a_terminal() {
    let (stage, watch) = slowed(delays(SECOND, SECOND));
    // It goes on before it is stopped again, and must not end meanwhile, though it may be delayed once
    // more: the signal comes after that then.
    let pipe = Pipe::new();
    let args = [offence(), vec!["r".to_owned()]].concat();
    let run = stage.start_with(&Start::new().input(&pipe), "paced", &args);
    eventually("the victim to be held", || {
        let stats = watch.stats().expect("there are stats").responses;
        (stats.held == 1).then_some(())
    });
    run.until_state('T');
    run.signal(Signal::TSTP);
    let stats = eventually("every stop to be over", || {
        let stats = watch.stats().expect("there are stats").responses;
        (stats.released == stats.delays && stats.held == 0).then_some(stats)
    });
    assert_eq!(stats.left_stopped, 0);
    run.until_state('T');
    run.signal(Signal::CONT);
    pipe.send(1);
    assert!(run.wait().success());
    watch.finish();
}

/// Check what delays look like to a process that handles `SIGCONT`: it is told of each; to one that ignores
/// it: nothing.
#[test]
fn handlers() {
    let (stage, watch) = slowed(Responses::default());
    let pipe = Pipe::new();
    let output = Start::new().output(&pipe);
    let with = |first: &str| {
        let first = [first, "t12"].map(str::to_owned).to_vec();
        [first, vec![odd()], usual()].concat()
    };
    // Setting the handler up, and its return, are to be nothing new.
    for first in ["h", "i"] {
        let run = stage.start_with(
            &output,
            "paced",
            &[&[first.to_owned()], &usual()[..]].concat(),
        );
        assert!(run.wait().success());
        assert_eq!(stamps(&pipe).len(), 30);
    }
    normalize(&stage, &watch, "paced");
    watch
        .set_responses(delays(ms(1), ms(2)))
        .expect("it can be had");
    let before = watch.stats().expect("there are stats").responses.delays;
    let run = stage.start_with(&output, "paced", &with("i"));
    assert!(run.wait().success());
    let ignored = stamps(&pipe);
    assert_eq!(ignored.len(), 42);
    assert!(ignored.iter().all(|stamp| *stamp > 0));
    let delays = watch.stats().expect("there are stats").responses.delays - before;
    assert_eq!(delays, 1 + 30 + 1, "the odd call and all after it");

    let run = stage.start_with(&output, "paced", &with("h"));
    assert!(run.wait().success());
    let stats = watch.finish().stats.responses;
    let handled = stamps(&pipe);
    // What comes while it is in the handler is one more run at most, and the handler's own calls wait
    // as well.
    let runs = handled.iter().filter(|stamp| **stamp < 0).count() as u64;
    assert!((1..=stats.delays).contains(&runs), "{runs} runs, {stats:?}");
    assert_eq!(stats.released, stats.delays);
}

/// Check what a parent sees of its child's delays: stops and continuations, which look like those that
/// anybody could have caused.
#[test]
fn a_parent() {
    let (stage, watch) = slowed(delays(ms(100), ms(200)));
    let (input, output) = (Pipe::new(), Pipe::new());
    let path = stage.path("paced").display().to_string();
    let args = [vec![path], offence(), vec!["r".to_owned()]].concat();
    let start = Start::new().input(&input).output(&output);
    let run = stage.start_with(&start, "parent", &args);
    until_released(&watch, 2);
    let mut text = String::new();
    let mut more = || {
        text += std::str::from_utf8(&output.take()).expect("it writes ASCII");
        text.clone()
    };
    eventually("the last continuation to be seen", || {
        more().ends_with("continued\n").then_some(())
    });
    input.send(1);
    assert!(run.wait().success());
    let text = more();
    let lines: Vec<_> = text.lines().collect();
    // What is stopped again before anybody looks was never seen to go on.
    let (stop, go) = ("stopped 19", "continued");
    assert!(
        lines.starts_with(&[stop, go, stop, go, "exited 0"])
            || lines.starts_with(&[stop, stop, go, "exited 0"])
            || lines.starts_with(&[stop, go, "exited 0"]),
        "{text}"
    );
    let signals = lines.last().and_then(|line| line.strip_prefix("signals "));
    let signals: u32 = signals
        .and_then(|text| text.parse().ok())
        .expect("a number");
    assert!((2..=5).contains(&signals), "{text}");
    watch.finish();
}

/// Check that what a tracer runs is delayed and goes on, and that the tracer sees why.
#[test]
fn a_tracer() {
    let (stage, watch) = slowed(delays(ms(50), ms(200)));
    let log = stage.directory().join("log");
    let path = stage.path("paced");
    let args = [
        "-o",
        log.to_str().expect("it is UTF-8"),
        path.to_str().expect("it is UTF-8"),
    ];
    let args: Vec<_> = args
        .map(str::to_owned)
        .into_iter()
        .chain(offence())
        .collect();
    let strace = "/usr/bin/strace";
    assert!(
        std::path::Path::new(strace).exists(),
        "this test needs strace"
    );
    stage.run_ok(1, strace, &args);
    let stats = watch.finish().stats.responses;
    assert_eq!((stats.delays, stats.released), (1, 1));
    let log = std::fs::read_to_string(log).expect("strace has written it");
    for line in [
        "--- SIGSTOP {si_signo=SIGSTOP, si_code=SI_KERNEL} ---",
        "--- stopped by SIGSTOP ---",
        "--- SIGCONT {",
    ] {
        assert!(log.contains(line), "no {line}: {log}");
    }
}

/// Check what an interactive shell makes of a delay of its job: it takes it for stopped, and takes the
/// terminal back; the job goes on in the background, without anybody's doing.
#[test]
fn a_shell() {
    let stage = Stage::new();
    let bash = Command::new("bash").args(["--norc", "--noprofile", "-i"]);
    let shell = Terminal::start(bash.env("PS1", "$ "), 80, 24);
    shell.type_keys("echo is $$.\r");
    let line = shell.wait_for("the shell", |lines| {
        lines.iter().any(|line| line.starts_with("is "))
    });
    let pid = line.iter().find_map(|line| line.strip_prefix("is "));
    let pid = pid.and_then(|text| text.trim_end_matches('.').parse().ok());
    let watch = Watch::start(
        Monitor::builder()
            .scope(Scope::Tree(pid.expect("a number")))
            .responses(delays(ms(500), SECOND)),
    );
    let path = stage.path("paced");
    let path = path.display();
    shell.type_keys(&format!("{path} t9 >/dev/null; echo went $?\r"));
    shell.wait_for_line(&["went 0"]);
    normalize(&stage, &watch, "paced");
    shell.type_keys(&format!("clear; {path} t1 {}\r", odd()));
    shell.wait_for_line(&["[1]+", "Stopped"]);
    until_released(&watch, 1);
    let looks = Cell::new(0);
    shell.wait_for("the job to be done", |lines| {
        // It tells of that before it asks for the next command. Not at each look: it would be gone from
        // the screen.
        if looks.replace(looks.get() + 1) % 40 == 0 {
            shell.type_keys("\r");
        }
        lines.iter().any(|line| line.contains("Done"))
    });
    let stats = watch.finish().stats.responses;
    assert_eq!((stats.delays, stats.released, stats.interrupted), (1, 1, 0));
}
