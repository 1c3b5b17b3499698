//! Walks over threads: iterators of the kernel, read to their ends.

use std::io::{self, Read as _};

use libbpf_rs::Link;

use super::as_io;

/// The list of threads, as a file of records.
#[derive(Debug)]
pub(crate) struct TaskList(Link);

impl TaskList {
    /// Takes an iterator over threads that is attached.
    pub(crate) fn new(link: Link) -> Self {
        Self(link)
    }

    /// Walks over all threads of the machine, and returns what the program wrote.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        libbpf_rs::Iter::new(&self.0)
            .map_err(as_io)?
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
