//! What one would take instead to look at a program's system calls.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::Failure;

/// How long one may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);
/// Programs of bpftrace are attached sooner than this after one another.
const SETTLED: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// `strace -c`, which counts.
    Strace,
    /// `perf trace -s`, which counts.
    PerfTrace,
    /// The line of bpftrace's manual that counts calls by process.
    BpftraceByProcess,
    /// The one that counts them by call.
    BpftraceByCall,
}

/// One of them at work, until this is dropped.
pub struct Running(Child);

impl Other {
    pub fn name(self) -> &'static str {
        match self {
            Self::Strace => "strace",
            Self::PerfTrace => "perf trace",
            Self::BpftraceByProcess => "bpftrace by process",
            Self::BpftraceByCall => "bpftrace by call",
        }
    }

    pub fn start(self, pid: u32) -> Result<Running, Failure> {
        let pid = pid.to_string();
        let mut command = match self {
            Self::Strace => {
                let mut command = Command::new("strace");
                command.args(["-f", "-c", "-o", "/dev/null", "-p", &pid]);
                command
            }
            Self::PerfTrace => {
                let mut command = with_tracefs();
                command.args(["perf", "trace", "-s", "-o", "/dev/null", "-p", &pid]);
                command
            }
            Self::BpftraceByProcess | Self::BpftraceByCall => {
                let count = if self == Self::BpftraceByProcess {
                    "tracepoint:raw_syscalls:sys_enter { @[pid, comm] = count(); }"
                } else {
                    "tracepoint:syscalls:sys_enter_* { @[probe] = count(); }"
                };
                let mut command = with_tracefs();
                command.args(["bpftrace", "-e"]);
                command.arg(format!("BEGIN {{ printf(\"ready\\n\"); }} {count}"));
                command
            }
        };
        let (out, error) = match self {
            Self::BpftraceByProcess | Self::BpftraceByCall => (Stdio::piped(), Stdio::null()),
            _ => (Stdio::null(), Stdio::null()),
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(error)
            .spawn();
        let mut running = Running(child.map_err(|error| {
            format!(
                "{:?}: {error}: scripts/bench-deps.sh installs it",
                command.get_program()
            )
        })?);
        running.wait_until_it_looks(self, &pid)?;
        Ok(running)
    }
}

/// A shell that has what tracers expect below /sys, in a mount namespace of its own, and then runs
/// its arguments.
fn with_tracefs() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec"]);
    command.arg(
        "[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing
         [ -e /sys/kernel/debug/tracing ] || mount -t debugfs debugfs /sys/kernel/debug
         exec \"$@\"",
    );
    command.arg("sh");
    command
}

impl Running {
    fn wait_until_it_looks(&mut self, other: Other, pid: &str) -> Result<(), Failure> {
        let began = Instant::now();
        match other {
            Other::BpftraceByProcess | Other::BpftraceByCall => {
                let out = self.0.stdout.take().ok_or("no pipe")?;
                let ready = BufReader::new(out)
                    .lines()
                    .map_while(Result::ok)
                    .any(|line| line == "ready");
                if !ready {
                    return Err("bpftrace has ended: it may lack a privilege".into());
                }
                // It says so before its other programs are attached, hundreds of them one by one.
                let mut attached = (0, Instant::now());
                while attached.0 == 0 || attached.1.elapsed() < SETTLED {
                    self.still_there(began)?;
                    let now = self.perf_events()?;
                    if now != attached.0 {
                        attached = (now, Instant::now());
                    }
                }
            }
            Other::Strace => {
                let status = format!("/proc/{pid}/status");
                while std::fs::read_to_string(&status)?.contains("TracerPid:\t0\n") {
                    self.still_there(began)?;
                }
            }
            // It says nothing; its events are there once it has its memory for them.
            Other::PerfTrace => {
                let maps = format!("/proc/{}/maps", self.0.id());
                while !std::fs::read_to_string(&maps)?.contains("anon_inode:[perf_event]") {
                    self.still_there(began)?;
                }
            }
        }
        Ok(())
    }

    /// How many of perf's events it has open: one for each program at a tracepoint.
    fn perf_events(&self) -> Result<usize, Failure> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.0.id()))?;
        let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        let is_event = |target: &PathBuf| target.ends_with("anon_inode:[perf_event]");
        Ok(targets.filter(is_event).count())
    }

    fn still_there(&mut self, began: Instant) -> Result<(), Failure> {
        if let Some(status) = self.0.try_wait()? {
            return Err(format!("the tracer has ended: {status}").into());
        }
        if began.elapsed() > PATIENCE {
            return Err("the tracer does not begin".into());
        }
        std::thread::sleep(Duration::from_millis(5));
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Ok(id) = i32::try_from(self.0.id()) else {
            return;
        };
        if let Some(pid) = Pid::from_raw(id) {
            let _told = kill_process(pid, Signal::INT);
            let _ended = waitpid(Some(pid), WaitOptions::empty());
        }
        let _flushed = std::io::stdout().flush();
    }
}
