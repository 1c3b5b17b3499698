//! The example `replay`, as a user runs it.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::built;

/// A run of `replay`, with nothing on its standard input.
pub fn replay() -> Command {
    let mut command = Command::new(built::example("replay"));
    command.stdin(Stdio::null());
    command
}

/// What a run came to.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub errors: String,
}

pub fn run<A: AsRef<OsStr>>(args: &[A]) -> Ran {
    let output = replay().args(args).output();
    Ran::new(output.expect("the example can be run"))
}

/// Runs it with a text on its standard input.
#[allow(dead_code, reason = "not every test has something to say")]
pub fn run_with<A: AsRef<OsStr>>(args: &[A], input: &[u8]) -> Ran {
    let mut child = replay()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example can be run");
    let mut pipe = child.stdin.take().expect("it is piped");
    pipe.write_all(input).expect("it reads its input");
    drop(pipe);
    Ran::new(child.wait_with_output().expect("it is our child"))
}

impl Ran {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the test's names are UTF-8");
        Self {
            code: output.status.code().expect("it ended of itself"),
            out: text(output.stdout),
            errors: text(output.stderr),
        }
    }

    /// What it printed, if all went well.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}", self.errors);
        self.out
    }
}
