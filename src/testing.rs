//! Events without a kernel: for those who test what they do with events.
//!
//! A [`Stub`] stands where a [`Monitor`](crate::Monitor) would be. It needs no privileges and no
//! kernel of any age. Receivers and handlers are the very ones that a monitor has: queues of the
//! same size, a thread for each handler, losses counted and told alike. Events come from samples
//! ([`sample`]), from JSON that a monitor once wrote, or from [`Program`]s whose system calls are
//! named, learnt and judged by the [`Detector`](crate::Detector), so that anomalies are real ones.
//!
//! Events come when the test says so, in its order; [`Stub::finish`] waits until handlers have
//! taken all. No test of a handler needs to sleep.
//!
//! # Examples
//!
//! A handler that counts what is grave:
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use ebph::{Event, EventKind, Severity, testing};
//!
//! let grave = Arc::new(AtomicU64::new(0));
//! let counted = Arc::clone(&grave);
//!
//! let mut stub = testing::Stub::new();
//! stub.handler(move |event: &Event| {
//!     if event.severity() >= Severity::Medium {
//!         counted.fetch_add(1, Ordering::Relaxed);
//!     }
//! })?;
//! stub.send(&testing::sample(EventKind::ProfileFrozen));
//! stub.send(&testing::sample(EventKind::Anomaly));
//! stub.finish();
//! assert_eq!(grave.load(Ordering::Relaxed), 1);
//! # Ok::<(), ebph::Error>(())
//! ```
//!
//! A program that is learnt, and then does something else:
//!
//! ```
//! use ebph::detector::Command;
//! use ebph::testing::Stub;
//!
//! let stub = Stub::new();
//! let anomalies = stub.anomalies();
//!
//! let mut program = stub.program("/usr/bin/greet");
//! for _ in 0..3 {
//!     program.exec();
//!     program.calls(["openat", "read", "write", "close"])?;
//! }
//! program.command(Command::Normalize);
//! program.exec();
//! program.calls(["openat", "read", "socket"])?;
//!
//! let anomaly = anomalies.recv()?;
//! assert_eq!(anomaly.symbol.name(), "socket");
//! assert_eq!(anomaly.misses(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod program;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::error::Result;
use crate::event::{Event, EventHandler, EventKind, EventMask, Host, samples};
use crate::monitor::hub::Hub;
use crate::monitor::receiver::{Anomalies, Events, Subscriber};
use crate::monitor::worker;
use crate::stats::EventStats;

pub use program::Program;

/// Returns an event of a kind, as it might happen, the same each time.
///
/// They tell of a web server in a container, on x86-64; the documentation of events shows them.
///
/// # Examples
///
/// ```
/// use ebph::{EventKind, testing};
///
/// for &kind in EventKind::ALL {
///     println!("{}", testing::sample(kind));
/// }
/// ```
///
/// What is special about an event is changed in it:
///
/// ```
/// use ebph::{Event, EventKind, ResponseAction, testing};
///
/// let mut event = testing::sample(EventKind::Response);
/// if let Event::Response(response) = &mut event {
///     response.action = ResponseAction::DenyExec;
///     response.target = Some("/bin/sh".into());
/// }
/// assert!(event.to_string().contains("DENIED EXEC: /usr/sbin/nginx"));
/// ```
pub fn sample(kind: EventKind) -> Event {
    samples::sample(kind)
}

/// Returns the machine that the samples might be of.
pub fn sample_host() -> Host {
    samples::host()
}

/// Stands where a monitor would be; see the [module](self).
///
/// Dropping it ends all receivers, and waits for handlers to take what they have been sent.
pub struct Stub {
    hub: Arc<Hub>,
    handlers: Vec<JoinHandle<()>>,
    channel_capacity: usize,
    wanted: EventMask,
    sent: AtomicU64,
    /// Events that were made to be lost.
    lost: Mutex<Losses>,
}

#[derive(Default)]
struct Losses {
    count: u64,
    told: u64,
}

impl fmt::Debug for Stub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stub")
            .field("handlers", &self.handlers.len())
            .field("channel_capacity", &self.channel_capacity)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

impl Default for Stub {
    fn default() -> Self {
        Self::new()
    }
}

impl Stub {
    /// A stub with queues of 8192 events, as a monitor has them, and all events but
    /// [`Event::NewSequence`].
    pub fn new() -> Self {
        Self {
            hub: Arc::default(),
            handlers: Vec::new(),
            channel_capacity: 8192,
            wanted: EventMask::default(),
            sent: AtomicU64::new(0),
            lost: Mutex::default(),
        }
    }

