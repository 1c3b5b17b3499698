//! The socket: who is let in, what is not understood, and what is left behind.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::Signal;
use serde_json::json;

use super::{Client, Service, example};
use crate::harness::{eventually, getppid};

const NOBODY: u32 = 65534;

/// Starts a monitor that is expected to refuse its socket, in one line.
#[track_caller]
fn refused_at(socket: &Path) -> String {
    let output = Command::new(example("monitor"))
        .arg("--socket")
        .arg(socket)
        .args(["--", "true"])
        .stdin(Stdio::null())
        .output()
        .expect("the example can be run");
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let errors = String::from_utf8(output.stderr).expect("text");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    errors
}

/// Check that only the owner may open the socket, and that it is gone at the end.
#[test]
fn mode_and_end() {
    let service = Service::start(&[]);
    let metadata = service.socket().symlink_metadata().expect("it exists");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.mode() & 0o7777, 0o600);
    assert!(service.end().success());
}

/// Check that thousands of lines of garbage get an answer each, of a kind that programs can tell,
/// and that the monitor goes on as if nothing had been.
#[test]
fn garbage() {
    let service = Service::start(&[]);
    let mut codes = BTreeMap::new();
    let mut random = fastrand::Rng::with_seed(4);
    let mut client = service.client();
    let lines = [
        r#""#,
        r#"{}"#,
        r#"[]"#,
        r#"null"#,
        r#"{"request": null}"#,
        r#"{"request": "no_such"}"#,
        r#"{"request": "status""#,
        r#"{"request": "profile"}"#,
        r#"{"request": "profile", "key": "1:2"}"#,
        r#"{"request": "freeze", "key": 7}"#,
        r#"{"request": "events", "after": -1}"#,
        r#"{"request": "events", "after": 1e99}"#,
        r#"{"request": "set", "normal_wait": "-1s"}"#,
        r#"{"request": "set", "no_such": 1}"#,
        r#"{"request": "load", "path": 5}"#,
        r#"{"request": "pause", "key": "8:1:42:0"}"#,
        r#"{"request": "save", "path": "/somewhere"}"#,
        r#"{"request": "status", "threads": true}"#,
        r#"{"request": "load", "path": "relative"}"#,
        "{\"request\": \"\u{1b}[31m\"}",
    ];
    for round in 0..4000 {
        let mut line = match round % 3 {
            0 => lines[round / 3 % lines.len()].as_bytes().to_vec(),
            1 => (0..random.usize(..200)).map(|_| random.u8(..)).collect(),
            _ => {
                // A request that is right but for one byte.
                let mut line = br#"{"request": "forget", "key": "8:1:42:0"}"#.to_vec();
                let at = random.usize(..line.len());
                line[at] = random.u8(..);
                line
            }
        };
        line.retain(|byte| *byte != b'\n');
        line.push(b'\n');
        client.send(&line);
        *codes.entry(client.refusal()).or_insert(0) += 1;
    }
    let known = ["bad_request", "no_such_profile"];
    assert!(
        codes.keys().all(|code| known.contains(&code.as_str())),
        "{codes:?}"
    );
    assert!(codes["bad_request"] > 2000, "{codes:?}");

    // Brackets without end.
    client.send(&[&[b'['; 60_000][..], b"\n"].concat());
    assert_eq!(client.refusal(), "bad_request");
    // A line without end is answered once, and ends the connection.
    let mut endless = service.client();
    let stream = endless.0.get_mut();
    // SANITY: it may be closed before all of it was written.
    let _ = stream.write_all(&vec![b'x'; 1 << 20]);
    assert_eq!(endless.refusal(), "too_long");
    // Half a request, and then nothing more.
    let mut half = service.client();
    half.send(br#"{"request": "sta"#);
    half.0
        .get_ref()
        .shutdown(Shutdown::Write)
        .expect("it is open");
    assert_eq!(half.refusal(), "bad_request");
    assert_eq!(half.answer(), None);
    // Several in one go.
    client.send(b"{\"request\": \"limits\"}\nnonsense\n{\"request\": \"profiles\"}\n");
    assert!(client.answer().expect("an answer")["ok"]["limits"].is_object());
    assert_eq!(client.refusal(), "bad_request");
    assert!(client.answer().expect("an answer")["ok"]["profiles"].is_array());

    assert!(
        !service.errors().contains("panicked"),
        "{}",
        service.errors()
    );
    assert!(service.victim("calls", &[getppid(3)]).wait().success());
    assert_eq!(service.row("calls")["train_count"], 4);
    assert!(service.end().success());
}

/// Runs `monitor ps` as somebody else.
fn as_nobody(copy: &Path, socket: &Path) -> Output {
    eventually("the copy not to be open for writing", || {
        let mut command = Command::new(copy);
        command.args(["ps", "--socket"]).arg(socket);
        match command.uid(NOBODY).gid(NOBODY).output() {
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => None,
            other => Some(other.expect("the copy can be run")),
        }
    })
}

/// Check that another user cannot connect, and where the file lets them, is refused by name.
#[test]
fn another_user_is_refused() {
    let service = Service::start(&[]);
    // The build directory may be closed to other users, so bring a copy.
    let copy = service.stage.directory().join("monitor");
    fs::copy(example("monitor"), &copy).expect("it can be copied");
    let open = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    };
    open(service.stage.directory(), 0o755);
    open(service.scratch.path(), 0o755);
    let output = as_nobody(&copy, &service.socket());
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("Permission denied"), "{errors}");

    open(&service.socket(), 0o666);
    let output = as_nobody(&copy, &service.socket());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("may not ask this monitor"), "{errors}");
    let logged = service.errors();
    assert!(logged.contains("of user 65534 may not ask"), "{logged}");
    service.run_ok(&["ps"]);
    assert!(service.end().success());
}

