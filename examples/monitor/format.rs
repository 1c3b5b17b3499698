//! The forms in which events are printed or logged.

use clap::ValueEnum;
use ebph::Event;

use crate::output;

/// A form of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line for people
    Text,
    /// The same, but alerts explained on several lines
    Explain,
    /// One JSON object a line
    Json,
    /// The same in the Elastic Common Schema
    Ecs,
    /// The same in OCSF
    Ocsf,
    /// A line of syslog (RFC 5424)
    Syslog,
}

impl Format {
    /// Whether people read it; programs read standard output.
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::Text | Self::Explain)
    }

    /// Returns an event in this form, without a line end.
    pub fn of(self, event: &Event) -> String {
        let json = |value| output::json(&value);
        match self {
            Self::Text => event.to_string(),
            Self::Explain => format!("{event:#}"),
            Self::Json => event.to_json(),
            Self::Ecs => json(event.to_ecs()),
            Self::Ocsf => json(event.to_ocsf()),
            Self::Syslog => event.to_syslog(),
        }
    }
}
