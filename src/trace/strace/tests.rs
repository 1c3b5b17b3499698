//! What lines come to, one after the other.

mod lines;

use proptest::prelude::*;

use super::*;

/// Events in a form that a test can spell: `7 getpid`, `7 fork 8`, `7 exec /bin/true`.
fn events(text: &str) -> Vec<String> {
    read(&mut Strace::new(Abi::X86_64), "t", text).unwrap_or_else(|error| panic!("{error}"))
}

fn read(strace: &mut Strace, file: &str, text: &str) -> Result<Vec<String>, TraceError> {
    let events = strace.read(file, text.as_bytes());
    events
        .map(|event| event.map(|event| spelt(&event)))
        .collect()
}

fn refused(text: &str) -> String {
    let result = read(&mut Strace::new(Abi::X86_64), "t", text);
    result.expect_err("it is no trace").to_string()
}

fn spelt(event: &Event) -> String {
    let thread = event.thread;
    match &event.kind {
        EventKind::Call(symbol) if symbol.abi() == Abi::X86_64 => {
            format!("{thread} {}", symbol.name())
        }
        EventKind::Call(symbol) => format!("{thread} {symbol:?}"),
        EventKind::Fork { child, new_stack } => {
            let kind = if *new_stack { "thread" } else { "fork" };
            format!("{thread} {kind} {child}")
        }
        EventKind::Exec { path } => {
            let path = path.as_ref().map(|path| path.display().to_string());
            format!("{thread} exec {}", path.unwrap_or_default())
        }
        EventKind::Signal {
            handled,
            interrupted,
        } => {
            let kind = if *handled { "handler" } else { "signal" };
            match interrupted {
                Interrupted::Restarts(symbol) => {
                    format!("{thread} {kind} restarts {}", symbol.name())
                }
                Interrupted::Aborted => format!("{thread} {kind} aborts"),
                _ => format!("{thread} {kind}"),
            }
        }
        EventKind::Rename { to } => format!("{thread} becomes {to}"),
        EventKind::End { process } => {
            format!("{thread} {}", if *process { "ends all" } else { "ends" })
        }
    }
}

/// The calls alone.
fn calls(text: &str) -> Vec<String> {
    let all = events(text).into_iter();
    let words = [
        "fork ", "thread ", "exec ", "signal", "handler", "becomes", "ends",
    ];
    all.filter(|event| {
        let (_, what) = event.split_once(' ').unwrap();
        !words.iter().any(|word| what.starts_with(word))
    })
    .collect()
}

/// Check that a call counts from where it was entered, each thread for itself.
#[test]
fn threads_apart() {
    let text = "\
7 read(0,  <unfinished ...>
8 write(1, \"x\", 1 <unfinished ...>
7 <... read resumed>\"a\", 1) = 1
8 <... write resumed>) = 1
7 getpid() = 7
";
    assert_eq!(calls(text), ["7 read", "8 write", "7 getpid"]);
    assert_eq!(events(text)[3..], ["7 ends", "8 ends"]);
}

/// Check that children are known as such, whoever's line comes first.
#[test]
fn children() {
    let known = "\
7 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f) = 8
8 getpid() = 8
";
    assert_eq!(events(known)[..3], ["7 clone", "7 fork 8", "8 getpid"]);
    let early = "\
7 vfork( <unfinished ...>
8 getpid() = 8
7 <... vfork resumed>) = 8
";
    assert_eq!(events(early)[..3], ["7 vfork", "7 fork 8", "8 getpid"]);
    let thread = "\
7 clone3({flags=CLONE_VM|CLONE_SIGHAND|CLONE_THREAD, stack=0x7f00, stack_size=0x900} <unfinished ...>
8 getpid() = 8
";
    assert_eq!(events(thread)[1], "7 thread 8");
    let raw = "7 clone(child_stack=0x405110, flags=0x250f00, child_tidptr=0x403020) = 8\n";
    assert_eq!(events(raw)[1], "7 thread 8");
    let spawn = "7 clone3({flags=CLONE_VM|CLONE_VFORK, stack=NULL}, 88) = 8\n";
    assert_eq!(events(spawn)[1], "7 fork 8");
    let failed = "7 fork() = -1 EAGAIN (Resource temporarily unavailable)\n8 getpid() = 8\n";
    assert_eq!(events(failed)[..2], ["7 fork", "8 getpid"]);
    let again = "7 fork() = ? ERESTARTNOINTR (To be restarted)\n7 fork() = 9\n";
    assert_eq!(
        events(again)[..4],
        ["7 fork", "7 signal restarts fork", "7 fork", "7 fork 9"]
    );
}

