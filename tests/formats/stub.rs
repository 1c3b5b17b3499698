//! The stub that stands where a monitor would be: what embedders test their handlers with.

use std::sync::mpsc;
use std::time::Duration;

use ebph::detector::Command;
use ebph::testing::{self, Stub};
use ebph::{
    Anomaly, Delay, Event, EventKind, EventMask, ExecAnswer, ExecResponse, Kill, Limits, LossPlace,
    ResponseAction, Responses, Severity, State, StopCause,
};

fn kinds(stub: Stub, events: ebph::Events) -> Vec<EventKind> {
    stub.finish();
    events.map(|event| event.kind()).collect()
}

const EXE: &str = "/usr/bin/settled";

/// A program that has settled, with everything it does known.
fn settled(stub: &Stub) -> testing::Program<'_> {
    let mut program = stub.program(EXE);
    for _ in 0..3 {
        program.exec();
        program.calls(["openat", "read", "write", "close"]).unwrap();
    }
    assert!(program.command(Command::Normalize));
    program.exec();
    program
}

/// Check that every event reaches handlers and receivers in order, and that the end is one.
#[test]
fn delivery() {
    let mut stub = Stub::new().with_events(EventMask::ALL);
    let events = stub.events();
    let anomalies = stub.anomalies();
    let (sender, handled) = mpsc::channel();
    stub.handler(sender).unwrap();
    for &kind in EventKind::ALL {
        stub.send(&testing::sample(kind));
    }
    let stats = stub.finish();
    let all = EventKind::ALL.iter().copied().map(testing::sample);
    let all: Vec<_> = all.collect();
    assert_eq!(handled.iter().collect::<Vec<_>>(), all);
    assert_eq!(events.collect::<Vec<_>>(), all);
    let seen: Vec<Anomaly> = anomalies.collect();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        Event::from(seen[0].clone()),
        testing::sample(EventKind::Anomaly)
    );
    assert_eq!(
        (stats.submitted, stats.read, stats.lost_in_ring),
        (17, 17, 0)
    );
}

