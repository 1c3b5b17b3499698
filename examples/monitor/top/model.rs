//! Everything that is shown, and how it changes by what the monitor answers.

use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

use ebph::{Key, Profile};

use super::command::Command;
use super::inspect::Inspection;
use super::lines::{CounterLine, EventLine, ProcessLine};
use super::rates::Rates;
use super::table::Table;
use super::text::printable;
use crate::protocol::{Answer, EventBatch, Refusal};
use crate::rows::{ProcessRow, ProfileRow, StatusReport};

/// How many events are kept, of all kinds.
const EVENTS_MAX: usize = 2000;

/// What fills the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Processes,
    Profiles,
    Events,
    Counters,
}

impl View {
    pub const ALL: [Self; 4] = [
        Self::Processes,
        Self::Profiles,
        Self::Events,
        Self::Counters,
    ];
}

/// What takes the keys, if it is not the view.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    None,
    Help,
    /// A filter being typed, and the one that was there before.
    Filter {
        before: String,
    },
    Confirm(Command),
    /// Whether to leave although that ends the command.
    Leave,
}

/// What came from the monitor.
pub enum Update {
    Status(Box<StatusReport>),
    Processes(Vec<ProcessRow>),
    Profiles(Vec<ProfileRow>),
    Profile(Key, Result<Box<Profile>, Refusal>),
    Events(EventBatch),
    /// A command, and what came of it.
    Done(Box<Command>, Result<Answer, Refusal>),
    /// It does not answer.
    Unreachable(String),
    /// The command that is watched has ended.
    Ended(String),
}

/// What the worker is to keep asking for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    pub view: View,
    pub profile: Option<Key>,
}

/// A line at the bottom, and whether it tells of a failure.
pub struct Message {
    pub text: String,
    pub bad: bool,
}

/// All that is shown.
pub struct Model {
    pub view: View,
    pub prompt: Prompt,
    pub message: Option<Message>,
    pub status: Option<Box<StatusReport>>,
    /// Why there is no newer status.
    pub unreachable: Option<String>,
    pub rates: Rates,
    pub processes: Table<ProcessLine>,
    pub profiles: Table<ProfileRow>,
    pub events: Table<EventLine>,
    pub counters: Table<CounterLine>,
    pub inspection: Option<Inspection>,
    /// Whether all events are listed, not only those to act on.
    pub all_events: bool,
    /// Whether what there is to say about an event takes all the room.
    pub whole_detail: bool,
    /// Events that the monitor no longer had when they were asked for.
    pub missed: u64,
    kept: VecDeque<(u64, ebph::Event)>,
    /// By process: calls at a moment in seconds.
    calls: HashMap<(u32, u64), u64>,
    calls_at: f64,
    counters_at: f64,
    monitor: Option<(u32, SystemTime)>,
    /// A command that runs as long as this does, by its name.
    pub command: Option<String>,
}

impl Model {
    /// Makes an empty one. `command` is what was started to be watched, if anything.
    pub fn new(command: Option<String>) -> Self {
        Self {
            view: View::Processes,
            prompt: Prompt::None,
            message: None,
            status: None,
            unreachable: None,
            rates: Rates::default(),
            processes: Table::sorted_by(4),
            profiles: Table::sorted_by(5),
            events: Table::sorted_by(0),
            counters: Table::sorted_by(0),
            inspection: None,
            all_events: false,
            whole_detail: false,
            missed: 0,
            kept: VecDeque::new(),
            calls: HashMap::new(),
            calls_at: 0.0,
            counters_at: 0.0,
            monitor: None,
            command,
        }
    }

    pub fn interest(&self) -> Interest {
        Interest {
            view: self.view,
            profile: self.inspection.as_ref().map(|inspection| inspection.key),
        }
    }

    /// Takes what came, at a moment in seconds on a clock that does not step.
    pub fn update(&mut self, update: Update, at: f64) {
        match update {
            Update::Status(status) => self.take_status(status, at),
            Update::Processes(rows) => self.take_processes(rows, at),
            Update::Profiles(rows) => self.profiles.set(rows),
            Update::Profile(key, profile) => {
                if let Some(inspection) = &mut self.inspection
                    && inspection.key == key
                {
                    inspection.set(profile);
                }
            }
            Update::Events(batch) => self.take_events(batch),
            Update::Done(command, Ok(answer)) => self.tell(command.done(&answer)),
            Update::Done(command, Err(refusal)) => {
                self.complain(format!(
                    "{}: {}",
                    command.name,
                    printable(&refusal.to_string())
                ));
            }
            Update::Unreachable(why) => self.unreachable = Some(printable(&why)),
            Update::Ended(how) => {
                self.command = None;
                self.tell(how);
            }
        }
    }

    pub fn tell(&mut self, text: String) {
        self.message = Some(Message { text, bad: false });
    }

    pub fn complain(&mut self, text: String) {
        self.message = Some(Message { text, bad: true });
    }

