//! Queues that are too small, and what is told of it.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::event::{Actor, Context, EventKind, EventMask, ProfileEvent, Warning, WarningKind};
use crate::syscall::Symbol;

/// What happens to a receiver.
#[derive(Clone, Copy, Debug)]
enum Step {
    Anomaly,
    Other,
    Warning,
    RingLoss(u8),
    Take,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Anomaly),
        2 => Just(Step::Other),
        1 => Just(Step::Warning),
        1 => (1..5_u8).prop_map(Step::RingLoss),
        4 => Just(Step::Take),
    ]
}

/// Where an event stands among all that there were, as the time since boot that it claims, and among
/// the kernel's, as its cgroup.
fn context(place: u64, of_kernel: u64) -> Context {
    Context {
        time: SystemTime::UNIX_EPOCH,
        boot: Duration::from_secs(place),
        actor: Actor {
            cgroup_id: of_kernel,
            ..Actor::default()
        },
        profile: None,
        lost_before: 0,
        circumstances: None,
    }
}

fn anomaly(context: Context) -> Event {
    Event::Anomaly(Box::new(Anomaly {
        context,
        symbol: Symbol::native(39),
        window: Vec::new(),
        missed: Vec::new(),
        lfc: 0,
        max_lfc: 0,
        suppressed: 0,
    }))
}

fn other(context: Context) -> Event {
    Event::ProfileFrozen(Box::new(ProfileEvent {
        context,
        by_command: false,
    }))
}

/// What a receiver should have been told, found by the places of what it got.
#[derive(Default)]
struct Model {
    place: u64,
    of_kernel: u64,
    ring: u64,
    told: u64,
    lost: [u64; 2],
    kernel_got: u64,
    before_anomaly: (u64, u64),
}

impl Model {
    /// The next event there is.
    fn next(&mut self, step: Step) -> Option<Event> {
        self.place += 1;
        Some(match step {
            Step::Anomaly | Step::Other => {
                self.of_kernel += 1;
                let context = context(self.place, self.of_kernel);
                match step {
                    Step::Anomaly => anomaly(context),
                    _ => other(context),
                }
            }
            _ => {
                let mut warning = Warning::now(WarningKind::Contention, 1);
                warning.boot = Duration::from_secs(self.place);
                Event::Warning(warning)
            }
        })
    }

    fn lose(&mut self, count: u8) {
        self.place += u64::from(count);
        self.of_kernel += u64::from(count);
        self.ring += u64::from(count);
    }

    /// Checks one event against what came before it; `last` is the place of the one before it.
    fn got(&mut self, event: &Event, last: &mut u64) {
        let place = match event {
            Event::Lost(lost) => {
                self.told += lost.count;
                self.lost[usize::from(lost.place == LossPlace::Channel)] += lost.count;
                return;
            }
            Event::Warning(warning) => warning.boot,
            event => event.context().unwrap().boot,
        };
        assert_eq!(std::mem::take(&mut self.told), place.as_secs() - *last - 1);
        *last = place.as_secs();
        if let Some(context) = event.context() {
            let number = context.actor.cgroup_id;
            if event.kind() == EventKind::Anomaly {
                let (before, got) = self.before_anomaly;
                let missing = number - before - 1 - (self.kernel_got - got);
                assert_eq!(context.lost_before, missing);
                self.before_anomaly = (number, self.kernel_got + 1);
            }
            self.kernel_got += 1;
        }
    }
}

