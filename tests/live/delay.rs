//! Delays: how long they are, and when they end before they are over.

mod ends;
mod others;
mod reasons;
mod siege;
mod threads;

use std::time::Duration;

use ebph::{Delay, ExecAnswer, ExecResponse, ResponseAction, ResponseStats, Responses};

use crate::harness::pipe::Pipe;
use crate::harness::{Run, Stage, Start, Watch, answers, call, eventually};

/// Nobody waits for the end of this.
const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn delays(unit: Duration, cap: Duration) -> Responses {
    Responses::default().delay(Delay::new(unit, cap))
}

/// What `paced` does when it is normal: as often as it likes.
fn usual() -> Vec<String> {
    ["t30", "o"].map(str::to_owned).to_vec()
}

/// The call that is not.
fn odd() -> String {
    call(libc::SYS_getpid, 1)
}

/// A call that it has made before, and then the odd one: the first call has none to be odd after.
fn offence() -> Vec<String> {
    vec!["t1".to_owned(), odd()]
}

/// A stage whose victim `paced` is normal, and delayed so.
fn slowed(responses: Responses) -> (Stage, Watch) {
    let stage = Stage::new();
    let watch = stage.watch_answering(responses);
    stage.run_ok(2, "paced", &usual());
    normalize(&stage, &watch, "paced");
    (stage, watch)
}

fn normalize(stage: &Stage, watch: &Watch, name: &str) {
    watch
        .normalize(stage.key(watch, name))
        .expect("the profile exists");
}

/// Starts a victim that makes its odd call, and waits until it is stopped for that.
fn held<'a>(stage: &'a Stage, watch: &Watch, args: &[String]) -> Run<'a> {
    let run = stage.start("paced", args);
    eventually("the victim to be held", || {
        let stats = watch.stats().expect("there are stats");
        (stats.responses.held == 1).then_some(())
    });
    run.until_state('T');
    run
}

/// Waits until so many stops are over, and none is left.
fn until_released(watch: &Watch, count: u64) -> ResponseStats {
    eventually("the stop to be over", || {
        let stats = watch.stats().expect("there are stats").responses;
        (stats.released == count && stats.held == 0).then_some(stats)
    })
}

/// Takes the times that a victim wrote into a pipe before it ended.
fn stamps(pipe: &Pipe) -> Vec<i64> {
    let bytes = pipe.take();
    let (numbers, rest) = bytes.as_chunks();
    assert!(rest.is_empty());
    numbers
        .iter()
        .map(|number| i64::from_ne_bytes(*number))
        .collect()
}

/// Check that each call of a thread with anomalies waits as long as its count says, as the thread itself
/// sees it, and that others do not.
#[test]
fn requested_and_observed() {
    let delay = Delay::new(ms(1), ms(20));
    let (stage, watch) = slowed(Responses::default().delay(delay));
    let events = watch.events();
    let pipe = Pipe::new();
    let output = Start::new().output(&pipe);
    let usual = stage.start_with(&output, "paced", &usual());
    assert!(usual.wait().success());
    assert_eq!(stamps(&pipe).len(), 30);
    let args = ["t5".to_owned(), odd(), "t12".to_owned(), "o".to_owned()];
    let run = stage.start_with(&output, "paced", &args);
    assert!(run.wait().success());
    let seen = stamps(&pipe);
    assert_eq!(seen.len(), 17);
    let outcome = watch.finish();

    let told = answers(&events);
    // The odd call, the twelve after it, of which eight are anomalies, and the one that writes.
    let counts: Vec<_> = told.iter().map(|response| response.lfc).collect();
    assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9]);
    for response in &told {
        assert!(!response.would_have);
        let wait = delay.wait(response.lfc);
        assert_eq!(response.action, ResponseAction::Delay(wait));
    }
    assert_eq!(told[0].action.wait(), Some(ms(2)));
    assert_eq!(told[5].action.wait(), Some(ms(20)));
    let mut short = Vec::new();
    for (at, response) in told[1..13].iter().enumerate() {
        assert_eq!(response.symbol.to_string(), "clock_gettime");
        let Some(next) = seen.get(5 + at + 1) else {
            continue;
        };
        // Both are times after the hook has begun to stop it; the earlier one is the better one.
        let began = Duration::from_nanos(seen[5 + at].unsigned_abs());
        let took = Duration::from_nanos(next.unsigned_abs()) - began.min(response.context.boot);
        let wait = delay.wait(response.lfc);
        if took + ms(1) < wait {
            short.push((took, wait));
        }
    }
    // Its thread may lose the processor in between. What the kernel's part saw is exact, see below.
    assert!(short.len() <= 2, "{short:?}");
    let stats = &outcome.stats.responses;
    assert_eq!((stats.delays, stats.released, stats.held), (14, 14, 0));
    let requested: Duration = counts.iter().map(|lfc| delay.wait(*lfc)).sum();
    assert_eq!(u128::from(stats.requested_ns), requested.as_nanos());
    assert!(stats.observed_ns >= stats.requested_ns, "{stats:?}");
    assert!(stats.observed_ns - stats.requested_ns >= stats.worst_excess_ns);
    assert_eq!(
        (stats.left_stopped, stats.interrupted, stats.unheld),
        (0, 0, 0)
    );
}

