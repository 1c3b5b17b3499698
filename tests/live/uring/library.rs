//! A program that reads and writes by way of the `io-uring` crate.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;

use ebph::{Monitor, Scope};
use io_uring::types::Fd;
use io_uring::{IoUring, opcode, squeue};

use crate::harness::{Stage, Watch, helper};

#[test]
fn part_that_uses_the_crate() {
    if !helper::part("uring::library::part_that_uses_the_crate") {
        return;
    }
    let mut ring = IoUring::new(8).expect("this test needs io_uring");
    let path = std::io::stdin().lines().next().expect("a line");
    let path = CString::new(path.expect("lines are text")).expect("a path has no zero");
    let mut one = |entry: squeue::Entry| {
        // SAFETY: whatever it refers to outlives it: it is waited for.
        let pushed = unsafe { ring.submission().push(&entry) };
        pushed.expect("there is room");
        ring.submit_and_wait(1).expect("it is submitted");
        let result = ring
            .completion()
            .next()
            .expect("it was waited for")
            .result();
        assert!(result >= 0, "{entry:?}: {result}");
        result
    };
    let text = *b"text";
    let mut read = [0_u8; 4];
    let length = 4;
    let file = opcode::OpenAt::new(Fd(libc::AT_FDCWD), path.as_ptr()).flags(libc::O_RDWR);
    let file = Fd(one(file.build()));
    one(opcode::Write::new(file, text.as_ptr(), length).build());
    one(opcode::Read::new(file, read.as_mut_ptr(), length).build());
    assert_eq!(read, text);
    let (left, right) = UnixStream::pair().expect("a pair can be made");
    let (left, right) = (Fd(left.as_raw_fd()), Fd(right.as_raw_fd()));
    one(opcode::Send::new(left, text.as_ptr(), length).build());
    one(opcode::Recv::new(right, read.as_mut_ptr(), length).build());
    println!("\ndone so far");
    // Until the test has looked.
    let _line = std::io::stdin().lines().next();
    one(opcode::Fsync::new(file).build());
}

/// Check that what a program does to files and sockets by way of the `io-uring` crate is in its profile, and that
/// an operation which it never submitted before is an anomaly.
#[test]
fn files_and_sockets() {
    let stage = Stage::new();
    let mut running = helper::Running::start("uring::library::part_that_uses_the_crate");
    let watch = Watch::start(Monitor::builder().scope(Scope::Tree(running.child.id())));
    let path = stage.file("data", "");
    let stdin = running.child.stdin.as_mut().expect("it is piped");
    writeln!(stdin, "{}", path.display()).expect("it reads lines");
    running.expect("done so far");
    let own = std::env::current_exe().expect("/proc is mounted");
    let key = watch.key_of(&own).expect("it is there");
    let profile = watch.profile(key).expect("readable").expect("it runs");
    let symbols: BTreeSet<String> = profile.symbols().map(|one| one.to_string()).collect();
    for name in ["openat", "write", "read", "send", "recv"] {
        assert!(
            symbols.contains(&format!("io_uring:{name}")),
            "{name}: {symbols:?}"
        );
    }
    watch.normalize(key).expect("the profile exists");
    let stdin = running.child.stdin.as_mut().expect("it is piped");
    writeln!(stdin).expect("it reads lines");
    let anomaly = watch.wait_for("fsync to be an anomaly", |seen| {
        seen.is("anomaly", key) && seen.text("symbol.name") == "fsync"
    });
    assert_eq!(anomaly.text("symbol.abi"), "io_uring");
    assert!(running.child.wait().expect("it is our child").success());
    watch.finish();
}