/// Check that a child which could be that of several waits until it is clear whose it is.
#[test]
fn two_parents() {
    let text = "\
6 getpid() = 6
7 fork( <unfinished ...>
6 fork( <unfinished ...>
8 getpid() = 8
9 getuid() = 0
8 getgid() = 0
6 <... fork resumed>) = 8
8 getppid() = 6
7 <... fork resumed>) = 9
";
    let expected = [
        "6 getpid",
        "7 fork",
        "6 fork",
        "6 fork 8",
        "7 fork 9",
        "8 getpid",
        "8 getgid",
        "9 getuid",
        "8 getppid",
    ];
    assert_eq!(events(text)[..9], expected);
    // Never told: as if they had been there from the start.
    let text = text.lines().take(5).collect::<Vec<_>>().join("\n");
    assert_eq!(events(&text)[3..5], ["8 getpid", "9 getuid"]);
}

/// Check that a process ends with its last thread.
#[test]
fn ends() {
    let text = "\
7 clone(child_stack=0x4, flags=CLONE_VM|CLONE_SIGHAND|CLONE_THREAD) = 8
8 exit(0) = ?
8 +++ exited with 0 +++
7 exit_group(0) = ?
7 +++ exited with 0 +++
";
    let all = events(text);
    assert_eq!(all[2..], ["8 exit", "8 ends", "7 exit_group", "7 ends all"]);
}

/// Check that an exec counts where it succeeds, under whatever id that is told.
#[test]
fn execs() {
    let failed = "7 execve(\"/nowhere\", [\"x\"], 0x7f) = -1 ENOENT (No such file)\n";
    assert_eq!(events(failed), ["7 execve", "7 ends"]);
    let text = r#"7 execve("/tmp/a\"b\303\244\n\\", ["x"], 0x7f /* 3 vars */) = 0"#;
    assert_eq!(events(text)[1], "7 exec /tmp/a\"bä\n\\");
    let at = r#"7 execveat(AT_FDCWD, "\x2f\x61", ["x"], NULL, 0) = 0"#;
    assert_eq!(events(at)[1], "7 exec /a");
    let clone = "7 clone(child_stack=0x4, flags=CLONE_VM|CLONE_SIGHAND|CLONE_THREAD) = 8\n";
    let resumed = "7 +++ superseded by execve in pid 8 +++\n7 <... execve resumed>) = 0\n";
    let became = ["8 execve", "7 ends", "8 becomes 7", "7 exec /x", "7 ends"];
    for begun in ["<pid changed to 7 ...>", "<unfinished ...>"] {
        let text = format!("{clone}8 execve(\"/x\", [\"x\"], 0x7f {begun}\n{resumed}");
        assert_eq!(events(&text)[2..], became);
    }
    let text = format!(
        "{clone}8 execve(\"/x\", [\"x\"], 0x7f <unfinished ...>\n7 <... execve resumed>) = 0\n"
    );
    assert_eq!(events(&text)[2..], became);
}

/// Check that where several threads may be the one whose exec came back, it is the same each time.
#[test]
fn several_execs() {
    let mut text = String::new();
    for thread in 8..=12 {
        text += &format!(
            "7 clone(child_stack=0x4, flags=CLONE_VM|CLONE_SIGHAND|CLONE_THREAD) = {thread}\n"
        );
    }
    for thread in (8..=12).rev() {
        text += &format!("{thread} execve(\"/{thread}\", [], 0x7f <unfinished ...>\n");
    }
    text += "7 <... execve resumed>) = 0\n";
    for _ in 0..20 {
        let all = events(&text);
        assert!(all.contains(&"7 exec /8".to_owned()), "{all:?}");
    }
}

