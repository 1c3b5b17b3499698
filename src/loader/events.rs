//! The ring of events, as the worker takes them.
#![allow(unsafe_code)]

use std::os::fd::BorrowedFd;

use libbpf_rs::{RingBuffer, RingBufferBuilder};

use super::load_error;
use crate::error::Result;
use crate::skel::EbphSkel;

/// The events, as the worker thread takes them.
pub(crate) struct Events {
    ring: RingBuffer<'static>,
    records: std::sync::mpsc::Receiver<Vec<u8>>,
}

impl Events {
    pub(super) fn new(skel: &EbphSkel<'_>) -> Result<Self> {
        let (sender, records) = std::sync::mpsc::channel();
        let mut ring = RingBufferBuilder::new();
        ring.add(&skel.maps.events, move |record: &[u8]| {
            // To copy is all that is done here: a panic in this function would abort the process.
            // The receiver lives beside the ring, so it cannot be gone.
            let _gone = sender.send(record.to_vec());
            0
        })
        .map_err(load_error("the ring buffer"))?;
        let ring = ring.build().map_err(load_error("the ring buffer"))?;
        Ok(Self { ring, records })
    }

    /// Returns the file that is readable while events wait.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor belongs to `ring`, and lives as long as it does.
        unsafe { BorrowedFd::borrow_raw(self.ring.epoll_fd()) }
    }

    /// Takes up to `limit` records; fewer, or none, if no more wait.
    pub(crate) fn take(&self, limit: usize) -> Vec<Vec<u8>> {
        // The count it returns is of no use: what arrived is in the channel, and an error (EINTR)
        // means that the rest comes with the next call.
        self.ring.consume_raw_n(limit);
        self.records.try_iter().collect()
    }
}
