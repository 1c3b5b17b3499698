//! Where events go.

use super::Event;

/// Something that takes events: a closure, the sending end of a channel, or a type of your own.
///
/// Each handler has a thread of its own, so a slow one delays no other. Its queue is bounded:
/// when that is full, events are left out, counted, and announced to it by
/// [`Event::Lost`]. A panic is caught and counted, and the handler goes on with the next event.
///
/// Senders of bounded channels wait while their channel is full. Stopping the monitor waits for
/// its handlers, so keep receiving until it has stopped, or drop the receiver first. Events for a
/// channel whose receiver is gone are dropped in silence.
///
/// A closure must say what it takes: `|event: &Event| ...`. The compiler cannot find that out here, and says
/// that an implementation "is not general enough".
///
/// A handler begins before there is a [`Monitor`](crate::Monitor). Who wants to give the monitor commands because
/// of an event sends it to the thread that has the monitor. A handler that owns one may drop it.
///
/// # Examples
///
/// ```
/// use ebph::{Event, EventHandler};
///
/// struct Counter(u64);
///
/// impl EventHandler for Counter {
///     fn handle(&mut self, event: &Event) {
///         self.0 += u64::from(event.anomaly().is_some());
///     }
/// }
/// ```
pub trait EventHandler: Send + 'static {
    /// Takes one event.
    fn handle(&mut self, event: &Event);
}

impl<F: FnMut(&Event) + Send + 'static> EventHandler for F {
    fn handle(&mut self, event: &Event) {
        self(event);
    }
}

impl EventHandler for Box<dyn EventHandler> {
    fn handle(&mut self, event: &Event) {
        (**self).handle(event);
    }
}

impl EventHandler for crossbeam_channel::Sender<Event> {
    fn handle(&mut self, event: &Event) {
        // SANITY: fails only when nobody can receive any more, which is the receiver's choice.
        let _ = self.send(event.clone());
    }
}

impl EventHandler for std::sync::mpsc::Sender<Event> {
    fn handle(&mut self, event: &Event) {
        // SANITY: as above.
        let _ = self.send(event.clone());
    }
}

impl EventHandler for std::sync::mpsc::SyncSender<Event> {
    fn handle(&mut self, event: &Event) {
        // SANITY: as above.
        let _ = self.send(event.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::event::{LossPlace, Lost};

    fn event() -> Event {
        Event::Lost(Lost {
            time: SystemTime::UNIX_EPOCH,
            boot: Duration::ZERO,
            count: 1,
            place: LossPlace::Ring,
        })
    }

    fn give(mut handler: impl EventHandler) {
        handler.handle(&event());
    }

    /// Check that closures and all senders take events.
    #[test]
    fn each_kind() {
        let (sender, receiver) = mpsc::channel();
        give(move |event: &Event| sender.send(event.kind()).unwrap());
        assert_eq!(receiver.recv(), Ok(event().kind()));

        let (sender, receiver) = mpsc::channel();
        give(sender);
        assert_eq!(receiver.recv(), Ok(event()));

        let (sender, receiver) = mpsc::sync_channel(1);
        give(sender);
        assert_eq!(receiver.recv(), Ok(event()));

        let (sender, receiver) = crossbeam_channel::bounded(1);
        give(sender);
        assert_eq!(receiver.recv(), Ok(event()));
    }

    /// Check that a receiver that went away is no error.
    #[test]
    fn receiver_gone() {
        let (sender, receiver) = mpsc::channel();
        drop(receiver);
        give(sender);

        let (sender, receiver) = mpsc::sync_channel(0);
        drop(receiver);
        give(sender);

        let (sender, receiver) = crossbeam_channel::bounded(0);
        drop(receiver);
        give(sender);
    }
}
