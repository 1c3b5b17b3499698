//! One look at all cells, and what follows from it: in the guardian, and where it is gone.
//!
//! Nothing here allocates, locks or panics: the guardian is a fork of a process with threads.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::Ordering;

use super::hold::{self, ENDING, FREE, HELD, Hold, Orders, Step, Way, with_kind};
use super::sys;
use super::view::{View, Word};

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// Cells that are in use, by processes that are stopped or about to be.
    pub busy: usize,
    /// When the first of them is to go on (boot ns).
    pub next: u64,
}

/// Looks at every cell. With `keeping`, descriptors of the processes are kept from one look to the
/// next, in the table of the one guardian that there is.
pub(super) fn pass(view: View<'_>, all: bool, keeping: bool) -> Pass {
    let orders = view.orders(all);
    let mut found = Pass {
        busy: 0,
        next: u64::MAX,
    };
    for cell in 0..view.cells() {
        let state = view.state(cell);
        if keeping {
            forget_others(view, cell, state);
        }
        if hold::kind(state) != FREE {
            found.busy += 1;
        }
        if hold::kind(state) != HELD {
            continue;
        }
        if keeping {
            remember(view, cell, state);
        }
        let Some(hold) = view.hold(cell, state) else {
            found.next = 0;
            continue;
        };
        match hold.step(view.tenancy(hold.slot), orders, sys::boot_ns()) {
            Step::Nothing => {}
            Step::Wait(until) => found.next = found.next.min(until),
            Step::End if end(view, cell, &hold, orders, keeping) => {
                found.busy -= 1;
                if keeping {
                    forget_others(view, cell, FREE);
                }
            }
            Step::End => {}
        }
    }
    found
}

/// Closes the descriptor of whoever had this cell before.
fn forget_others(view: View<'_>, cell: usize, state: u64) {
    if let Some([of, kept]) = view.table(cell)
        && of.load(Ordering::SeqCst) != state
        && let Some(fd) = descriptor(kept.swap(0, Ordering::SeqCst))
    {
        sys::close(fd);
    }
}

fn descriptor(kept: u64) -> Option<RawFd> {
    RawFd::try_from(kept.checked_sub(1)?).ok()
}

/// Opens the process of a cell and keeps it, unless that was done.
fn remember(view: View<'_>, cell: usize, state: u64) {
    if let Some([of, kept]) = view.table(cell)
        && kept.load(Ordering::SeqCst) == 0
        && let Some(hold) = view.hold(cell, state)
        && let Target::Open(fd) = find(view, cell, &hold)
    {
        of.store(state, Ordering::SeqCst);
        kept.store(u64::from(fd.unsigned_abs()) + 1, Ordering::SeqCst);
    }
}

/// Whom a signal goes to.
#[derive(Clone, Copy, Debug)]
enum Target {
    Open(RawFd),
    /// There are no descriptors left.
    Pid(u32),
    Gone,
}

/// Opens the process of a cell that is held. Whoever exits frees its cell before its pid can be
/// another's, so if the cell is what it was afterwards, it was the right one.
fn find(view: View<'_>, cell: usize, hold: &Hold) -> Target {
    match sys::pidfd_open(hold.pid) {
        Ok(fd) if view.state(cell) == hold.state => Target::Open(fd),
        Ok(fd) => {
            sys::close(fd);
            Target::Gone
        }
        Err(error) if is_gone(&error) => Target::Gone,
        Err(_) => Target::Pid(hold.pid),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESRCH)
}

/// Ends a stop; false if it goes on, or something else ended it.
pub(super) fn end(view: View<'_>, cell: usize, hold: &Hold, orders: Orders, keeping: bool) -> bool {
    let kept = view
        .table(cell)
        .filter(|[of, _]| keeping && of.load(Ordering::SeqCst) == hold.state)
        .and_then(|[_, kept]| descriptor(kept.load(Ordering::SeqCst)));
    let target = kept.map_or_else(|| find(view, cell, hold), Target::Open);
    let ending = with_kind(hold.state, ENDING);
    let ours = view.change(cell, hold.state, ending);
    let mut ended = ours;
    if ours {
        // Until now somebody may have stopped it as well, or a hook have put off the end.
        let hold = Hold {
            state: hold.state,
            ..view.hold(cell, ending).unwrap_or(*hold)
        };
        if hold.step(view.tenancy(hold.slot), orders, sys::boot_ns()) == Step::End {
            match go_on(target, hold::way(hold.signal)) {
                Ok(true) => count(view, &hold),
                Ok(false) => {}
                Err(_) => {
                    view.add(Word::Refused, 1);
                    // It is tried again, but not for ever when all is to end.
                    ended = orders.all;
                }
            }
        } else {
            ended = false;
        }
        let next = if ended { FREE } else { HELD };
        view.change(cell, ending, with_kind(hold.state, next));
    }
    if let (Target::Open(fd), None) = (target, kept) {
        sys::close(fd);
    }
    ended
}

/// Sends what ends a stop; false if the process is gone.
fn go_on(target: Target, way: Way) -> io::Result<bool> {
    let send = |signal| {
        let sent = match target {
            Target::Open(fd) => sys::pidfd_send_signal(fd, signal),
            Target::Pid(pid) => sys::kill(pid, signal),
            Target::Gone => return Ok(false),
        };
        match sent {
            Ok(()) => Ok(true),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error),
        }
    };
    match way {
        Way::Leave => send(0),
        Way::Continue => send(libc::SIGCONT),
        Way::Resend(signal) => {
            let there = send(libc::SIGCONT)?;
            // The kernel does with it what it would have done: stops the process, or, where nobody
            // could continue it (an orphaned process group), does not. Whoever has ended since went on.
            send(signal)?;
            Ok(there)
        }
    }
}

fn count(view: View<'_>, hold: &Hold) {
    let now = sys::boot_ns();
    let (requested, observed) = (
        hold.due.saturating_sub(hold.since),
        now.saturating_sub(hold.since),
    );
    view.add(Word::Released, 1);
    if hold::way(hold.signal) == Way::Leave {
        view.add(Word::LeftStopped, 1);
    }
    view.add(Word::Requested, requested);
    view.add(Word::Observed, observed);
    view.raise(Word::WorstExcess, observed.saturating_sub(requested));
}
