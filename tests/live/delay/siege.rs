//! Delays under attack: signals that come all the time, forks of the embedding process, and what programs do
//! to get out of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use super::{
    HOUR, SECOND, Stage, Watch, delays, held, ms, normalize, odd, offence, slowed, stamps,
    until_released, usual,
};
use crate::harness::pipe::Pipe;
use crate::harness::{Start, call, eventually};

/// A stage as that of `slowed`, with any number of anomalies.
fn slowed_for_long() -> (Stage, Watch) {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| {
        builder
            .responses(delays(ms(1), ms(2)))
            .anomaly_limit(100_000)
    });
    stage.run_ok(2, "paced", &usual());
    normalize(&stage, &watch, "paced");
    (stage, watch)
}

/// Check that nobody stays stopped whom somebody continues all the time, also just when it is being stopped.
#[test]
fn continued_all_the_time() {
    let (stage, watch) = slowed_for_long();
    let mut args = vec!["t5".to_owned()];
    for _ in 0..20 {
        args.extend([odd(), "t150".to_owned()]);
    }
    let run = stage.start("paced", &args);
    let pid = Pid::from_raw(run.pid.cast_signed()).expect("a pid is not 0");
    let (over, quiet) = (AtomicBool::new(false), AtomicBool::new(false));
    let delays = || watch.stats().expect("there are stats").responses.delays;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if quiet.load(Ordering::Relaxed) {
                    thread::yield_now();
                } else if kill_process(pid, Signal::CONT).is_err() {
                    break;
                }
            }
        });
        let went_on = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 1..=40 {
                quiet.store(round % 2 == 0, Ordering::Relaxed);
                eventually("the victim to go on", || {
                    (delays() >= round * 50).then_some(())
                });
            }
        }));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = went_on {
            run.signal(Signal::KILL);
            std::panic::resume_unwind(panic);
        }
    });
    run.signal(Signal::KILL);
    run.wait();
    let stats = watch.finish().stats.responses;
    assert_eq!(stats.held, 0);
    assert!(stats.interrupted > 0);
}

/// Check that a program that handles the terminal's stop signal gets one that comes during a delay.
#[test]
fn a_handled_stop_signal_is_not_lost() {
    let (stage, watch) = slowed(delays(SECOND, SECOND));
    let pipe = Pipe::new();
    let output = Start::new().output(&pipe);
    let run = stage.start_with(&output, "paced", &["z", "t30", "o"]);
    assert!(run.wait().success());
    assert_eq!(stamps(&pipe).len(), 30);
    normalize(&stage, &watch, "paced");
    let before = watch.stats().expect("there are stats").threads.signals;
    let gate = Pipe::new();
    let args = ["z", "t2", &odd(), "r", "o"].map(str::to_owned);
    let run = stage.start_with(&output.input(&gate), "paced", &args);
    run.until_state('T');
    run.signal(Signal::TSTP);
    // It goes on before the signal comes again, by some microseconds.
    eventually("the handler to run", || {
        let handled = watch.stats().expect("there are stats").threads.signals;
        (handled > before).then_some(())
    });
    gate.send(1);
    assert!(run.wait().success());
    let handled = stamps(&pipe).iter().filter(|stamp| **stamp < 0).count();
    assert_eq!(handled, 1);
    watch.finish();
}

/// Check that who was stopped by an operator is not continued because a terminal's stop signal came as well.
#[test]
fn an_operators_stop_outweighs_a_terminals() {
    let (stage, watch) = slowed(delays(SECOND, SECOND));
    let run = held(&stage, &watch, &offence());
    run.signal(Signal::STOP);
    run.signal(Signal::TSTP);
    let stats = until_released(&watch, 1);
    assert_eq!(stats.left_stopped, 1);
    run.until_state('T');
    run.signal(Signal::CONT);
    assert!(run.wait().success());
    watch.finish();
}

/// Check that a program does not get out of delays by keeping a stop signal waiting that it blocks.
#[test]
fn a_blocked_stop_signal_saves_nobody() {
    let (stage, watch) = slowed(delays(ms(1), ms(2)));
    stage.run_ok(2, "paced", &["b", "t30"]);
    normalize(&stage, &watch, "paced");
    let before = watch.stats().expect("there are stats").responses;
    let args = ["b".to_owned(), "t2".to_owned(), call(libc::SYS_getuid, 1)];
    stage.run_ok(1, "paced", &args);
    let stats = watch.finish().stats.responses;
    assert_eq!(stats.delays, before.delays + 1);
    assert_eq!(
        (stats.released, stats.already_stopping),
        (stats.delays, before.already_stopping)
    );
}

/// Check that who is stopped goes on when it is exempt from then on.
#[test]
fn an_exemption_ends_delays() {
    let (stage, watch) = slowed(delays(HOUR, HOUR));
    let run = held(&stage, &watch, &offence());
    let exempt = delays(HOUR, HOUR).exempt_pid(run.pid);
    watch.set_responses(exempt.clone()).expect("it is there");
    assert!(run.wait().success());
    // It is gone by now: no reason to refuse what is changed otherwise.
    let switched_off = exempt.delay(None);
    watch
        .set_responses(switched_off)
        .expect("nothing new is asked for");
    watch.finish();
}
