//! The thread that takes events out of the ring and hands them on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::{EventHandler, EventKind, WarningKind};
use crate::loader;
use crate::monitor::hub::Hub;
use crate::monitor::keeper::Keeper;
use crate::monitor::late::Late;
use crate::monitor::receiver::Events;
use crate::monitor::responder::Responder;
use crate::monitor::signal::Signal;
use crate::monitor::surprises::Surprises;

/// Records taken in one go, between looks at the request to stop.
const BATCH: usize = 256;
/// How often counters that no event announces are looked at.
const WATCH: Duration = Duration::from_millis(500);

/// What the worker owns.
pub(crate) struct Worker {
    pub events: loader::Events,
    pub surprises: Surprises,
    pub hub: Arc<Hub>,
    pub stop: Arc<Signal>,
    pub keeper: Arc<Keeper>,
    pub responder: Arc<Responder>,
    pub late: Late,
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
            if self.responder.look_after_guardian() {
                self.hub.warn(WarningKind::Guardian, 1);
            }
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
        let guard = self.responder.guard();
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.events.as_fd(), PollFlags::IN),
            PollFd::new(&*self.stop, PollFlags::IN),
        ];
        fds.extend(guard.iter().map(|guard| PollFd::new(guard, PollFlags::IN)));
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
        let mut new_files = false;
        for record in &records {
            let kind = self.hub.take(record, &clock, &self.late, lost_seen);
            new_files |= kind == Some(EventKind::ProfileCreated);
        }
        if new_files {
            self.responder.look_at_files();
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
        // Events of new profiles may be unwanted, or lost.
        self.responder.look_at_files();
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