    /// Sets how many events wait for each receiver and handler that is added from now on; as of
    /// a monitor's, at least 3 for one that is told of losses.
    #[must_use]
    pub fn channel_capacity(mut self, events: usize) -> Self {
        self.channel_capacity = events;
        self
    }

    /// Sets which kinds of events [`Program`]s send, and handlers added from now on see.
    #[must_use]
    pub fn with_events(mut self, wanted: EventMask) -> Self {
        self.wanted = wanted;
        self
    }

    /// Adds a handler, which has a thread of its own and sees every event from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) if there can be no more threads.
    pub fn handler(&mut self, handler: impl EventHandler) -> Result<()> {
        let (subscriber, events) = Subscriber::handler(None, self.channel_capacity, self.wanted);
        self.hub.subscribe(subscriber);
        let thread = worker::spawn_handler(Box::new(handler), events, Arc::clone(&self.hub))?;
        self.handlers.push(thread);
        Ok(())
    }

    /// Returns a receiver of every event from now on, as
    /// [`Monitor::events`](crate::Monitor::events) does.
    pub fn events(&self) -> Events {
        let (subscriber, events) = Subscriber::events(self.channel_capacity, EventMask::ALL);
        self.hub.subscribe(subscriber);
        events
    }

    /// Returns a receiver of anomalies alone, as [`Monitor::anomalies`](crate::Monitor::anomalies)
    /// does.
    pub fn anomalies(&self) -> Anomalies {
        let (subscriber, anomalies) = Subscriber::anomalies(self.channel_capacity);
        self.hub.subscribe(subscriber);
        anomalies
    }

    /// Sends an event to all that are there. What an anomaly says of losses before it is made to
    /// fit each receiver, as it is in a monitor.
    pub fn send(&self, event: &Event) {
        let own = matches!(
            event.kind(),
            EventKind::Lost | EventKind::Warning | EventKind::ProfileSetAside
        );
        self.sent.fetch_add(u64::from(!own), Ordering::Relaxed);
        self.hub.deliver(event);
    }

    /// Sends an event that is given as JSON, one object as [`Event::to_json`] writes it.
    ///
    /// # Errors
    ///
    /// If it is no event, which field is not what it should be.
    ///
    /// # Examples
    ///
    /// ```
    /// let stub = ebph::testing::Stub::new();
    /// let events = stub.events();
    /// stub.send_json(
    ///     r#"{"schema":1,"event":"lost","time":"2026-11-22T09:00:00Z","boot_ns":5,
    ///         "place":"ring","count":3}"#,
    /// )?;
    /// assert!(events.recv()?.to_string().contains("LOST 3 events"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_json(&self, json: &str) -> serde_json::Result<()> {
        self.send(&serde_json::from_str(json)?);
        Ok(())
    }

    /// Loses so many events, as if the buffer between kernel and monitor had been full: receivers
    /// are told by [`Event::Lost`], and by the next anomaly's `lost_before`.
    pub fn lose(&self, events: u64) {
        // A panic while it was held leaves counts that are still such.
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.count = lost.count.saturating_add(events);
        let Losses { count, told } = &mut *lost;
        self.hub.note_losses(told, *count);
    }

    /// Returns what became of the events, as in [`Stats::events`](crate::Stats::events): those
    /// that were made to be lost were lost in the ring.
    pub fn stats(&self) -> EventStats {
        let mut stats = EventStats::default();
        self.hub.count(&mut stats);
        stats.read = self.sent.load(Ordering::Relaxed);
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        stats.lost_in_ring = lost.count;
        stats.submitted = stats.read + stats.lost_in_ring;
        stats
    }

    /// Returns a program that makes the calls it is told to, and has a profile that knows nothing.
    pub fn program(&self, exe: impl Into<PathBuf>) -> Program<'_> {
        Program::new(self, exe.into())
    }

    /// Ends all receivers, waits until handlers have taken all they were sent, and returns what
    /// became of the events.
    pub fn finish(mut self) -> EventStats {
        self.end();
        self.stats()
    }

    fn end(&mut self) {
        self.hub.close();
        let here = std::thread::current().id();
        for handler in self.handlers.drain(..) {
            // A handler that holds the stub and drops it cannot wait for itself.
            if handler.thread().id() != here {
                // SANITY: panics of handlers are caught and counted.
                let _ended = handler.join();
            }
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.end();
    }
}