/// Check that clients are served side by side, and that neither those who say nothing nor those who
/// do not listen keep others from being answered.
#[test]
fn clients_do_not_starve_each_other() {
    let service = Service::start(&[]);
    let (mut one, mut two) = (service.client(), service.client());
    one.send(br#"{"request": "sta"#);
    assert!(two.ask(&json!({"request": "limits"}))["ok"].is_object());
    one.send(b"tus\"}\n");
    assert_eq!(
        one.answer().expect("an answer")["ok"]["status"]["running"],
        true
    );

    // One who asks and asks and never reads.
    let deaf = service.client();
    let stream = deaf.0.get_ref();
    stream.set_nonblocking(true).expect("it is a socket");
    let request = b"{\"request\": \"status\"}\n".repeat(100);
    let mut full = 0;
    eventually("the monitor to read no more from it", || {
        match (&mut &*stream).write(&request) {
            Ok(_) => full = 0,
            Err(_) => full += 1,
        }
        (full > 20).then_some(())
    });
    assert!(two.ask(&json!({"request": "status"}))["ok"].is_object());

    // Many who say nothing: the first of them has to go for the last.
    let mut silent: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = service.client();
            // Connected is not yet let in.
            client.send(b"{\"request\": \"limits\"}\n");
            assert!(client.answer().expect("an answer")["ok"].is_object());
            client
        })
        .collect();
    let mut newest = service.client();
    assert!(newest.ask(&json!({"request": "status"}))["ok"].is_object());
    assert_eq!(silent[0].answer(), None, "it was sent away");
    let last = silent.last_mut().expect("there are many");
    assert!(last.ask(&json!({"request": "limits"}))["ok"].is_object());
    service.run_ok(&["ps"]);
    drop(silent);
    // With the deaf one still there.
    assert!(service.end().success());
}

/// Check that clients at work at once each get their own answers.
#[test]
fn many_at_once() {
    let service = Service::start(&[]);
    assert!(service.victim("calls", &[getppid(9)]).wait().success());
    let key = service.row("calls")["key"].clone();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (service, key) = (&service, &key);
            scope.spawn(move || {
                let mut client = service.client();
                for round in 0..50 {
                    if number % 2 == 0 {
                        let answer = client.ask(&json!({"request": "profile", "key": key}));
                        assert_eq!(&answer["ok"]["profile"]["key"], key, "{round}");
                    } else {
                        let limit = number * 1000 + round;
                        let request = json!({"request": "set", "anomaly_limit": limit});
                        let answer = client.ask(&request);
                        assert!(answer["ok"]["limits"]["anomaly_limit"].is_u64(), "{answer}");
                    }
                }
            });
        }
    });
    assert_eq!(service.row("calls")["train_count"], 10);
    assert!(service.end().success());
}

/// Check that a monitor takes over the socket of one that was killed, and no other's.
#[test]
fn restarts() {
    let mut service = Service::start(&[]);
    let errors = refused_at(&service.socket());
    assert!(errors.contains("another monitor listens"), "{errors}");
    let first = service.status()["pid"].clone();
    service.kill();
    assert!(service.socket().exists(), "nobody could remove it");
    assert_eq!(service.run(&["ps"]).status.code(), Some(125));
    service.restart();
    assert_ne!(service.status()["pid"], first);
    assert!(service.end().success());
}

