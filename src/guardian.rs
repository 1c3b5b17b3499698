//! The process that continues what was stopped, whatever becomes of the monitor.
//!
//! Hooks stop a process and write into a cell of `holds` until when. The *guardian* continues it then, or
//! as soon as the reason for it is void, or the monitor gone. So it must not be a thread: it is a fork of the
//! monitor's process that shares nothing with it but the arrays it looks at, is in no one's way
//! (no signal tells of its end, no `wait` for any child finds it), and ends by itself when it is not
//! needed any more. There is one only while processes may be stopped.

mod child;
mod hold;
mod pass;
mod shed;
mod sys;
#[cfg(test)]
mod tests;
mod view;

use std::fs;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::clock::{start_ticks, ticks};
use crate::error::{Error, Result};
use crate::maps::{Mapped, RingEnds, SharedWords};
use crate::skel::types::{ebph_hold, ebph_profile};
use hold::{ENDING, FREE, HELD, Way, with_kind};
use view::{View, Word};

/// How long after it was due a stop is not the guardian's fault yet, in nanoseconds.
const OVERDUE: u64 = 250_000_000;
/// How long a guardian may take to end what is held, and itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it takes until what was stopped last may be continued, and to spare.
const LAST: Duration = Duration::from_secs(1);

/// What a guardian needs of the kernel's part.
#[derive(Debug)]
pub(crate) struct Parts {
    holds: Mapped<ebph_hold>,
    profiles: Mapped<ebph_profile>,
    wakes: OwnedFd,
    ring: RingEnds,
}

impl Parts {
    /// Maps the arrays `holds` and `profiles`, with so many elements, and the ring `wakes`.
    pub(crate) fn new(
        holds: (BorrowedFd<'_>, u32),
        profiles: (BorrowedFd<'_>, u32),
        wakes: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        Ok(Self {
            holds: Mapped::new(holds.0, holds.1, true)?,
            profiles: Mapped::new(profiles.0, profiles.1, false)?,
            wakes: wakes.try_clone_to_owned()?,
            ring: RingEnds::new(wakes)?,
        })
    }

    /// Returns how many processes are stopped now.
    pub(crate) fn held(&self) -> u64 {
        let state = |cell| self.holds.word(cell, offset_of!(ebph_hold, state));
        let states = (0..self.holds.len()).filter_map(state);
        states.filter(|state| hold::kind(*state) == HELD).count() as u64
    }

    fn view<'a>(&'a self, board: &'a SharedWords) -> View<'a> {
        View {
            holds: self.holds.all(),
            profiles: self.profiles.all(),
            ring: self.ring.positions(),
            board: board.all(),
        }
    }
}

/// What became of the stops that a guardian ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub released: u64,
    /// Of these, those of processes that something else had stopped.
    pub left_stopped: u64,
    /// How long they should have taken.
    pub requested_ns: u64,
    pub observed_ns: u64,
    pub worst_excess_ns: u64,
    /// Signals that the kernel refused to send.
    pub refused: u64,
}

impl Counts {
    /// Adds what another guardian did.
    pub(crate) fn add(&mut self, other: &Self) {
        self.released += other.released;
        self.left_stopped += other.left_stopped;
        self.requested_ns += other.requested_ns;
        self.observed_ns += other.observed_ns;
        self.worst_excess_ns = self.worst_excess_ns.max(other.worst_excess_ns);
        self.refused += other.refused;
    }
}

/// A guardian. Dropping it continues whatever is stopped; nothing may be stopped after that.
#[derive(Debug)]
pub(crate) struct Guardian {
    parts: Arc<Parts>,
    board: SharedWords,
    pidfd: OwnedFd,
    /// Written to when there is something to look at.
    orders: OwnedFd,
    /// Its other end, so that to write to a guardian that is gone raises no SIGPIPE in the embedder.
    _ordered: OwnedFd,
    /// The process that started it. One that was forked from that has a copy of this, and no say.
    owner: u32,
}

impl Guardian {
    /// Forks the process, and waits until it watches. It may continue whom this process may now, so
    /// this takes `CAP_KILL`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if no process can be had, or it is not let do its work.
    pub(crate) fn start(parts: &Arc<Parts>) -> Result<Self> {
        let what = Error::io("starting the process that continues what is stopped");
        Self::fork(Arc::clone(parts)).map_err(what)
    }