/// Check that a process is held after its exec, when that is asked for, and that the new program runs then.
#[test]
fn a_suspended_exec() {
    let suspend = ExecResponse::new(1, ExecAnswer::Suspend(ms(50)));
    let (stage, watch) = slowed(Responses::default().exec(suspend));
    let events = watch.events();
    let pipe = Pipe::new();
    let next = stage.copy("paced", "next");
    let exec = format!("e{}", next.display());
    let args = [
        "t5".to_owned(),
        odd(),
        "t1".to_owned(),
        "o".to_owned(),
        exec,
    ];
    let run = stage.start_with(&Start::new().output(&pipe), "paced", &args);
    assert!(run.wait().success());
    let outcome = watch.finish();
    let told = answers(&events);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].action, ResponseAction::SuspendExec(ms(50)));
    let stats = &outcome.stats.responses;
    assert_eq!((stats.suspended_execs, stats.released), (1, 1));
    assert!(stats.observed_ns >= stats.requested_ns);
    assert_eq!(u128::from(stats.requested_ns), ms(50).as_nanos());
}

/// Check that an exec that is delayed and suspended is told of and counted as both, though it is one stop.
#[test]
fn a_delayed_exec_is_suspended() {
    let answer = ExecResponse::new(1, ExecAnswer::Suspend(ms(50)));
    let (stage, watch) = slowed(delays(ms(1), ms(20)).exec(answer));
    let events = watch.events();
    let next = stage.copy("paced", "next");
    let exec = format!("e{}", next.display());
    stage.run_ok(1, "paced", &[offence(), vec![exec]].concat());
    let stats = watch.finish().stats.responses;
    let told: Vec<_> = answers(&events).iter().map(|one| one.action).collect();
    let expected = [
        ResponseAction::Delay(ms(2)),
        ResponseAction::Delay(ms(4)),
        ResponseAction::SuspendExec(ms(50)),
    ];
    assert_eq!(told, expected);
    assert_eq!((stats.delays, stats.suspended_execs), (2, 1));
    // The delay may be over before the exec is on a slow machine.
    assert!((2..=3).contains(&stats.released), "{stats:?}");
    assert!(stats.observed_ns > ms(52).as_nanos() as u64, "{stats:?}");
}

/// Check that a delay ends when its profile is tolerized, and that no other follows.
#[test]
fn tolerize_ends_delays() {
    let (stage, watch) = slowed(delays(HOUR, HOUR));
    let run = held(&stage, &watch, &[offence(), usual()].concat());
    let key = stage.key(&watch, "paced");
    watch.tolerize(key).expect("it is normal");
    assert!(run.wait().success());
    let stats = watch.finish().stats.responses;
    assert_eq!((stats.delays, stats.released), (1, 1));
    assert!(stats.observed_ns < stats.requested_ns);
}

/// Check that those who are stopped go on when delays are switched off, when the monitor is paused, and when
/// the profile is reset.
#[test]
fn other_ends_of_delays() {
    let (stage, watch) = slowed(delays(HOUR, HOUR));
    let run = held(&stage, &watch, &offence());
    watch
        .set_responses(Responses::default())
        .expect("nothing can always be done");
    assert!(run.wait().success());

    watch.set_responses(delays(HOUR, HOUR)).expect("as before");
    let run = held(&stage, &watch, &offence());
    watch.pause().expect("it runs");
    assert!(run.wait().success());
    watch.resume().expect("it is paused");

    let run = held(&stage, &watch, &offence());
    watch
        .reset(stage.key(&watch, "paced"))
        .expect("a profile can be reset");
    assert!(run.wait().success());
    let stats = watch.finish().stats.responses;
    assert_eq!((stats.delays, stats.released, stats.held), (3, 3, 0));
}

/// Check that a process that exits, or is killed, while it is held leaves nothing, and that its cell is
/// for others.
#[test]
fn exits_while_held() {
    let (stage, watch) = slowed(delays(HOUR, HOUR));
    for _ in 0..3 {
        let run = held(&stage, &watch, &offence());
        run.signal(rustix::process::Signal::KILL);
        assert!(!run.wait().success());
        eventually("nobody to be held", || {
            let stats = watch.stats().expect("there are stats");
            (stats.responses.held == 0).then_some(())
        });
    }
    let stats = watch.finish().stats.responses;
    assert_eq!((stats.delays, stats.released), (3, 0));
}

/// Check that a delay comes before the next program too: an exec of a thread with anomalies waits, and
/// what it became does not.
#[test]
fn an_exec_is_delayed() {
    let (stage, watch) = slowed(delays(ms(1), ms(20)));
    let events = watch.events();
    let next = stage.copy("paced", "next");
    let exec = format!("e{}", next.display());
    stage.run_ok(1, "paced", &[offence(), vec![exec]].concat());
    let stats = watch.finish().stats.responses;
    let told = answers(&events);
    let symbols: Vec<_> = told.iter().map(|one| one.symbol.to_string()).collect();
    assert_eq!(symbols, ["getpid", "execve"]);
    assert_eq!((stats.delays, stats.released), (2, 2));
}
