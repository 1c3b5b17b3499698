//! The thread that takes events out of the ring and hands them on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::decode::decode;
use crate::event::{Event, EventHandler, Warning, WarningKind};
use crate::loader;
use crate::monitor::keeper::Keeper;
use crate::monitor::receiver::{Events, Subscriber};
use crate::monitor::signal::Signal;
use crate::monitor::surprises::Surprises;
use crate::stats::EventStats;

/// Records taken in one go, between looks at the request to stop.
const BATCH: usize = 256;
/// How often counters that no event announces are looked at.
const WATCH: Duration = Duration::from_millis(500);

/// Who receives, and what became of the events. Shared by the monitor and its worker.
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
    /// What receivers that are gone had got and lost.
    past: (u64, u64),
    closed: bool,
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
        if !subscribers.closed {
            subscribers.list.push(subscriber);
        }
    }

    pub(crate) fn deliver(&self, event: &Event) {
        let mut subscribers = self.lock();
        let Subscribers { list, past, .. } = &mut *subscribers;
        list.retain_mut(|subscriber| {
            let there = subscriber.deliver(event);
            if !there {
                let (delivered, lost) = subscriber.tally();
                past.0 += delivered;
                past.1 += lost;
            }
            there
        });
    }

    /// Hands one record of the ring on, or says that it cannot be understood.
    fn take(&self, record: &[u8], clock: &Clock, lost_seen: &mut u64) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        match decode(record, clock, *lost_seen) {
            Ok(decoded) => {
                self.note_losses(lost_seen, decoded.lost);
                self.deliver(&decoded.event);
            }
            Err(error) => {
                log::warn!("a record of {} bytes: {error}", record.len());
                self.undecodable.fetch_add(1, Ordering::Relaxed);
                self.warn(WarningKind::Undecodable, 1);
            }
        }
    }

    /// Says that the kernel found the ring full, where the gap is.
    fn note_losses(&self, seen: &mut u64, now: u64) {
        if let Some(count) = now.checked_sub(*seen).filter(|count| *count > 0) {
            *seen = now;
            for subscriber in &mut self.lock().list {
                subscriber.lost_in_ring(count);
            }
        }
    }

    pub(crate) fn warn(&self, what: WarningKind, count: u64) {
        self.deliver(&Event::Warning(Warning::now(what, count)));
    }

    /// Ends all receivers; what they were not told of is theirs to find.
    pub(crate) fn close(&self) {
        let mut subscribers = self.lock();
        subscribers.closed = true;
        let list = std::mem::take(&mut subscribers.list);
        for subscriber in list {
            let (delivered, lost) = subscriber.tally();
            subscribers.past.0 += delivered;
            subscribers.past.1 += lost;
        }
    }

    /// Says what became of the events, over all receivers there ever were.
    pub(crate) fn count(&self, events: &mut EventStats) {
        let subscribers = self.lock();
        (events.delivered, events.lost_in_channels) = subscribers
            .list
            .iter()
            .map(Subscriber::tally)
            .fold(subscribers.past, |sum, one| (sum.0 + one.0, sum.1 + one.1));
        events.read = self.taken.load(Ordering::Relaxed);
        events.undecodable = self.undecodable.load(Ordering::Relaxed);
        events.handler_panics = self.panics.load(Ordering::Relaxed);
    }
}

/// What the worker owns.
pub(crate) struct Worker {
    pub events: loader::Events,
    pub surprises: Surprises,
    pub hub: Arc<Hub>,
    pub stop: Arc<Signal>,
    pub keeper: Arc<Keeper>,
}

impl Worker {
    /// Starts the thread.
    pub(crate) fn spawn(self) -> Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name("ebph".to_owned())
            .spawn(move || {
                // Also if the worker panics: receivers must not wait for what never comes.
                let _close = Close(Arc::clone(&self.hub));
                self.run();
            })
            .map_err(Error::io("starting a thread"))
    }

    fn run(mut self) {
        let mut lost_seen = 0;
        let mut watched = Instant::now();
        while !self.wait() {
            self.drain(&mut lost_seen);
            if watched.elapsed() >= WATCH {
                watched = Instant::now();
                self.watch();
            }
        }
        // Everything was detached before the request to stop came: what is in the ring is all.
        while self.drain(&mut lost_seen) {}
        self.hub
            .note_losses(&mut lost_seen, self.surprises.lost_in_ring());
        self.watch();
    }

    /// Waits for events, for a while; true when it is time to stop.
    fn wait(&self) -> bool {
        let mut fds = [
            PollFd::from_borrowed_fd(self.events.as_fd(), PollFlags::IN),
            PollFd::new(&*self.stop, PollFlags::IN),
        ];
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: WATCH.as_nanos() as i64,
        };
        // SANITY: an interrupted wait is a short one.
        let _woken = poll(&mut fds, Some(&timeout));
        self.stop.is_raised()
    }

    /// Hands on what waits, a batch at most; false when nothing did.
    fn drain(&mut self, lost_seen: &mut u64) -> bool {
        let records = self.events.take(BATCH);
        let clock = Clock::now();
        for record in &records {
            self.hub.take(record, &clock, lost_seen);
        }
        if !records.is_empty() {
            self.keeper.nudge();
        }
        !records.is_empty()
    }

    fn watch(&mut self) {
        for (what, count) in self.surprises.look(&self.hub) {
            self.hub.warn(what, count);
        }
    }
}

struct Close(Arc<Hub>);

impl Drop for Close {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Starts the thread of a handler, with a queue of its own.
pub(crate) fn spawn_handler(
    mut handler: Box<dyn EventHandler>,
    events: Events,
    hub: Arc<Hub>,
) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("ebph-handler".to_owned())
        .spawn(move || {
            for event in events {
                // What a handler leaves half done in itself is its own affair.
                let handled = catch_unwind(AssertUnwindSafe(|| handler.handle(&event)));
                if handled.is_err() {
                    hub.panics.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
        .map_err(Error::io("starting a thread"))
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
            hub.take(record, &Clock::now(), &mut lost);
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

    /// Check that a gap is told of where it is, also when the queue was full meanwhile.
    #[test]
    fn gaps() {
        let hub = Hub::default();
        let (subscriber, events) = Subscriber::events(1, EventMask::default());
        hub.subscribe(subscriber);
        let mut seen = 0;
        hub.warn(WarningKind::Contention, 1);
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
