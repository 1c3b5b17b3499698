//! `--log-file`: complete, bounded, reopened, and no reason to stop.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Service, example};
use crate::harness::{eventually, getppid, require_root};

/// The lines of a file, each of which must be whole; None if the last one is being written.
#[track_caller]
fn lines_so_far(path: &Path) -> Option<Vec<Value>> {
    let text = fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let whole = text.is_empty() || text.ends_with('\n');
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    whole.then(|| text.lines().map(parse).collect())
}

/// The lines of a file that nobody writes to.
#[track_caller]
fn lines(path: &Path) -> Vec<Value> {
    lines_so_far(path).expect("no half line")
}

/// Lets new executables run until at least so many events were logged or failed to be.
#[track_caller]
fn load(service: &Service, events: u64) -> u64 {
    let mut copies = 0;
    loop {
        let logged = service.status()["last_event"].as_u64().expect("a number");
        if logged >= events {
            return logged;
        }
        copies += 1;
        assert!(copies < 60, "there is room for 64 profiles");
        let copy = service
            .stage
            .copy("calls", &format!("copy-{events}-{copies}"));
        let copy = copy.to_str().expect("test paths are UTF-8");
        let calls = [
            libc::SYS_getpid,
            libc::SYS_getuid,
            libc::SYS_getgid,
            libc::SYS_gettid,
        ];
        let calls: Vec<_> = (0..30).map(|i| calls[i * i / 3 % 4]).collect();
        assert!(service.victim(copy, &calls).wait().success());
    }
}

const ALL: [&str; 3] = ["--json", "--events", "new_sequence,profile_created"];

/// Check that files stay below their size under load, that no more are kept than were asked for,
/// and that each line in them is whole.
#[test]
fn rotation_under_load() {
    let log = [
        "--log-file",
        "SCRATCH/log",
        "--log-size",
        "8k",
        "--log-keep",
        "2",
    ];
    let mut service = Service::start(&[&ALL[..], &log].concat());
    load(&service, 200);
    let scratch = service.scratch.path().to_owned();
    let path = |number: &str| scratch.join(format!("log{number}"));
    eventually("three files", || path(".2").exists().then_some(()));
    assert_eq!(service.status()["log_failures"], 0);
    assert!(service.end_here().success());
    assert!(!path(".3").exists());
    let paths = ["", ".1", ".2"].map(path);
    for path in paths {
        let metadata = path.metadata().expect("it is kept");
        assert!(
            metadata.len() <= 8 << 10,
            "{}: {}",
            path.display(),
            metadata.len()
        );
        assert_eq!(metadata.mode() & 0o7777, 0o640);
        assert!(!lines(&path).is_empty());
    }
}

/// Check that no line is lost between the files.
#[test]
fn rotation_loses_nothing() {
    let log = [
        "--log-file",
        "SCRATCH/log",
        "--log-size",
        "4k",
        "--log-keep",
        "1000",
    ];
    let mut service = Service::start(&[&ALL[..], &log].concat());
    load(&service, 200);
    let total = eventually("all events to be taken", || {
        let status = service.status();
        let (sent, kept) = (
            &status["stats"]["events"]["submitted"],
            &status["last_event"],
        );
        (sent == kept).then(|| kept.as_u64().expect("a number"))
    });
    assert!(service.end_here().success());
    let numbers = (1..1000).rev().map(|number| format!("log.{number}"));
    let paths: Vec<PathBuf> = numbers.map(|name| service.path(&name)).collect();
    let old = paths.iter().filter(|path| path.exists());
    let mut all: Vec<Value> = old.flat_map(|path| lines(path)).collect();
    assert!(!all.is_empty(), "there was a rotation");
    all.extend(lines(&service.path("log")));
    assert_eq!(all.len() as u64, total);
    let times: Vec<_> = all.iter().map(|line| line["boot_ns"].as_u64()).collect();
    assert!(times.is_sorted(), "in the order in which they happened");
}

/// Check that SIGHUP opens the file anew, as after it was moved, and ends nothing.
#[test]
fn hangup_opens_it_anew() {
    let service = Service::start(&[&ALL[..], &["--log-file", "SCRATCH/log"]].concat());
    load(&service, 10);
    let moved = service.path("moved");
    fs::rename(service.path("log"), &moved).expect("it exists");
    service.signal(Signal::HUP);
    let again = service.path("log");
    eventually("a new file", || again.exists().then_some(()));
    let before = fs::read(&moved).expect("it is there");
    assert!(service.victim("calls", &[getppid(2)]).wait().success());
    let path = service.stage.path("calls");
    eventually("an event in the new file", || {
        let mut lines = lines_so_far(&again)?.into_iter();
        lines.find(|line| line["profile"]["exe"].as_str() == path.to_str())
    });
    assert_eq!(fs::read(&moved).expect("it is there"), before);
    assert!(!before.is_empty());
    assert!(service.end().success());
}

