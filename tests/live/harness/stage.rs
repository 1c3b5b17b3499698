//! The tree that a test watches: a runner that starts victims when told to.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Mutex;

use ebph::{Key, Monitor, MonitorBuilder, Profile, Responses, Scope};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use super::pipe::{End, Pipe, Terminal};
use super::{Watch, eventually, program, require_root};

/// A directory of its own for victims, and a runner process: the root of the watched tree.
pub struct Stage {
    directory: TempDir,
    runner: Mutex<Runner>,
    pid: u32,
}

struct Runner {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// How a victim is started, where that is not the usual way.
#[derive(Clone, Default)]
pub struct Start {
    options: Vec<String>,
}

impl Start {
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.options.push(format!("{name}={value}"));
        self
    }

    /// Standard input comes from the pipe.
    pub fn input(self, pipe: &Pipe) -> Self {
        self.with("in", pipe.path(End::Read).display())
    }

    /// Standard output goes into the pipe.
    pub fn output(self, pipe: &Pipe) -> Self {
        self.with("out", pipe.path(End::Write).display())
    }

    /// Standard output is the terminal.
    pub fn terminal(self, terminal: &Terminal) -> Self {
        self.with("out", terminal.path().display())
    }

    /// Runs as another user.
    pub fn user(self, uid: u32) -> Self {
        self.with("uid", uid)
    }

    /// Gets this pid, which must be free.
    pub fn pid(self, pid: u32) -> Self {
        self.with("pid", pid)
    }

    /// Joins the cgroup before its exec.
    pub fn cgroup(self, directory: &Path) -> Self {
        self.with("cgroup", directory.display())
    }

    /// Runs a copy of the program that has no path.
    pub fn nameless(self) -> Self {
        self.with("memfd", 1)
    }
}

/// A victim that was started and not yet waited for.
pub struct Run<'a> {
    stage: &'a Stage,
    pub pid: u32,
}

impl Run<'_> {
    /// Waits for its end.
    pub fn wait(self) -> ExitStatus {
        let status = self
            .stage
            .ask(&["wait", &self.pid.to_string()])
            .expect("it is the runner's child");
        ExitStatus::from_raw(status)
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid.cast_signed()).expect("a child's pid is not 0");
        rustix::process::kill_process(pid, signal).expect("the victim lives");
    }

    /// Waits until it is blocked inside this system call.
    #[track_caller]
    pub fn until_blocked_in(&self, call: libc::c_long) {
        let path = format!("/proc/{}/syscall", self.pid);
        let wanted = call.to_string();
        eventually(&format!("the victim to be blocked in call {call}"), || {
            let text = fs::read_to_string(&path).ok()?;
            (text.split(' ').next() == Some(&wanted)).then_some(())
        });
    }

    /// Waits until `/proc` shows it in this state, as in `T` for stopped.
    #[track_caller]
    pub fn until_state(&self, state: char) {
        let path = format!("/proc/{}/stat", self.pid);
        eventually(&format!("the victim to be in state {state}"), || {
            let text = fs::read_to_string(&path).ok()?;
            let (_, rest) = text.rsplit_once(") ")?;
            rest.starts_with(state).then_some(())
        });
    }
}

impl Stage {
    pub fn new() -> Self {
        require_root();
        let directory = tempfile::Builder::new()
            .prefix("ebph-live-")
            .tempdir()
            .expect("a temporary directory can be made");
        // Victims also run as other users.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))
            .expect("it is ours");
        let mut child = Command::new(program("runner"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Its parent is in another group of the same session. Where it is not, as in a container, a
            // terminal's stop signal stops nobody.
            .process_group(0)
            .spawn()
            .expect("the runner starts");
        let runner = Runner {
            requests: child.stdin.take().expect("it is piped"),
            answers: BufReader::new(child.stdout.take().expect("it is piped")),
            child,
        };
        let pid = runner.child.id();
        let stage = Self {
            directory,
            runner: Mutex::new(runner),
            pid,
        };
        // spawn returns after the exec, but let it be seen to answer before anything is watched.
        assert_eq!(stage.ask(&["wait", "1"]), Err(libc::ECHILD));
        stage
    }

    /// The root of the tree.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn scope(&self) -> Scope {
        Scope::Tree(self.pid)
    }

    /// Starts a monitor of this tree with the default settings.
    #[track_caller]
    pub fn watch(&self) -> Watch {
        self.watch_with(|builder| builder)
    }

    /// Starts a monitor of this tree.
    #[track_caller]
    /// With these responses, and every one of them told of.
    pub fn watch_answering(&self, responses: Responses) -> Watch {
        self.watch_with(|builder| {
            builder
                .responses(responses)
                .report_rate(100_000)
                .thread_report_rate(100_000)
        })
    }

    pub fn watch_with(&self, settings: impl FnOnce(MonitorBuilder) -> MonitorBuilder) -> Watch {
        Watch::start(settings(Monitor::builder().scope(self.scope())))
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// This stage's own copy of a victim: nothing else runs that inode.
    pub fn path(&self, name: &str) -> PathBuf {
        self.copy(name, name)
    }

    /// One more copy of a victim, under another name: another executable.
    pub fn copy(&self, name: &str, copy: &str) -> PathBuf {
        let path = self.directory.path().join(copy);
        if !path.exists() {
            fs::copy(program(name), &path).expect("the victim can be copied");
        }
        path
    }

    /// Writes an executable file, a script for example.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).expect("the file can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        path
    }

    /// Starts a victim (by name, or any executable by absolute path).
    #[track_caller]
    pub fn start<A: ToString>(&self, name: &str, args: &[A]) -> Run<'_> {
        self.start_with(&Start::new(), name, args)
    }

