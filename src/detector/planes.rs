//! What a profile holds: for each symbol, what was seen before it, and how far
//! before.

use crate::profile::Profile;
use crate::syscall::Symbol;

use super::thread::Window;

/// The last id that stands for one symbol.
const ID_LAST: u8 = 254;
/// The id of every symbol after that.
const ID_OTHER: u8 = 255;
/// How many ids there are, "no call" included.
const IDS: usize = 256;

/// How many rows all profiles together may still take.
#[derive(Clone, Debug)]
pub(super) struct RowPool {
    capacity: usize,
    used: usize,
}

impl RowPool {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, used: 0 }
    }

    pub(super) fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Counts rows that were taken elsewhere, whether there is room for them or not.
    fn adopt(&mut self, rows: usize) {
        self.used = self.used.saturating_add(rows);
    }

    fn take(&mut self) -> Option<Box<Row>> {
        if self.used >= self.capacity {
            return None;
        }
        self.used += 1;
        Some(Box::new(Row::EMPTY))
    }
}

/// One symbol as the current call, by the id of the previous one: bit `d - 1`
/// says that they were seen at distance `d`.
#[derive(Clone, Debug)]
struct Row {
    train: [u8; IDS],
    test: [u8; IDS],
}

impl Row {
    /// A row that has seen nothing. An empty place of a window fits anywhere,
    /// so its column is full, always.
    const EMPTY: Self = {
        let mut plane = [0; IDS];
        plane[0] = 0xff;
        Self {
            train: plane,
            test: plane,
        }
    };

    /// A row of a snapshot, train in the low bytes.
    fn of(columns: &[u16; IDS], distances: u8) -> Self {
        let mut row = Self::EMPTY;
        for (previous, column) in columns.iter().enumerate().skip(1) {
            let [train, test] = column.to_le_bytes();
            row.train[previous] = train & distances;
            row.test[previous] = test & distances;
        }
        row
    }
}

/// How an id came to a symbol.
pub(super) enum Id {
    Known(u8),
    New(u8),
    Other(u8),
}

/// The distances at which a call differs from each plane: bit `d - 1` for
/// distance `d`.
#[derive(Copy, Clone, Debug)]
pub(super) struct Mismatch {
    pub(super) train: u8,
    pub(super) test: u8,
}

/// The two tables of a profile, train and test, and the names of their rows.
#[derive(Clone, Debug)]
pub(super) struct Planes {
    /// By symbol; 0 for one that was never seen.
    ids: Box<[u8]>,
    /// Ids given out, those in common use not counted.
    given: u8,
    /// In the order of their ids.
    symbols: Vec<(Symbol, u8)>,
    /// By id.
    rows: Vec<Option<Box<Row>>>,
    /// The distances that are looked at, as bits.
    distances: u8,
}

impl Planes {
    /// Empty tables for the distances that are set in `distances`.
    pub(super) fn new(distances: u8) -> Self {
        Self {
            ids: vec![0; Symbol::COUNT].into(),
            given: 0,
            symbols: Vec::new(),
            rows: vec![None; IDS],
            distances,
        }
    }

    /// The tables of a profile, as far as they concern these distances.
    pub(super) fn of(profile: &Profile, distances: u8, pool: &mut RowPool) -> Self {
        let mut planes = Self::new(distances);
        for symbol in profile.symbols() {
            let Some(id) = profile.id_of(symbol) else {
                continue;
            };
            planes.ids[symbol.index()] = id;
            planes.symbols.push((symbol, id));
            if id <= ID_LAST {
                planes.given = planes.given.max(id);
            }
        }
        for (id, row) in (0..=ID_OTHER).zip(&mut planes.rows).skip(1) {
            *row = profile
                .raw_row(id)
                .map(|columns| Box::new(Row::of(columns, distances)));
        }
        pool.adopt(planes.rows.iter().flatten().count());
        planes
    }

    /// The id of a symbol, given now if it has none.
    pub(super) fn identify(&mut self, symbol: Symbol) -> Id {
        let place = &mut self.ids[symbol.index()];
        if *place != 0 {
            return Id::Known(*place);
        }
        let id = if self.given < ID_LAST {
            self.given += 1;
            *place = self.given;
            Id::New(self.given)
        } else {
            *place = ID_OTHER;
            Id::Other(ID_OTHER)
        };
        self.symbols.push((symbol, *place));
        id
    }

    /// Makes sure that an id has a row, unless the pool is exhausted.
    pub(super) fn ensure_row(&mut self, id: u8, pool: &mut RowPool) -> bool {
        let row = &mut self.rows[usize::from(id)];
        if row.is_none() {
            *row = pool.take();
        }
        row.is_some()
    }

    /// Compares a call with both planes. A call without a row was never seen
    /// after anything.
    pub(super) fn compare(&self, id: u8, window: &Window) -> Mismatch {
        let row = self.rows[usize::from(id)].as_deref().unwrap_or(&Row::EMPTY);
        let mut mismatch = Mismatch { train: 0, test: 0 };
        for (index, previous) in window.ids().into_iter().enumerate() {
            let bit = 1 << index;
            mismatch.train |= !row.train[usize::from(previous)] & bit;
            mismatch.test |= !row.test[usize::from(previous)] & bit;
        }
        mismatch.train &= self.distances;
        mismatch.test &= self.distances;
        mismatch
    }

    /// Learns a call.
    pub(super) fn learn(&mut self, id: u8, window: &Window) {
        if let Some(row) = &mut self.rows[usize::from(id)] {
            for (index, previous) in window.ids().into_iter().enumerate() {
                row.train[usize::from(previous)] |= (1 << index) & self.distances;
            }
        }
    }

    /// Holds what was learnt as normal.
    pub(super) fn copy_train_to_test(&mut self) {
        for row in self.rows.iter_mut().flatten() {
            row.test = row.train;
        }
    }

    pub(super) fn wipe_train(&mut self) {
        for row in self.rows.iter_mut().flatten() {
            row.train = Row::EMPTY.train;
        }
    }

    pub(super) fn wipe(&mut self) {
        for row in self.rows.iter_mut().flatten() {
            **row = Row::EMPTY;
        }
    }

    /// How many calls are looked at together.
    pub(super) fn window(&self) -> u8 {
        self.distances.count_ones() as u8 + 1
    }

    /// Each symbol seen, with its id.
    pub(super) fn symbols(&self) -> Vec<(Symbol, u8)> {
        self.symbols.clone()
    }

    /// By id: both planes of a row, train in the low bytes, test in the high ones.
    pub(super) fn rows(&self) -> Vec<Option<Box<[u16; IDS]>>> {
        let join = |row: &Row| {
            Box::new(std::array::from_fn(|column| {
                u16::from_le_bytes([row.train[column], row.test[column]])
            }))
        };
        self.rows
            .iter()
            .map(|row| row.as_deref().map(join))
            .collect()
    }
}