/// Check that a file that was removed is made anew, and that one that was emptied, as after a copy of
/// it was made, goes on at its beginning.
#[test]
fn removed_or_emptied() {
    let service = Service::start(&[&ALL[..], &["--log-file", "SCRATCH/log"]].concat());
    let log = service.path("log");
    let logged = |name: &str| {
        let copy = service.stage.copy("calls", name);
        let copy = copy.to_str().expect("test paths are UTF-8");
        assert!(service.victim(copy, &[getppid(2)]).wait().success());
        eventually("an event in the file", || {
            let mut lines = log.exists().then(|| lines_so_far(&log))??.into_iter();
            lines.find(|line| line["profile"]["exe"] == copy)
        });
    };
    logged("first");
    fs::remove_file(&log).expect("it exists");
    logged("second");
    fs::File::create(&log).expect("it can be emptied");
    logged("third");
    assert!(!fs::read(&log).expect("it exists").contains(&0));
    assert_eq!(service.status()["log_failures"], 0);
    assert!(service.end().success());
}

/// Check that two monitors do not log to one file, and that one may after the other.
#[test]
fn one_monitor_for_a_file() {
    let mut service = Service::start(&["--log-file", "SCRATCH/log"]);
    let log = service.path("log");
    let other = || {
        let mut command = Command::new(example("monitor"));
        command.arg("--log-file").arg(&log).args(["--", "true"]);
        command.output().expect("the example can be run")
    };
    let output = other();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("another monitor logs there"), "{errors}");
    // Opened anew it is still the same file, and still locked.
    service.signal(Signal::HUP);
    assert!(service.status()["running"].as_bool().expect("it answers"));
    assert_eq!(other().status.code(), Some(125));
    assert!(service.end_here().success());
    let output = other();
    assert!(output.status.success(), "{output:?}");
}

/// Check that more files than can be renamed in time are not kept.
#[test]
fn how_many_are_kept() {
    require_root();
    let mut command = Command::new(example("monitor"));
    command.args(["--log-file", "/dev/null", "--log-keep", "4294967295"]);
    let output = command.args(["--", "true"]).output();
    let output = output.expect("the example can be run");
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("0..=9999"), "{errors}");
}

/// Check that a monitor which is to end does not wait for ever for who reads its events.
#[test]
fn a_reader_that_does_not_read() {
    for json in [true, false] {
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        let size = rustix::pipe::fcntl_setpipe_size(&writer, 4096);
        assert_eq!(size, Ok(4096));
        let args = if json { &ALL[..] } else { &ALL[1..] };
        let mut service = Service::start_with(args, |command| {
            if json {
                command.stdout(writer);
            } else {
                command.stderr(writer);
            }
        });
        for copy in 0..20 {
            let copy = service.stage.copy("calls", &format!("copy-{copy}"));
            let copy = copy.to_str().expect("test paths are UTF-8");
            assert!(service.victim(copy, &[getppid(9)]).wait().success());
        }
        let sent = eventually("all events to be taken", || {
            let status = service.status();
            let taken = status["last_event"].as_u64();
            taken.filter(|_| status["stats"]["events"]["submitted"] == status["last_event"])
        });
        service.signal(Signal::TERM);
        let status = eventually("the end", || service.child.try_wait().expect("our child"));
        assert!(status.success());
        drop(service);
        let printed = BufReader::new(reader).lines().count() as u64;
        assert!(printed < sent, "the pipe has no room for {sent} lines");
    }
}

/// Check that people can read it, where JSON was not asked for.
#[test]
fn lines_for_people() {
    let service = Service::start(&["--log-file", "SCRATCH/log"]);
    assert!(service.victim("calls", &[getppid(2)]).wait().success());
    let path = service.stage.path("calls").display().to_string();
    eventually("a line", || {
        let text = fs::read_to_string(service.path("log")).ok()?;
        (text.contains("new profile") && text.contains(&path)).then_some(())
    });
    assert!(service.errors().is_empty(), "{}", service.errors());
    assert!(service.end().success());
}

/// A small file system that is gone when dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        require_root();
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(folder.path())
            .status()
            .expect("mount is there");
        assert!(mounted.success(), "this test needs to mount a tmpfs");
        Self(folder)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(self.0.path()).status();
        assert!(std::thread::panicking() || done.is_ok_and(|status| status.success()));
    }
}

