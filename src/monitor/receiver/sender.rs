//! The sending end of a receiver.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel as channel;

use super::{Anomalies, Events, Item, PLACES, Receiver, Tally};
use crate::event::{Anomaly, Event, EventKind, EventMask, Lost};
use crate::monitor::signal::Signal;
use crate::stats::ReceiverKind;

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

/// Room for the words of all losses and for the event after them. With less, each event would find
/// the queue full of the words of those before it.
const LEAST: usize = PLACES.len() + 1;

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
    /// What the ring had lost before there was this receiver.
    lost_before: u64,
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
        Self::pair(Event::KIND, None, capacity, wanted)
    }

    /// Makes both ends of a handler's queue.
    pub(crate) fn handler(
        name: Option<String>,
        capacity: usize,
        wanted: EventMask,
    ) -> (Self, Events) {
        Self::pair(ReceiverKind::Handler, name, capacity, wanted)
    }

    /// Makes both ends of a queue for anomalies alone.
    pub(crate) fn anomalies(capacity: usize) -> (Self, Anomalies) {
        let wanted = EventMask::NONE.with(EventKind::Anomaly);
        Self::pair(Anomaly::KIND, None, capacity, wanted)
    }

    fn pair<T: Item>(
        kind: ReceiverKind,
        name: Option<String>,
        capacity: usize,
        wanted: EventMask,
    ) -> (Self, Receiver<T>)
    where
        channel::Sender<T>: Queue + 'static,
    {
        let capacity = match wanted.contains(EventKind::Lost) {
            true => capacity.max(LEAST),
            false => capacity,
        };
        let (sender, queue) = channel::bounded(capacity);
        let signal = Arc::new(Signal::new());
        let tally = Arc::new(Tally::new(kind, name, capacity));
        let subscriber = Self {
            queue: Box::new(sender),
            signal: Arc::clone(&signal),
            tally: Arc::clone(&tally),
            wanted,
            untold: [0; PLACES.len()],
            since_anomaly: 0,
            lost_before: 0,
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
            Some(true) => self.put(event),
            other => other,
        };
        let counted = kind.is_from_kernel();
        match taken {
            Some(true) if counted => {
                self.tally.delivered.fetch_add(1, Ordering::Relaxed);
                if kind == EventKind::Anomaly {
                    self.since_anomaly = 0;
                }
            }
            Some(false) => {
                // A warning that is lost is told of as well, but is no event of the kernel's.
                self.untold[1] = self.untold[1].saturating_add(1);
                let lost = if counted {
                    self.since_anomaly = self.since_anomaly.saturating_add(1);
                    &self.tally.lost
                } else {
                    &self.tally.lost_notices
                };
                lost.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        self.signal.raise();
        taken.is_some()
    }

    /// The same, for a receiver that comes when the ring has lost so many events already.
    pub(crate) fn since(mut self, lost: u64) -> Self {
        self.lost_before = lost;
        self
    }

    /// Notes that the ring has lost `now` events in all, and `seen` before, and says so if there is
    /// room.
    pub(crate) fn lost_in_ring(&mut self, seen: u64, now: u64) {
        let count = now.saturating_sub(seen.max(self.lost_before));
        if count == 0 {
            return;
        }
        self.untold[0] = self.untold[0].saturating_add(count);
        self.since_anomaly = self.since_anomaly.saturating_add(count);
        self.tell_losses();
        self.signal.raise();
    }

    fn put(&self, event: Event) -> Option<bool> {
        let taken = self.queue.put(event);
        if taken == Some(true) {
            self.tally.put.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Puts the word of losses into the queue; false if there was no room for it.
    fn tell_losses(&mut self) -> Option<bool> {
        if !self.wanted.contains(EventKind::Lost) {
            return Some(true);
        }
        for (at, place) in PLACES.into_iter().enumerate() {
            let count = self.untold[at];
            if count > 0 {
                match self.put(Event::Lost(Lost::now(count, place))) {
                    Some(true) => self.untold[at] = 0,
                    other => return other,
                }
            }
        }
        Some(true)
    }

    /// Returns what it and its receiver count, which outlives both.
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.tally
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
