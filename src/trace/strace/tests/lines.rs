//! Lines as strace writes them, each on its own.

use super::super::line::{self, Line, Mode, Outcome, Restart, What};

/// Check that the call is found behind whatever options put in front of it.
#[test]
fn columns() {
    for front in [
        "",
        "12:34:56 ",
        "12:34:56.123456 ",
        "1700000000.123456 ",
        "     0.000117 ",
        "12:34:56 (+     0.000210) ",
        "[00007fb1a9f4fad7] ",
        "[????????????????] ",
        "12:34:56.1 [  39] [00007fb1a9f4fad7] ",
    ] {
        for pid in [
            "",
            "7 ",
            "7     ",
            "1234567 ",
            "7<tmux: server> ",
            "[pid     7] ",
            "[pid  7<a>b>] ",
        ] {
            let text = format!("{pid}{front}getpid() = 7");
            let line = line::parse(text.as_bytes());
            let line = line.unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!(line.pid.is_some(), !pid.is_empty(), "{text}");
            let getpid = What::Call {
                name: "getpid",
                arguments: b") = 7",
                outcome: Some(Outcome::Number(7)),
            };
            assert_eq!(line.what, getpid, "{text}");
            assert_eq!(line.number, front.contains("  39]").then_some(39), "{text}");
        }
    }
}

/// Check that a result is found whatever stands in the arguments, or behind it.
#[test]
fn results() {
    let outcome = |text: &str| match line::parse(text.as_bytes()) {
        Ok(Line {
            what: What::Call { outcome, .. } | What::Resumed { outcome, .. },
            ..
        }) => outcome,
        other => panic!("{text}: {other:?}"),
    };
    let number = |number| Some(Outcome::Number(number));
    assert_eq!(outcome("close(3)                        = 0"), number(0));
    assert_eq!(outcome(r#"write(1, ") = 5", 5) = 4"#), number(4));
    assert_eq!(
        outcome("openat(AT_FDCWD, \"x\", O_RDONLY) = 3</tmp/) = 9>"),
        number(3)
    );
    assert_eq!(outcome("read(0, \"\", 1) = 0 <0.000012>"), number(0));
    assert_eq!(
        outcome("stat(\"a\", 0x7f) = -1 ENOENT (No such = file)"),
        number(-1)
    );
    assert_eq!(
        outcome("poll([{fd=3}], 1, 0) = 1 ([{fd=3, revents=POLLIN}])"),
        number(1)
    );
    assert_eq!(outcome("clone(flags=SIGCHLD) = 9<sh> <0.1>"), number(9));
    assert_eq!(
        outcome("clone(flags=SIGCHLD) = 2 /* 31 in strace's PID NS */"),
        Some(Outcome::Pid(31))
    );
    assert_eq!(
        outcome("mmap(NULL, 8192) = 0x7f58fa76e000"),
        Some(Outcome::Unknown)
    );
    assert_eq!(outcome("exit_group(0) = ?"), Some(Outcome::Unknown));
    assert_eq!(
        outcome("exit_group(0 <unfinished ...>) = ?"),
        Some(Outcome::Unknown)
    );
    assert_eq!(
        outcome("<... exit_group resumed>)  = ?"),
        Some(Outcome::Unknown)
    );
    assert_eq!(outcome("read(0,  <unfinished ...>"), None);
    assert_eq!(outcome("read(0,  <detached ...>"), None);
    assert_eq!(
        outcome("read(0, 0x7f, 1) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)"),
        Some(Outcome::Restart(Restart::Sys))
    );
    assert_eq!(
        outcome("<... nanosleep resumed>0x7f) = ? ERESTART_RESTARTBLOCK (Interrupted by signal)"),
        Some(Outcome::Restart(Restart::Block))
    );
}

/// Check the lines that are no calls.
#[test]
fn other_lines() {
    let what = |text: &'static str| line::parse(text.as_bytes()).map(|line| line.what);
    assert_eq!(what("7 +++ exited with 0 +++"), Ok(What::Ended));
    assert_eq!(
        what("+++ killed by SIGSEGV (core dumped) +++"),
        Ok(What::Ended)
    );
    assert_eq!(
        what("399   +++ superseded by execve in pid 400 +++"),
        Ok(What::Superseded { by: 400 })
    );
    assert_eq!(
        what("--- SIGCHLD {si_signo=SIGCHLD} ---"),
        Ok(What::Signal(b"SIGCHLD"))
    );
    assert_eq!(
        what("--- SIGRT_2 (Real-time signal 0) @ 0 (0) ---"),
        Ok(What::Signal(b"SIGRT_2"))
    );
    assert_eq!(what("7 --- stopped by SIGTTOU ---"), Ok(What::Nothing));
    assert_eq!(
        what("strace: Process 417 attached"),
        Ok(What::Attached { pid: 417 })
    );
    assert_eq!(what("strace: Process 417 detached"), Ok(What::Nothing));
    assert_eq!(
        what("[ Process PID=395 runs in 32 bit mode. ]"),
        Ok(What::Mode {
            pid: 395,
            mode: Mode::Bits32
        })
    );
    assert_eq!(
        what(" > /usr/lib/libc.so.6(write+0x14) [0xf7a]"),
        Ok(What::Nothing)
    );
    assert_eq!(what("   "), Ok(What::Nothing));
    for text in [
        "4 2 66",
        "hello",
        "--- 7 ---",
        "+++ what +++",
        "a-b(1) = 2",
        "(= 0",
        "7",
    ] {
        assert_eq!(what(text), Err(line::Trouble::Foreign), "{text}");
    }
}
