//! The example that raises desktop notifications, on a session bus of its own.
//!
//! Needs Debian's dbus-daemon, libnotify-bin (notify-send) and python3-dbusmock, which stands in
//! for the desktop: it takes part in the real protocol and writes down what it is asked to show.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Service, example};
use crate::harness::{Stage, call, eventually, getppid};

/// A bus, with somebody at it who shows notifications.
struct Desktop {
    folder: TempDir,
    address: String,
    children: Vec<Child>,
}

impl Desktop {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address"])
            .arg(format!(
                "--address=unix:path={}/bus",
                folder.path().display()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs dbus-daemon");
        let mut address = String::new();
        let output = bus.stdout.take().expect("it is piped");
        let mut desktop = Self {
            folder,
            address: String::new(),
            children: vec![bus],
        };
        BufReader::new(output)
            .read_line(&mut address)
            .expect("it tells its address");
        desktop.address = address.trim_end().to_owned();
        let shown = Command::new("/usr/bin/python3")
            .args([
                "-m",
                "dbusmock",
                "--session",
                "--template",
                "notification_daemon",
            ])
            .arg("--logfile")
            .arg(desktop.log())
            .env("DBUS_SESSION_BUS_ADDRESS", &desktop.address)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("this test needs python3");
        desktop.children.push(shown);
        eventually(
            "somebody who shows notifications (python3-dbusmock)",
            || {
                let sent = Command::new("notify-send")
                    .args(["--app-name=probe", "--", "probe"])
                    .env("DBUS_SESSION_BUS_ADDRESS", &desktop.address)
                    .stderr(Stdio::null())
                    .status()
                    .expect("this test needs notify-send (libnotify-bin)");
                sent.success().then_some(())
            },
        );
        desktop
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What was asked to be shown for us: title, text and the rest.
    fn shown(&self) -> Vec<String> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let entries = log.split("Notify \"").skip(1);
        let ours = entries.filter_map(|entry| entry.strip_prefix("ebph\" "));
        ours.map(str::to_owned).collect()
    }

    /// Starts the example, and waits until it waits.
    fn notify(&mut self, args: &[String]) {
        let errors = self.folder.path().join("stderr");
        let file = fs::File::create(&errors).expect("it can be made");
        let child = Command::new(example("notify"))
            .args(args)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .stdin(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the example can be run");
        self.children.push(child);
        eventually("the example to wait", || {
            let text = fs::read_to_string(&errors).ok()?;
            text.contains("waiting for anomalies").then_some(())
        });
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // SANITY: they may have ended with the one before them.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Check that an anomaly of a running monitor's is shown with its evidence, that its program's name
/// is no markup, and that many of them are few notifications.
#[test]
fn of_a_running_monitor() {
    let mut desktop = Desktop::new();
    let service = Service::start(&[]);
    let odd = service.stage.copy("calls", "a<b>&amp;\\n\u{1b}[1m");
    let odd = odd.to_str().expect("test paths are UTF-8");
    assert!(service.victim(odd, &[getppid(10)]).wait().success());
    service.run_ok(&["admin", "normalize", odd]);
    let socket = service.socket().display().to_string();
    desktop.notify(&["--socket".into(), socket, "--every".into(), "3s".into()]);

    assert!(
        service
            .victim(odd, &[getppid(2), call(libc::SYS_getpid, 1)])
            .wait()
            .success()
    );
    let shown = eventually("a notification", || desktop.shown().into_iter().next());
    assert!(shown.contains("does something new"), "{shown}");
    // The title is plain text.
    assert!(shown.contains("a<b>&amp;\\\\n\\u{1b}[1m does"), "{shown}");
    assert!(
        shown.contains("System call getpid after getppid getppid: "),
        "{shown}"
    );
    assert!(shown.contains("2 of 2 pairs were never seen"), "{shown}");
    let rests_on = "Anomaly 1 of 3 calls since it is normal, which it learnt from 11.";
    assert!(shown.contains(rests_on), "{shown}");
    // The text is markup.
    let name = "(a&lt;b&gt;&amp;amp;\\\\n\\u{1b}[1m), user 0.";
    assert!(shown.contains(name), "{shown}");
    assert!(shown.contains("\"urgency\": 1"), "{shown}");

    // The second and those after it are told together; none of them is lost.
    let reports = || service.status()["anomalies"].as_u64().expect("a number");
    assert_eq!(reports(), 2, "getpid, and the end after it");
    for number in [libc::SYS_getuid, libc::SYS_getgid, libc::SYS_gettid] {
        let odd_calls = [getppid(2), call(number, 1)];
        assert!(service.victim(odd, &odd_calls).wait().success());
    }
    let told = eventually("all reports to be told", || {
        let shown = desktop.shown();
        let more: u64 = shown.iter().skip(1).map(|text| more(text)).sum();
        (more + 1 == reports()).then_some(shown.len())
    });
    assert!((2..8).contains(&told), "{told}: {:?}", desktop.shown());
    assert!(service.end().success());
}

/// How many reports a notification is about.
fn more(shown: &str) -> u64 {
    let title = shown.split('"').nth(3).expect("a title");
    match title.split_once(" more report") {
        Some(("One", _)) => 1,
        Some((count, _)) => count.parse().expect("a number"),
        None => 1,
    }
}

/// Check the same of a monitor that the example starts itself, and that strong evidence is urgent.
#[test]
fn of_its_own_monitor() {
    let mut desktop = Desktop::new();
    let stage = Stage::new();
    desktop.notify(&[
        "--tree".into(),
        stage.pid().to_string(),
        "--normal-wait".into(),
        "0s".into(),
    ]);
    let shown = eventually("a notification", || {
        // Runs alike make it freeze and, after no wait, normal.
        stage.run_ok(10, "calls", &[getppid(50)]);
        stage.run_ok(1, "calls", &[getppid(9), call(libc::SYS_getpid, 3)]);
        desktop.shown().into_iter().next()
    });
    assert!(shown.contains("does something new"), "{shown}");
    assert!(shown.contains("\"urgency\": 2"), "{shown}");
    assert!(shown.contains("8 of 8 pairs were never seen"), "{shown}");
}
