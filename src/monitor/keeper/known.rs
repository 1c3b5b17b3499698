//! What the keeper knows of each profile in the kernel.

use std::time::{Duration, Instant};

use super::place::{Identified, Name, same_content};
use super::{LOOK, PATIENCE};
use crate::profile::{Identity, Origin};
use crate::snapshot::Entry;
use crate::tenant::Stamp;

/// What is known of a profile in the kernel.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// `None`: it cannot be found again, and is not kept.
    pub(super) name: Option<Name>,
    /// Of the file it is learnt from; `None` if that could not be looked at: it is gone from its
    /// path, or never was there but in a container, and no process ran it any more.
    pub(super) found: Option<Identified>,
    /// When the profile was last executed, as it was looked at.
    pub(super) looked: i64,
    /// What the file was when it was looked at.
    pub(super) stamp: Stamp,
    /// Whether the file was another before.
    pub(super) rewritten: bool,
    /// What was saved last.
    pub(super) saved: Option<[u64; 8]>,
    /// What was learnt of the program before is not in the kernel yet, and when to try again.
    pub(super) owed: Option<Retry>,
    /// How it began, if that was not here.
    pub(super) origin: Option<Origin>,
}

/// When something is tried again that failed: the later the oftener it did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) at: Instant,
    wait: Duration,
}

impl Retry {
    pub(super) fn now() -> Self {
        Self {
            at: Instant::now(),
            wait: LOOK,
        }
    }

    pub(super) fn later(self) -> Self {
        Self {
            at: Instant::now() + self.wait,
            wait: (2 * self.wait).min(PATIENCE),
        }
    }
}

impl Known {
    /// Whether there is more to find out, now or later.
    pub(super) fn is_unsettled(&self) -> bool {
        self.owed.is_some() || (self.name.is_some() && self.found.is_none())
    }

    /// Whether another look may tell more: of a program that runs again, say.
    pub(super) fn is_unmet(&self, entry: &Entry) -> bool {
        let lost = self.name.is_some() && self.found.is_none() && self.looked != entry.used;
        let due = self.owed.is_some_and(|retry| retry.at <= Instant::now());
        due || lost || self.stamp != entry.stamp
    }

    pub(super) fn identity(&self) -> Option<&Identity> {
        Some(&self.found.as_ref()?.identity)
    }

    /// Whether it is of this program: the same name, the same content.
    pub(super) fn is_of(&self, name: &Name, identity: &Identity) -> bool {
        let same = |own: &Identity| same_content(own, identity);
        self.name.as_ref() == Some(name) && self.identity().is_some_and(same)
    }
}
