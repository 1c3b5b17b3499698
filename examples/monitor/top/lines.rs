//! The lines of the tables: processes, profiles, events, counters, pairs and calls.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use ebph::{Event, Key, Letter};

use super::heat::{Cell, distances};
use super::table::{Column, Kind, Row};
use super::text::{rate, short, span};
use crate::rows::{ProcessRow, ProfileRow};

/// Lists columns: each with its kind, title and width, what it shows, and what it is sorted by.
macro_rules! columns {
    ($row:ident: $($kind:ident $title:literal $width:literal, $text:expr, by $value:expr;)*) => {
        const COLUMNS: &'static [Column<Self>] = &[$(Column {
            title: $title,
            width: $width,
            kind: Kind::$kind,
            text: |$row| $text,
            compare: |a, b| {
                let [a, b] = [a, b].map(|$row| $value);
                a.cmp(&b)
            },
        }),*];
    };
}

/// A process, and how many calls it makes a second.
pub struct ProcessLine {
    pub row: ProcessRow,
    pub rate: f64,
}

impl ProcessLine {
    fn profile(&self) -> Option<&ProfileRow> {
        self.row.profile.as_deref()
    }
}

impl Row for ProcessLine {
    /// A pid may be used again, but not by a process that started at the same time.
    type Id = (u32, u64);

    columns! { line:
        Number "PID" 7, line.row.pid.to_string(), by line.row.pid;
        Words "NAME" 15, line.row.comm.clone(), by line.row.comm.as_str();
        Words "STATE" 8, state(line.profile()), by line.profile().map(|row| row.state);
        Number "CALLS" 6, short(line.row.calls), by line.row.calls;
        Number "CALLS/S" 8, rate(line.rate), by line.rate.to_bits();
        Number "ANOM" 5, short(line.row.anomalies), by line.row.anomalies;
        Number "LFC" 4, line.row.lfc.to_string(), by line.row.lfc;
        Number "THR" 4, short(line.row.thread_count as u64), by line.row.thread_count;
        Growing "PROGRAM" 12, path(line.profile()).to_owned(), by path(line.profile());
    }

    fn id(&self) -> Self::Id {
        (self.row.pid, self.row.start_boot_ns)
    }
}

impl Row for ProfileRow {
    type Id = Key;

    columns! { row:
        Growing "PROGRAM" 12, path(Some(row)).to_owned(), by path(Some(row));
        Words "STATE" 8, state(Some(row)), by row.state;
        Number "CALLS" 6, short(row.train_count), by row.train_count;
        Number "SAME" 5, short(row.last_mod_count), by row.last_mod_count;
        Number "NEW" 5, short(row.sequences), by row.sequences;
        Number "ANOM" 5, short(row.anomalies), by row.anomalies;
        Number "KINDS" 6, row.symbols.to_string(), by row.symbols;
        Number "RUNS" 5, short(row.execs), by row.execs;
        Number "NORMAL IN" 10, normal_in(row), by row.normal_at;
    }

    fn id(&self) -> Key {
        self.key
    }
}

/// An event and its number.
pub struct EventLine {
    pub number: u64,
    pub event: Event,
}

impl EventLine {
    /// Tells whether it is something to act on, rather than what happens to profiles.
    pub fn is_alert(&self) -> bool {
        matches!(
            self.event,
            Event::Anomaly(_) | Event::UnbalancedSigreturn(_) | Event::Response(_) | Event::Lost(_)
        )
    }

    fn who(&self) -> &str {
        self.event
            .context()
            .map_or("", |context| &context.actor.comm)
    }

    fn pid(&self) -> Option<u32> {
        self.event.context()?.actor.pid
    }

    fn program(&self) -> Cow<'_, str> {
        let view = self.event.profile();
        let path = view.and_then(|view| view.script.as_ref().or(view.exe.as_ref()));
        path.map_or(Cow::Borrowed(""), |path| path.to_string_lossy())
    }

    fn what(&self) -> Cow<'static, str> {
        match &self.event {
            Event::Anomaly(anomaly) => Cow::Owned(match anomaly.missed.first() {
                Some(pair) if pair.distance == 1 => {
                    format!("{} after {}", anomaly.symbol, pair.previous)
                }
                Some(pair) => {
                    let (distance, previous) = (pair.distance, pair.previous);
                    format!("{} {distance} after {previous}", anomaly.symbol)
                }
                None => anomaly.symbol.to_string(),
            }),
            Event::Response(response) => {
                let would = if response.would_have { "would " } else { "" };
                let action = response.action.as_str().replace('_', " ");
                Cow::Owned(match response.action.wait() {
                    Some(wait) if wait < Duration::from_secs(1) => {
                        format!("{would}{action} {}ms", wait.as_millis())
                    }
                    Some(wait) => format!("{would}{action} {}", span(wait)),
                    None => format!("{would}{action}"),
                })
            }
            Event::Lost(lost) => Cow::Owned(format!("{} events lost", lost.count)),
            other => Cow::Owned(other.kind().as_str().replace('_', " ")),
        }
    }

    /// The call that did not fit, and the nearest one that it does not follow.
    pub fn pair(&self) -> Option<(Letter, Letter)> {
        let anomaly = self.event.anomaly()?;
        let missed = anomaly.missed.first()?;
        Some((anomaly.symbol.into(), missed.previous))
    }

    fn misses(&self) -> usize {
        self.event.anomaly().map_or(0, ebph::Anomaly::misses)
    }

    fn lfc(&self) -> u32 {
        match &self.event {
            Event::Anomaly(anomaly) => anomaly.lfc,
            Event::Response(response) => response.lfc,
            _ => 0,
        }
    }
}

