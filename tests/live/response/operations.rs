//! Operations of io_uring have the same consequences as calls.

use std::time::Duration;

use ebph::{Delay, Kill, ResponseAction, Responses};

use super::killed;
use crate::harness::{Pipe, Stage, Start, Watch, answers, eventually};

/// A stage whose victim `uring` is normal with NOPs, in a ring of this kind.
fn with_ring(ring: &str) -> (Stage, Watch) {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(2, "uring", &[ring, "nop:1", "nop:1"]);
    let key = stage.key(&watch, "uring");
    watch.normalize(key).expect("the profile exists");
    (stage, watch)
}

const RINGS: [&str; 2] = ["ring", "sqpoll"];

/// Check that a process is killed for an operation never seen before, whoever submits it for that.
#[test]
fn kill() {
    for ring in RINGS {
        let (stage, watch) = with_ring(ring);
        watch
            .set_responses(Responses::default().kill(Kill::new(1)))
            .expect("it can be had");
        let events = watch.events();
        stage.run_ok(1, "uring", &[ring, "nop:1", "nop:1"]);
        let run = stage.start("uring", &[ring, "nop:1", "op:3"]);
        let pid = run.pid;
        assert!(killed(run.wait()), "{ring}");
        assert_eq!(watch.finish().stats.responses.kills, 1, "{ring}");
        let told = answers(&events);
        assert_eq!(told.len(), 1, "{ring}: {told:?}");
        assert_eq!(told[0].symbol.to_string(), "io_uring:fsync");
        assert_eq!(told[0].context.actor.pid, Some(pid));
    }
}

/// Check that a process is stopped for one, as a whole, and goes on, whoever submits it for that.
#[test]
fn delay() {
    let hour = Duration::from_secs(3600);
    for ring in RINGS {
        let (stage, watch) = with_ring(ring);
        watch
            .set_responses(Responses::default().delay(Delay::new(hour, hour)))
            .expect("it can be had");
        let events = watch.events();
        // A polled ring's process goes on by itself until its poller, which is told of the stop, hears
        // of it: it must not be at its end by then.
        let pipe = Pipe::new();
        let input = Start::new().input(&pipe);
        let run = stage.start_with(&input, "uring", &[ring, "nop:1", "op:3", "wait"]);
        eventually("the victim to be held", || {
            let stats = watch.stats().expect("there are stats");
            (stats.responses.held == 1).then_some(())
        });
        run.until_state('T');
        watch
            .set_responses(Responses::default())
            .expect("nothing can always be done");
        pipe.send(1);
        assert!(run.wait().success(), "{ring}");
        let stats = watch.finish().stats.responses;
        assert_eq!((stats.delays, stats.released), (1, 1), "{ring}");
        let told = answers(&events);
        assert_eq!(told[0].action, ResponseAction::Delay(hour));
        assert_eq!(told[0].symbol.to_string(), "io_uring:fsync");
    }
}
