//! What is lost when nobody reads, to the last event, and what is not: nothing of what is learnt.
//!
//! The monitor is in a process of its own here, which is stopped as a whole while programs run: so
//! its reader is certain not to read, and how much is lost does not depend on who is faster.

mod gaps;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc;

use ebph::{
    Anomaly, Event, EventMask, Limits, Monitor, MonitorBuilder, Profile, ReceiverKind,
    ReceiverStats, Scope, Stats,
};
use rustix::process::{Pid, Signal, kill_process};

use self::gaps::Gaps;
use crate::harness::{Stage, call, eventually, getppid, helper};

/// The part's process and what it is told.
struct Watcher(helper::Running);

impl Watcher {
    /// Starts a part that watches the stage's tree.
    fn start(part: &str, stage: &Stage) -> Self {
        let mut watcher = Self(helper::Running::start(part));
        watcher.tell(&stage.pid().to_string());
        watcher.0.expect("watching");
        watcher
    }

    fn tell(&mut self, line: &str) {
        let input = self.0.child.stdin.as_mut().expect("it is piped");
        writeln!(input, "{line}").expect("the part listens");
    }

    /// Tells it something, and waits for the answer.
    #[track_caller]
    fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.0.expect("answer ")
    }

    fn signal(&self, signal: Signal, state: char) {
        let pid = self.0.child.id();
        let stat = format!("/proc/{pid}/stat");
        let to = Pid::from_raw(pid.cast_signed()).expect("a child's pid is not 0");
        kill_process(to, signal).expect("the part lives");
        eventually("the part to stop or to go on", || {
            let text = std::fs::read_to_string(&stat).ok()?;
            let (_, rest) = text.rsplit_once(") ")?;
            (rest.starts_with(state) == (signal == Signal::STOP)).then_some(())
        });
    }

    /// Does something while the part, and so the reader of the ring, stands still.
    fn while_stopped(&self, act: impl FnOnce()) {
        self.signal(Signal::STOP, 'T');
        act();
        self.signal(Signal::CONT, 'T');
    }

    /// Ends the part, which must not have found anything wrong.
    fn end(mut self) {
        assert_eq!(self.ask("end"), "done");
        let status = self.0.child.wait().expect("it is our child");
        assert!(status.success(), "{status}");
    }
}

/// The other side: the lines that the part is told.
fn orders() -> impl Iterator<Item = String> {
    let lines = std::io::stdin().lines();
    lines.map(|line| line.expect("the test tells lines"))
}

/// A monitor for the tree that the first line names, in which every anomaly is an event.
fn builder(orders: &mut impl Iterator<Item = String>) -> MonitorBuilder {
    let pid = orders.next().expect("a pid comes first");
    let limits = Limits::default()
        .anomaly_limit(u64::MAX)
        .tolerize_limit(128)
        .report_rate(u64::MAX)
        .thread_report_rate(u64::MAX);
    Monitor::builder()
        .scope(Scope::Tree(pid.parse().expect("a pid is a number")))
        .limits(limits)
}

/// The lines of a storm's program: so many anomalous calls, once the profile is normal.
fn storm(calls: usize) -> Vec<String> {
    let mut arguments = vec![format!("l{}", calls / 4)];
    arguments.extend((471..475).map(|number| call(number, 1)));
    arguments.push(".".to_owned());
    arguments
}

/// Room in each queue.
const ROOM: u64 = 64;
/// The ring, in bytes; it holds many more events than the queues, and far fewer than come.
const RING: u32 = 1 << 20;
/// Calls while the reader stands still.
const STOPPED: usize = 20_000;

/// Check that after tens of thousands of events that found the ring full, and thousands that found
/// queues full, each event is accounted for, at every receiver, and each gap is told of where it is.
#[test]
fn an_overflow_is_accounted_for() {
    let stage = Stage::new();
    let mut watcher = Watcher::start("loss::part_that_accounts", &stage);
    stage.run_ok(1, "calls", &[getppid(10)]);
    let path = stage.path("calls");
    watcher.ask(&format!("normalize {}", path.display()));
    for _ in 0..2 {
        stage.run_ok(1, "calls", &storm(2_000));
        watcher.while_stopped(|| stage.run_ok(1, "calls", &storm(STOPPED)));
        watcher.ask("drain");
    }
    stage.run_ok(1, "calls", &storm(2_000));
    watcher.end();
}

