//! A profile looked into: its pairs as a map and as a list, and its calls.

use std::time::SystemTime;

use ebph::{Key, Letter, Profile};

use super::heat::{Cell, HeatMap};
use super::lines::{CallLine, PairLine};
use super::table::Table;
use super::text::{printable, span};
use crate::protocol::Refusal;

/// How a profile is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Map,
    Pairs,
    Calls,
}

/// A profile that is looked into.
pub struct Inspection {
    pub key: Key,
    /// Its path as it was known when it was chosen.
    pub path: Option<String>,
    pub mode: Mode,
    /// The pair to look at first.
    pub wanted: Option<(Letter, Letter)>,
    /// `None` until it has come.
    pub profile: Option<Box<Profile>>,
    /// Why it does not come.
    pub refused: Option<String>,
    pub map: HeatMap,
    pub pairs: Table<PairLine>,
    pub calls: Table<CallLine>,
}

impl Inspection {
    pub fn new(key: Key, path: Option<String>) -> Self {
        Self {
            key,
            path,
            mode: Mode::Map,
            wanted: None,
            profile: None,
            refused: None,
            map: HeatMap::default(),
            pairs: Table::sorted_by(0),
            calls: Table::sorted_by(0),
        }
    }

    pub fn set(&mut self, profile: Result<Box<Profile>, Refusal>) {
        match profile {
            Ok(profile) => {
                self.take(&profile);
                self.profile = Some(profile);
                self.refused = None;
            }
            Err(refusal) => self.refused = Some(refusal.to_string()),
        }
    }

    fn take(&mut self, profile: &Profile) {
        self.map.set(profile);
        let lines = profile.pairs().map(|pair| PairLine {
            current: pair.current,
            previous: pair.previous,
            cell: Cell::of(&pair),
        });
        self.pairs.set(lines.collect());
        let letters = self.map.letters().iter().enumerate();
        let lines = letters.map(|(place, letter)| {
            let count = |of: fn(&PairLine) -> Letter| {
                self.pairs
                    .rows()
                    .iter()
                    .filter(|line| of(line) == *letter)
                    .count()
            };
            CallLine {
                letter: *letter,
                place,
                after: count(|line| line.current),
                before: count(|line| line.previous),
            }
        });
        self.calls.set(lines.collect());
        if let Some(pair) = self.wanted.take() {
            self.look_at(pair);
        }
    }

    pub fn next_mode(&mut self) {
        self.mode = match self.mode {
            Mode::Map => Mode::Pairs,
            Mode::Pairs => Mode::Calls,
            Mode::Calls => Mode::Map,
        };
    }

    fn look_at(&mut self, (current, previous): (Letter, Letter)) -> bool {
        let letters = self.map.letters();
        let place = |letter| letters.iter().position(|known| *known == letter);
        match (place(current), place(previous)) {
            (Some(row), Some(column)) => {
                self.map.look_at(row, column);
                true
            }
            _ => false,
        }
    }

    /// Shows on the map the pair, or the call, that is selected in a list.
    pub fn show_on_map(&mut self) {
        let chosen = match self.mode {
            Mode::Map => None,
            Mode::Pairs => self
                .pairs
                .selected()
                .map(|line| (line.current, line.previous)),
            Mode::Calls => self.calls.selected().map(|line| (line.letter, line.letter)),
        };
        if chosen.is_some_and(|pair| self.look_at(pair)) {
            self.mode = Mode::Map;
        }
    }

    /// What stands above the map: whose profile it is, and how far it has come.
    pub fn header(&self) -> Vec<String> {
        let path = self
            .path
            .as_deref()
            .map_or_else(|| "?".to_owned(), printable);
        let mut lines = vec![format!("{path}   {}", self.key)];
        if let Some(refused) = &self.refused {
            lines.push(format!("not to be had: {}", printable(refused)));
        }
        let Some(profile) = &self.profile else {
            if self.refused.is_none() {
                lines.push("asking for it ...".to_owned());
            }
            return lines;
        };
        let mut state = profile.state().to_string();
        if let Some(at) = profile.normal_at() {
            let left = at.duration_since(SystemTime::now()).unwrap_or_default();
            state += &format!(", normal in {}", span(left));
        }
        if profile.is_incomplete() {
            state += ", incomplete";
        }
        let age = profile.created_at().and_then(|at| at.elapsed().ok());
        let age = age.map_or_else(|| "?".to_owned(), span);
        lines.push(format!(
            "{state}; {} calls, {} since something new; {} taught it; {} anomalies; {} runs, {} ended; {age} old",
            profile.train_count(),
            profile.last_mod_count(),
            profile.sequences(),
            profile.anomalies(),
            profile.execs(),
            profile.processes_ended(),
        ));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Code;
    use crate::top::samples::profile;

    fn inspection() -> Inspection {
        let profile = profile();
        let mut inspection = Inspection::new(profile.key(), Some("/bin/\u{1b}cat".to_owned()));
        inspection.set(Ok(Box::new(profile)));
        inspection
    }

    /// Check that the lists hold what the profile does.
    #[test]
    fn lists() {
        let inspection = inspection();
        assert_eq!(inspection.pairs.len(), profile().pairs().count());
        let counts = inspection.calls.rows().iter();
        let (after, before) = counts.fold((0, 0), |(a, b), line| (a + line.after, b + line.before));
        assert_eq!(
            (after, before),
            (inspection.pairs.len(), inspection.pairs.len())
        );
    }

    /// Check that a profile that is gone is said to be, with what was known of it still there.
    #[test]
    fn gone() {
        let mut inspection = inspection();
        inspection.set(Err(Refusal::new(Code::NoSuchProfile, "there is none")));
        let header = inspection.header().join("\n");
        assert!(
            header.contains("there is none") && header.contains("\\u{1b}cat"),
            "{header}"
        );
        assert!(
            header.contains("training") || header.contains("normal"),
            "{header}"
        );
    }
}
