//! A file that is readable while something waits.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::CWD;
use rustix::io::Errno;

/// An eventfd that is written to once, however often it is raised before it is cleared.
#[derive(Debug)]
pub(crate) struct Signal {
    /// `None` when there were no descriptors left.
    fd: Option<OwnedFd>,
    raised: AtomicBool,
}

impl Signal {
    pub(crate) fn new() -> Self {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .inspect_err(|error| log::warn!("no file to wait on: {error}"))
            .ok();
        Self {
            fd,
            raised: AtomicBool::new(false),
        }
    }

    /// Tells whether it was raised, without looking at the file.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }

    /// Makes the file readable.
    pub(crate) fn raise(&self) {
        if !self.raised.swap(true, Ordering::SeqCst) {
            self.write();
        }
    }

    /// Makes the file unreadable. Whoever calls this must look once more for what may have come
    /// between the last look and this call, and [`raise_again`](Self::raise_again) if it has.
    pub(crate) fn clear(&self) {
        let mut count = [0; 8];
        if let Some(fd) = &self.fd {
            // SANITY: there is nothing to read if nobody raised it.
            let _empty = rustix::io::read(fd, &mut count);
        }
        // Only now: a raise in between found the flag set, and what it was for is found by the
        // look that follows.
        self.raised.store(false, Ordering::SeqCst);
    }

    /// Makes the file readable, whatever the flag says: a raise may have been read away.
    pub(crate) fn raise_again(&self) {
        self.raised.store(true, Ordering::SeqCst);
        self.write();
    }

    fn write(&self) {
        let Some(fd) = &self.fd else { return };
        // SANITY: the only failure but an interruption is a full counter, which is readable.
        while rustix::io::write(fd, &1u64.to_ne_bytes()) == Err(Errno::INTR) {}
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().map_or(CWD, AsFd::as_fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(signal: &Signal) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};

        let mut fds = [PollFd::new(signal, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
    }

    /// Check that the file is readable from a raise to a clear.
    #[test]
    fn raise_and_clear() {
        let signal = Signal::new();
        assert!(!readable(&signal));
        signal.raise();
        signal.raise();
        assert!(readable(&signal));
        signal.clear();
        assert!(!readable(&signal));
        signal.raise_again();
        assert!(readable(&signal));
    }
}
