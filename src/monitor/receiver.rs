//! The receiving ends: each gets every event, and loses only what it is too slow for.

mod sender;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvError, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel as channel;

use crate::error::Result;
use crate::event::{Anomaly, Event, LossPlace, Lost};
use crate::monitor::signal::Signal;
use crate::stats::{ReceiverKind, ReceiverStats};

pub(crate) use sender::Subscriber;

/// A receiver of all events, see [`Monitor::events`](crate::Monitor::events).
pub type Events = Receiver<Event>;

/// A receiver of anomalies, see [`Monitor::anomalies`](crate::Monitor::anomalies).
pub type Anomalies = Receiver<Anomaly>;

/// What a receiver and its sender both count.
#[derive(Debug)]
pub(crate) struct Tally {
    kind: ReceiverKind,
    name: OnceLock<String>,
    capacity: usize,
    delivered: AtomicU64,
    lost: AtomicU64,
    /// Events of the monitor's own that were lost.
    lost_notices: AtomicU64,
    /// Whatever went into the queue, and came out of it.
    put: AtomicU64,
    taken: AtomicU64,
    /// The receiver was dropped.
    gone: AtomicBool,
    /// At the end: losses that no room was left to tell of, in the ring and in the queue.
    untold: [AtomicU64; PLACES.len()],
}

impl Tally {
    fn new(kind: ReceiverKind, name: Option<String>, capacity: usize) -> Self {
        Self {
            kind,
            name: name.map(OnceLock::from).unwrap_or_default(),
            capacity,
            delivered: AtomicU64::default(),
            lost: AtomicU64::default(),
            lost_notices: AtomicU64::default(),
            put: AtomicU64::default(),
            taken: AtomicU64::default(),
            gone: AtomicBool::default(),
            untold: Default::default(),
        }
    }

    /// Tells whether nobody is there to receive any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Returns what the receiver got and lost, and what waits for it.
    pub(crate) fn stats(&self) -> ReceiverStats {
        let taken = self.taken.load(Ordering::Relaxed);
        let waiting = match self.is_gone() {
            true => 0,
            // Something may be taken before it is counted as put.
            false => self.put.load(Ordering::Relaxed).saturating_sub(taken),
        };
        ReceiverStats {
            kind: self.kind,
            name: self.name.get().cloned(),
            delivered: self.delivered.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            lost_notices: self.lost_notices.load(Ordering::Relaxed),
            waiting,
            capacity: self.capacity as u64,
        }
    }
}

const PLACES: [LossPlace; 2] = [LossPlace::Ring, LossPlace::Channel];

/// What a receiver can receive.
trait Item: Sized {
    const KIND: ReceiverKind;

    /// Says that events were lost, if it can be said.
    fn lost(count: u64, place: LossPlace) -> Option<Self>;
}

impl Item for Event {
    const KIND: ReceiverKind = ReceiverKind::Events;

    fn lost(count: u64, place: LossPlace) -> Option<Self> {
        Some(Self::Lost(Lost::now(count, place)))
    }
}

impl Item for Anomaly {
    const KIND: ReceiverKind = ReceiverKind::Anomalies;

    fn lost(_: u64, _: LossPlace) -> Option<Self> {
        None
    }
}

