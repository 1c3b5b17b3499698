//! Kinds of events, their names, and sets of them.

use std::fmt;
use std::str::FromStr;

/// The kinds of [`Event`](super::Event).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is described where Event has it")]
#[repr(u8)]
pub enum EventKind {
    // The numbers of `enum ebph_event_kind`; some are user space's own, see `is_from_kernel`.
    ProfileCreated = 1,
    ProfileFrozen = 2,
    ProfileThawed = 3,
    StartNormal = 4,
    StopNormal = 5,
    TolerizeLimit = 6,
    Sensitized = 7,
    ProfileReset = 8,
    ProfileForgotten = 9,
    Anomaly = 10,
    NewSequence = 11,
    UnbalancedSigreturn = 12,
    CapacityExhausted = 13,
    Lost = 14,
    Warning = 15,
    ProfileLoaded = 16,
    ProfileEvicted = 17,
    ExecutableChanged = 18,
    ProfileSetAside = 19,
    Response = 20,
}

impl EventKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::ProfileCreated,
        Self::ProfileFrozen,
        Self::ProfileThawed,
        Self::StartNormal,
        Self::StopNormal,
        Self::TolerizeLimit,
        Self::Sensitized,
        Self::ProfileReset,
        Self::ProfileForgotten,
        Self::Anomaly,
        Self::NewSequence,
        Self::UnbalancedSigreturn,
        Self::CapacityExhausted,
        Self::Lost,
        Self::Warning,
        Self::ProfileLoaded,
        Self::ProfileEvicted,
        Self::ExecutableChanged,
        Self::ProfileSetAside,
        Self::Response,
    ];

    /// Returns the name that JSON uses, as in `profile_created`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProfileCreated => "profile_created",
            Self::ProfileFrozen => "profile_frozen",
            Self::ProfileThawed => "profile_thawed",
            Self::StartNormal => "start_normal",
            Self::StopNormal => "stop_normal",
            Self::TolerizeLimit => "tolerize_limit",
            Self::Sensitized => "sensitized",
            Self::ProfileReset => "profile_reset",
            Self::ProfileForgotten => "profile_forgotten",
            Self::Anomaly => "anomaly",
            Self::NewSequence => "new_sequence",
            Self::UnbalancedSigreturn => "unbalanced_sigreturn",
            Self::CapacityExhausted => "capacity_exhausted",
            Self::Lost => "lost",
            Self::Warning => "warning",
            Self::ProfileLoaded => "profile_loaded",
            Self::ProfileEvicted => "profile_evicted",
            Self::ExecutableChanged => "executable_changed",
            Self::ProfileSetAside => "profile_set_aside",
            Self::Response => "response",
        }
    }

    /// Returns the kind of a record from the kernel.
    pub(super) fn from_wire(kind: u16) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|known| u16::from(*known as u8) == kind)
            .filter(|known| known.is_from_kernel())
    }

    /// Whether the kernel sends it.
    pub(crate) const fn is_from_kernel(self) -> bool {
        !matches!(self, Self::Lost | Self::Warning | Self::ProfileSetAside)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that no kind of event has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a kind of event; known are: {}", known_names())]
pub struct ParseEventKindError {
    name: String,
}

fn known_names() -> String {
    let names: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    names.join(", ")
}

impl FromStr for EventKind {
    type Err = ParseEventKindError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.iter().copied();
        all.find(|kind| kind.as_str() == name)
            .ok_or_else(|| ParseEventKindError {
                name: name.to_owned(),
            })
    }
}

/// A set of kinds of events. The default is all but [`EventKind::NewSequence`].
///
/// # Examples
///
/// ```
/// use ebph::{EventKind, EventMask};
///
/// let mask: EventMask = "anomaly,lost".parse()?;
/// assert_eq!(mask, EventMask::NONE.with(EventKind::Anomaly).with(EventKind::Lost));
/// assert!(!EventMask::default().contains(EventKind::NewSequence));
/// # Ok::<(), ebph::ParseEventKindError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventMask(u32);

impl EventMask {
    /// No kind.
    pub const NONE: Self = Self(0);

    /// Every kind.
    pub const ALL: Self = {
        let mut mask = Self::NONE;
        let mut next = 0;
        while next < EventKind::ALL.len() {
            mask = mask.with(EventKind::ALL[next]);
            next += 1;
        }
        mask
    };

    /// Returns this set with one kind more.
    #[must_use]
    pub const fn with(self, kind: EventKind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// Returns this set with one kind less.
    #[must_use]
    pub const fn without(self, kind: EventKind) -> Self {
        Self(self.0 & !(1 << kind as u8))
    }

    /// Tells whether a kind is in the set.
    pub const fn contains(self, kind: EventKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Returns the kinds in the set.
    pub fn iter(self) -> impl Iterator<Item = EventKind> {
        let all = EventKind::ALL.iter().copied();
        all.filter(move |kind| self.contains(*kind))
    }

    /// Returns the bits of `ebph_limits.event_mask`.
    pub(crate) fn to_wire(self) -> u64 {
        let kernel: Self = self.iter().filter(|kind| kind.is_from_kernel()).collect();
        u64::from(kernel.0)
    }
}

impl Default for EventMask {
    fn default() -> Self {
        Self::ALL.without(EventKind::NewSequence)
    }
}

impl FromIterator<EventKind> for EventMask {
    fn from_iter<I: IntoIterator<Item = EventKind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for EventMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl fmt::Display for EventMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(EventKind::as_str).collect();
        f.pad(&names.join(","))
    }
}

/// Names separated by commas; an empty text is the empty set.
impl FromStr for EventMask {
    type Err = ParseEventKindError;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        list.split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::parse)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that names and wire numbers lead back to their kinds.
    #[test]
    fn round_trips() {
        for &kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            let known = EventKind::from_wire(kind as u16);
            assert_eq!(known, kind.is_from_kernel().then_some(kind));
        }
        assert_eq!(EventKind::from_wire(0), None);
        assert_eq!(EventKind::from_wire(266), None);
    }

    /// Check lists of names, and what is said about one that is wrong.
    #[test]
    fn lists() {
        let mask: EventMask = "anomaly, new_sequence,".parse().unwrap();
        assert_eq!(mask.to_string(), "anomaly,new_sequence");
        assert_eq!(mask.to_wire(), 1 << 10 | 1 << 11);
        assert_eq!("".parse(), Ok(EventMask::NONE));
        assert_eq!(
            EventMask::default().to_string().parse(),
            Ok(EventMask::default())
        );
        assert_eq!(EventMask::ALL.to_wire(), 0x17_3ffe);
        let error = "anomaly,nonsense"
            .parse::<EventMask>()
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("`nonsense` is not") && error.contains("stop_normal"));
    }
}
