//! The guardian's own life, after the fork.
//!
//! Nothing here allocates, locks, panics or returns. It reaches the monitor's memory only where that is
//! shared, since what else it inherited is given back.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use super::pass::{Pass, pass};
use super::shed::shed;
use super::sys;
use super::view::{View, Word};

/// How often cells are looked at while there is something in one, in nanoseconds: a profile that ceases
/// to be normal wakes nobody.
const LOOK: u64 = 10_000_000;
/// How long after the monitor's end a hook may still stop a process, in nanoseconds: its programs are
/// detached when its descriptors are closed, and some of them may run just then.
const AFTERMATH: u64 = 2_000_000_000;

/// The descriptors that it needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files {
    /// Readable when a process was stopped.
    pub wakes: RawFd,
    /// Readable when there is something to look at, and closed at the other end when the monitor is
    /// gone.
    pub orders: RawFd,
    /// The monitor's process: readable when it has ended.
    pub monitor: RawFd,
    /// Written to once the guardian watches.
    pub ready: RawFd,
}

/// Ends the process where it must not go on: above it are the frames of a thread that is not there.
struct NoReturn;

impl Drop for NoReturn {
    fn drop(&mut self) {
        sys::exit(1);
    }
}

/// Forks the guardian, and returns its descriptor.
#[allow(unsafe_code)]
pub(super) fn start(view: View<'_>, files: Files) -> io::Result<OwnedFd> {
    // SAFETY: `live` never returns, and makes system calls on what it is given, by value or in memory
    // that is shared, and does nothing else.
    match unsafe { sys::fork_apart() }? {
        Some(pidfd) => Ok(pidfd),
        None => live(view, files),
    }
}

/// Lives until nobody needs it any more.
fn live(view: View<'_>, files: Files) -> ! {
    let _bound = NoReturn;
    close_others(files);
    sys::settle(c"ebph-guardian");
    shed(view);
    sys::hide();
    // Whether a filter lets it do what it is for, and pids mean here what they mean to the hooks.
    if sys::pidfd_send_signal(files.monitor, 0).is_err() || !opens_processes() || is_below() {
        sys::exit(1);
    }
    let _told = sys::write(files.ready, b".");
    sys::close(files.ready);
    watch_over(view, files)
}

fn close_others(files: Files) {
    let mut kept = [files.wakes, files.orders, files.monitor, files.ready];
    kept.sort_unstable();
    let mut first = 0;
    for fd in kept {
        if fd > first {
            sys::close_range(first, fd.saturating_sub(1));
        }
        first = fd.saturating_add(1);
    }
    sys::close_range(first, RawFd::MAX);
}

fn opens_processes() -> bool {
    let own = sys::own_pid();
    sys::pidfd_open(own).map(sys::close).is_ok()
}

/// Whether it is in another pid namespace than the monitor's process, which may have asked for one for its
/// children: that process has no pid there.
fn is_below() -> bool {
    sys::parent_pid() == 0
}

fn watch_over(view: View<'_>, files: Files) -> ! {
    let mut gone = false;
    let mut last_busy = 0;
    loop {
        view.consume();
        drain(files.orders);
        let found = pass(view, gone, true);
        let now = sys::boot_ns();
        if found.busy > 0 {
            last_busy = now;
        }
        let ending = view.word(Word::End) != 0;
        if found.busy == 0 && (ending || gone && now.saturating_sub(last_busy) >= AFTERMATH) {
            sys::exit(0);
        }
        let wait = wait(found, gone || ending, now);
        if !gone && sleep(files, wait) {
            gone = true;
            last_busy = sys::boot_ns();
        } else if gone {
            sys::poll(&mut [], wait);
        }
    }
}

/// Returns for how long nothing is to be done, unless something wakes it.
fn wait(found: Pass, to_the_end: bool, now: u64) -> Option<u64> {
    match found.busy {
        0 if to_the_end => Some(LOOK),
        0 => None,
        _ => Some(found.next.saturating_sub(now).min(LOOK)),
    }
}

/// Waits; true when the monitor is gone, or has become another program.
fn sleep(files: Files, wait: Option<u64>) -> bool {
    let file = |fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let mut waited = [file(files.wakes), file(files.orders), file(files.monitor)];
    sys::poll(&mut waited, wait);
    let [_, orders, monitor] = waited;
    monitor.revents != 0 || orders.revents & (libc::POLLHUP | libc::POLLERR) != 0
}

/// Takes what was written to wake it.
fn drain(orders: RawFd) {
    let mut bytes = [0; 64];
    while sys::read(orders, &mut bytes) == bytes.len() {}
}
