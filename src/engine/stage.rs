//! The place where a profile is laid out before the kernel takes it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::maps::Mapped;
use crate::profile::Row;
use crate::skel::types;

/// The staging maps; one profile at a time.
#[derive(Debug)]
pub(crate) struct Stage(Mutex<Layout>);

/// The staging maps, held.
#[derive(Debug)]
pub(crate) struct Layout {
    head: Mapped<types::ebph_stage>,
    rows: Mapped<types::ebph_row>,
}

impl Stage {
    /// Takes writable mappings of the two maps.
    pub(crate) fn new(head: Mapped<types::ebph_stage>, rows: Mapped<types::ebph_row>) -> Self {
        Self(Mutex::new(Layout { head, rows }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Layout> {
        // Whoever panicked left a profile half laid out; the next one is laid out whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Layout {
    pub(super) fn set_head(&mut self, head: &types::ebph_stage) {
        self.head.set(0, head);
    }

    /// Lays out the row of an id; none is one without pairs.
    pub(super) fn set_row(&mut self, id: u32, row: Option<&Row>) {
        let mut wire = types::ebph_row::default();
        if let Some(row) = row {
            for (word, columns) in wire.word.iter_mut().zip(row.chunks_exact(2)) {
                *word = u32::from(columns[0]) | u32::from(columns[1]) << 16;
            }
        }
        self.rows.set(id, &wire);
    }
}
