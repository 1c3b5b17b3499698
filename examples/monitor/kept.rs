//! The last events of a monitor, for those who ask.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use ebph::Event;

use crate::protocol::{EVENTS_KEPT, EventBatch};

/// A bounded list of events, each of which has a number: 1 for the first there ever was.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Newest>>);

#[derive(Default)]
struct Newest {
    events: VecDeque<Event>,
    /// The number of the last one.
    last: u64,
}

impl Kept {
    /// Adds an event, and lets the oldest go if there are too many.
    pub fn add(&self, event: &Event) {
        let event = event.clone();
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.events.len() == EVENTS_KEPT {
            newest.events.pop_front();
        }
        newest.events.push_back(event);
        newest.last += 1;
    }

    /// Returns the events whose number is above `after`.
    pub fn after(&self, after: u64) -> EventBatch {
        let newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever names a number from before a restart of the monitor gets what there is.
        let after = if after > newest.last { 0 } else { after };
        let oldest = newest.last - newest.events.len() as u64 + 1;
        let first = oldest.max(after + 1);
        let skip = usize::try_from(first - oldest).unwrap_or(usize::MAX);
        EventBatch {
            first,
            events: newest.events.iter().skip(skip).cloned().collect(),
            gone: first - (after + 1),
        }
    }

    /// Returns the number of the newest event; 0 if there was none.
    pub fn last(&self) -> u64 {
        let newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        newest.last
    }
}