/// Check that only a handler that is set makes a frame, in all threads of a process and in the
/// children that have a copy, until an exec.
#[test]
fn handlers() {
    let set = "7 rt_sigaction(SIGUSR1, {sa_handler=0x40110c, sa_mask=[], sa_flags=SA_RESTORER}, NULL, 8) = 0\n";
    let signal = |thread: u32| format!("{thread} --- SIGUSR1 {{si_signo=SIGUSR1}} ---\n");
    let last = |text: String| {
        let mut all = events(&text);
        all.retain(|event| !event.contains("ends"));
        all.pop().unwrap()
    };
    assert_eq!(last(signal(7)), "7 signal");
    assert_eq!(last(format!("{set}{}", signal(7))), "7 handler");
    let thread = "7 clone(child_stack=0x4, flags=CLONE_VM|CLONE_SIGHAND|CLONE_THREAD) = 8\n";
    assert_eq!(last(format!("{thread}{set}{}", signal(8))), "8 handler");
    let fork = "7 fork() = 8\n";
    assert_eq!(last(format!("{set}{fork}{}", signal(8))), "8 handler");
    assert_eq!(last(format!("{fork}{set}{}", signal(8))), "8 signal");
    let spawn = "7 clone3({flags=CLONE_VM|CLONE_VFORK|CLONE_CLEAR_SIGHAND, stack=0x4}, 88) = 8\n";
    assert_eq!(last(format!("{set}{spawn}{}", signal(8))), "8 signal");
    let exec = "7 execve(\"/x\", [], 0x7f) = 0\n";
    assert_eq!(last(format!("{set}{exec}{}", signal(7))), "7 signal");
    for unset in [
        "{sa_handler=SIG_IGN, sa_mask=[], sa_flags=0}",
        "{SIG_DFL, [], 0}",
    ] {
        let unset = format!("7 rt_sigaction(SIGUSR1, {unset}, {{sa_handler=0x4}}, 8) = 0\n");
        assert_eq!(last(format!("{set}{unset}{}", signal(7))), "7 signal");
    }
    for not_set in [
        "rt_sigaction(SIGUSR1, NULL, {sa_handler=0x40110c, sa_flags=0}, 8) = 0",
        "rt_sigaction(SIGUSR1, {sa_handler=0x40110c, sa_flags=0}, NULL, 8) = -1 EINVAL (x)",
        "rt_sigaction(SIGUSR2, {sa_handler=0x40110c, sa_flags=0}, NULL, 8) = 0",
    ] {
        assert_eq!(last(format!("7 {not_set}\n{}", signal(7))), "7 signal");
    }
    for other in [
        "rt_sigaction(10 /* SIGUSR1 */, {sa_handler=0x401071, sa_flags=0x4000000 /* SA_RESTORER */}, NULL, 8) = 0",
        "rt_sigaction(SIGUSR1, {0x401071, [INT TERM], SA_RESTORER|SA_RESTART, 0x4}, NULL, 8) = 0",
        "rt_sigaction(SIGUSR1, {sa_handler=0x401071, sa_flags=0},  <unfinished ...>\n7 <... rt_sigaction resumed>NULL, 8) = 0",
    ] {
        assert_eq!(
            last(format!("7 {other}\n{}", signal(7))),
            "7 handler",
            "{other}"
        );
    }
    let once = set.replace("SA_RESTORER", "SA_RESTORER|SA_RESETHAND");
    let twice = format!("{once}{}{}", signal(7), signal(7));
    assert_eq!(events(&twice)[1..3], ["7 handler", "7 signal"]);
}

/// Check what becomes of interrupted calls, by the kernel's rules.
#[test]
fn restarts() {
    let set = |flags: &str| {
        format!(
            "7 rt_sigaction(SIGUSR1, {{sa_handler=0x4, sa_mask=[], sa_flags={flags}}}, NULL, 8) = 0\n"
        )
    };
    let interrupted = |error: &str| {
        format!("7 read(0, 0x7f, 1) = ? {error} (why)\n7 --- SIGUSR1 {{si_signo=SIGUSR1}} ---\n")
    };
    let cases = [
        (set("SA_RESTART"), "ERESTARTSYS", "7 handler restarts read"),
        (set("0x10000000"), "ERESTARTSYS", "7 handler restarts read"),
        (set("SA_RESTORER"), "ERESTARTSYS", "7 handler aborts"),
        (
            set("SA_RESTORER"),
            "ERESTARTNOINTR",
            "7 handler restarts read",
        ),
        (set("SA_RESTART"), "ERESTARTNOHAND", "7 handler aborts"),
        (
            set("SA_RESTART"),
            "ERESTART_RESTARTBLOCK",
            "7 handler aborts",
        ),
        (String::new(), "ERESTARTSYS", "7 signal restarts read"),
        (String::new(), "ERESTARTNOHAND", "7 signal restarts read"),
        (String::new(), "ERESTART_RESTARTBLOCK", "7 signal aborts"),
    ];
    for (set, error, expected) in cases {
        let text = format!("{set}{}", interrupted(error));
        let found = events(&text);
        assert_eq!(found[found.len() - 2], expected, "{text}");
    }
    // Nothing explains it, but issued again it is.
    let text = "7 read(0, 0x7f, 1) = ? ERESTARTSYS (x)\n7 read(0, \"\", 1) = 0\n";
    assert_eq!(
        events(text)[..3],
        ["7 read", "7 signal restarts read", "7 read"]
    );
}