    fn fork(parts: Arc<Parts>) -> io::Result<Self> {
        let board = SharedWords::new(view::board_words(parts.holds.len() as usize))?;
        let (ordered, orders) = io::pipe()?;
        fcntl_setfl(&ordered, OFlags::NONBLOCK)?;
        fcntl_setfl(&orders, OFlags::NONBLOCK)?;
        let (ready, telling) = io::pipe()?;
        let monitor = pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
        let files = child::Files {
            wakes: parts.wakes.as_raw_fd(),
            orders: ordered.as_raw_fd(),
            monitor: monitor.as_raw_fd(),
            ready: telling.as_raw_fd(),
        };
        let pidfd = child::start(parts.view(&board), files)?;
        drop(telling);
        let guardian = Self {
            parts,
            board,
            pidfd,
            orders: orders.into(),
            _ordered: ordered.into(),
            owner: std::process::id(),
        };
        // Not until the pipe is closed: a process that was forked meanwhile may have it open.
        await_either(&ready, &guardian.pidfd)?;
        fcntl_setfl(&ready, OFlags::NONBLOCK)?;
        match rustix::io::read(&ready, &mut [0]) {
            Ok(1..) => Ok(guardian),
            _ => Err(io::Error::other(
                "it ended at once: it may not open processes, or not send signals, or is in another \
                 pid namespace",
            )),
        }
    }

    fn view(&self) -> View<'_> {
        self.parts.view(&self.board)
    }

    /// Tells whether the guardian is gone although nobody asked it to. One that misses its times, as
    /// when somebody has stopped it, is woken by this.
    pub(crate) fn ended(&self) -> bool {
        if ends_within(&self.pidfd, Duration::ZERO) {
            return true;
        }
        let late = sys::boot_ns().saturating_sub(OVERDUE);
        let view = self.view();
        let overdue = (0..view.cells()).any(|cell| {
            let state = view.state(cell);
            hold::kind(state) == HELD && view.hold(cell, state).is_some_and(|hold| hold.due < late)
        });
        if overdue {
            self.wake();
        }
        false
    }

    /// Continues everything that is stopped now; what is stopped later waits its time.
    pub(crate) fn release_all(&self) {
        self.view().raise(Word::Before, sys::boot_ns());
        self.wake();
    }

    pub(crate) fn counts(&self) -> Counts {
        let view = self.view();
        Counts {
            released: view.word(Word::Released),
            left_stopped: view.word(Word::LeftStopped),
            requested_ns: view.word(Word::Requested),
            observed_ns: view.word(Word::Observed),
            worst_excess_ns: view.word(Word::WorstExcess),
            refused: view.word(Word::Refused),
        }
    }

    /// Continues whatever is stopped, and returns what was done. Nothing may be stopped after this.
    pub(crate) fn end(self) -> Counts {
        self.finish();
        self.counts()
    }

    fn finish(&self) {
        if std::process::id() != self.owner || self.view().raise(Word::End, 1) != 0 {
            return;
        }
        self.wake();
        if !ends_within(&self.pidfd, PATIENCE) {
            log::warn!("the process that continues what is stopped does not end, and is killed");
            // SANITY: if that fails it has ended.
            let _killed = pidfd_send_signal(&self.pidfd, Signal::KILL);
        }
        sys::reap(self.pidfd.as_fd());
        self.bury();
    }

    /// Has the guardian look, whatever it waits for.
    fn wake(&self) {
        // SANITY: a full pipe is readable, and that nobody is there to read it `ended` finds out.
        let _written = rustix::io::write(&self.orders, b".");
        let _going = pidfd_send_signal(&self.pidfd, Signal::CONT);
    }

    /// Does what a guardian that is gone has left undone.
    pub(crate) fn bury(&self) {
        let view = self.view();
        for cell in 0..view.cells() {
            let state = view.state(cell);
            if hold::kind(state) != ENDING {
                continue;
            }
            if let Some(hold) = view.hold(cell, state)
                && hold::way(hold.signal) != Way::Leave
            {
                resume(hold.pid, hold.start);
            }
            view.change(cell, state, with_kind(state, FREE));
        }
        let mut tries = LAST.as_millis();
        while pass::pass(view, true, false).busy > 0 && tries > 0 {
            thread::sleep(Duration::from_millis(1));
            tries -= 1;
        }
    }
}

impl AsFd for Guardian {
    /// Readable once it is gone.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Waits until one of them is readable, or closed.
fn await_either(first: &impl AsFd, second: &impl AsFd) -> io::Result<()> {
    let mut fds =
        [first.as_fd(), second.as_fd()].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    loop {
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => {}
            woken => return Ok(woken.map(drop)?),
        }
    }
}

fn ends_within(pidfd: &OwnedFd, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let wait = Timespec::try_from(left).unwrap_or_default();
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&wait)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Continues a process that a guardian may or may not have continued before it was killed. It may have
/// exited since, and its pid be another's: that is told by its start (boot ns).
fn resume(pid: u32, start: u64) {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    let Ok(pidfd) = pidfd_open(id, PidfdFlags::empty()) else {
        return;
    };
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    if start_ticks(&stat).is_some() && start_ticks(&stat) == ticks(Duration::from_nanos(start)) {
        // SANITY: whoever is gone needs no signal.
        let _sent = pidfd_send_signal(&pidfd, Signal::CONT);
    }
}
