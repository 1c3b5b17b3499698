//! A program's events as steps of the detector.

use std::collections::HashMap;
use std::time::Duration;

use crate::detector::{Detector, HandlerFrame, ProfileId, TaskId, Verdict};

use super::strace::{Event, EventKind};

/// Feeds the events of one program to a [`Detector`], a task for each thread.
///
/// The events are those that a [`Focus`](super::Focus) lets through.
#[derive(Clone, Debug)]
pub struct Lesson {
    profile: ProfileId,
    tasks: HashMap<u32, TaskId>,
}

impl Lesson {
    /// A lesson for this profile.
    pub fn new(profile: ProfileId) -> Self {
        Self {
            profile,
            tasks: HashMap::new(),
        }
    }

    /// Takes an event in; the verdict is empty but for a call.
    ///
    /// Traces have no clock that matters: all of it happens at `now`.
    pub fn take(&mut self, detector: &mut Detector, event: &Event, now: Duration) -> Verdict {
        let known = self.tasks.get(&event.thread).copied();
        match &event.kind {
            EventKind::Call(symbol) => {
                let task = self.task(detector, event.thread);
                return detector.call(task, *symbol, 0, now);
            }
            EventKind::Fork { child, new_stack } => {
                let parent = self.task(detector, event.thread);
                let task = match new_stack {
                    true => detector.fork_on_new_stack(parent),
                    false => detector.fork(parent),
                };
                self.tasks.insert(*child, task);
            }
            EventKind::Exec { .. } => match known {
                Some(task) => detector.exec(task, self.profile),
                None => {
                    self.task(detector, event.thread);
                }
            },
            EventKind::Signal {
                handled,
                interrupted,
            } => {
                let task = self.task(detector, event.thread);
                // Whether a jump left the handler a trace does not tell.
                let frame = handled.then_some(HandlerFrame::new(u64::MAX));
                detector.signal(task, frame, *interrupted);
            }
            EventKind::Rename { to } => {
                if let Some(task) = self.tasks.remove(&event.thread) {
                    self.tasks.insert(*to, task);
                }
            }
            EventKind::End { process } => {
                self.tasks.remove(&event.thread);
                match known {
                    Some(task) if *process => detector.exit(task),
                    Some(task) => detector.exit_thread(task),
                    None => (),
                }
            }
        }
        Verdict::default()
    }

    /// The task of a thread, begun now if it is not known.
    fn task(&mut self, detector: &mut Detector, thread: u32) -> TaskId {
        let new = || detector.spawn(self.profile);
        *self.tasks.entry(thread).or_insert_with(new)
    }
}
