//! Tests that need a process of their own run this binary again, with one of these parts.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

const VARIABLE: &str = "EBPH_LIVE_PART";

/// A command that runs a part: a test that [`part`] guards, alone in its process.
pub fn command(test: &str) -> Command {
    let own = std::env::current_exe().expect("/proc is mounted");
    let mut command = Command::new(own);
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, test);
    command
}

/// Tells whether this process was started to run this part.
pub fn part(test: &str) -> bool {
    std::env::var(VARIABLE).is_ok_and(|wanted| wanted == test)
}

/// Runs a part to its end and fails with what it printed if it failed.
#[track_caller]
pub fn run(test: &str) {
    finish(test, &mut command(test));
}

/// Runs a part's command, which may have been prepared. A part that does not exist is a failure.
#[track_caller]
pub fn finish(test: &str, command: &mut Command) {
    let output = command.output().expect("this binary can be run");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains("1 passed"),
        "{test}: {}\n{printed}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A part that runs while the test looks at it; killed when dropped.
pub struct Running {
    pub child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub fn start(test: &str) -> Self {
        let mut child = command(test)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary can be run");
        let stdout = child.stdout.take().expect("it is piped");
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
        }
    }

    /// Waits for a line that begins with `start` and returns the rest of it.
    #[track_caller]
    pub fn expect(&mut self, start: &str) -> String {
        for line in &mut self.lines {
            let line = line.expect("it prints text");
            if let Some((_, rest)) = line.split_once(start) {
                return rest.to_owned();
            }
        }
        panic!("the part ended without saying {start:?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