proptest! {
    /// Check, for whatever order of events, losses and looks, that each gap is told of where it is,
    /// by its size, and that the counters are what was told.
    #[test]
    fn every_gap_is_told(capacity in 1..6_usize, steps in prop::collection::vec(step(), 0..120)) {
        let (mut subscriber, events) = Subscriber::events(capacity, EventMask::ALL);
        let tally = Arc::clone(subscriber.tally());
        let mut model = Model::default();
        let mut last = 0;
        for step in steps {
            match step {
                Step::RingLoss(count) => {
                    model.lose(count);
                    subscriber.lost_in_ring(model.ring - u64::from(count), model.ring);
                }
                Step::Take => {
                    if let Ok(event) = events.try_recv() {
                        model.got(&event, &mut last);
                    }
                }
                _ => {
                    let event = model.next(step).unwrap();
                    prop_assert!(subscriber.deliver(&event));
                }
            }
            prop_assert!(tally.stats().waiting <= tally.stats().capacity);
        }
        drop(subscriber);
        for event in events.iter() {
            model.got(&event, &mut last);
        }
        let stats = tally.stats();
        prop_assert_eq!(model.lost, [model.ring, stats.lost + stats.lost_notices]);
        prop_assert_eq!(stats.delivered, model.kernel_got);
        prop_assert_eq!(stats.delivered + stats.lost + model.ring, model.of_kernel);
        prop_assert_eq!((stats.waiting, stats.capacity), (0, capacity.max(3) as u64));
    }
}

/// Check that a receiver is not told of what was lost before there was one.
#[test]
fn late() {
    let (subscriber, events) = Subscriber::events(4, EventMask::ALL);
    let mut subscriber = subscriber.since(5);
    subscriber.lost_in_ring(0, 3);
    subscriber.lost_in_ring(3, 5);
    subscriber.lost_in_ring(5, 6);
    subscriber.lost_in_ring(6, 8);
    drop(subscriber);
    let count = |event| match event {
        Event::Lost(lost) => lost.count,
        other => panic!("{other}"),
    };
    let told: Vec<_> = events.iter().map(count).collect();
    assert_eq!(told, [1, 2]);
}

/// Check that a receiver of anomalies is told of all losses by the next one, and that nothing waits
/// for one that is gone.
#[test]
fn anomalies_alone() {
    let (mut subscriber, anomalies) = Subscriber::anomalies(1);
    let anomalies = anomalies.named("first").named("second");
    let mut model = Model::default();
    let mut deliver = |subscriber: &mut Subscriber, step| {
        let event = model.next(step).unwrap();
        subscriber.deliver(&event)
    };
    deliver(&mut subscriber, Step::Anomaly);
    deliver(&mut subscriber, Step::Anomaly);
    deliver(&mut subscriber, Step::Other);
    subscriber.lost_in_ring(0, 3);
    assert_eq!(anomalies.recv().unwrap().context.lost_before, 0);
    deliver(&mut subscriber, Step::Anomaly);
    let stats = subscriber.tally().stats();
    assert_eq!(stats.kind, ReceiverKind::Anomalies);
    assert_eq!(stats.name.as_deref(), Some("first"));
    assert_eq!((stats.delivered, stats.lost, stats.waiting), (2, 1, 1));
    assert_eq!(anomalies.recv().unwrap().context.lost_before, 4);
    deliver(&mut subscriber, Step::Anomaly);
    drop(anomalies);
    assert!(subscriber.tally().is_gone());
    assert_eq!(subscriber.tally().stats().waiting, 0);
    assert!(!deliver(&mut subscriber, Step::Anomaly));
}

/// Check that a queue however small takes events again once there is room: the word of what was
/// lost does not take it all.
#[test]
fn least_room() {
    let (mut subscriber, events) = Subscriber::events(1, EventMask::ALL);
    let mut model = Model::default();
    for _ in 0..8 {
        let event = model.next(Step::Other).unwrap();
        subscriber.deliver(&event);
    }
    let taken = || std::iter::from_fn(|| events.try_recv().ok()).count();
    for _ in 0..3 {
        assert!(taken() > 0);
        let event = model.next(Step::Other).unwrap();
        model.lose(1);
        subscriber.lost_in_ring(model.ring - 1, model.ring);
        let before = subscriber.tally().stats();
        subscriber.deliver(&event);
        let after = subscriber.tally().stats();
        assert_eq!(after.delivered, before.delivered + 1);
    }
}
