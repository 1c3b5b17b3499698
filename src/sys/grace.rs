//! Waiting until no program of ours runs any more.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use libbpf_rs::libbpf_sys;

use super::create_map;

/// An array of one element.
fn one() -> io::Result<OwnedFd> {
    create_map(libbpf_sys::BPF_MAP_TYPE_ARRAY, 4, 8, 1)
}

/// Makes a map and gives it back: whether bpf(2) is to be had at all.
pub(crate) fn try_map() -> io::Result<()> {
    one().map(drop)
}

/// A way to wait until every program that runs in the kernel now has ended.
///
/// The kernel itself waits for that when an element of a map of maps is replaced, so that the old
/// inner map is out of use when the call returns. `membarrier(2)` would not do: with a single CPU
/// online it returns at once, while a preempted program may still be in the middle of its run.
#[derive(Debug)]
pub(crate) struct GracePeriod {
    outer: OwnedFd,
    inner: OwnedFd,
}

/// Where the kernel cannot be asked: much longer than any program runs.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

impl GracePeriod {
    pub(crate) fn new(outer: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self {
            outer: outer.try_clone_to_owned()?,
            inner: one()?,
        })
    }

    pub(crate) fn wait(&self) {
        let (key, value) = (0u32, self.inner.as_raw_fd());
        // SAFETY: key and value are of the sizes the map was made with, and outlive the call.
        let err = unsafe {
            libbpf_sys::bpf_map_update_elem(
                self.outer.as_raw_fd(),
                (&raw const key).cast(),
                (&raw const value).cast(),
                0,
            )
        };
        if err != 0 {
            log::warn!("no grace period to be had: error {err}");
            std::thread::sleep(LONG_ENOUGH);
        }
    }
}
