//! Who receives, and what became of the events.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::event::decode::decode;
use crate::event::{Event, EventKind, Warning, WarningKind};
use crate::monitor::late::Late;
use crate::monitor::receiver::{Subscriber, Tally};
use crate::stats::{EventStats, ReceiverStats};

/// All receivers. Shared by the monitor, its worker and its keeper.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    subscribers: Mutex<Subscribers>,
    /// Records read from the ring.
    taken: AtomicU64,
    undecodable: AtomicU64,
    pub panics: AtomicU64,
}

#[derive(Debug, Default)]
struct Subscribers {
    list: Vec<Subscriber>,
    /// Those that were there at the end.
    ended: Vec<Arc<Tally>>,
    /// What receivers that are gone had got and lost.
    past: (u64, u64),
    closed: bool,
}

impl Subscribers {
    /// Forgets the receivers that were dropped, but for their counts.
    fn retire(&mut self) {
        let Self { list, past, .. } = self;
        list.retain(|subscriber| {
            let tally = subscriber.tally();
            let there = !tally.is_gone();
            if !there {
                let had = tally.stats();
                past.0 += had.delivered;
                past.1 += had.lost;
            }
            there
        });
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Subscribers> {
        // A panic while it was held leaves a list that is still one.
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a receiver; after the end it is closed at once.
    pub(crate) fn subscribe(&self, subscriber: Subscriber) {
        let mut subscribers = self.lock();
        // Those who want no event that comes would never be found to be gone.
        subscribers.retire();
        if !subscribers.closed {
            subscribers.list.push(subscriber);
        }
    }

    pub(crate) fn deliver(&self, event: &Event) {
        let mut subscribers = self.lock();
        let mut all_there = true;
        for subscriber in &mut subscribers.list {
            all_there &= subscriber.deliver(event);
        }
        if !all_there {
            subscribers.retire();
        }
    }

    /// Hands one record of the ring on and returns what it was, or says that it cannot be understood.
    pub(super) fn take(
        &self,
        record: &[u8],
        clock: &Clock,
        late: &Late,
        lost_seen: &mut u64,
    ) -> Option<EventKind> {
        self.taken.fetch_add(1, Ordering::Relaxed);
        match decode(record, clock, *lost_seen) {
            Ok(mut decoded) => {
                late.complete(&mut decoded.event);
                self.note_losses(lost_seen, decoded.lost);
                self.deliver(&decoded.event);
                Some(decoded.event.kind())
            }
            Err(error) => {
                log::warn!("a record of {} bytes: {error}", record.len());
                self.undecodable.fetch_add(1, Ordering::Relaxed);
                self.warn(WarningKind::Undecodable, 1);
                None
            }
        }
    }

    /// Says that the kernel found the ring full, where the gap is.
    pub(crate) fn note_losses(&self, seen: &mut u64, now: u64) {
        if now > *seen {
            for subscriber in &mut self.lock().list {
                subscriber.lost_in_ring(*seen, now);
            }
            *seen = now;
        }
    }

    pub(crate) fn warn(&self, what: WarningKind, count: u64) {
        self.deliver(&Event::Warning(Warning::now(what, count)));
    }

    /// Ends all receivers; what they were not told of is theirs to find.
    pub(crate) fn close(&self) {
        let mut subscribers = self.lock();
        subscribers.closed = true;
        subscribers.retire();
        let list = std::mem::take(&mut subscribers.list);
        let ended = list.iter().map(|one| Arc::clone(one.tally()));
        subscribers.ended.extend(ended);
    }

    /// Says what became of the events, over all receivers there ever were; returns those that are
    /// there, and at the end those that were.
    pub(crate) fn count(&self, events: &mut EventStats) -> Vec<ReceiverStats> {
        let subscribers = self.lock();
        let (mut delivered, mut lost) = subscribers.past;
        let mut receivers = Vec::new();
        let there = subscribers.list.iter().map(Subscriber::tally);
        for tally in there.chain(&subscribers.ended) {
            let one = tally.stats();
            delivered += one.delivered;
            lost += one.lost;
            if subscribers.closed || !tally.is_gone() {
                receivers.push(one);
            }
        }
        events.delivered = delivered;
        events.lost_in_channels = lost;
        events.read = self.taken.load(Ordering::Relaxed);
        events.undecodable = self.undecodable.load(Ordering::Relaxed);
        events.handler_panics = self.panics.load(Ordering::Relaxed);
        receivers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventMask;

    /// Check that a record that cannot be understood is counted and told of, and harms nothing.
    #[test]
    fn surprises_from_the_ring() {
        let hub = Hub::default();
        let (subscriber, events) = Subscriber::events(4, EventMask::default());
        hub.subscribe(subscriber);
        let mut lost = 0;
        for record in [&b""[..], &[0; 7], &[0xff; 736]] {
            hub.take(record, &Clock::now(), &Late::new(false), &mut lost);
        }
        hub.close();
        let mut stats = EventStats::default();
        hub.count(&mut stats);
        assert_eq!((stats.read, stats.undecodable), (3, 3));
        assert_eq!(lost, 0);
        let told: Vec<_> = events.iter().collect();
        assert_eq!(told.len(), 3);
        for event in told {
            let Event::Warning(warning) = event else {
                panic!("{event}");
            };
            assert_eq!(warning.what, WarningKind::Undecodable);
        }
    }

    /// Check that receivers that come and go leave nothing behind, though no event comes.
    #[test]
    fn passers_by() {
        let hub = Hub::default();
        let (first, events) = Subscriber::events(4, EventMask::default());
        hub.subscribe(first);
        hub.warn(WarningKind::Contention, 1);
        for _ in 0..100 {
            let (subscriber, anomalies) = Subscriber::anomalies(4);
            hub.subscribe(subscriber);
            drop(anomalies);
        }
        assert!(hub.lock().list.len() < 4);
        drop(events);
        hub.close();
        assert!(hub.count(&mut EventStats::default()).is_empty());
    }

    /// Check that a gap is told of where it is, also when the queue was full meanwhile.
    #[test]
    fn gaps() {
        let hub = Hub::default();
        let (subscriber, events) = Subscriber::events(3, EventMask::default());
        hub.subscribe(subscriber);
        let mut seen = 0;
        for _ in 0..3 {
            hub.warn(WarningKind::Contention, 1);
        }
        hub.note_losses(&mut seen, 5);
        hub.note_losses(&mut seen, 5);
        hub.note_losses(&mut seen, 7);
        hub.close();
        let counts: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Lost(lost) => Some(lost.count),
                _ => None,
            })
            .collect();
        assert_eq!(counts, [7]);
    }
}