/// Check that a full disk is told once and counted, stops nothing, and leaves no half lines; and
/// that lines are written again when there is room.
#[test]
fn a_full_disk() {
    let disk = Disk::new();
    let log = disk.0.path().join("log");
    let filler = disk.0.path().join("filler");
    let log_file = ["--log-file", log.to_str().expect("UTF-8")];
    let mut service = Service::start(&[&ALL[..], &log_file].concat());
    load(&service, 5);
    eventually("the first lines", || {
        (!lines_so_far(&log)?.is_empty()).then_some(())
    });
    fs::write(&filler, vec![0; 1 << 20]).expect_err("it is full");
    load(&service, 100);
    let failures = || service.status()["log_failures"].as_u64().expect("a number");
    eventually("lines to fail", || (failures() > 3).then_some(()));
    let told = || service.errors().matches("cannot log to").count();
    assert_eq!(told(), 1, "{}", service.errors());
    // Who logs may be behind, and what is still to come could fill the disk once more.
    eventually("every line to be written or to fail", || {
        let written = lines_so_far(&log)?.len() as u64;
        (service.status()["last_event"] == written + failures()).then_some(())
    });

    fs::remove_file(&filler).expect("it is ours");
    assert!(service.victim("calls", &[getppid(2)]).wait().success());
    let path = service.stage.path("calls");
    eventually("an event in the file", || {
        let mut lines = lines_so_far(&log)?.into_iter();
        lines.find(|line| line["profile"]["exe"].as_str() == path.to_str())
    });
    assert_eq!(told(), 1, "{}", service.errors());
    assert!(service.end_here().success());
    lines(&log);
}

/// Check that nothing is logged through a link, or to what is no file.
#[test]
fn only_files() {
    require_root();
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let target = scratch.path().join("target");
    fs::write(&target, "precious").expect("it can be written");
    let link = scratch.path().join("link");
    symlink(&target, &link).expect("it can be made");
    let pipe = scratch.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo is there").success());
    let absent = scratch.path().join("no/such/folder/log");
    for path in [
        link.as_path(),
        &pipe,
        scratch.path(),
        Path::new("/dev/null"),
        &absent,
    ] {
        let output = Command::new(example("monitor"))
            .arg("--log-file")
            .arg(path)
            .args(["--", "true"])
            .stdin(Stdio::null())
            .output()
            .expect("the example can be run");
        assert_eq!(
            output.status.code(),
            Some(125),
            "{}: {output:?}",
            path.display()
        );
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("cannot log to"), "{errors}");
    }
    assert_eq!(
        fs::read_to_string(&target).expect("it is there"),
        "precious"
    );
}

/// Runs a monitor of a command that says what happens to it, sends SIGHUP once it runs, and ends its
/// input unless the command is to end by the signal; returns what it said and how the monitor ended.
fn hang_up(before: &str, args: &[&str], handed_on: bool) -> (String, Option<i32>) {
    require_root();
    // Whoever started the tests may have them ignore it, as nohup does.
    let mut child = Command::new("env")
        .args(["--default-signal=HUP", "sh", "-c"])
        .args([&format!("{before} exec \"$@\""), "sh"])
        .arg(example("monitor"))
        .args(args)
        .args(["--", "sh", "-c"])
        .arg("trap 'echo hung up; exit 7' HUP; echo up; read line; echo end")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh is there");
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut said = String::new();
    output.read_line(&mut said).expect("it is text");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::HUP).expect("it runs");
    // A signal that is taken is no longer pending.
    let status = format!("/proc/{}/status", child.id());
    eventually("the signal to be taken", || {
        let text = fs::read_to_string(&status).ok()?;
        let pending = text.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
        // Without the line the monitor has ended.
        let bits = u64::from_str_radix(pending?.trim(), 16).expect("hexadecimal");
        (bits & 1 == 0).then_some(())
    });
    let input = child.stdin.take().filter(|_| handed_on);
    output.read_to_string(&mut said).expect("it is text");
    drop(input);
    (said, child.wait().expect("it is our child").code())
}

/// Check what SIGHUP is for where nothing is logged to a file: it is handed on to the command, but
/// not under nohup.
#[test]
fn hangup_without_a_file() {
    assert_eq!(
        hang_up("", &[], true),
        ("up\nhung up\n".to_owned(), Some(7))
    );
    assert_eq!(
        hang_up("trap '' HUP;", &[], false),
        ("up\nend\n".to_owned(), Some(0))
    );
}

/// Check that with a log file SIGHUP is for that alone.
#[test]
fn hangup_with_a_file() {
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let log = scratch.path().join("log");
    let args = ["--log-file", log.to_str().expect("UTF-8")];
    assert_eq!(hang_up("", &args, false), ("up\nend\n".to_owned(), Some(0)));
    assert_eq!(
        hang_up("trap '' HUP;", &args, false),
        ("up\nend\n".to_owned(), Some(0))
    );
    assert!(
        fs::read_to_string(&log)
            .expect("it was made")
            .contains("new profile")
    );
}
