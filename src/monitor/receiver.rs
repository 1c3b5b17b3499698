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
pub(crate) struct Tally {
    pub delivered: AtomicU64,
    pub lost: AtomicU64,
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
}

impl<T> Receiver<T> {
    /// Waits for the next one.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when the monitor has stopped and the queue is empty.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.queue.recv().map_err(|_| RecvError)
    }

    /// Returns the next one if it is there.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] when nothing waits, [`TryRecvError::Disconnected`] when nothing
    /// ever will.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.queue.try_recv() {
            Ok(item) => return Ok(item),
            Err(channel::TryRecvError::Disconnected) => return Err(TryRecvError::Disconnected),
            Err(channel::TryRecvError::Empty) => self.signal.clear(),
        }
        let again = self.queue.try_recv();
        if !matches!(again, Err(channel::TryRecvError::Empty)) {
            self.signal.raise_again();
        }
        again.map_err(|error| match error {
            channel::TryRecvError::Empty => TryRecvError::Empty,
            channel::TryRecvError::Disconnected => TryRecvError::Disconnected,
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
            .map_err(|error| match error {
                channel::RecvTimeoutError::Timeout => RecvTimeoutError::Timeout,
                channel::RecvTimeoutError::Disconnected => RecvTimeoutError::Disconnected,
            })
    }

    /// Returns an iterator that waits for each item, and ends when the monitor has stopped.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.queue.iter()
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
    /// Losses that the receiver has not been told of, by place.
    untold: [(LossPlace, u64); 2],
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

    fn pair<T>(capacity: usize, wanted: EventMask) -> (Self, Receiver<T>)
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
            untold: [(LossPlace::Ring, 0), (LossPlace::Channel, 0)],
            since_anomaly: 0,
        };
        let receiver = Receiver {
            queue,
            signal,
            tally,
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
                self.untold[1].1 += 1;
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
        self.untold[0].1 += count;
        self.since_anomaly += count;
        self.tell_losses();
        self.signal.raise();
    }

    /// Puts the word of losses into the queue; false if there was no room for it.
    fn tell_losses(&mut self) -> Option<bool> {
        if !self.wanted.contains(EventKind::Lost) {
            return Some(true);
        }
        for (place, count) in &mut self.untold {
            if *count > 0 {
                match self.queue.put(Event::Lost(Lost::now(*count, *place))) {
                    Some(true) => *count = 0,
                    other => return other,
                }
            }
        }
        Some(true)
    }

    /// Tells, at the end, of losses that no later event could tell of.
    pub(crate) fn close(&mut self) {
        self.tell_losses();
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
    /// The end is something to see as well.
    fn drop(&mut self) {
        // The queue must be gone before the file says so.
        self.queue = Box::new(channel::bounded::<Event>(0).0);
        self.signal.raise_again();
    }
}