    fn take_status(&mut self, status: Box<StatusReport>, at: f64) {
        let monitor = (status.pid, status.started);
        if self.monitor.is_some_and(|before| before != monitor) {
            self.begin_anew();
            self.tell(format!("another monitor answers, pid {}", status.pid));
        } else if self.unreachable.is_some() && self.monitor.is_some() {
            self.tell("the monitor answers again".to_owned());
        }
        if self.monitor.is_none() {
            // Events come one by one, so that there are none yet is known now.
            self.list_events();
        }
        self.monitor = Some(monitor);
        self.unreachable = None;
        self.rates.observe(&status, at);
        self.take_counters(&status, at);
        self.status = Some(status);
    }

    /// What was known of another monitor says nothing about this one.
    fn begin_anew(&mut self) {
        self.kept.clear();
        self.calls.clear();
        self.events.set(Vec::new());
        self.counters.set(Vec::new());
        self.missed = 0;
    }

    fn take_counters(&mut self, status: &StatusReport, at: f64) {
        let stats = serde_json::to_value(&status.stats).unwrap_or_default();
        let mut counters = Vec::new();
        flatten("", &stats, &mut counters);
        let before: HashMap<&str, u64> = self
            .counters
            .rows()
            .iter()
            .map(|line| (line.name.as_str(), line.value))
            .collect();
        let passed = at - self.counters_at;
        let lines = counters.into_iter().map(|(name, value)| {
            let before = before.get(name.as_str()).copied();
            let rate = per_second(before, value, passed);
            CounterLine { name, value, rate }
        });
        let lines = lines.collect();
        self.counters_at = at;
        self.counters.set(lines);
    }

    fn take_processes(&mut self, rows: Vec<ProcessRow>, at: f64) {
        let passed = at - self.calls_at;
        let id = |row: &ProcessRow| (row.pid, row.start_boot_ns);
        let calls = rows.iter().map(|row| (id(row), row.calls)).collect();
        let lines = rows.into_iter().map(|row| {
            let rate = per_second(self.calls.get(&id(&row)).copied(), row.calls, passed);
            ProcessLine { row, rate }
        });
        let lines = lines.collect();
        self.calls = calls;
        self.calls_at = at;
        self.processes.set(lines);
    }

    fn take_events(&mut self, batch: EventBatch) {
        self.missed += batch.gone;
        if batch.events.is_empty() {
            return;
        }
        for (number, event) in (batch.first..).zip(batch.events) {
            if self.kept.len() == EVENTS_MAX {
                self.kept.pop_front();
            }
            self.kept.push_back((number, event));
        }
        self.list_events();
    }

    /// Lists those of the events that are wanted.
    pub fn list_events(&mut self) {
        let lines = self.kept.iter().map(|(number, event)| EventLine {
            number: *number,
            event: event.clone(),
        });
        let all = self.all_events;
        self.events
            .set(lines.filter(|line| all || line.is_alert()).collect());
    }

    /// The profile that a command would be about: its key and path.
    pub fn chosen(&self) -> Option<(Key, Option<String>)> {
        if let Some(inspection) = &self.inspection {
            return Some((inspection.key, inspection.path.clone()));
        }
        let of_row = |row: &ProfileRow| (row.key, row.path().map(str::to_owned));
        match self.view {
            View::Processes => self
                .processes
                .selected()?
                .row
                .profile
                .as_deref()
                .map(of_row),
            View::Profiles => self.profiles.selected().map(of_row),
            View::Events => {
                let view = self.events.selected()?.event.profile()?;
                let path = view.script.as_ref().or(view.exe.as_ref());
                Some((
                    view.key,
                    path.map(|path| path.to_string_lossy().into_owned()),
                ))
            }
            View::Counters => None,
        }
    }

    /// Tells whether the monitor watches, as far as is known.
    pub fn is_running(&self) -> bool {
        self.status.as_ref().is_none_or(|status| status.running)
    }
}

/// What was added, by the time that passed. What was not there before, or was more, has no rate.
fn per_second(before: Option<u64>, after: u64, passed: f64) -> f64 {
    let added = before.and_then(|before| after.checked_sub(before));
    match added {
        Some(added) if passed > 0.0 => added as f64 / passed,
        _ => 0.0,
    }
}

/// Numbers of nested JSON by their paths; members of lists by their names.
fn flatten(path: &str, value: &serde_json::Value, into: &mut Vec<(String, u64)>) {
    use serde_json::Value;
    let below = |name: &str| match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    };
    match value {
        Value::Number(number) => {
            into.extend(number.as_u64().map(|number| (path.to_owned(), number)))
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                flatten(&below(name), value, into);
            }
        }
        Value::Array(members) => {
            for (place, member) in members.iter().enumerate() {
                let name = member.get("name").and_then(Value::as_str);
                let name = name.map_or_else(|| place.to_string(), str::to_owned);
                flatten(&below(&name), member, into);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => (),
    }
}
