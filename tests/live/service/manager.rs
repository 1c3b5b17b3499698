//! What the service manager is told, at a real datagram socket.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;

use super::{Service, example};
use crate::harness::{deadline, eventually, getppid, require_root};

/// A stand-in for the manager: it only listens.
struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("it can be made");
        socket.set_read_timeout(Some(deadline())).expect("not zero");
        Self { socket, folder }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("notify")
    }

    /// Waits for a message with a line that begins so, and returns that line.
    #[track_caller]
    fn wait_for(&self, start: &str) -> String {
        let mut seen = Vec::new();
        let end = Instant::now() + deadline();
        loop {
            let mut bytes = [0; 4096];
            let length = match self.socket.recv(&mut bytes) {
                Ok(length) if Instant::now() < end => length,
                _ => panic!("waited in vain for {start}; seen: {seen:?}"),
            };
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if let Some(line) = text.lines().find(|line| line.starts_with(start)) {
                return line.to_owned();
            }
            seen.push(text);
        }
    }
}

/// Check that the manager hears of the start, of what is being done, at the intervals it asks for,
/// and of the end.
#[test]
fn start_watchdog_and_end() {
    let manager = Manager::new();
    let service = Service::start_with(&[], |command| {
        command
            .env("NOTIFY_SOCKET", manager.path())
            .env("WATCHDOG_USEC", "100000");
    });
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");
    assert!(service.victim("calls", &[getppid(2)]).wait().success());
    let status = manager.wait_for("STATUS=watching 0 processes, 0 of 2 profiles normal");
    assert!(
        status.ends_with("0 anomalous calls, 0 events lost"),
        "{status}"
    );
    service.run_ok(&["admin", "pause"]);
    manager.wait_for("STATUS=paused");
    manager.wait_for("WATCHDOG=1");
    service.signal(Signal::TERM);
    manager.wait_for("STOPPING=1");
    assert!(service.end().success());
}

/// Check that it is ready only when it watches and answers, and that no watchdog is fed that nobody
/// has.
#[test]
fn ready_means_ready() {
    require_root();
    let manager = Manager::new();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let socket = folder.path().join("socket");
    let mut child = Command::new(example("monitor"))
        .arg("--socket")
        .arg(&socket)
        .args([
            "--",
            "sh",
            "-c",
            "echo \"<$NOTIFY_SOCKET$WATCHDOG_USEC>\"; read line",
        ])
        .env("NOTIFY_SOCKET", manager.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the example can be run");
    manager.wait_for("READY=1");
    let mut client = super::Client::try_connect(&socket).expect("it listens");
    eventually("the command to be watched", || {
        let status = client.ask(&serde_json::json!({"request": "status"}));
        (status["ok"]["status"]["processes"] == 1).then_some(())
    });
    drop(child.stdin.take());
    manager.wait_for("STOPPING=1");
    let output = child.wait_with_output().expect("it is our child");
    // The command is not told where the manager is.
    assert_eq!(String::from_utf8_lossy(&output.stdout), "<>\n");
}

/// Check that a manager which does not read what it is told keeps neither those waiting who ask nor
/// the end.
#[test]
fn a_manager_that_does_not_read() {
    let manager = Manager::new();
    let filler = UnixDatagram::unbound().expect("it can be made");
    filler.set_nonblocking(true).expect("it is a socket");
    let full = loop {
        if let Err(error) = filler.send_to(b"FILLER=1", manager.path()) {
            break error;
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
    let mut service = Service::start_with(&[], |command| {
        command.env("NOTIFY_SOCKET", manager.path());
    });
    assert!(service.victim("calls", &[getppid(2)]).wait().success());
    assert_eq!(service.row("calls")["train_count"], 3);
    service.signal(Signal::TERM);
    let status = eventually("the end", || service.child.try_wait().expect("our child"));
    assert!(status.success());
    assert!(service.errors().contains("does not take what it is told"));
}
