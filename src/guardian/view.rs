//! What the guardian sees: slices of shared memory, and nothing else that the monitor's process has.
//!
//! It is all that crosses the fork, so it is copied whole and points at shared mappings only. Every
//! access is bounded and atomic: nothing here can panic, or wait.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering};

use super::hold::{Hold, Orders, Tenancy};
use crate::skel::types::{ebph_hold, ebph_profile};

/// Words of a cell, and of a profile.
const CELL: usize = size_of::<ebph_hold>() / 8;
const PROFILE: usize = size_of::<ebph_profile>() / 8;

/// The words that the monitor and its guardians share.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(super) enum Word {
    Released,
    LeftStopped,
    /// Nanoseconds.
    Requested,
    /// Nanoseconds.
    Observed,
    /// Nanoseconds.
    WorstExcess,
    /// Signals that were refused.
    Refused,
    /// What was stopped up to then (boot ns) is to go on.
    Before,
    /// 1: the guardian is to end.
    End,
}

/// How many they are; after them come two for each cell, for the guardian alone.
const WORDS: usize = Word::End as usize + 1;

/// Returns how many words the board needs for so many cells.
pub(super) const fn board_words(cells: usize) -> usize {
    WORDS + 2 * cells
}

/// Shared memory, as the guardian sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub holds: &'a [AtomicU64],
    pub profiles: &'a [AtomicU64],
    /// The positions of the reader and of the writers of the ring that wakes.
    pub ring: [&'a AtomicU64; 2],
    pub board: &'a [AtomicU64],
}

impl View<'_> {
    pub(super) fn cells(&self) -> usize {
        self.holds.len() / CELL
    }

    fn cell_word(&self, cell: usize, offset: usize) -> Option<&AtomicU64> {
        self.holds.get(cell.checked_mul(CELL)? + offset / 8)
    }

    /// Returns the state word of a cell.
    pub(super) fn state(&self, cell: usize) -> u64 {
        let word = self.cell_word(cell, offset_of!(ebph_hold, state));
        word.map_or(0, |word| word.load(Ordering::SeqCst))
    }

    /// Changes the state of a cell; false if it is no longer `old`.
    pub(super) fn change(&self, cell: usize, old: u64, new: u64) -> bool {
        let word = self.cell_word(cell, offset_of!(ebph_hold, state));
        word.is_some_and(|word| {
            word.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        })
    }

    /// Returns a copy of a cell, if it was in this state all the while.
    pub(super) fn hold(&self, cell: usize, state: u64) -> Option<Hold> {
        let word = |offset| {
            let word = self.cell_word(cell, offset)?;
            Some(word.load(Ordering::SeqCst))
        };
        let (slot, generation) = halves(word(offset_of!(ebph_hold, slot))?);
        let (pid, signal) = halves(word(offset_of!(ebph_hold, pid))?);
        let hold = Hold {
            state,
            since: word(offset_of!(ebph_hold, since))?,
            due: word(offset_of!(ebph_hold, due))?,
            start: word(offset_of!(ebph_hold, start))?,
            epochs: word(offset_of!(ebph_hold, epochs))?,
            slot,
            generation,
            pid,
            signal,
        };
        (self.state(cell) == state).then_some(hold)
    }

    /// Returns what a profile's judgement rests on.
    pub(super) fn tenancy(&self, slot: u32) -> Option<Tenancy> {
        let first = usize::try_from(slot).ok()?.checked_mul(PROFILE)?;
        let word = |offset: usize| {
            let word = self.profiles.get(first + offset / 8)?;
            Some(word.load(Ordering::SeqCst))
        };
        Some(Tenancy {
            state: word(offset_of!(ebph_profile, state))?,
            epochs: word(offset_of!(ebph_profile, epochs))?,
            generation: halves(word(offset_of!(ebph_profile, generation))?).0,
        })
    }

    /// Forgets the records that wake; what they were for is to be looked for after this.
    pub(super) fn consume(&self) {
        let [reader, writers] = self.ring;
        reader.store(writers.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    pub(super) fn word(&self, word: Word) -> u64 {
        self.board
            .get(word as usize)
            .map_or(0, |word| word.load(Ordering::SeqCst))
    }

    pub(super) fn add(&self, word: Word, count: u64) {
        if let Some(word) = self.board.get(word as usize) {
            word.fetch_add(count, Ordering::SeqCst);
        }
    }

    /// Raises a word to at least this, and returns what it was.
    pub(super) fn raise(&self, word: Word, to: u64) -> u64 {
        self.board
            .get(word as usize)
            .map_or(0, |word| word.fetch_max(to, Ordering::SeqCst))
    }

    /// Returns what was ordered; `all` is for the caller to say.
    pub(super) fn orders(&self, all: bool) -> Orders {
        Orders {
            all: all || self.word(Word::End) != 0,
            before: self.word(Word::Before),
        }
    }

    /// Returns where the guardian keeps the state for which it has opened a cell's process, and the
    /// descriptor plus one.
    pub(super) fn table(&self, cell: usize) -> Option<[&AtomicU64; 2]> {
        let first = WORDS.checked_add(cell.checked_mul(2)?)?;
        Some([self.board.get(first)?, self.board.get(first + 1)?])
    }
}

/// The two halves of a word, in the order in which they are in memory.
fn halves(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    (
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
    )
}

// Two words are read as pairs above.
const _: () = assert!(offset_of!(ebph_hold, generation) == offset_of!(ebph_hold, slot) + 4);
const _: () = assert!(offset_of!(ebph_hold, signal) == offset_of!(ebph_hold, pid) + 4);
const _: () = assert!(offset_of!(ebph_hold, slot) % 8 == 0 && offset_of!(ebph_hold, pid) % 8 == 0);
const _: () = assert!(offset_of!(ebph_profile, generation) % 8 == 0);