    #[track_caller]
    pub fn start_with<A: ToString>(&self, start: &Start, name: &str, args: &[A]) -> Run<'_> {
        match self.try_start(start, name, args) {
            Ok(run) => run,
            Err(errno) => panic!(
                "{name} could not be started: {}",
                std::io::Error::from_raw_os_error(errno)
            ),
        }
    }

    /// Starts a victim; the error is that of fork or exec.
    pub fn try_start<A: ToString>(
        &self,
        start: &Start,
        name: &str,
        args: &[A],
    ) -> Result<Run<'_>, i32> {
        let path = match name.starts_with('/') {
            true => PathBuf::from(name),
            false => self.path(name),
        };
        let mut fields = vec!["start".to_owned()];
        fields.extend(start.options.iter().cloned());
        fields.push("--".to_owned());
        fields.push(path.to_str().expect("test paths are UTF-8").to_owned());
        fields.extend(args.iter().map(ToString::to_string));
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        eventually("the executable not to be open for writing", || {
            // Another test's child may hold our file open for writing between its fork and exec.
            match self.ask(&fields) {
                Err(libc::ETXTBSY) => None,
                Ok(pid) => Some(Ok(Run {
                    stage: self,
                    pid: pid.cast_unsigned(),
                })),
                Err(errno) => Some(Err(errno)),
            }
        })
    }

    /// Starts a victim and waits for its end.
    #[track_caller]
    pub fn run<A: ToString>(&self, name: &str, args: &[A]) -> ExitStatus {
        self.start(name, args).wait()
    }

    /// Runs a victim that must end well, `times` times.
    #[track_caller]
    pub fn run_ok<A: ToString>(&self, times: usize, name: &str, args: &[A]) {
        for _ in 0..times {
            let status = self.run(name, args);
            assert!(status.success(), "{name}: {status}");
        }
    }

    /// Moves the runner itself.
    pub fn move_to(&self, cgroup: &Path) {
        let path = cgroup.to_str().expect("test paths are UTF-8");
        self.ask(&["cgroup", path])
            .expect("the runner can be moved");
    }

    /// The key of this stage's copy of a victim.
    #[track_caller]
    pub fn key(&self, monitor: &Monitor, name: &str) -> Key {
        let path = match name.starts_with('/') {
            true => PathBuf::from(name),
            false => self.path(name),
        };
        monitor.key_of(path).expect("an existing file has a key")
    }

    /// The profile of this stage's copy of a victim.
    #[track_caller]
    pub fn profile(&self, monitor: &Monitor, name: &str) -> Profile {
        let key = self.key(monitor, name);
        monitor
            .profile(key)
            .expect("profiles can be read")
            .unwrap_or_else(|| panic!("no profile of {name}, {key}"))
    }

    fn ask(&self, fields: &[&str]) -> Result<i32, i32> {
        let mut runner = self.runner.lock().expect("no request panicked");
        let mut line = fields.join("\x1f");
        line.push('\n');
        runner
            .requests
            .write_all(line.as_bytes())
            .expect("the runner listens");
        let mut answer = String::new();
        runner
            .answers
            .read_line(&mut answer)
            .expect("the runner answers");
        let (verdict, number) = answer
            .trim_end()
            .split_once(' ')
            .unwrap_or_else(|| panic!("the runner answered {answer:?}"));
        let number = number.parse().expect("the runner answers with a number");
        match verdict {
            "ok" => Ok(number),
            _ => Err(number),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Ok(runner) = self.runner.get_mut() {
            let _ = runner.child.kill();
            let _ = runner.child.wait();
        }
    }
}

/// A single program that is its own tree, held back before its exec.
pub struct Gated {
    thread: std::thread::JoinHandle<std::io::Result<Child>>,
    gate: Pipe,
    pub pid: u32,
}

impl Gated {
    /// Forks; the child waits in front of its exec.
    pub fn new<A: ToString>(path: &Path, args: &[A]) -> Self {
        require_root();
        let (gate, told) = (Pipe::new(), Pipe::new());
        let (gate_fd, told_fd) = (gate.raw(End::Read), told.raw(End::Write));
        let own_end = gate.raw(End::Write);
        let mut command = Command::new(path);
        command
            .args(args.iter().map(ToString::to_string))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let waits = move || {
            let pid = std::process::id().to_ne_bytes();
            let mut byte = [0_u8];
            // SAFETY: these calls are async-signal-safe, and the buffers are as long as said. The
            // closed descriptor is the child's copy, so that the test's end of it ends the wait.
            unsafe {
                libc::close(own_end);
                libc::write(told_fd, pid.as_ptr().cast(), pid.len());
                libc::read(gate_fd, byte.as_mut_ptr().cast(), 1);
            }
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
        unsafe { command.pre_exec(waits) };
        // spawn returns only after the exec.
        let thread = std::thread::spawn(move || command.spawn());
        let pid = u32::from_ne_bytes(told.receive_array());
        Self { thread, gate, pid }
    }

    /// Lets it go on to its exec.
    pub fn go(self) -> Child {
        self.gate.send(1);
        let child = self.thread.join().expect("spawn does not panic");
        child.expect("the program can be executed")
    }
}
