//! Making room, when it runs out.

use std::time::Instant;

use super::room::{self, Pool};
use super::{Keeper, LOOK, PATIENCE, State, Tallies};
use crate::engine::Full;
use crate::profile::Profile;
use crate::snapshot::Entry;
use crate::tasks;

impl Keeper {
    /// Evicts whoever was not executed for the longest time, if there is need.
    pub(super) fn make_room(&self, state: &mut State) {
        if state.is_hopeless() {
            return;
        }
        let (seen, now) = (state.seen, self.seen());
        (state.seen.no_slot, state.seen.no_row) = (now.no_slot, now.no_row);
        let (profiles, rows) = self.pools();
        let profiles = Pool {
            exhausted: now.no_slot != seen.no_slot,
            ..profiles
        };
        let rows = Pool {
            exhausted: now.no_row != seen.no_row,
            ..rows
        };
        self.evict(state, profiles, rows);
    }

    /// Makes room for a profile that found none.
    pub(super) fn make_room_for(&self, state: &mut State, profile: &Profile, full: Full) {
        let (profiles, rows) = self.pools();
        let profiles = Pool {
            needed: u64::from(full == Full::Profiles),
            ..profiles
        };
        let rows = Pool {
            needed: rows_of(profile),
            ..rows
        };
        self.evict(state, profiles, rows);
    }

    pub(super) fn pools(&self) -> (Pool, Pool) {
        let pool = self.engine.maps.globals().pool;
        let of = |capacity: u32, used| Pool {
            capacity: capacity.into(),
            used,
            exhausted: false,
            needed: 0,
        };
        (
            of(self.engine.maps.profiles.len(), pool.slots_used),
            // Row 0 stands for none.
            of(self.engine.maps.rows.len() - 1, pool.rows_used),
        )
    }

    fn evict(&self, state: &mut State, profiles: Pool, rows: Pool) {
        if !room::is_short(profiles, rows) || state.is_hopeless() {
            return;
        }
        // Before the threads: whoever is bound to one of them later shows in its count.
        let whole = |entry: &Entry| {
            let known = state.known.get(&entry.tenant);
            known.is_some_and(|known| known.owed.is_none())
        };
        let entries: Vec<_> = self.entries().filter(whole).collect();
        let threads = match self.engine.tasks() {
            Ok(threads) => threads,
            Err(error) => return self.failed(&error),
        };
        let idle = |tenant| tasks::user(&threads, tenant).is_none();
        let mut going = Vec::new();
        for entry in room::choose(entries, profiles, rows, idle) {
            // Only what is safely on disk may go, or what cannot be kept in any case.
            if let Err(error) = self.save_one(state, &entry, None) {
                self.failed(&error);
                state.hopeless = Some(Instant::now() + PATIENCE);
                return;
            }
            going.push(entry);
        }
        if going.is_empty() {
            state.hopeless = Some(Instant::now() + LOOK);
            return;
        }
        let gone = self.engine.evict(&going, |tenant, last| {
            Tallies::add(&self.tallies.evicted);
            // It may have run once more since it was saved.
            match self.save_last(state, tenant, last) {
                Ok(true) => {}
                Ok(false) => Tallies::add(&self.tallies.dropped),
                Err(error) => self.failed(&error),
            }
        });
        if let Err(error) = gone {
            self.failed(&error);
        }
    }
}

/// The rows that a profile takes: one for each call it tells apart, one for all others.
pub(super) fn rows_of(profile: &Profile) -> u64 {
    profile.symbols().count().min(255) as u64
}
