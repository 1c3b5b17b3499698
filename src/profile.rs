//! A profile as it was at one moment: which calls a program makes, and which follow which.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::key::Key;
use crate::syscall::{Letter, Symbol};

/// The id that all symbols after the 254th share.
pub(crate) const ID_OTHER: u8 = 255;

// Bits of the kernel's state word (`enum ebph_state`); what is above them counts sequences.
const STATE_NORMAL: u64 = 2;
const STATE_FROZEN: u64 = 4;
const STATE_INCOMPLETE: u64 = 16;
const SEQUENCES_SHIFT: u32 = 8;

/// What a profile is being used for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It learns; nothing is judged.
    Training,
    /// Nothing was new for long enough; it becomes normal after the wait, unless something new
    /// turns up.
    Frozen,
    /// Calls are judged by it. It goes on learning beside that, and may freeze again meanwhile.
    Normal,
}

impl State {
    /// Returns the name that Display and JSON use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Frozen => "frozen",
            Self::Normal => "normal",
        }
    }

    /// Reads the low byte of the kernel's state word.
    pub(crate) const fn from_word(word: u64) -> Self {
        if word & STATE_NORMAL != 0 {
            Self::Normal
        } else if word & STATE_FROZEN != 0 {
            Self::Frozen
        } else {
            Self::Training
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Tells whether the frozen bit of a state word is set; [`State`] hides it in a normal profile.
pub(crate) const fn word_is_frozen(word: u64) -> bool {
    word & STATE_FROZEN != 0
}

/// Tells whether a call could not be learnt for want of room.
pub(crate) const fn word_is_incomplete(word: u64) -> bool {
    word & STATE_INCOMPLETE != 0
}

/// Two calls that were seen one after the other, up to eight calls apart.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The later call.
    pub current: Letter,
    /// The earlier call.
    pub previous: Letter,
    /// What is being learnt: bit `d - 1` says that they were seen `d` calls apart, 1 being next
    /// to each other.
    pub train: u8,
    /// What is held as normal, likewise.
    pub test: u8,
}

impl Pair {
    /// Returns the distances seen in training, nearest first.
    pub fn train_distances(&self) -> impl Iterator<Item = u8> + use<> {
        distances(self.train)
    }

    /// Returns the distances held as normal, nearest first.
    pub fn test_distances(&self) -> impl Iterator<Item = u8> + use<> {
        distances(self.test)
    }
}

/// Returns the distances, 1 to 8, whose bits are set.
pub(crate) fn distances(bits: u8) -> impl Iterator<Item = u8> + use<> {
    (1..=8).filter(move |distance| bits & (1 << (distance - 1)) != 0)
}

/// One row of both planes: by the previous id, low byte training, high byte test.
pub(crate) type Row = [u16; 256];

/// What a [`Profile`] is made of.
#[derive(Clone, Debug)]
pub(crate) struct ProfileParts {
    pub(crate) key: Key,
    pub(crate) exe: Option<PathBuf>,
    pub(crate) script: Option<PathBuf>,
    /// `sequences << 8 | enum ebph_state`
    pub(crate) state_word: u64,
    pub(crate) train_count: u64,
    pub(crate) last_mod_count: u64,
    pub(crate) anomalies: u64,
    /// Boot time at which a frozen profile becomes normal; looked at only while it is frozen.
    pub(crate) normal_time_ns: u64,
    pub(crate) unlearnt: u64,
    pub(crate) execs: u64,
    pub(crate) processes_ended: u64,
    pub(crate) created_ns: u64,
    /// 0: never, or not since it was made.
    pub(crate) last_exec_ns: u64,
    /// Row pool entries held.
    pub(crate) rows_held: u64,
    /// `None` offline, where no clock of day belongs to the boot times.
    pub(crate) clock: Option<Clock>,
    /// In any order; several symbols may have the last id.
    pub(crate) ids: Vec<(Symbol, u8)>,
    /// Index: id. Shorter than 256 is allowed.
    pub(crate) rows: Vec<Option<Box<Row>>>,
}

/// A copy of a profile as it was when it was asked for.
#[derive(Clone, Debug)]
pub struct Profile {
    parts: ProfileParts,
    /// What each id stands for, by id.
    letters: Box<[Option<Letter>; 256]>,
}

impl Profile {
    /// Makes a snapshot; nothing in it refers to the kernel any more.
    pub(crate) fn from_parts(mut parts: ProfileParts) -> Self {
        parts.ids.sort_by_key(|(symbol, id)| (*id, *symbol));
        parts.rows.truncate(256);
        let mut letters = Box::new([None; 256]);
        for (symbol, id) in &parts.ids {
            letters[usize::from(*id)] = Some(Letter::Symbol(*symbol));
        }
        letters[usize::from(ID_OTHER)] = Some(Letter::Other);
        Self { parts, letters }
    }

    /// Adds calls that running threads have made and not yet counted: all of them, and those that
    /// were made since something new was last learnt.
    pub(crate) fn with_pending(mut self, (all, since_novelty): (u64, u64)) -> Self {
        let parts = &mut self.parts;
        parts.train_count = parts.train_count.saturating_add(all);
        parts.last_mod_count = parts.last_mod_count.saturating_add(since_novelty);
        self
    }

    /// Returns the name of the profile.
    pub fn key(&self) -> Key {
        self.parts.key
    }

    /// Returns the path the executable had when the profile was made, if it had one; for a
    /// script, that of the interpreter.
    pub fn exe(&self) -> Option<&Path> {
        self.parts.exe.as_deref()
    }

    /// Returns the path of the script, if the profile belongs to one.
    pub fn script(&self) -> Option<&Path> {
        self.parts.script.as_deref()
    }

    /// Returns what the profile is being used for.
    pub fn state(&self) -> State {
        State::from_word(self.parts.state_word)
    }

    /// Tells whether it is frozen, which a normal profile may be as well.
    pub fn is_frozen(&self) -> bool {
        word_is_frozen(self.parts.state_word)
    }

    /// Tells whether calls are judged by it.
    pub fn is_normal(&self) -> bool {
        self.state() == State::Normal
    }

    /// Tells whether calls could not be learnt for want of room; it then never becomes normal on
    /// its own.
    pub fn is_incomplete(&self) -> bool {
        word_is_incomplete(self.parts.state_word)
    }

    /// Returns the calls learnt since training began.
    pub fn train_count(&self) -> u64 {
        self.parts.train_count
    }

    /// Returns the calls since something new was last learnt.
    pub fn last_mod_count(&self) -> u64 {
        self.parts.last_mod_count
    }

    /// Returns how many calls taught it something new.
    pub fn sequences(&self) -> u64 {
        self.parts.state_word >> SEQUENCES_SHIFT
    }

    /// Returns the anomalous calls since it became normal.
    pub fn anomalies(&self) -> u64 {
        self.parts.anomalies
    }

    /// Returns the time since boot at which it becomes normal, while it is frozen.
    pub fn normal_time(&self) -> Option<Duration> {
        self.is_frozen()
            .then(|| Duration::from_nanos(self.parts.normal_time_ns))
    }

    /// Returns the time of day at which it becomes normal, while it is frozen.
    ///
    /// `None` as well for a profile that did not come from a live kernel.
    pub fn normal_at(&self) -> Option<SystemTime> {
        let clock = self.parts.clock.filter(|_| self.is_frozen())?;
        Some(clock.wall(self.parts.normal_time_ns))
    }

    /// Returns the time since boot at which it was made.
    pub fn created(&self) -> Duration {
        Duration::from_nanos(self.parts.created_ns)
    }

    /// Returns the time of day at which it was made, if it came from a live kernel.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.parts
            .clock
            .map(|clock| clock.wall(self.parts.created_ns))
    }

    /// Returns when it was last executed, since boot; `None` if it was running before it was
    /// watched, and never since.
    pub fn last_exec(&self) -> Option<Duration> {
        let ns = self.parts.last_exec_ns;
        (ns != 0).then(|| Duration::from_nanos(ns))
    }

    /// Returns how often it was executed while watched.
    pub fn execs(&self) -> u64 {
        self.parts.execs
    }

    /// Returns how many of its processes ended.
    pub fn processes_ended(&self) -> u64 {
        self.parts.processes_ended
    }

    /// Returns the calls that could not be learnt for want of room.
    pub fn unlearnt(&self) -> u64 {
        self.parts.unlearnt
    }

    /// Returns the rows of the pool that it holds, 512 bytes each.
    pub fn rows(&self) -> u64 {
        self.parts.rows_held
    }

    /// Returns the calls it has seen, in the order of first sight; those after the 254th, which
    /// it does not tell apart, last.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.parts.ids.iter().map(|(symbol, _)| *symbol)
    }

    /// Returns the lookahead pairs that were learnt or are held as normal.
    ///
    /// Either side is [`Letter::Other`] where calls are no longer told apart.
    pub fn pairs(&self) -> impl Iterator<Item = Pair> + '_ {
        let rows = (0..=ID_OTHER).zip(&self.parts.rows).skip(1);
        rows.filter_map(|(id, row)| Some((self.letter(id), row.as_deref()?)))
            .flat_map(move |(current, row)| {
                // Column 0 means "no call" and has every bit set.
                (0..=ID_OTHER)
                    .zip(row)
                    .skip(1)
                    .filter(|(_, bits)| **bits != 0)
                    .map(move |(previous, bits)| {
                        let [train, test] = bits.to_le_bytes();
                        Pair {
                            current,
                            previous: self.letter(previous),
                            train,
                            test,
                        }
                    })
            })
    }

    /// Returns one row of the planes, by the profile's own id of the current call.
    #[doc(hidden)]
    pub fn raw_row(&self, id: u8) -> Option<&[u16; 256]> {
        self.parts.rows.get(usize::from(id))?.as_deref()
    }

    /// Returns the profile's own id of a symbol.
    #[doc(hidden)]
    pub fn id_of(&self, symbol: Symbol) -> Option<u8> {
        self.parts
            .ids
            .iter()
            .find(|(known, _)| *known == symbol)
            .map(|(_, id)| *id)
    }

    fn letter(&self, id: u8) -> Letter {
        self.letters[usize::from(id)].unwrap_or(Letter::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> ProfileParts {
        ProfileParts {
            key: Key::new(8, 1, 42, 0),
            exe: Some("/bin/true".into()),
            script: None,
            state_word: (7 << SEQUENCES_SHIFT) | 1,
            train_count: 100,
            last_mod_count: 60,
            anomalies: 0,
            normal_time_ns: 5,
            unlearnt: 0,
            execs: 1,
            processes_ended: 1,
            last_exec_ns: 0,
            created_ns: 3,
            rows_held: 2,
            clock: None,
            ids: vec![
                (Symbol::native(3), ID_OTHER),
                (Symbol::native(1), 2),
                (Symbol::native(0), 1),
                (Symbol::native(2), ID_OTHER),
            ],
            rows: Vec::new(),
        }
    }

    fn with_state(bits: u64) -> Profile {
        Profile::from_parts(ProfileParts {
            state_word: bits,
            ..parts()
        })
    }

    /// Check that two independent bits show as one state, and are still both to be had.
    #[test]
    fn state() {
        let frozen = with_state(1 | STATE_FROZEN);
        assert_eq!((frozen.state(), frozen.is_frozen()), (State::Frozen, true));
        assert_eq!(frozen.normal_time(), Some(Duration::from_nanos(5)));
        let both = with_state(1 | STATE_FROZEN | STATE_NORMAL);
        assert_eq!((both.state(), both.is_frozen()), (State::Normal, true));
        let training = with_state(1 | STATE_INCOMPLETE);
        assert_eq!(
            (training.state(), training.is_frozen()),
            (State::Training, false)
        );
        assert!(training.is_incomplete() && training.normal_time().is_none());
        let profile = Profile::from_parts(parts()).with_pending((5, 5));
        assert_eq!(profile.sequences(), 7);
        assert_eq!((profile.train_count(), profile.last_mod_count()), (105, 65));
    }

    /// Check that symbols come in the order of first sight.
    #[test]
    fn symbols() {
        let profile = Profile::from_parts(parts());
        let numbers: Vec<_> = profile.symbols().map(Symbol::number).collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
        assert_eq!(profile.id_of(Symbol::native(1)), Some(2));
        assert_eq!(profile.id_of(Symbol::native(9)), None);
    }

    /// Check that pairs skip the column of "no call" and name what the ids stand for.
    #[test]
    fn pairs() {
        let mut row = Box::new([0; 256]);
        row[0] = 0xffff;
        row[2] = 0x0105;
        row[255] = 0x0001;
        row[77] = 0x8000;
        let profile = Profile::from_parts(ProfileParts {
            rows: vec![None, Some(row.clone()), None],
            ..parts()
        });
        let pairs: Vec<_> = profile.pairs().collect();
        let current = Letter::Symbol(Symbol::native(0));
        let previous = Letter::Symbol(Symbol::native(1));
        assert_eq!(
            pairs[0],
            Pair {
                current,
                previous,
                train: 5,
                test: 1
            }
        );
        assert_eq!(pairs[1].previous, Letter::Unknown);
        assert_eq!(pairs[2].previous, Letter::Other);
        assert_eq!(pairs[0].train_distances().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(pairs[0].test_distances().collect::<Vec<_>>(), [1]);
        assert_eq!(pairs.len(), 3);
        assert_eq!(profile.raw_row(1), Some(&*row));
        assert!(profile.raw_row(2).is_none() && profile.raw_row(200).is_none());
    }
}
