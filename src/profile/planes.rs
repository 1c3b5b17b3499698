//! Ids and rows of a profile that is being put together from calls.

use std::collections::HashMap;

use crate::syscall::{Letter, Symbol};

use super::{ID_OTHER, Profile, Row};

/// The last id that stands for one symbol.
pub(super) const ID_LAST: u8 = 254;

/// Both planes, by calls: ids are given in the order in which calls are named.
#[derive(Debug, Default)]
pub(super) struct Planes {
    known: HashMap<Symbol, u8>,
    pub(super) ids: Vec<(Symbol, u8)>,
    /// Index: id.
    pub(super) rows: Vec<Option<Box<Row>>>,
    given: u8,
}

impl Planes {
    /// Returns the id of a symbol, given now if it has none; and whether it was.
    pub(super) fn identify(&mut self, symbol: Symbol) -> (u8, bool) {
        if let Some(id) = self.known.get(&symbol) {
            return (*id, false);
        }
        let id = if self.given < ID_LAST {
            self.given += 1;
            self.given
        } else {
            ID_OTHER
        };
        self.insert(symbol, id);
        (id, true)
    }

    /// Makes a symbol one of those that share the last id; false if it has an id already.
    pub(super) fn identify_other(&mut self, symbol: Symbol) -> bool {
        let new = !self.known.contains_key(&symbol);
        if new {
            self.insert(symbol, ID_OTHER);
        }
        new
    }

    fn insert(&mut self, symbol: Symbol, id: u8) {
        self.known.insert(symbol, id);
        self.ids.push((symbol, id));
        let index = usize::from(id);
        if self.rows.len() <= index {
            self.rows.resize(index + 1, None);
        }
        self.rows[index].get_or_insert_with(|| {
            let mut row = Box::new([0; 256]);
            // "No call" fits before every call.
            row[0] = u16::MAX;
            row
        });
    }

    /// Sets bits for two ids that were given; returns those that were set already.
    pub(super) fn set(&mut self, current: u8, previous: u8, bits: u16) -> u16 {
        let Some(Some(row)) = self.rows.get_mut(usize::from(current)) else {
            return 0;
        };
        let place = &mut row[usize::from(previous)];
        let before = *place;
        *place |= bits;
        before
    }

    pub(super) fn rows_held(&self) -> u64 {
        self.rows.iter().flatten().count() as u64
    }

    /// Adds what profiles know, each call translated first; a call that `translate` has no
    /// counterpart for is left out, with its pairs.
    ///
    /// What a profile knows of calls that share its last id it holds of each of them.
    pub(super) fn absorb<'a>(
        &mut self,
        profiles: impl IntoIterator<Item = &'a Profile>,
        translate: impl Fn(Symbol) -> Option<Symbol>,
        convert: impl Fn(u16) -> u16,
    ) {
        for profile in profiles {
            let targets = self.targets(profile, &translate);
            self.copy(profile, &targets, &convert);
        }
    }

    /// By a profile's own id: the ids that its calls have here.
    fn targets(
        &mut self,
        profile: &Profile,
        translate: impl Fn(Symbol) -> Option<Symbol>,
    ) -> Vec<Vec<u8>> {
        let mut targets = vec![Vec::new(); 256];
        for (symbol, id) in &profile.parts().ids {
            if let Some(symbol) = translate(*symbol) {
                targets[usize::from(*id)].push(self.identify(symbol).0);
            }
        }
        for ids in &mut targets {
            ids.sort_unstable();
            ids.dedup();
        }
        targets
    }

    fn copy(&mut self, profile: &Profile, targets: &[Vec<u8>], convert: impl Fn(u16) -> u16) {
        for (row, currents) in profile.parts().rows.iter().zip(targets) {
            let Some(row) = row.as_deref() else { continue };
            for (bits, previous) in row.iter().zip(targets).filter(|(bits, _)| **bits != 0) {
                let bits = convert(*bits);
                for current in currents {
                    for previous in previous {
                        self.set(*current, *previous, bits);
                    }
                }
            }
        }
    }
}

impl Profile {
    /// By id: the ids that another profile has for the same calls; none for calls it never saw.
    pub(super) fn counterparts(&self, other: &Self) -> Vec<Vec<u8>> {
        let mut known = HashMap::new();
        for (symbol, id) in &other.parts.ids {
            known.insert(*symbol, *id);
        }
        let mut counterparts = vec![Vec::new(); 256];
        for (symbol, id) in &self.parts.ids {
            if let Some(there) = known.get(symbol) {
                counterparts[usize::from(*id)].push(*there);
            }
        }
        for ids in &mut counterparts {
            ids.sort_unstable();
            ids.dedup();
        }
        counterparts
    }

    /// The distances known of two ids, in either plane.
    pub(super) fn known(&self, current: u8, previous: u8) -> u8 {
        let row = self.parts.rows.get(usize::from(current));
        row.and_then(Option::as_deref).map_or(0, |row| {
            let [train, test] = row[usize::from(previous)].to_le_bytes();
            train | test
        })
    }

    pub(super) fn letter_of(&self, id: u8) -> Letter {
        self.letter(id)
    }
}