#[test]
fn part_that_accounts() {
    if !helper::part("loss::part_that_accounts") {
        return;
    }
    let mut orders = orders();
    let (hold, held) = mpsc::channel::<()>();
    let monitor = builder(&mut orders)
        .ring_bytes(RING)
        .channel_capacity(ROOM as usize)
        .named_handler("blocked", move |_: &Event| {
            // Nothing is ever sent; it ends when the other end is dropped.
            let _released = held.recv();
        })
        .start()
        .expect("the monitor starts");
    // From here on it is dropped before the monitor, which waits for its handlers.
    let hold = hold;
    let (quick, slow) = (monitor.events(), monitor.events().named("slow"));
    let alarms = monitor.anomalies();
    let quick = std::thread::spawn(move || quick.iter().collect::<Vec<_>>());
    let mut drained = Vec::new();
    println!("watching");
    for order in orders {
        if let Some(path) = order.strip_prefix("normalize ") {
            let key = monitor.key_of(path).expect("the file exists");
            monitor.normalize(key).expect("it was run");
        } else if order == "drain" {
            eventually("the queues to be full", || {
                let stats = monitor.stats().expect("stats can be read");
                let [handler, _, waits, _] = &stats.receivers[..] else {
                    panic!("{:?}", stats.receivers);
                };
                let full = |one: &ReceiverStats| (one.waiting, one.capacity) == (ROOM, ROOM);
                (full(handler) && full(waits)).then_some(())
            });
            drained.extend(std::iter::from_fn(|| slow.try_recv().ok()));
        } else {
            assert_eq!(order, "end");
            break;
        }
        println!("answer done");
    }
    drop(hold);
    let stats = monitor.stop().expect("the monitor stops");
    drained.extend(slow.iter());
    let quick = quick.join().expect("the receiving thread does not panic");
    accounts(&stats, &quick, &drained, &alarms.collect::<Vec<_>>());
    println!("answer done");
}

/// Compares what the counters say with what came.
fn accounts(stats: &Stats, quick: &[Event], slow: &[Event], alarms: &[Anomaly]) {
    let events = &stats.events;
    assert_eq!(events.submitted, events.read + events.lost_in_ring);
    assert_eq!((events.undecodable, stats.detection.suppressed), (0, 0));
    // An event takes more than 500 bytes.
    let most_kept = RING as usize / 500;
    assert!(
        events.lost_in_ring as usize > 2 * (STOPPED - most_kept),
        "{stats}"
    );
    // Of the runner and of profiles made and normalized.
    let others = events.submitted - stats.detection.anomalies;
    assert!(others < 20, "{stats}");

    let [handler, of_quick, of_slow, of_alarms] = &stats.receivers[..] else {
        panic!("{:?}", stats.receivers);
    };
    assert_eq!(handler.kind, ReceiverKind::Handler);
    assert_eq!(handler.name.as_deref(), Some("blocked"));
    assert_eq!(of_slow.name.as_deref(), Some("slow"));
    let all = [handler, of_quick, of_slow, of_alarms];
    let sum = |count: fn(&ReceiverStats) -> u64| all.into_iter().map(count).sum::<u64>();
    assert_eq!(events.delivered, sum(|one| one.delivered));
    assert_eq!(events.lost_in_channels, sum(|one| one.lost));
    // Handlers are waited for; of the other one nothing was taken.
    assert_eq!((handler.waiting, of_alarms.waiting), (0, ROOM));
    for one in [handler, of_quick, of_slow] {
        assert_eq!(one.delivered + one.lost, events.read, "{one:?}");
    }
    let read = of_alarms.delivered + of_alarms.lost;
    assert!((events.read - others..=events.read).contains(&read));
    assert!(
        handler.lost > ROOM && of_slow.lost > ROOM && of_alarms.lost > ROOM,
        "{all:?}"
    );

    for (stream, of) in [(quick, of_quick), (slow, of_slow)] {
        let mut gaps = Gaps::default();
        stream.iter().for_each(|event| gaps.see(event));
        let own = |event: &&Event| matches!(event, Event::Lost(_) | Event::Warning(_));
        let got = stream.len() - stream.iter().filter(own).count();
        assert_eq!(got as u64, of.delivered);
        assert_eq!(
            gaps.lost,
            [events.lost_in_ring, of.lost + of.lost_notices],
            "in the ring, in the queue"
        );
        assert!(gaps.excess[0] <= others + of.lost_notices);
        assert!(gaps.excess[1] <= others);
        assert!(gaps.anomalies > 0 && gaps.anomalies >= of.delivered - others);
    }
    let mut gaps = Gaps::default();
    alarms.iter().for_each(|anomaly| gaps.see_anomaly(anomaly));
    assert_eq!(gaps.anomalies, of_alarms.delivered);
    assert!(gaps.excess[1] <= others);
}

const WALKERS: [&str; 4] = ["walk", "second", "third", "fourth"];

