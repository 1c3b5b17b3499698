//! Lines that wait until it is known who made their threads.

use std::collections::BTreeMap;

/// How many lines may wait.
const LINES: usize = 1 << 14;

#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    threads: BTreeMap<u32, Vec<Vec<u8>>>,
    lines: usize,
}

impl Held {
    /// Keeps a line of a thread; false if there are too many.
    pub(super) fn keep(&mut self, id: u32, text: &[u8]) -> bool {
        if self.lines >= LINES {
            return false;
        }
        self.lines += 1;
        self.threads.entry(id).or_default().push(text.to_vec());
        true
    }

    pub(super) fn has(&self, id: u32) -> bool {
        self.threads.contains_key(&id)
    }

    /// Gives the lines of a thread back.
    pub(super) fn release(&mut self, id: u32) -> Vec<Vec<u8>> {
        let lines = self.threads.remove(&id).unwrap_or_default();
        self.lines -= lines.len();
        lines
    }

    /// Any thread whose lines wait.
    pub(super) fn first(&self) -> Option<u32> {
        self.threads.keys().next().copied()
    }

    /// How many threads' lines wait.
    pub(super) fn threads(&self) -> usize {
        self.threads.len()
    }
}
