//! The receiving ends: each gets every event, and loses only what it is too slow for.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvError, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use crossbeam_channel as channel;

use crate::error::Result;
use crate::event::{Anomaly, Event, EventKind, EventMask, LossPlace, Lost};
use crate::monitor::signal::Signal;

/// A receiver of all events, see [`Monitor::events`](crate::Monitor::events).
pub type Events = Receiver<Event>;

/// A receiver of anomalies, see [`Monitor::anomalies`](crate::Monitor::anomalies).
pub type Anomalies = Receiver<Anomaly>;

/// What a receiver and its sender both count.
#[derive(Debug, Default)]
struct Tally {
    delivered: AtomicU64,
    lost: AtomicU64,
    /// At the end: losses that no room was left to tell of, in the ring and in the queue.
    untold: [AtomicU64; PLACES.len()],
}

const PLACES: [LossPlace; 2] = [LossPlace::Ring, LossPlace::Channel];

/// What a receiver can receive.
trait Item: Sized {
    /// Says that events were lost, if it can be said.
    fn lost(count: u64, place: LossPlace) -> Option<Self>;
}

impl Item for Event {
    fn lost(count: u64, place: LossPlace) -> Option<Self> {
        Some(Self::Lost(Lost::now(count, place)))
    }
}

impl Item for Anomaly {
    fn lost(_: u64, _: LossPlace) -> Option<Self> {
        None
    }
}

/// One receiver of what a monitor reports.
///
/// It goes on after the monitor has stopped until its queue is empty; then it ends. Its file
/// ([`AsFd`]) is readable while something waits, or when the monitor has stopped, and fits any
/// reactor that is told of levels, not edges: on a readable file, call
/// [`try_recv`](Self::try_recv) until it says [`Empty`](TryRecvError::Empty).
#[derive(Debug)]
pub struct Receiver<T> {
    queue: channel::Receiver<T>,
    signal: Arc<Signal>,
    tally: Arc<Tally>,
    last_word: fn(u64, LossPlace) -> Option<T>,
}

impl<T> Receiver<T> {
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
        self.queue
            .recv()
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
        next.or_else(|error| match error {
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
        self.queue
            .recv_timeout(timeout)
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

    /// Returns how many this receiver has lost because its queue was full.
    pub fn lost(&self) -> u64 {
        self.tally.lost.load(Ordering::Relaxed)
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

/// What a queue takes of an event.
trait Queue: Send {
    /// Puts it in; false if there is no room, `None` if nobody is there to receive.
    fn put(&self, event: Event) -> Option<bool>;
}

impl Queue for channel::Sender<Event> {
    fn put(&self, event: Event) -> Option<bool> {
        answer(self.try_send(event))
    }
}

impl Queue for channel::Sender<Anomaly> {
    fn put(&self, event: Event) -> Option<bool> {
        match event {
            Event::Anomaly(anomaly) => answer(self.try_send(*anomaly)),
            // Losses are told by the next anomaly's `lost_before`.
            _ => Some(true),
        }
    }
}

fn answer<T>(result: std::result::Result<(), channel::TrySendError<T>>) -> Option<bool> {
    match result {
        Ok(()) => Some(true),
        Err(channel::TrySendError::Full(_)) => Some(false),
        Err(channel::TrySendError::Disconnected(_)) => None,
    }
}

/// The sending end of one receiver.
pub(crate) struct Subscriber {
    queue: Box<dyn Queue>,
    signal: Arc<Signal>,
    tally: Arc<Tally>,
    wanted: EventMask,
    /// Losses that the receiver has not been told of, in the ring and in the queue.
    untold: [u64; PLACES.len()],
    /// Losses anywhere since the last anomaly it got.
    since_anomaly: u64,
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

impl Subscriber {
    /// Makes both ends of a queue for all events of some kinds.
    pub(crate) fn events(capacity: usize, wanted: EventMask) -> (Self, Events) {
        Self::pair(capacity, wanted)
    }

    /// Makes both ends of a queue for anomalies alone.
    pub(crate) fn anomalies(capacity: usize) -> (Self, Anomalies) {
        Self::pair(capacity, EventMask::NONE.with(EventKind::Anomaly))
    }

    fn pair<T: Item>(capacity: usize, wanted: EventMask) -> (Self, Receiver<T>)
    where
        channel::Sender<T>: Queue + 'static,
    {
        let (sender, queue) = channel::bounded(capacity);
        let signal = Arc::new(Signal::new());
        let tally = Arc::new(Tally::default());
        let subscriber = Self {
            queue: Box::new(sender),
            signal: Arc::clone(&signal),
            tally: Arc::clone(&tally),
            wanted,
            untold: [0; PLACES.len()],
            since_anomaly: 0,
        };
        let receiver = Receiver {
            queue,
            signal,
            tally,
            last_word: T::lost,
        };
        (subscriber, receiver)
    }

    /// Hands an event over, or counts it as lost; false if the receiver is gone.
    pub(crate) fn deliver(&mut self, event: &Event) -> bool {
        if !self.wanted.contains(event.kind()) {
            return true;
        }
        let mut event = event.clone();
        if let Event::Anomaly(anomaly) = &mut event {
            anomaly.context.lost_before = self.since_anomaly;
        }
        let kind = event.kind();
        // An event must not overtake the word of the gap before it.
        let taken = match self.tell_losses() {
            Some(true) => self.queue.put(event),
            other => other,
        };
        let counted = kind != EventKind::Warning;
        match taken {
            Some(true) if counted => {
                self.tally.delivered.fetch_add(1, Ordering::Relaxed);
                if kind == EventKind::Anomaly {
                    self.since_anomaly = 0;
                }
            }
            Some(false) => {
                // A warning that is lost is told of as well, but is no event of the kernel's.
                self.untold[1] += 1;
                if counted {
                    self.since_anomaly += 1;
                    self.tally.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            _ => {}
        }
        self.signal.raise();
        taken.is_some()
    }

    /// Notes events that never reached user space, and says so if there is room.
    pub(crate) fn lost_in_ring(&mut self, count: u64) {
        self.untold[0] += count;
        self.since_anomaly += count;
        self.tell_losses();
        self.signal.raise();
    }

    /// Puts the word of losses into the queue; false if there was no room for it.
    fn tell_losses(&mut self) -> Option<bool> {
        if !self.wanted.contains(EventKind::Lost) {
            return Some(true);
        }
        for (place, count) in PLACES.into_iter().zip(&mut self.untold) {
            if *count > 0 {
                match self.queue.put(Event::Lost(Lost::now(*count, place))) {
                    Some(true) => *count = 0,
                    other => return other,
                }
            }
        }
        Some(true)
    }

    /// Returns how many events of the kernel it got, and how many of them it lost.
    pub(crate) fn tally(&self) -> (u64, u64) {
        (
            self.tally.delivered.load(Ordering::Relaxed),
            self.tally.lost.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Subscriber {
    /// The end is something to see as well, and the receiver's to tell what is still untold.
    fn drop(&mut self) {
        if self.wanted.contains(EventKind::Lost) {
            for (to, count) in self.tally.untold.iter().zip(self.untold) {
                to.store(count, Ordering::Relaxed);
            }
        }
        // The queue must be gone before the file says so.
        self.queue = Box::new(channel::bounded::<Event>(0).0);
        self.signal.raise_again();
    }
}
