//! `monitor top`, in a real terminal.

pub mod terminal;

use std::path::PathBuf;
use std::process::{Child, Stdio};

use pty_process::blocking::Command;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::pipe::End;
use crate::harness::{Pipe, Stage, call, eventually, example, getppid, require_root};
use terminal::{Terminal, Told};

fn monitor() -> PathBuf {
    require_root();
    example("monitor")
}

/// `monitor top` with a monitor of its own, of a shell that does what it is told.
fn own(told: &Told, options: &[&str]) -> Command {
    let command = Command::new(monitor()).arg("top").args(options);
    command.arg("--").args(told.words())
}

/// A monitor that can be asked, killed when dropped.
struct Served {
    child: Child,
}

impl Served {
    fn start(told: &Told, socket: &str) -> Self {
        let child = std::process::Command::new(monitor())
            .args(["--socket", socket, "--"])
            .args(told.words())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the example can be run");
        let served = Self { child };
        eventually("the monitor to answer", || {
            std::os::unix::net::UnixStream::connect(socket).ok()
        });
        served
    }

    /// Ends it, and the command with it.
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        eventually("the end of the monitor", || {
            self.child.try_wait().expect("it is our child")
        });
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ENTER: &str = "\r";
const ESCAPE: &str = "\x1b";
const DOWN: &str = "\x1b[B";
const TO_END: &str = "\x1b[F";
const CONTROL_C: &str = "\x03";

/// Check the whole way of an operator: who runs, what it has learnt, that it becomes normal, what
/// is not normal then, at any size of the terminal, and that the terminal is as before at the end.
#[test]
fn from_learning_to_an_anomaly() {
    let stage = Stage::new();
    let victim = stage.copy("calls", "victim-a");
    let victim = victim.display();
    let (told, held) = (Told::new(), Pipe::new());
    let folder = stage.directory().join("profiles");
    let kept = folder.to_str().expect("test paths are UTF-8");
    let options = ["--normal-wait", "1h", "--profile-dir", kept];
    let terminal = Terminal::start(own(&told, &options), 100, 30);
    terminal.wait_for_line(&["sh", "training", "/usr/bin/"]);
    terminal.wait_for_line(&["nothing lost"]);

    let gate = held.path(End::Read);
    let calls = getppid(20);
    told.tell(&format!("{victim} {calls} r {calls} <{} &", gate.display()));
    terminal.wait_for_line(&["victim-a", "training"]);
    let place = |lines: &[String], name: &str| {
        let body = lines.iter().skip(5);
        body.clone().position(|line| line.contains(name))
    };

    // Sorted by pid, either way; then only one of the two.
    terminal.type_keys("<<<<");
    terminal.wait_for("the youngest first", |lines| {
        lines[4].contains("PID\u{25be}") && place(lines, "victim-a") < place(lines, " sh ")
    });
    terminal.type_keys("r");
    terminal.wait_for("the oldest first", |lines| {
        lines[4].contains("PID\u{25b4}") && place(lines, "victim-a") > place(lines, " sh ")
    });
    terminal.type_keys("/VICTIM");
    terminal.wait_for("the filter", |lines| {
        lines[3].contains("1 with: VICTIM") && place(lines, " sh ").is_none()
    });
    terminal.type_keys(ENTER);
    terminal.wait_for("the filter to be kept", |lines| {
        lines[3].contains("1 with: VICTIM") && !lines.join("\n").contains("Enter: keep")
    });

    // What it has learnt: getppid at every distance after itself, and nothing normal.
    terminal.type_keys(ENTER);
    terminal.wait_for_line(&["getppid", "8+"]);
    terminal.wait_for_line(&["training;", "since something new"]);

    // Nothing happens without a yes.
    terminal.type_keys("n");
    terminal.wait_for_line(&["normalize", "victim-a"]);
    terminal.type_keys("n");
    terminal.wait_for_line(&["normalize: not done"]);
    terminal.wait_for_line(&["training;"]);
    terminal.type_keys("ny");
    terminal.wait_for_line(&["normal;", "0 anomalies"]);
    terminal.wait_for_line(&["getppid", "8="]);
    assert!(terminal.is_coloured());

    // In its list, the pair of getppid and itself.
    terminal.type_keys("\t");
    terminal.wait_for_line(&["getppid", "getppid", "12345678", "both"]);
    terminal.type_keys("\t\t");
    terminal.wait_for_line(&["getppid", "8="]);

    // An anomaly, with everything about it.
    told.tell(&format!(
        "{victim} {} {}",
        getppid(4),
        call(libc::SYS_getuid, 1)
    ));
    terminal.type_keys("3");
    terminal.wait_for("the newest first", |lines| {
        lines[5].contains("exit_group after getu") && lines[6].contains("getuid after getppid")
    });
    terminal.type_keys(DOWN);
    terminal.wait_for_line(&["what", "getuid was never seen right after getppid"]);
    terminal.wait_for_line(&["calls", "getppid^ >getuid<"]);
    terminal.wait_for_line(&["who", "victim-a", "uid 0"]);
    terminal.wait_for_line(&["lost", "nothing"]);

    for (columns, rows) in [(80, 24), (40, 10), (200, 60)] {
        terminal.resize(columns, rows);
        terminal.wait_for("the other size", |lines| {
            lines.len() == usize::from(rows)
                && lines[2].contains("nothing lost")
                && lines[3].contains("1 processes")
                && lines[usize::from(rows) - 1].starts_with("Enter inspect")
                && lines.iter().any(|line| line.contains("getuid"))
        });
    }
    terminal.resize(39, 24);
    terminal.wait_for_line(&["too small"]);
    terminal.resize(100, 30);
    terminal.wait_for_line(&["what", "getuid was never seen right after getppid"]);

    // It ends with the command that it began, and says how that ended.
    held.send(1);
    terminal.type_keys("q");
    terminal.wait_for_line(&["leave, and end sh?"]);
    terminal.type_keys("y");
    let (status, left) = terminal.finish();
    assert_eq!(status.code(), Some(128 + libc::SIGTERM));
    assert_eq!(left, "", "the screen before is back");
    let store = ebph::Store::open(&folder).expect("the folder is ours");
    let profiles = store.load().expect("it can be read").profiles;
    let mut normal = profiles.iter().filter(|stored| stored.profile.is_normal());
    let exe = normal.next().and_then(|stored| stored.profile.exe());
    assert!(exe.is_some_and(|exe| exe.ends_with("victim-a")), "{exe:?}");
}

/// Check that a monitor that runs is viewed and told, that its end and its successor are noticed,
/// and that it does not end with the view.
#[test]
fn of_a_monitor_that_runs() {
    let stage = Stage::new();
    let socket = stage.directory().join("socket");
    let socket = socket.to_str().expect("test paths are UTF-8");
    let told = Told::new();
    let served = Served::start(&told, socket);
    let view = || Command::new(monitor()).args(["top", "--socket", socket]);
    let terminal = Terminal::start(view(), 80, 24);
    terminal.wait_for_line(&["sh", "training"]);
    terminal.type_keys("Py");
    terminal.wait_for_line(&["ebph", "PAUSED"]);
    terminal.type_keys("P");
    terminal.wait_for_line(&["resume the whole monitor?"]);
    terminal.type_keys("y");
    terminal.wait_for("the monitor to go on", |lines| !lines[0].contains("PAUSED"));
    terminal.type_keys("Sy");
    // It has no folder: the answer is an error, and is shown.
    terminal.wait_for_line(&["save: no folder for profiles"]);

    served.stop();
    terminal.wait_for_line(&["CONNECTION LOST, what is shown is old"]);
    let second = Told::new();
    let served = Served::start(&second, socket);
    terminal.wait_for_line(&["another monitor answers"]);
    terminal.wait_for("its losses", |lines| lines[2].contains("nothing lost"));
    terminal.type_keys(CONTROL_C);
    let (status, left) = terminal.finish();
    assert!(status.success(), "{status}");
    assert_eq!(left, "");

    // A signal restores the terminal as well, and the monitor still answers afterwards.
    let terminal = Terminal::start(view(), 80, 24);
    terminal.wait_for_line(&["sh", "training"]);
    terminal.signal(Signal::TERM);
    let (status, _) = terminal.finish();
    assert!(status.success(), "{status}");
    served.stop();
}

/// Check that thousands of profiles are shown a screen at a time, sorted and filtered, and that a
/// key is answered while they are asked for.
#[test]
fn thousands_of_profiles() {
    const PROFILES: usize = 3000;
    let stage = Stage::new();
    let victim = stage.copy("calls", "interpreter");
    // A script has a profile of its own, and a small one if its interpreter makes few calls.
    for number in 0..PROFILES {
        stage.file(
            &format!("t-{number:04}"),
            &format!("#!{}\n", victim.display()),
        );
    }
    let told = Told::new();
    let options = ["--max-profiles", "4096", "--events", "anomaly,lost"];
    let terminal = Terminal::start(own(&told, &options), 100, 30);
    terminal.wait_for_line(&["sh", "training"]);
    told.tell(&format!(
        "for file in {}/t-*; do $file; done",
        stage.directory().display()
    ));
    let all = format!("profiles {}/4096", PROFILES + 1);
    terminal.wait_for_line(&[&all]);
    terminal.wait_for_line(&["nothing lost"]);
    terminal.type_keys("2>>>>");
    terminal.wait_for("the first", |lines| {
        lines[4].contains("PROGRAM\u{25b4}") && lines[5].contains("/t-0000 ")
    });
    terminal.type_keys(TO_END);
    // The last one stays in sight at every size.
    for (columns, rows) in [(100, 30), (200, 60), (60, 16), (100, 30)] {
        terminal.resize(columns, rows);
        terminal.wait_for("the last", |lines| {
            let last = lines
                .iter()
                .rposition(|line| line.contains("dash") || line.contains("bash"));
            lines.len() == usize::from(rows) && last.is_some_and(|last| last + 2 == lines.len())
        });
    }
    terminal.type_keys("r");
    // The selection stays on its profile, which is the first now.
    terminal.wait_for("the other order", |lines| lines[6].contains("/t-2999 "));
    terminal.type_keys("/T-1234");
    terminal.wait_for("one of them", |lines| {
        lines[3].contains("1 with: T-1234") && lines[5].contains("/t-1234 ")
    });
    terminal.type_keys(ENTER);
    terminal.wait_for_line(&["Enter inspect"]);
    terminal.type_keys(ENTER);
    terminal.wait_for_line(&["/t-1234", ":s"]);
    terminal.type_keys("Fy");
    terminal.wait_for_line(&["forget: done"]);
    let fewer = format!("profiles {PROFILES}/4096");
    terminal.wait_for_line(&[&fewer]);
    // One step back to the list, one out of its filter.
    terminal.type_keys(ESCAPE);
    terminal.wait_for_line(&["none that passes the filter"]);
    terminal.type_keys("qy");
    let (status, _) = terminal.finish();
    assert_eq!(status.code(), Some(128 + libc::SIGTERM));
}

/// Check that a program cannot make its name a command to the terminal, and that without colours
/// none are used.
#[test]
fn hostile_names() {
    let stage = Stage::new();
    let name = "x\u{1b}]0;pwned\u{7}\u{1b}[2J\n\u{202e}y";
    let victim = stage.copy("calls", name);
    let mut told = Told::new();
    let held = Pipe::new();
    let command = own(&told, &[]).env("NO_COLOR", "1");
    let terminal = Terminal::start(command, 120, 30);
    terminal.wait_for_line(&["sh", "training"]);
    let gate = held.path(End::Read);
    // The shell is given the name in a way that one line holds.
    let directory = stage.directory().display();
    let calls = getppid(20);
    told.tell(&format!("{directory}/x*y {calls} r <{} &", gate.display()));
    assert!(victim.exists());
    terminal.wait_for_line(&["x\\u{1b}]0;pwned", "training"]);
    terminal.type_keys("2/pwned");
    terminal.wait_for("its profile", |lines| {
        lines[3].contains("1 with: pwned")
            && lines[4].starts_with("PROGRAM")
            && lines[5].contains("x\\u{1b}]0;pwned\\u{7}\\u{1b}[2J\\n\\u{202e}y")
    });
    terminal.type_keys(ENTER);
    terminal.type_keys(ENTER);
    terminal.wait_for_line(&["getppid", "8+"]);
    assert!(!terminal.is_coloured());
    held.send(1);
    told.end();
    terminal.wait_for_line(&["the command has ended with status 0"]);
    let raw = terminal.raw();
    let written = |bytes: &[u8]| raw.windows(bytes.len()).any(|window| window == bytes);
    assert!(written(b"pwned"));
    assert!(!written(b"\x1b]0;pwned") && !written("\u{202e}".as_bytes()));
    terminal.type_keys("q");
    let (status, _) = terminal.finish();
    assert!(status.success(), "{status}");
}

/// Check that it says in one line why it cannot show anything, and takes no screen for it.
#[test]
fn refusals() {
    let ended = |args: &[&str]| {
        let output = std::process::Command::new(monitor())
            .args(args)
            .stdin(Stdio::null())
            .output();
        let output = output.expect("the example can be run");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
        (output.status.code(), errors)
    };
    let (code, errors) = ended(&["top", "--", "true"]);
    assert!(
        code == Some(125) && errors.contains("needs a terminal"),
        "{code:?} {errors}"
    );
    let (code, errors) = ended(&["top", "--socket", "/nowhere", "--", "true"]);
    assert!(
        code == Some(125) && errors.contains("cannot be used with"),
        "{code:?} {errors}"
    );
    let view = Command::new(monitor()).args(["top", "--socket", "/nowhere"]);
    let (status, left) = Terminal::start(view, 80, 24).finish();
    assert_eq!(status.code(), Some(125));
    assert!(left.contains("/nowhere"), "{left}");
    let view = Command::new(monitor()).args(["top", "--", "/nonexistent/program"]);
    let terminal = Terminal::start(view, 80, 24);
    terminal.wait_for_line(&["cannot run /nonexistent/program"]);
    terminal.type_keys("q");
    let (status, left) = terminal.finish();
    assert_eq!(status.code(), Some(127));
    assert!(left.contains("cannot run /nonexistent/program"), "{left}");
}

/// Check that the terminal is given up when the view is stopped, had back when it goes on, whoever
/// wrote on it meanwhile, and that a pasted text is no command.
#[test]
fn stopped_and_pasted() {
    let mut told = Told::new();
    // Where nobody controls jobs, the kernel stops none.
    let script = r#""$@"; while [ $? -gt 128 ]; do echo away; read -r line; fg; done"#;
    let shell = Command::new("sh")
        .args(["-mc", script, "sh"])
        .arg(monitor());
    let shell = shell.args(["top", "--"]).args(told.words());
    let terminal = Terminal::start(shell, 100, 24);
    terminal.wait_for_line(&["nothing lost"]);
    terminal.type_keys("\x1b[200~Py\x1b[201~");
    terminal.wait_for_line(&["what is pasted is not taken for keys"]);
    let header = terminal.wait_for_line(&["ebph", "pid "]);
    let pid = header.rsplit(' ').next().and_then(|pid| pid.parse().ok());
    let pid = Pid::from_raw(pid.expect("a number")).expect("not zero");
    for by_signal in [false, true] {
        if by_signal {
            kill_process(pid, Signal::TSTP).expect("it runs");
        } else {
            terminal.type_keys("\x1a");
        }
        terminal.wait_for_line(&["away"]);
        assert!(!terminal.is_taken());
        terminal.type_keys("written meanwhile\r");
        terminal.wait_for("the view alone", |lines| {
            terminal.is_taken() && !lines.iter().any(|line| line.contains("meanwhile"))
        });
        terminal.wait_for_line(&["nothing lost"]);
        terminal.type_keys("?");
        terminal.wait_for_line(&["Ctrl-Z"]);
        terminal.type_keys("x");
        terminal.wait_for("the help to go", |lines| {
            !lines.iter().any(|line| line.contains("Ctrl-Z"))
        });
    }
    told.end();
    terminal.wait_for_line(&["the command has ended with status 0"]);
    terminal.type_keys("q");
    let (status, _) = terminal.finish();
    assert!(status.success(), "{status}");
}
