//! The process whose calls are measured: one of its own, since the embedding process is never
//! watched.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub type Failure = Box<dyn std::error::Error>;

/// The argument by which the benchmark's program is told that it is the victim.
const VICTIM: &str = "--victim";

/// Whether this process is one.
pub fn is_here() -> bool {
    std::env::args().any(|arg| arg == VICTIM)
}

/// The other side: answers each line with what it takes, nanoseconds, until there are no more.
#[allow(dead_code, reason = "some victims have a state of their own")]
pub fn obey(perform: impl Fn(&str) -> Result<f64, Failure>) -> Result<(), Failure> {
    for line in std::io::stdin().lines() {
        println!("{}", perform(&line?)?);
    }
    Ok(())
}

/// A process that makes system calls on demand.
pub struct Victim {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Victim {
    pub fn start() -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(VICTIM)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let commands = child.stdin.take().ok_or("no pipe")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        Ok(Self {
            child,
            commands,
            answers,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Hands it a line, and returns the number that it answers: nanoseconds a call.
    pub fn ask(&mut self, line: &str) -> Result<f64, Failure> {
        // In one write, so that it is read in one: what it does then is the same each time.
        self.commands.write_all(format!("{line}\n").as_bytes())?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim().parse()?)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