/// Check that what is done about anomalies is told as a monitor tells it: of each call after the first
/// anomaly, with its wait, until the threshold for worse is reached; of an exec before it fails or after
/// it was made; and of nobody who is exempt or no longer normal.
#[test]
fn responses() {
    let told = |responses: Responses, act: &dyn Fn(&mut testing::Program<'_>)| {
        let stub = Stub::new();
        let events = stub.events();
        let mut program = settled(&stub).with_responses(responses);
        act(&mut program);
        drop(program);
        stub.finish();
        let told = events.filter_map(|event| match event {
            Event::Response(response) => Some((response.action, response.would_have)),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let odd = |program: &mut testing::Program<'_>| {
        program.calls(["openat", "socket", "bind"]).unwrap();
    };
    let ms = Duration::from_millis;
    let delay = || Delay::new(ms(10), ms(30));
    let delayed = |wait| (ResponseAction::Delay(ms(wait)), false);
    let delays = || Responses::default().delay(delay());
    assert_eq!(told(delays(), &odd), [delayed(20), delayed(30)]);
    let killed = told(delays().kill(Kill::new(2).dry_run(true)), &odd);
    let kill = (ResponseAction::Kill, true);
    assert_eq!(killed, [delayed(20), kill, delayed(30)]);
    let dry = delays().kill(Kill::new(1)).dry_run(true);
    assert_eq!(told(dry, &odd), [kill]);
    assert_eq!(told(delays().exempt_executable(EXE), &odd), []);
    let tolerized = told(delays(), &|program| {
        odd(program);
        assert!(program.command(Command::Tolerize));
        odd(program);
    });
    assert_eq!(tolerized.len(), 2);
    let execs = |program: &mut testing::Program<'_>| {
        odd(program);
        program.call("execve").unwrap();
        program.exec();
        program.exec();
    };
    let deny = ExecResponse::new(2, ExecAnswer::Deny);
    let denied = told(Responses::default().exec(deny), &execs);
    assert_eq!(denied, [(ResponseAction::DenyExec, false)]);
    let high = ExecResponse::new(9, ExecAnswer::Deny);
    assert_eq!(told(Responses::default().exec(high), &execs), []);
    let suspend = ExecResponse::new(2, ExecAnswer::Suspend(ms(5))).dry_run(true);
    let suspended = told(Responses::default().exec(suspend), &execs);
    assert_eq!(suspended[0], (ResponseAction::SuspendExec(ms(5)), true));
}

/// Check that the anomaly which ends a profile's being normal was judged by a normal one, as the
/// kernel tells it.
#[test]
fn judged_as_normal() {
    let stub = Stub::new();
    let events = stub.events();
    let mut program = settled(&stub).with_limits(Limits::default().anomaly_limit(0));
    program.call("openat").unwrap();
    assert!(program.call("socket").unwrap().is_anomaly());
    assert_eq!(program.profile().state, State::Training);
    stub.finish();
    let events: Vec<_> = events.collect();
    let anomaly = events.iter().find_map(Event::anomaly).unwrap();
    let profile = anomaly.context.profile.as_ref().unwrap();
    assert_eq!((profile.state, profile.anomalies), (State::Normal, 1));
    assert_eq!(events.last().unwrap().kind(), EventKind::StopNormal);
}

/// Check that a handler is spared what was not asked for, and goes on after a panic.
#[test]
fn handlers() {
    let mut stub = Stub::new();
    let (sender, handled) = mpsc::channel();
    stub.handler(move |event: &Event| {
        sender.send(event.kind()).unwrap();
        assert_ne!(event.kind(), EventKind::Anomaly, "this is part of the test");
    })
    .unwrap();
    for kind in [
        EventKind::NewSequence,
        EventKind::Anomaly,
        EventKind::StartNormal,
    ] {
        stub.send(&testing::sample(kind));
    }
    let stats = stub.finish();
    assert_eq!(
        handled.iter().collect::<Vec<_>>(),
        [EventKind::Anomaly, EventKind::StartNormal]
    );
    assert_eq!(stats.handler_panics, 1);
}

/// Check that losses are told where the gap is, and by the next anomaly, in a queue that is full
/// as well as before it.
#[test]
fn losses() {
    let stub = Stub::new().channel_capacity(4);
    let events = stub.events();
    let anomalies = stub.anomalies();
    stub.send(&testing::sample(EventKind::StartNormal));
    stub.lose(5);
    stub.lose(2);
    // Now the queue has one place left.
    stub.send(&testing::sample(EventKind::Anomaly));
    stub.send(&testing::sample(EventKind::StopNormal));
    let stats = stub.finish();
    let told: Vec<_> = events
        .map(|event| match event {
            Event::Lost(lost) => (lost.count, Some(lost.place)),
            Event::Anomaly(anomaly) => (anomaly.context.lost_before, None),
            other => (u64::MAX, other.profile().map(|_| LossPlace::Ring)),
        })
        .collect();
    assert_eq!(
        told,
        [
            (u64::MAX, Some(LossPlace::Ring)),
            (5, Some(LossPlace::Ring)),
            (2, Some(LossPlace::Ring)),
            (7, None),
            (1, Some(LossPlace::Channel)),
        ]
    );
    let seen: Vec<_> = anomalies.collect();
    assert_eq!(seen[0].context.lost_before, 7);
    assert_eq!(
        (stats.submitted, stats.read, stats.lost_in_ring),
        (10, 3, 7)
    );
    assert_eq!(stats.lost_in_channels, 1);
}

/// Check that dropping it ends what waits, without having to finish it.
#[test]
fn dropped() {
    let stub = Stub::default();
    let events = stub.events();
    drop(stub);
    assert!(events.recv().is_err());
}

/// Check that what a program does that is new to it comes out as an anomaly with its evidence.
#[test]
fn anomalies() {
    let stub = Stub::new();
    let events = stub.events();
    let mut program = settled(&stub);
    program.calls(["openat", "read"]).unwrap();
    let verdict = program.call("socket").unwrap();
    assert!(verdict.is_anomaly());
    assert_eq!(program.profile().state, State::Normal);
    assert_eq!(program.profile().anomalies, 1);
    stub.lose(3);
    program.call("connect").unwrap();
    drop(program);
    stub.finish();
    let anomalies: Vec<_> = events
        .filter_map(|event| event.anomaly().cloned())
        .collect();
    assert_eq!(anomalies.len(), 2);
    let [first, second] = &anomalies[..] else {
        panic!("{anomalies:?}")
    };
    let names: Vec<_> = first.window.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["openat", "read", "socket"]);
    let missed: Vec<_> = first
        .missed
        .iter()
        .map(|pair| (pair.distance, pair.previous.to_string()))
        .collect();
    assert_eq!(missed, [(1, "read".to_owned()), (2, "openat".to_owned())]);
    assert_eq!((first.lfc, first.max_lfc, second.lfc), (1, 1, 2));
    assert_eq!(
        (first.context.lost_before, second.context.lost_before),
        (0, 3)
    );
    let around = first.context.circumstances.as_ref().unwrap();
    assert_eq!(
        around.exe.value.as_deref(),
        Some("/usr/bin/settled".as_ref())
    );
    assert_eq!(first.context.actor.comm, "settled");
    let json = Event::from(first.clone()).to_json();
    assert_eq!(
        serde_json::from_str::<Event>(&json).unwrap(),
        Event::from(first.clone())
    );
}