/// Check that calls are those of the interface that the process uses, by word or by number.
#[test]
fn interfaces() {
    let text = "\
7 getpid() = 7
[ Process PID=7 runs in 32 bit mode. ]
7 getpid() = 7
7 fork() = 8
8 waitpid(1) = 1
[ Process PID=7 runs in x32 mode. ]
7 getpid() = 7
[ Process PID=7 runs in 64 bit mode. ]
7 getpid() = 7
7 [  20] getpid() = 7
7 [ 333] new_one() = 7
7 syscall_0x1f4(0, 0) = -1 ENOSYS (x)
7 syscall_0x258(0, 0) = -1 ENOSYS (x)
7 syscall_0x40000027(0) = 1
7 syscall_0xffffffff(0) = 1
7 newer_one() = 7
";
    let expected = [
        "7 getpid",
        "7 i386:getpid",
        "7 i386:fork",
        "8 i386:waitpid",
        "7 x32:any",
        "7 getpid",
        "7 i386:getpid",
        "7 io_pgetevents",
        "7 call_500",
        "7 unknown",
        "7 x32:any",
        "7 unknown",
    ];
    assert_eq!(calls(text), expected);
    let mut strace = Strace::new(Abi::X86_64);
    read(&mut strace, "t", text).unwrap();
    assert_eq!(strace.unknown().collect::<Vec<_>>(), [("newer_one", 1)]);
    // Without a word or a number, a call that only one of them has tells the rest.
    let text = "\
7 brk(NULL) = 0x8
7 mmap2(NULL, 4096) = 0xf7
7 brk(NULL) = 0x8
7 execve(\"/x\", [], 0x0) = 0
7 brk(NULL) = 0x8
";
    let expected = [
        "7 brk",
        "7 i386:mmap2",
        "7 i386:brk",
        "7 i386:execve",
        "7 brk",
    ];
    assert_eq!(calls(text), expected);
    let mut arm = Strace::new(Abi::Aarch64);
    let all = read(
        &mut arm,
        "t",
        "7 [  64] write(1, \"x\", 1) = 1\n7 [   4] write(1, \"x\", 1) = 1\n",
    );
    assert_eq!(all.unwrap()[..2], ["7 aarch64:write", "7 arm:write"]);
}

/// Check output on standard error, where lines have names only while there are several threads
/// and messages come in between.
#[test]
fn without_a_file() {
    let text = "\
execve(\"./threads\", [\"./threads\"], 0x7f) = 0
write(2, \"oops\\n\", 5oops
) = 5
clone(child_stack=NULL, flags=SIGCHLDstrace: Process 417 attached
) = 417
[pid   416] wait4(417,  <unfinished ...>
[pid   417] getppid() = 416
[pid   417] exit_group(0) = ?
[pid   417] +++ exited with 0 +++
<... wait4 resumed>NULL, 0, NULL) = 417
--- SIGCHLD {si_signo=SIGCHLD} ---
exit_group(0) = ?
+++ exited with 0 +++
";
    let expected = [
        "0 execve",
        "0 exec ./threads",
        "0 write",
        "0 clone",
        "0 fork 417",
        "0 becomes 416",
        "416 wait4",
        "417 getppid",
        "417 exit_group",
        "417 ends all",
        "416 signal",
        "416 exit_group",
        "416 ends all",
    ];
    assert_eq!(events(text), expected);
    // With -qq there are neither notices nor ends.
    let quiet = "\
getpid() = 416
clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>
[pid   417] exit_group(0) = ?
[pid   416] <... clone resumed>) = 417
getuid() = 0
";
    let expected = [
        "0 getpid",
        "0 clone",
        "0 fork 417",
        "417 exit_group",
        "0 becomes 416",
        "416 getuid",
    ];
    assert_eq!(events(quiet)[..6], expected);
}