/// One receiver of what a monitor reports.
///
/// It goes on after the monitor has stopped until its queue is empty; then it ends. Its file
/// ([`AsFd`]) is readable while something waits, or when the monitor has stopped, and fits any
/// reactor: on a readable file, call [`try_recv`](Self::try_recv) until it says
/// [`Empty`](TryRecvError::Empty), or [`Disconnected`](TryRecvError::Disconnected) at the end. A
/// reactor that is told of levels, as poll(2) is, may also take one at a time. One that is told of
/// edges must go on to the `Empty`: this is what makes the file unreadable, and the next event
/// readable once more.
///
/// # Examples
///
/// In tokio, with the receiver in an `AsyncFd`, `Empty` is what it knows as `WouldBlock`
/// (`examples/tokio.rs` is a whole program):
///
/// ```
/// use std::io;
/// use std::sync::mpsc::TryRecvError;
///
/// use ebph::Receiver;
/// use tokio::io::unix::AsyncFd;
///
/// /// Waits for the next one; `None` when the monitor has stopped.
/// async fn next<T>(receiver: &AsyncFd<Receiver<T>>) -> io::Result<Option<T>> {
///     loop {
///         let mut ready = receiver.readable().await?;
///         let next = ready.try_io(|receiver| match receiver.get_ref().try_recv() {
///             Ok(item) => Ok(Some(item)),
///             Err(TryRecvError::Disconnected) => Ok(None),
///             Err(TryRecvError::Empty) => Err(io::ErrorKind::WouldBlock.into()),
///         });
///         if let Ok(next) = next {
///             return next;
///         }
///     }
/// }
/// ```
#[must_use = "what is not received is lost"]
#[derive(Debug)]
pub struct Receiver<T> {
    queue: channel::Receiver<T>,
    signal: Arc<Signal>,
    tally: Arc<Tally>,
    last_word: fn(u64, LossPlace) -> Option<T>,
}

impl<T> Receiver<T> {
    /// Gives it a name, by which [`Stats::receivers`](crate::Stats::receivers) lists it; the first
    /// one stays.
    pub fn named(self, name: impl Into<String>) -> Self {
        // SANITY: a name that is there already stays, as said.
        let _first_stays = self.tally.name.set(name.into());
        self
    }

    /// Counts what came out of the queue.
    fn took<E>(&self, next: Result<T, E>) -> Result<T, E> {
        next.inspect(|_| {
            self.tally.taken.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// After the end: what the full queue had no room to tell.
    fn last_word(&self) -> Option<T> {
        PLACES
            .iter()
            .zip(&self.tally.untold)
            .find_map(|(place, count)| match count.swap(0, Ordering::Relaxed) {
                0 => None,
                count => (self.last_word)(count, *place),
            })
    }

    /// Waits for the next one.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when the monitor has stopped and the queue is empty.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.took(self.queue.recv())
            .or_else(|_| self.last_word().ok_or(RecvError))
    }

    /// Returns the next one if it is there.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] when nothing waits, [`TryRecvError::Disconnected`] when nothing
    /// ever will.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut next = self.queue.try_recv();
        if matches!(next, Err(channel::TryRecvError::Empty)) {
            self.signal.clear();
            next = self.queue.try_recv();
            if !matches!(next, Err(channel::TryRecvError::Empty)) {
                self.signal.raise_again();
            }
        }
        self.took(next).or_else(|error| match error {
            channel::TryRecvError::Empty => Err(TryRecvError::Empty),
            channel::TryRecvError::Disconnected => {
                self.last_word().ok_or(TryRecvError::Disconnected)
            }
        })
    }

    /// Waits for the next one, but no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] when nothing came in time,
    /// [`RecvTimeoutError::Disconnected`] when nothing ever will.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.took(self.queue.recv_timeout(timeout))
            .or_else(|error| match error {
                channel::RecvTimeoutError::Timeout => Err(RecvTimeoutError::Timeout),
                channel::RecvTimeoutError::Disconnected => {
                    self.last_word().ok_or(RecvTimeoutError::Disconnected)
                }
            })
    }

    /// Returns an iterator that waits for each item, and ends when the monitor has stopped.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.recv().ok())
    }

    /// Returns how many events this receiver has lost because its queue was full.
    pub fn lost(&self) -> u64 {
        self.tally.lost.load(Ordering::Relaxed)
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Box<dyn Iterator<Item = T> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.tally.gone.store(true, Ordering::Relaxed);
    }
}

impl<T> Iterator for Receiver<T> {
    type Item = T;

    /// Waits; `None` when the monitor has stopped and the queue is empty.
    fn next(&mut self) -> Option<T> {
        self.recv().ok()
    }
}

/// Where the file could not be made, since there were no descriptors left, this is one that no
/// reactor takes; receiving works all the same.
impl<T> AsFd for Receiver<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.as_fd()
    }
}

/// As [`AsFd`], for reactors that ask for a number: tokio's `AsyncFd` does. It is the same one, and
/// open, for as long as the receiver lives; it is not to be closed.
impl<T> AsRawFd for Receiver<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