/// Check that what is at the path and is no monitor's socket stays as it is, and that the socket
/// is not put where others could replace it.
#[test]
fn what_is_there_stays() {
    crate::harness::require_root();
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let file = scratch.path().join("file");
    fs::write(&file, "precious").expect("it can be written");
    assert!(refused_at(&file).contains("no socket"));
    let link = scratch.path().join("link");
    symlink(&file, &link).expect("it can be made");
    assert!(refused_at(&link).contains("no socket"));
    let dangling = scratch.path().join("dangling");
    symlink(scratch.path().join("absent"), &dangling).expect("it can be made");
    assert!(refused_at(&dangling).contains("no socket"));
    assert!(!scratch.path().join("absent").exists());
    let folder = scratch.path().join("folder");
    fs::create_dir(&folder).expect("it can be made");
    assert!(refused_at(&folder).contains("no socket"));
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "precious");
    assert!(link.symlink_metadata().expect("it is there").is_symlink());

    let listener = UnixListener::bind(scratch.path().join("theirs")).expect("it can be made");
    assert!(refused_at(&scratch.path().join("theirs")).contains("another"));
    drop(listener);

    let open = scratch.path().join("open");
    fs::create_dir(&open).expect("it can be made");
    for mode in [0o777, 0o1777, 0o775] {
        fs::set_permissions(&open, Permissions::from_mode(mode)).expect("it is ours");
        assert!(refused_at(&open.join("socket")).contains("others may write"));
    }
    let long = scratch.path().join("x".repeat(120));
    assert!(refused_at(&long).contains("too long"));
    let deep = scratch.path().join("no/such/folder/socket");
    assert!(refused_at(&deep).contains("No such file"));
}

/// Check that a connection which is open when the monitor ends sees the end, and does not keep it.
#[test]
fn an_open_connection_does_not_keep_the_monitor() {
    let service = Service::start(&[]);
    let mut stream = UnixStream::connect(service.socket()).expect("it listens");
    service.signal(Signal::TERM);
    match stream.read(&mut [0; 8]) {
        Ok(read) => assert_eq!(read, 0),
        // Before it was accepted.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    assert!(service.end().success());
}

/// Check that a lock which any user may take on the folder keeps no monitor from starting or ending,
/// and that nothing stays there.
#[test]
fn a_locked_folder() {
    let service = Service::start(&[]);
    let folder = fs::File::open(service.scratch.path()).expect("it exists");
    flock(&folder, FlockOperation::NonBlockingLockExclusive).expect("nobody has locked it");
    let inner = service.path("inner");
    let output = Command::new(example("monitor"))
        .arg("--socket")
        .arg(&inner)
        .args(["--", "true"])
        .output()
        .expect("the example can be run");
    assert!(output.status.success(), "{output:?}");
    let names = fs::read_dir(service.scratch.path()).expect("it exists");
    let mut names: Vec<_> = names
        .map(|entry| entry.expect("a name").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["socket", "stderr"]);
    assert!(service.end().success());
}

/// Check that a monitor that is stopped, and lets nobody in, is not waited for by another one.
#[test]
fn a_stopped_monitor_still_has_its_socket() {
    let service = Service::start(&[]);
    service.signal(Signal::STOP);
    let mut queue = Vec::new();
    let full = loop {
        let flags = SocketFlags::NONBLOCK;
        let client = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let client = client.expect("a socket can be made");
        let address = SocketAddrUnix::new(service.socket()).expect("it is short");
        match connect(&client, &address) {
            Ok(()) => queue.push(client),
            Err(error) => break error,
        }
        assert!(queue.len() < 1000, "the queue has an end");
    };
    assert_eq!(full, Errno::AGAIN);
    assert!(refused_at(&service.socket()).contains("another monitor listens"));
    service.signal(Signal::CONT);
    drop(queue);
    assert_eq!(service.status()["running"], true);
    assert!(service.end().success());
}

/// Check that an answer which cannot be printed is a failure, unless who reads has had enough.
#[test]
fn an_answer_that_cannot_be_printed() {
    let service = Service::start(&[]);
    for words in [&["ps", "-p"][..], &["ps", "--json"], &["admin", "status"]] {
        let run = |output: Stdio| {
            let mut command = Command::new(example("monitor"));
            command.args(words).arg("--socket").arg(service.socket());
            let child = command.stdout(output).stderr(Stdio::piped()).spawn();
            let output = child.expect("the example can be run").wait_with_output();
            output.expect("it is our child")
        };
        let full = fs::File::options().write(true).open("/dev/full");
        let output = run(full.expect("it is there").into());
        assert_eq!(output.status.code(), Some(125), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot print"));
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        drop(reader);
        let output = run(writer.into());
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
    assert!(service.end().success());
}