/// Check a window of full length, and that an exec empties it.
#[test]
fn windows() {
    let stub = Stub::new().with_events(EventMask::ALL);
    let events = stub.events();
    let mut program = stub.program("/usr/bin/windows");
    program
        .calls([
            "read", "write", "openat", "close", "brk", "mmap", "munmap", "fstat",
        ])
        .unwrap();
    program.call("lseek").unwrap();
    program.call("getpid").unwrap();
    program.exec();
    program.calls(["getppid", "getuid"]).unwrap();
    drop(program);
    stub.finish();
    let windows: Vec<_> = events
        .filter_map(|event| match event {
            Event::NewSequence(event) => Some((event.window.len(), event.novel.len())),
            _ => None,
        })
        .collect();
    assert_eq!(
        windows,
        [
            (2, 1),
            (3, 2),
            (4, 3),
            (5, 4),
            (6, 5),
            (7, 6),
            (8, 7),
            (9, 8),
            (9, 8),
            (2, 1)
        ]
    );
}

/// Check that a profile settles by itself once enough has passed, and thaws at something new.
#[test]
fn life_of_a_profile() {
    let stub = Stub::new();
    let events = stub.events();
    let wait = Duration::from_secs(3600);
    let limits = Limits::default().normal_wait(wait).anomaly_limit(1);
    let mut program = stub.program("/usr/bin/life").with_limits(limits);
    while program.profile().state == State::Training {
        program.exec();
        program.calls(["read", "write"]).unwrap();
    }
    program.call("brk").unwrap();
    assert_eq!(program.profile().state, State::Training);
    while program.profile().state == State::Training {
        program.exec();
        program.calls(["read", "write", "brk"]).unwrap();
    }
    program.wait(wait);
    program.exec();
    program.call("read").unwrap();
    assert_eq!(program.profile().state, State::Normal);
    program.calls(["getpid", "getpid"]).unwrap();
    drop(program);
    assert_eq!(
        kinds(stub, events),
        [
            EventKind::ProfileCreated,
            EventKind::ProfileFrozen,
            EventKind::ProfileThawed,
            EventKind::ProfileFrozen,
            EventKind::StartNormal,
            EventKind::Anomaly,
            EventKind::Anomaly,
            EventKind::StopNormal,
        ]
    );
}

/// Check that a thread with too many anomalies is told of.
#[test]
fn tolerize_limit() {
    let stub = Stub::new();
    let events = stub.events();
    let mut program = settled(&stub).with_limits(Limits::default().tolerize_limit(1));
    program.calls(["read", "getpid", "getpid"]).unwrap();
    drop(program);
    let told = kinds(stub, events);
    assert_eq!(told.last(), Some(&EventKind::TolerizeLimit), "{told:?}");
}

/// Check that commands do what they do in a monitor, and are refused alike.
#[test]
fn commands() {
    let stub = Stub::new();
    let events = stub.events();
    let mut program = settled(&stub);
    assert!(!program.command(Command::Thaw), "it is not frozen");
    for command in [
        Command::Normalize,
        Command::Freeze,
        Command::Thaw,
        Command::Sensitize,
        Command::Tolerize,
        Command::Reset,
    ] {
        assert!(program.command(command), "{command:?}");
    }
    assert!(!program.command(Command::Tolerize), "it is not normal");
    drop(program);
    stub.finish();
    let told: Vec<_> = events.skip(2).collect();
    assert!(matches!(&told[0], Event::StartNormal(event) if event.refresh && event.by_command));
    assert!(matches!(&told[1], Event::ProfileFrozen(event) if event.by_command));
    assert!(matches!(&told[2], Event::ProfileThawed(event) if event.by_command));
    assert!(matches!(&told[3], Event::Sensitized(_)));
    assert!(matches!(&told[4], Event::StopNormal(event) if event.cause == StopCause::Command));
    assert!(matches!(&told[5], Event::ProfileReset(_)));
    assert_eq!(told.len(), 6);
}

/// Check that a return without a handler is told of, with how sure that is.
#[test]
fn sigreturn() {
    let stub = Stub::new();
    let events = stub.events();
    let mut program = stub.program("/usr/bin/rop");
    program.calls(["read", "rt_sigreturn"]).unwrap();
    drop(program);
    stub.finish();
    let last = events.last().unwrap();
    assert!(
        matches!(&last, Event::UnbalancedSigreturn(event) if event.certain),
        "{last}"
    );
    assert_eq!(last.severity(), Severity::High);
}

/// Check that a wrong name, or JSON that is no event, is refused and changes nothing.
#[test]
fn refused() {
    let stub = Stub::new();
    let events = stub.events();
    let mut program = stub.program("/usr/bin/x");
    assert!(
        program
            .call("no_such_call")
            .unwrap_err()
            .to_string()
            .contains("no_such_call")
    );
    assert_eq!(program.profile().train_count, 0);
    drop(program);
    assert!(stub.send_json("{}").is_err());
    stub.send_json(&testing::sample(EventKind::Anomaly).to_json())
        .unwrap();
    assert_eq!(
        kinds(stub, events),
        [EventKind::ProfileCreated, EventKind::Anomaly]
    );
}
