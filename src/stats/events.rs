//! Events on their way, and who gets them.

use serde::{Deserialize, Serialize};

/// Events. When the monitor has stopped, `submitted` equals `read + lost_in_ring`, and for each
/// handler and receiver that was there all the time, what it got and what it lost
/// ([`ReceiverStats`]) add up to those of `read - undecodable` that it wants. With one of them,
/// which wants all, `submitted` is `delivered + lost_in_ring + lost_in_channels`, but for what could
/// not be decoded.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventStats {
    /// Sent by the kernel's part.
    pub submitted: u64,
    /// Read from the buffer.
    pub read: u64,
    /// Put into a queue, added over all handlers and receivers.
    pub delivered: u64,
    /// Found the buffer full.
    pub lost_in_ring: u64,
    /// Found a queue full, added over all handlers and receivers.
    pub lost_in_channels: u64,
    /// Read, and not understood.
    pub undecodable: u64,
    /// Handler calls that panicked.
    pub handler_panics: u64,
}

/// What a handler or receiver is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiverKind {
    /// A handler, see [`MonitorBuilder::handler`](crate::MonitorBuilder::handler).
    Handler,
    /// A receiver of all events, see [`Monitor::events`](crate::Monitor::events).
    #[default]
    Events,
    /// A receiver of anomalies, see [`Monitor::anomalies`](crate::Monitor::anomalies).
    Anomalies,
}

impl ReceiverKind {
    /// Returns the name that it has as serde data.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handler => "handler",
            Self::Events => "events",
            Self::Anomalies => "anomalies",
        }
    }
}

/// One handler or receiver, and its queue.
///
/// What [`Event::Lost`](crate::Event::Lost) told it of with
/// [`LossPlace::Channel`](crate::LossPlace::Channel) adds up to `lost + lost_notices`.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceiverStats {
    /// What it is.
    pub kind: ReceiverKind,
    /// The name it was given, if it was.
    pub name: Option<String>,
    /// Events of the kernel that were put into its queue.
    pub delivered: u64,
    /// Events of the kernel that it wants and that found its queue full.
    pub lost: u64,
    /// Likewise, what is the monitor's own: warnings, and files set aside.
    pub lost_notices: u64,
    /// Whatever is in its queue now.
    pub waiting: u64,
    /// What its queue has room for.
    pub capacity: u64,
}