/// Check that what is learnt, and when it becomes normal and stops being so, does not depend on a
/// reader: a monitor that is stopped, with a blocked handler, a receiver that nobody empties and a
/// full ring, ends with the same profiles as one that reads everything.
#[test]
fn profiles_learn_as_much_without_a_reader() {
    let stage = Stage::new();
    let [quick, stopped] = [false, true].map(|stop| {
        let part = match stop {
            true => "loss::part_that_does_not_read",
            false => "loss::part_that_reads",
        };
        let mut watcher = Watcher::start(part, &stage);
        let run = || {
            for name in WALKERS {
                let path = stage.copy("walk", name);
                let path = path.to_str().expect("test paths are UTF-8");
                // Something new for long, then nothing new until it is normal, then anomalies.
                stage.run_ok(1, path, &["1", "20000"]);
                stage.run_ok(5, path, &["1", "20000"]);
                stage.run_ok(1, path, &["2", "20000"]);
            }
        };
        match stop {
            true => watcher.while_stopped(run),
            false => run(),
        }
        let profiles = WALKERS.map(|name| {
            let path = stage.path(name);
            watcher.ask(&format!("profile {}", path.display()))
        });
        let lost = watcher.ask("lost");
        watcher.end();
        (profiles, lost.parse::<u64>().expect("a number"))
    });
    assert_eq!(quick.1, 0, "the quick one lost something");
    assert!(stopped.1 > 10_000, "only {} were lost", stopped.1);
    for (quick, stopped) in quick.0.iter().zip(&stopped.0) {
        assert!(quick.len() > 10_000, "little was learnt: {quick}");
        assert_eq!(quick, stopped);
    }
}

/// All of a profile but its times, in a line.
fn spelt(profile: &Profile) -> String {
    let counts = (
        profile.train_count(),
        profile.last_mod_count(),
        profile.sequences(),
        profile.anomalies(),
        profile.basis(),
        profile.execs(),
        profile.processes_ended(),
    );
    let mut line = format!("{:?} {counts:?}", profile.state());
    for pair in profile.pairs() {
        let (current, previous) = (pair.current, pair.previous);
        // SANITY: writing to a string cannot fail.
        let _ = write!(
            line,
            " {current}<-{previous}:{:x}:{:x}",
            pair.train, pair.test
        );
    }
    line
}

/// Answers until it is told to end.
fn serve(monitor: &Monitor, orders: impl Iterator<Item = String>) {
    println!("watching");
    for order in orders {
        if let Some(path) = order.strip_prefix("profile ") {
            let key = monitor.key_of(Path::new(path)).expect("the file exists");
            let profile = monitor.profile(key).expect("profiles can be read");
            println!("answer {}", spelt(&profile.expect("it was run")));
        } else if order == "lost" {
            let events = monitor.stats().expect("stats can be read").events;
            println!("answer {}", events.lost_in_ring + events.lost_in_channels);
        } else {
            assert_eq!(order, "end");
            break;
        }
    }
}

/// Profiles become normal as soon as nothing new was seen for long enough, and whatever they learn
/// is an event.
fn soon(builder: MonitorBuilder) -> MonitorBuilder {
    builder
        .normal_wait(std::time::Duration::ZERO)
        .events(EventMask::ALL)
}

#[test]
fn part_that_reads() {
    if !helper::part("loss::part_that_reads") {
        return;
    }
    let mut orders = orders();
    let monitor = soon(builder(&mut orders))
        .ring_bytes(1 << 28)
        .channel_capacity(1 << 20)
        .start()
        .expect("the monitor starts");
    let events = monitor.events();
    let reader = std::thread::spawn(move || events.iter().count());
    serve(&monitor, orders);
    monitor.stop().expect("the monitor stops");
    let read = reader.join().expect("the reader does not panic");
    assert!(read > 10_000, "only {read}");
    println!("answer done");
}

#[test]
fn part_that_does_not_read() {
    if !helper::part("loss::part_that_does_not_read") {
        return;
    }
    let mut orders = orders();
    let (hold, held) = mpsc::channel::<()>();
    let monitor = soon(builder(&mut orders))
        .ring_bytes(rustix::param::page_size() as u32)
        .channel_capacity(1)
        .handler(move |_: &Event| {
            let _released = held.recv();
        })
        .start()
        .expect("the monitor starts");
    // As above.
    let hold = hold;
    let never_read = monitor.events();
    serve(&monitor, orders);
    drop(hold);
    let stats = monitor.stop().expect("the monitor stops");
    let events = &stats.events;
    assert_eq!(events.submitted, events.read + events.lost_in_ring);
    drop(never_read);
    println!("answer done");
}
