//! The example monitor as a service: asked and told over its socket, logging, managed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::cgroup::Cgroup;
use crate::harness::{Run, Stage, Start, deadline, eventually, example, require_root};

mod admin;
mod listing;
mod logging;
mod manager;
mod notify;
mod responses;
mod socket;

/// A running monitor with a socket, of a cgroup of its own, and a stage beside it.
struct Service {
    child: Child,
    // Before the cgroup, which is removed when its processes are gone.
    stage: Stage,
    cgroup: Cgroup,
    scratch: TempDir,
    args: Vec<String>,
}

impl Service {
    fn start(args: &[&str]) -> Self {
        Self::start_with(args, |_| ())
    }

    /// Starts a monitor by a command that may be changed before, and waits until it answers.
    fn start_with(args: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        require_root();
        let scratch = tempfile::tempdir().expect("a folder can be made");
        let cgroup = Cgroup::new();
        let scratch_path = scratch.path().display().to_string();
        let args = args.iter().map(|arg| arg.replace("SCRATCH", &scratch_path));
        let args: Vec<String> = args.collect();
        let mut command = command_for(scratch.path(), &cgroup, &args);
        change(&mut command);
        let child = command.spawn().expect("the example can be run");
        let mut service = Self {
            child,
            stage: Stage::new(),
            cgroup,
            scratch,
            args,
        };
        service.until_answering();
        service
    }

    /// Starts another one in its place, which must have ended.
    fn restart(&mut self) {
        let mut command = command_for(self.scratch.path(), &self.cgroup, &self.args);
        self.child = command.spawn().expect("the example can be run");
        self.until_answering();
    }

    fn until_answering(&mut self) {
        let socket = self.socket();
        eventually("the monitor to answer", || {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                panic!("it ended: {status}\n{}", self.errors());
            }
            let answer = Client::try_connect(&socket)?.try_ask(&json!({"request": "status"}))?;
            answer["ok"]["status"]["running"].as_bool()
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("socket")
    }

    /// What it wrote on standard error so far.
    fn errors(&self) -> String {
        fs::read_to_string(self.path("stderr")).expect("it was made at the start")
    }

    fn client(&self) -> Client {
        Client::try_connect(&self.socket()).expect("the monitor listens")
    }

    #[track_caller]
    fn ask(&self, request: Value) -> Value {
        self.client().ask(&request)
    }

    #[track_caller]
    fn status(&self) -> Value {
        self.ask(json!({"request": "status"}))["ok"]["status"].clone()
    }

    /// Runs `monitor WORDS` for this monitor.
    fn run(&self, words: &[&str]) -> Output {
        Command::new(example("monitor"))
            .args(words)
            .arg("--socket")
            .arg(self.socket())
            .stdin(Stdio::null())
            .output()
            .expect("the example can be run")
    }

    /// The same, which must succeed; returns what it printed.
    #[track_caller]
    fn run_ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).expect("it prints text")
    }

    /// The same, which must be refused in one line that contains `why`.
    #[track_caller]
    fn run_refused(&self, words: &[&str], why: &str) {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains(why), "{words:?}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{words:?}: {errors}");
    }

    /// Starts a victim where it is watched.
    #[track_caller]
    fn victim<A: ToString>(&self, name: &str, args: &[A]) -> Run<'_> {
        self.victim_with(Start::new(), name, args)
    }

    #[track_caller]
    fn victim_with<A: ToString>(&self, start: Start, name: &str, args: &[A]) -> Run<'_> {
        let start = start.cgroup(self.cgroup.path());
        self.stage.start_with(&start, name, args)
    }

    /// What `ps -p --json` says about this stage's copy of a victim.
    fn find(&self, name: &str) -> Option<Value> {
        let path = self.stage.path(name);
        let rows: Value =
            serde_json::from_str(&self.run_ok(&["ps", "-p", "--json"])).expect("JSON");
        let mut rows = rows.as_array().expect("a list").iter();
        rows.find(|row| row["exe"].as_str() == path.to_str())
            .cloned()
    }

    #[track_caller]
    fn row(&self, name: &str) -> Value {
        let row = self.find(name);
        row.unwrap_or_else(|| panic!("no profile of {name}"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Ends it as a service manager does.
    fn end(mut self) -> ExitStatus {
        self.end_here()
    }

    /// The same, but what it wrote stays.
    fn end_here(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let status = self.child.wait().expect("it is our child");
        assert!(!self.socket().exists(), "the socket is removed");
        status
    }

    /// Ends it as no one should.
    fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is our child");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // After `end` there is nobody to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command_for(scratch: &Path, cgroup: &Cgroup, args: &[String]) -> Command {
    let errors = File::options()
        .create(true)
        .append(true)
        .open(scratch.join("stderr"));
    let mut command = Command::new(example("monitor"));
    command
        .arg("--socket")
        .arg(scratch.join("socket"))
        .args(["--max-profiles", "64", "--scope"])
        .arg(format!("cgroup:{}", cgroup.path().display()))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors.expect("it can be written"));
    command
}

/// A connection to a monitor's socket.
struct Client(BufReader<UnixStream>);

impl Client {
    fn try_connect(socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(deadline())).expect("not zero");
        stream
            .set_write_timeout(Some(deadline()))
            .expect("not zero");
        Some(Self(BufReader::new(stream)))
    }

    /// Sends bytes as they are.
    #[track_caller]
    fn send(&mut self, bytes: &[u8]) {
        self.0
            .get_mut()
            .write_all(bytes)
            .expect("the monitor reads");
    }

    /// Reads the next answer; None at the end of the connection.
    #[track_caller]
    fn answer(&mut self) -> Option<Value> {
        let mut line = Vec::new();
        self.0
            .read_until(b'\n', &mut line)
            .expect("an answer in time");
        if line.is_empty() {
            return None;
        }
        let text = String::from_utf8_lossy(&line);
        Some(serde_json::from_slice(&line).unwrap_or_else(|error| panic!("{text}: {error}")))
    }

    /// Reads an answer that must be a refusal, and returns its code.
    #[track_caller]
    fn refusal(&mut self) -> String {
        let answer = self.answer().expect("an answer");
        let message = answer["error"]["message"].as_str();
        assert!(message.is_some_and(|text| !text.is_empty()), "{answer}");
        answer["error"]["code"].as_str().expect("a code").to_owned()
    }

    fn try_ask(&mut self, request: &Value) -> Option<Value> {
        let line = format!("{request}\n");
        self.0.get_mut().write_all(line.as_bytes()).ok()?;
        let mut answer = String::new();
        self.0.read_line(&mut answer).ok()?;
        serde_json::from_str(&answer).ok()
    }

    #[track_caller]
    fn ask(&mut self, request: &Value) -> Value {
        self.send(format!("{request}\n").as_bytes());
        self.answer().expect("an answer")
    }
}