/// Check that the files of `strace -ff` are one trace, and others are not.
#[test]
fn one_file_a_process() {
    let mut strace = Strace::new(Abi::X86_64);
    let set = "rt_sigaction(SIGUSR1, {sa_handler=0x4, sa_flags=0}, NULL, 8) = 0\n";
    let parent = format!("{set}fork() = 8\nfork() = 9\n");
    let first = read(&mut strace, "dir/t.7", &parent).unwrap();
    let expected = [
        "7 rt_sigaction",
        "7 fork",
        "7 fork 8",
        "7 fork",
        "7 fork 9",
        "7 ends",
    ];
    assert_eq!(first, expected);
    let child = "getpid() = 8\n--- SIGUSR1 {si_signo=SIGUSR1} ---\n";
    let second = read(&mut strace, "dir/t.8", child).unwrap();
    assert_eq!(second, ["8 getpid", "8 handler", "8 ends"]);
    // Of another family: what is left of the first is gone.
    let third = read(&mut strace, "dir/u.9", child).unwrap();
    assert_eq!(third, ["9 ends", "9 getpid", "9 signal", "9 ends"]);
}

/// Check that a file that ends in the middle of a line counts up to there.
#[test]
fn cut_off() {
    assert_eq!(
        calls("7 getpid() = 7\n7 openat(AT_FDCWD, \"/et"),
        ["7 getpid", "7 openat"]
    );
    assert_eq!(calls("7 getpid() = 7\n7 opena"), ["7 getpid"]);
    assert_eq!(calls("7 getpid() = 7\n7"), ["7 getpid"]);
    assert!(calls("").is_empty());
}

/// Check that what is no trace is told with its line.
#[test]
fn no_trace() {
    let strace = "expected a line of strace's output, found";
    assert_eq!(refused("4 2 66\n"), format!("t:1: {strace} `4 2 66`"));
    assert_eq!(refused("4 2 66"), format!("t:1: {strace} `4 2 66`"));
    assert_eq!(
        refused("7 getpid() = 7\n\nroot:x:0:0\n7 getpid() = 7\n"),
        format!("t:3: {strace} `root:x:0:0`")
    );
    assert_eq!(
        refused("7 getpid() = 7\n7 getpid(\n7 getuid() = 0\n"),
        "t:2: expected a system call with its result, found `7 getpid(`"
    );
    assert!(refused("\u{0}\u{1}\n").contains(strace));
    let long = format!("7 write({}\n", "x".repeat(1 << 20)).repeat(3);
    assert!(refused(&long).len() < 300);
}

/// Check that there is a limit to the threads that are kept in mind.
#[test]
fn too_many_threads() {
    let many: String = (1..=70_000)
        .map(|id| format!("{id} getpid() = {id}\n"))
        .collect();
    assert!(refused(&many).contains("at most 65536 threads at once"));
    // Children that are never seen make room for others.
    let children: String = (8..70_008).map(|id| format!("7 fork() = {id}\n")).collect();
    let all = events(&children);
    assert!(all.contains(&"8 ends".to_owned()));
}

proptest! {
    /// Check that no bytes are more than an error, and that reading comes to an end.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut strace = Strace::new(Abi::X86_64);
        prop_assert!(strace.read("t", &bytes[..]).count() < 1000);
    }

    /// Check that pieces of lines in any order are no more than an error either.
    #[test]
    fn any_pieces(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        let text = pieces.concat();
        let mut strace = Strace::new(Abi::X86_64);
        prop_assert!(strace.read("t.8", text.as_bytes()).count() < 1000);
    }
}

const PIECES: &[&str] = &[
    "7 ",
    "8 ",
    "9 ",
    "[pid 7] ",
    "\n",
    "\n",
    "\n",
    "fork(",
    "clone3({flags=CLONE_THREAD, stack=0x4}",
    " <unfinished ...>\n",
    ") = 8\n",
    ") = 9\n",
    ") = 0\n",
    "<... fork resumed>",
    "execve(\"/x\"",
    "<... execve resumed>",
    "<pid changed to 7 ...>\n",
    "+++ exited with 0 +++\n",
    "+++ superseded by execve in pid 8 +++\n",
    "--- SIGUSR1 {} ---\n",
    "strace: Process 8 attached\n",
    "[ Process PID=8 runs in 32 bit mode. ]\n",
    "rt_sigaction(SIGUSR1, {sa_handler=0x4}",
    ") = ? ERESTARTSYS (x)\n",
    "getpid() = 7\n",
    "read(0",
    "= ",
    "\"",
    "\\",
    "12:00:00 ",
    "[ 39] ",
];
