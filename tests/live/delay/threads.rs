//! What a delay does to the other threads of a process.

use ebph::{Delay, Responses};

use super::{Stage, ms, normalize};
use crate::harness::pipe::Pipe;
use crate::harness::{Start, eventually, getppid};

/// The calls of `blocked` besides those it is told to make.
const OWN_CALLS: u64 = 19;
/// In which its threads wait.
const WAITING: usize = 6;

/// Runs `blocked`; its leader goes on once all others wait.
fn run(stage: &Stage, args: &[String]) {
    let pipe = Pipe::new();
    let run = stage.start_with(&Start::new().input(&pipe), "blocked", args);
    let tasks = format!("/proc/{}/task", run.pid);
    eventually("all threads to wait", || {
        let tasks = std::fs::read_dir(&tasks).ok()?;
        let waiting = tasks.filter(|task| {
            let path = task.as_ref().map(|task| task.path().join("syscall"));
            let text = path.map(std::fs::read_to_string);
            matches!(text, Ok(Ok(text)) if !text.starts_with("running"))
        });
        (waiting.count() == WAITING + 1).then_some(())
    });
    pipe.send(1);
    assert!(run.wait().success());
}

/// Check that calls which other threads wait in are recorded once, however often a delay interrupts them,
/// and that it makes no anomaly of them.
#[test]
fn waiting_calls_are_counted_once() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| {
        builder.responses(Responses::default().delay(Delay::new(ms(1), ms(5))))
    });
    for _ in 0..2 {
        run(&stage, &[getppid(20)]);
    }
    normalize(&stage, &watch, "blocked");
    assert_eq!(stage.profile(&watch, "blocked").train_count(), 0);
    run(&stage, &[getppid(9), super::odd(), getppid(20)]);
    let profile = stage.profile(&watch, "blocked");
    assert_eq!(profile.train_count(), OWN_CALLS + 30);
    assert_eq!(
        profile.anomalies(),
        9,
        "the odd call, and the eight after it"
    );
    let stats = watch.finish().stats;
    assert_eq!(stats.responses.delays, 21);
    assert_eq!(stats.responses.released, 21);
}
