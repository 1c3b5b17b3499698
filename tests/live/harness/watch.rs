//! A monitor under test, and the events that it sends, seen through their stable JSON form.

use std::cell::RefCell;
use std::ops::Deref;
use std::path::Path;
use std::time::Instant;

use ebph::{Event, Events, FailureStats, Key, Monitor, MonitorBuilder, Response, Stats};
use serde_json::Value;

use super::deadline;

/// Everything that was done, or would have been, until the monitor's end.
pub fn answers(events: &Events) -> Vec<Response> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Response(response) => Some(*response),
            _ => None,
        })
        .collect()
}

/// An event in its JSON form, which is the contract that programs outside rely on.
#[derive(Clone, Debug)]
pub struct Seen(pub Value);

impl Seen {
    pub fn new(event: &Event) -> Self {
        Self(serde_json::to_value(event).expect("every event has a JSON form"))
    }

    /// The value at a path such as `profile.state`.
    #[track_caller]
    pub fn get(&self, path: &str) -> &Value {
        path.split('.').fold(&self.0, |value, name| {
            value
                .get(name)
                .unwrap_or_else(|| panic!("no {path} in {}", self.0))
        })
    }

    #[track_caller]
    pub fn text(&self, path: &str) -> &str {
        let value = self.get(path);
        value
            .as_str()
            .unwrap_or_else(|| panic!("{path} is {value}, not a string"))
    }

    #[track_caller]
    pub fn number(&self, path: &str) -> u64 {
        let value = self.get(path);
        value
            .as_u64()
            .unwrap_or_else(|| panic!("{path} is {value}, not a number"))
    }

    #[track_caller]
    pub fn is_true(&self, path: &str) -> bool {
        let value = self.get(path);
        value
            .as_bool()
            .unwrap_or_else(|| panic!("{path} is {value}, not true or false"))
    }

    /// The window of an anomaly, oldest call first.
    #[track_caller]
    pub fn window(&self) -> Vec<&str> {
        let window = self.get("window").as_array().expect("a window is a list");
        let names = window.iter().map(Value::as_str);
        names
            .map(|name| name.expect("a window has names"))
            .collect()
    }

    /// The pairs of an anomaly that were missing, as `previous@distance`.
    #[track_caller]
    pub fn missed(&self) -> Vec<String> {
        let missed = self.get("missed").as_array().expect("missed is a list");
        let pair = |pair: &Value| {
            let previous = pair["previous"].as_str().expect("a name");
            format!("{previous}@{}", pair["distance"])
        };
        missed.iter().map(pair).collect()
    }

    pub fn kind(&self) -> &str {
        self.text("event")
    }

    /// Tells whether the event is of this kind and about this profile.
    pub fn is(&self, kind: &str, key: Key) -> bool {
        self.kind() == kind
            && self.0.pointer("/profile/key").and_then(Value::as_str)
                == Some(key.to_string().as_str())
    }

    /// Tells whether the event is about a profile of this executable.
    pub fn is_of(&self, exe: &Path) -> bool {
        self.0.pointer("/profile/exe").and_then(Value::as_str) == exe.to_str()
    }
}

/// A running monitor and one receiver of its events.
pub struct Watch {
    monitor: Monitor,
    events: Events,
    seen: RefCell<Vec<Seen>>,
    /// Events of the start, which may have been read before there was a receiver.
    early: u64,
}

/// What a monitor left behind when it stopped.
pub struct Outcome {
    pub events: Vec<Seen>,
    pub stats: Stats,
}

impl Deref for Watch {
    type Target = Monitor;

    fn deref(&self) -> &Monitor {
        &self.monitor
    }
}

impl Watch {
    #[track_caller]
    pub fn start(builder: MonitorBuilder) -> Self {
        let monitor = builder
            .start()
            .unwrap_or_else(|error| panic!("the monitor does not start: {error}"));
        let events = monitor.events();
        let store = monitor.stats().expect("stats can be read").store;
        Self {
            events,
            monitor,
            seen: RefCell::default(),
            early: store.loaded + store.changed,
        }
    }

    /// Waits for an event that `wanted` accepts; those before it are kept for [`Watch::finish`].
    #[track_caller]
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let end = Instant::now() + deadline();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(event) = self.events.recv_timeout(left) else {
                let kinds = self.seen.borrow();
                let kinds: Vec<_> = kinds.iter().map(Seen::kind).collect();
                panic!("waited in vain for {what}; seen: {kinds:?}");
            };
            let seen = Seen::new(&event);
            self.seen.borrow_mut().push(seen.clone());
            if wanted(&seen) {
                return seen;
            }
        }
    }

    /// Waits for an event of this kind about this profile.
    #[track_caller]
    pub fn wait_for_kind(&self, kind: &str, key: Key) -> Seen {
        self.wait_for(&format!("{kind} of {key}"), |seen| seen.is(kind, key))
    }

    /// Stops the monitor, and checks what must hold at every end: no event is unaccounted for,
    /// neither on the way nor at this receiver, and nothing surprising happened.
    #[track_caller]
    pub fn finish(self) -> Outcome {
        let early = self.early;
        let (outcome, lost) = self.end();
        let events = &outcome.stats.events;
        assert_eq!(events.undecodable, 0, "events that could not be decoded");
        assert_eq!(
            events.submitted,
            events.read + events.lost_in_ring,
            "events unaccounted for"
        );
        let own = ["lost", "warning", "profile_set_aside"];
        let got = outcome.events.iter();
        let got = got.filter(|seen| !own.contains(&seen.kind())).count() as u64;
        assert!(
            (events.read - early..=events.read).contains(&(got + lost)),
            "events unaccounted for here: {got} and {lost} of {}, {early} early",
            events.read
        );
        assert_eq!(outcome.stats.failures, FailureStats::default());
        // The kernel counts missed calls and hooks over all processes of the machine.
        let not_ours = ["missed_calls", "missed_hooks"];
        let mut warnings = outcome.all("warning");
        let warning = warnings.find(|seen| !not_ours.contains(&seen.text("what")));
        assert!(warning.is_none(), "{warning:?}");
        drop(warnings);
        outcome
    }

    /// Stops the monitor.
    pub fn finish_unchecked(self) -> Outcome {
        self.end().0
    }

    fn end(self) -> (Outcome, u64) {
        let stats = self.monitor.stop().expect("a monitor stops");
        let mut events = self.seen.into_inner();
        events.extend(self.events.iter().map(|event| Seen::new(&event)));
        (Outcome { events, stats }, self.events.lost())
    }
}

impl Outcome {
    pub fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Seen> {
        self.events.iter().filter(move |seen| seen.kind() == kind)
    }

    /// The events of this kind about this profile.
    pub fn of(&self, kind: &str, key: Key) -> Vec<&Seen> {
        self.events
            .iter()
            .filter(|seen| seen.is(kind, key))
            .collect()
    }

    /// The one event of this kind about this profile.
    #[track_caller]
    pub fn one(&self, kind: &str, key: Key) -> &Seen {
        let all = self.of(kind, key);
        assert_eq!(all.len(), 1, "{kind} of {key}: {all:?}");
        all[0]
    }

    /// Fails if there was an event of this kind about this profile.
    #[track_caller]
    pub fn none(&self, kind: &str, key: Key) {
        let all = self.of(kind, key);
        assert!(all.is_empty(), "{kind} of {key}: {all:?}");
    }
}
