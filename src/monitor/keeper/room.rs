//! Who must go when room runs out: a pure decision.

use std::cmp::Reverse;

use crate::snapshot::Entry;
use crate::tenant::Tenant;

/// Of each pool, this part is kept free, so that a new program finds room at once.
const RESERVE: u64 = 16;

/// One of the two pools.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pool {
    pub capacity: u64,
    pub used: u64,
    /// Somebody found it empty since the last look.
    pub exhausted: bool,
    /// For something that waits: to give less is of no use.
    pub needed: u64,
}

impl Pool {
    fn free(self) -> u64 {
        self.capacity.saturating_sub(self.used)
    }

    /// How much must become free: nothing while the reserve is there, then twice as much, so that
    /// not every new program evicts another.
    fn lacks(self) -> u64 {
        let reserve = self.capacity / RESERVE;
        let needed = self.needed.saturating_sub(self.free());
        let short = self.free() < reserve || self.exhausted;
        let wanted = if short {
            (2 * reserve)
                .max(1)
                .saturating_sub(self.free())
                .max(self.exhausted.into())
        } else {
            0
        };
        wanted.max(needed)
    }

    /// How much of it may be filled at the start.
    pub(super) fn fill(self) -> u64 {
        self.capacity - self.capacity / RESERVE
    }
}

/// Tells whether anybody must go.
pub(super) fn is_short(profiles: Pool, rows: Pool) -> bool {
    profiles.lacks() > 0 || rows.lacks() > 0
}

/// The least recently executed profiles whose leaving makes enough room; all there are, if even
/// that is not enough, but nobody if something is waiting that would not fit all the same. `idle` tells whether no process uses it.
pub(super) fn choose(
    mut entries: Vec<Entry>,
    profiles: Pool,
    rows: Pool,
    idle: impl Fn(Tenant) -> bool,
) -> Vec<Entry> {
    let (mut slots, mut row_count) = (profiles.lacks(), rows.lacks());
    // The longest unused is the last.
    entries.sort_by_key(|entry| Reverse(entry.used));
    let mut chosen = Vec::new();
    while slots > 0 || row_count > 0 {
        let Some(entry) = entries.pop() else { break };
        // A profile without rows helps nobody who wants rows.
        if !idle(entry.tenant) || (slots == 0 && entry.rows == 0) {
            continue;
        }
        slots = slots.saturating_sub(1);
        row_count = row_count.saturating_sub(entry.rows.into());
        chosen.push(entry);
    }
    let in_vain = |left: u64, pool: Pool| left > 0 && pool.needed > pool.free();
    if in_vain(slots, profiles) || in_vain(row_count, rows) {
        return Vec::new();
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;
    use crate::tenant::Stamp;

    fn entry(slot: u32, used: i64, rows: u32) -> Entry {
        Entry {
            key: Key::new(8, 1, slot.into(), 0),
            tenant: Tenant {
                slot,
                generation: 1,
            },
            stamp: Stamp::default(),
            flags: 0,
            rows,
            busy: false,
            binds: 0,
            used,
            version: [0; 8],
        }
    }

    fn pool(capacity: u64, used: u64) -> Pool {
        Pool {
            capacity,
            used,
            exhausted: false,
            needed: 0,
        }
    }

    fn chosen(profiles: Pool, rows: Pool, busy: u32) -> Vec<u32> {
        let entries = vec![
            entry(0, 50, 10),
            entry(1, -7, 10),
            entry(2, 20, 0),
            entry(3, 10, 10),
        ];
        choose(entries, profiles, rows, |tenant| tenant.slot != busy)
            .iter()
            .map(|entry| entry.tenant.slot)
            .collect()
    }

    /// Check that the least recently executed goes first, from before this boot too, and nobody
    /// while there is room.
    #[test]
    fn who_goes() {
        let plenty = pool(1000, 100);
        assert!(!is_short(pool(32, 30), plenty));
        assert_eq!(chosen(pool(32, 30), plenty, 9), [0; 0]);
        assert_eq!(chosen(pool(32, 31), plenty, 9), [1, 3, 2]);
        assert_eq!(chosen(pool(32, 31), plenty, 3), [1, 2, 0]);
        assert_eq!(chosen(plenty, pool(160, 155), 9), [1, 3]);
        assert_eq!(chosen(plenty, pool(160, 160), 9), [1, 3]);
    }

    /// Check that a small pool, which has no reserve, is emptied by one when it ran out, and not
    /// before.
    #[test]
    fn small_pools() {
        let plenty = pool(1000, 100);
        assert_eq!(chosen(pool(4, 4), plenty, 9), [0; 0]);
        let ran_out = Pool {
            exhausted: true,
            ..pool(4, 4)
        };
        assert_eq!(chosen(ran_out, plenty, 9), [1]);
        assert_eq!(
            chosen(
                plenty,
                Pool {
                    exhausted: true,
                    ..pool(15, 15)
                },
                9
            ),
            [1]
        );
        let waits = |needed| Pool {
            needed,
            ..pool(40, 35)
        };
        assert_eq!(chosen(plenty, waits(5), 9), [0; 0]);
        assert_eq!(chosen(plenty, waits(25), 9), [1, 3]);
        assert_eq!(
            chosen(plenty, waits(36), 9),
            [0; 0],
            "there are 30 to be had"
        );
        assert_eq!(pool(4, 0).fill(), 4);
        assert_eq!(pool(32, 0).fill(), 30);
    }
}
