//! A command that waits before its first system call until somebody watches.

use std::ffi::OsString;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::signals;

/// How a command ended.
pub struct Outcome {
    /// The exit status to hand on.
    pub status: u8,
    /// Why it could not be run, if it could not.
    pub failure: Option<String>,
}

/// Where a command's own output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// Where the monitor's goes.
    Inherited,
    /// All to standard error.
    ToStderr,
    /// Nowhere, and its input is empty: somebody else has the terminal.
    Nowhere,
}

/// A forked child that has not yet executed its command.
pub struct Command {
    pid: u32,
    name: String,
    go: PipeWriter,
    /// What became of `exec`.
    spawned: Receiver<io::Result<Child>>,
}

impl Command {
    /// Forks. The child tells its pid and waits for [`Command::release`].
    pub fn prepare(words: &[OsString], streams: Streams) -> io::Result<Self> {
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "no command"))?;
        let (mut tell_reader, mut tell) = io::pipe()?;
        let (mut wait, go) = io::pipe()?;
        let others_end = go.as_raw_fd();
        let mut command = std::process::Command::new(program);
        command.args(arguments);
        // Who manages the monitor wants to hear of the monitor alone.
        for name in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"] {
            command.env_remove(name);
        }
        match streams {
            Streams::Inherited => (),
            Streams::ToStderr => {
                command.stdout(Stdio::from(io::stderr()));
            }
            Streams::Nowhere => {
                command.stdin(Stdio::null());
                command.stdout(Stdio::null()).stderr(Stdio::null());
            }
        }
        let hook = move || before_exec(&mut tell, &mut wait, others_end);
        // SAFETY: between fork and exec the hook only makes system calls on descriptors and signal
        // masks that are its own; it takes no lock and allocates nothing.
        unsafe { command.pre_exec(hook) };

        let (sender, spawned) = mpsc::channel();
        // `spawn` returns when exec has succeeded or failed, so it waits in a thread of its own.
        thread::spawn(move || {
            let result = command.spawn();
            // The hook holds one end of each pipe: without it, the other ends see the end.
            drop(command);
            // SANITY: fails only if the monitor is exiting.
            let _ = sender.send(result);
        });
        let mut pid = [0; 4];
        if tell_reader.read_exact(&mut pid).is_err() {
            // No child ever wrote, so the fork failed.
            return Err(match spawned.recv() {
                Ok(Err(error)) => error,
                _ => ErrorKind::UnexpectedEof.into(),
            });
        }
        Ok(Self {
            pid: u32::from_ne_bytes(pid),
            name: program.to_string_lossy().into_owned(),
            go,
            spawned,
        })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns a descriptor that means this process for ever, however often its pid is reused.
    pub fn handle(&self) -> Option<OwnedFd> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
    }

    /// Lets the child go, and calls `done` when it has ended.
    pub fn release(self, done: impl FnOnce(Outcome) + Send + 'static) {
        let Self {
            name,
            mut go,
            spawned,
            ..
        } = self;
        thread::spawn(move || {
            // SANITY: fails if the child was killed while it waited, which waiting will tell.
            let _ = go.write_all(&[1]);
            done(
                match spawned
                    .recv()
                    .unwrap_or_else(|_| Err(ErrorKind::UnexpectedEof.into()))
                {
                    Ok(mut child) => match child.wait() {
                        Ok(status) => Outcome {
                            status: code(status),
                            failure: None,
                        },
                        Err(error) => failed(126, &name, &error),
                    },
                    Err(error) if error.kind() == ErrorKind::NotFound => failed(127, &name, &error),
                    Err(error) => failed(126, &name, &error),
                },
            );
        });
    }

    /// Ends the child without running anything.
    pub fn give_up(self) {
        drop(self.go);
        // SANITY: the child was never to run, so how it ended does not matter.
        let _ = self.spawned.recv();
    }
}

/// Runs in the child: tells its pid, then waits for one byte, or for the end of the monitor.
fn before_exec(tell: &mut PipeWriter, wait: &mut PipeReader, others_end: RawFd) -> io::Result<()> {
    // Or the child would wait for itself when the monitor is gone.
    // SAFETY: the child's copy of the monitor's end; nothing here uses it.
    unsafe { libc::close(others_end) };
    signals::unblock()?;
    tell.write_all(&std::process::id().to_ne_bytes())?;
    wait.read_exact(&mut [0])
}

fn failed(status: u8, name: &str, error: &io::Error) -> Outcome {
    Outcome {
        status,
        failure: Some(format!("cannot run {name}: {error}")),
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    // SANITY: the kernel gives 8 bits of status and at most 64 signals.
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(crate::FAILED)
}