impl Row for EventLine {
    type Id = u64;

    columns! { line:
        Number "NO" 5, line.number.to_string(), by line.number;
        Words "TIME" 8, clock(line.event.time()), by line.event.time();
        Words "WHAT" 22, line.what().into_owned(), by line.what();
        Number "PID" 7, line.pid().map_or_else(String::new, |pid| pid.to_string()), by line.pid();
        Words "NAME" 12, line.who().to_owned(), by line.who();
        Number "MISS" 5, line.misses().to_string(), by line.misses();
        Number "LFC" 4, line.lfc().to_string(), by line.lfc();
        Growing "PROGRAM" 9, line.program().into_owned(), by line.program();
    }

    fn id(&self) -> u64 {
        self.number
    }
}

/// A counter, and how fast it grows.
pub struct CounterLine {
    pub name: String,
    pub value: u64,
    pub rate: f64,
}

impl Row for CounterLine {
    type Id = String;

    columns! { line:
        Growing "COUNTER" 12, line.name.clone(), by line.name.as_str();
        Number "VALUE" 15, line.value.to_string(), by line.value;
        Number "A SECOND" 9, rate(line.rate), by line.rate.to_bits();
    }

    fn id(&self) -> String {
        self.name.clone()
    }
}

/// Two calls, and what a profile knows of them.
pub struct PairLine {
    pub current: Letter,
    pub previous: Letter,
    pub cell: Cell,
}

impl Row for PairLine {
    type Id = (Letter, Letter);

    columns! { line:
        Words "CALL" 20, line.current.to_string(), by line.current.to_string();
        Words "AFTER" 20, line.previous.to_string(), by line.previous.to_string();
        Number "N" 2, line.cell.heat().to_string(), by line.cell.heat();
        Words "LEARNT" 8, distances(line.cell.train), by line.cell.train.reverse_bits();
        Words "NORMAL" 8, distances(line.cell.test), by line.cell.test.reverse_bits();
        Words "IN" 11, line.cell.planes().name().to_owned(), by line.cell.planes();
    }

    fn id(&self) -> Self::Id {
        (self.current, self.previous)
    }
}

/// A call of a profile, and how many pairs it is part of.
pub struct CallLine {
    pub letter: Letter,
    /// Its place among the calls, by first sight.
    pub place: usize,
    pub after: usize,
    pub before: usize,
}

impl Row for CallLine {
    type Id = Letter;

    columns! { line:
        Number "SEEN AS" 8, (line.place + 1).to_string(), by line.place;
        Words "CALL" 24, line.letter.to_string(), by line.letter.to_string();
        Number "COMES AFTER" 12, line.after.to_string(), by line.after;
        Number "COMES BEFORE" 13, line.before.to_string(), by line.before;
    }

    fn id(&self) -> Letter {
        self.letter
    }
}

fn path(profile: Option<&ProfileRow>) -> &str {
    profile.and_then(ProfileRow::path).unwrap_or("?")
}

/// The state, with a mark for what is frozen beside it, and one for what is incomplete.
pub fn state(profile: Option<&ProfileRow>) -> String {
    let Some(profile) = profile else {
        return "-".to_owned();
    };
    let mut text = profile.state.to_string();
    if profile.frozen && profile.state == ebph::State::Normal {
        text.push('*');
    }
    if profile.marks.iter().any(|mark| mark == "incomplete") {
        text.push('!');
    }
    text
}

fn normal_in(profile: &ProfileRow) -> String {
    let left = profile
        .normal_at
        .map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
    left.map_or_else(|| "-".to_owned(), span)
}

/// The time of day, UTC.
pub fn clock(time: SystemTime) -> String {
    // Later than the year 9999 the crate would panic.
    let last = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(253_402_300_799);
    let text =
        humantime::format_rfc3339_seconds(time.clamp(SystemTime::UNIX_EPOCH, last)).to_string();
    text.get(11..19).unwrap_or_default().to_owned()
}
