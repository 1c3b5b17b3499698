//! A profile as it was at one moment: which calls a program makes, and which follow which.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::key::Key;
use crate::syscall::{Abi, Letter, Symbol};

mod abi;
mod diff;
mod format;
mod identity;
mod merge;
mod origin;
mod planes;
mod state;

pub use diff::{PairDiff, ProfileDiff};
pub use format::FormatError;
pub use identity::{FileIdentity, Identity};
pub use merge::MergeError;
pub use origin::{How, Origin};
pub use state::State;

pub(crate) use format::MAX_BYTES;
pub(crate) use identity::open_regular;
pub(crate) use state::{word_is_frozen, word_is_incomplete};

pub(crate) use state::{
    SEQUENCES_SHIFT, STATE_BITS, STATE_FROZEN, STATE_INCOMPLETE, STATE_LIVE, STATE_NORMAL,
};

/// The window of a profile from a live kernel: a call and the eight before it.
pub(crate) const LONGEST_WINDOW: u8 = 9;

/// The id that all symbols after the 254th share.
pub(crate) const ID_OTHER: u8 = 255;

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
/// Of a row's column: what is being learnt.
pub(crate) const ROW_TRAIN: u16 = 0x00ff;

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
    pub(crate) basis: u64,
    /// What it was learning was wiped since: its next normal rests on what comes after.
    pub(crate) basis_over: bool,
    /// Negative: before this boot.
    pub(crate) created_ns: i64,
    /// 0: never, or not since it was made. Negative: before this boot.
    pub(crate) last_exec_ns: i64,
    /// Row pool entries held.
    pub(crate) rows_held: u64,
    /// `None` offline, where no clock of day belongs to the boot times.
    pub(crate) clock: Option<Clock>,
    pub(crate) identity: Option<Identity>,
    pub(crate) origin: Origin,
    /// 2 to 9: bits of distances from `window` on are never set.
    pub(crate) window: u8,
    /// When the file that it was read from was written.
    pub(crate) saved: Option<SystemTime>,
    /// In any order; several symbols may have the last id.
    pub(crate) ids: Vec<(Symbol, u8)>,
    /// Index: id. Shorter than 256 is allowed.
    pub(crate) rows: Vec<Option<Box<Row>>>,
}

/// A copy of a profile as it was when it was asked for.
#[derive(Clone)]
pub struct Profile {
    parts: ProfileParts,
    /// What each id stands for, by id.
    letters: Box<[Option<Letter>; 256]>,
}

/// Without its thousands of pairs.
impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile")
            .field("key", &self.key())
            .field("exe", &self.exe())
            .field("script", &self.script())
            .field("state", &self.state())
            .field("train_count", &self.train_count())
            .finish_non_exhaustive()
    }
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
        let boot_ns = i64::try_from(self.parts.normal_time_ns).unwrap_or(i64::MAX);
        Some(clock.wall(boot_ns))
    }

    /// Returns the time since boot at which it was made; zero if that was before this boot.
    pub fn created(&self) -> Duration {
        since_boot(self.parts.created_ns)
    }

    /// Returns the time of day at which it was made, if it once came from a live kernel.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.parts
            .clock
            .map(|clock| clock.wall(self.parts.created_ns))
    }

    /// Returns when it was last executed, since boot, or zero if that was before this boot; `None`
    /// if it was running before it was watched, and never since.
    pub fn last_exec(&self) -> Option<Duration> {
        let ns = self.parts.last_exec_ns;
        (ns != 0).then(|| since_boot(ns))
    }

    /// Returns the time of day at which it was last executed, if it once came from a live kernel.
    pub fn last_exec_at(&self) -> Option<SystemTime> {
        let ns = self.parts.last_exec_ns;
        let clock = self.parts.clock.filter(|_| ns != 0)?;
        Some(clock.wall(ns))
    }

    /// Returns when the file that it was read from was written.
    pub fn saved_at(&self) -> Option<SystemTime> {
        self.parts.saved
    }

    /// Returns which program it was learnt from, as far as that was looked up.
    pub fn identity(&self) -> Option<&Identity> {
        self.parts.identity.as_ref()
    }

    /// Says which program it was learnt from.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.parts.identity = Some(identity);
        self
    }

    /// Says at which path the program is: the executable, and the script if it is one.
    #[must_use]
    pub fn with_paths(mut self, exe: Option<PathBuf>, script: Option<PathBuf>) -> Self {
        self.parts.exe = exe;
        self.parts.script = script;
        self
    }

    /// Returns how it was made.
    pub fn origin(&self) -> &Origin {
        &self.parts.origin
    }

    /// Says how it was made.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.parts.origin = origin;
        self
    }

    /// Returns how many calls are looked at together, 2 to 9: a call and those before it that it
    /// is compared with.
    pub fn window(&self) -> u8 {
        self.parts.window
    }

    /// Returns how often it was executed while watched.
    pub fn execs(&self) -> u64 {
        self.parts.execs
    }

    /// Returns how many of its processes ended.
    pub fn processes_ended(&self) -> u64 {
        self.parts.processes_ended
    }

    /// Returns from how many calls it learnt what it holds as normal; 0 if it never was normal, or
    /// if nobody counted.
    pub fn basis(&self) -> u64 {
        self.parts.basis
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

    /// Returns what it is made of.
    pub(crate) fn parts(&self) -> &ProfileParts {
        &self.parts
    }

    /// Returns the 64-bit interface of the machine that it was learnt on, as far as its calls
    /// tell; [`Abi::Raw`] if they are bare numbers.
    pub fn abi(&self) -> Abi {
        let known = || {
            self.symbols()
                .filter_map(|symbol| symbol.abi().unprefixed())
        };
        known()
            .find(|abi| *abi != Abi::Raw)
            .or_else(|| known().next())
            .unwrap_or(Abi::NATIVE)
    }

    /// Returns it as one that is learnt again from what it knows: training, with all pairs that
    /// it learnt or held as normal.
    ///
    /// As when a profile is tolerized the counts stay, so it may freeze soon; but then it waits
    /// before it is normal again.
    pub(crate) fn into_training(mut self) -> Self {
        let parts = &mut self.parts;
        parts.state_word &= !(STATE_NORMAL | STATE_FROZEN);
        for row in parts.rows.iter_mut().flatten() {
            for bits in row.iter_mut().skip(1) {
                let [train, test] = bits.to_le_bytes();
                *bits = u16::from(train | test);
            }
        }
        self
    }

    fn letter(&self, id: u8) -> Letter {
        self.letters[usize::from(id)].unwrap_or(Letter::Unknown)
    }
}

fn since_boot(ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(ns).unwrap_or(0))
}

#[cfg(test)]
mod tests;
