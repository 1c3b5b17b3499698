//! What a running monitor can be asked, and what it answers.
//!
//! On a socket each request is one line of JSON, and so is each answer. A request names itself:
//! `{"request": "processes", "threads": true}`. An answer is `{"ok": ...}`, where what was asked for
//! stands under its own name, as in `{"ok": {"limits": {...}}}` (`{"ok": "done"}` if there is
//! nothing to tell), or `{"error": {"code": "not_frozen", "message": "..."}}`.

use std::fmt;
use std::path::PathBuf;

use ebph::{Error, Event, Key};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::output::printable;
use crate::responses::ResponseSettings;
use crate::rows::{ProcessRow, ProfileRow, StatusReport};
use crate::settings::Settings;

/// The most bytes that a request may have, its line end not counted.
pub const REQUEST_MAX: usize = 64 * 1024;
/// The most bytes that an answer may have: some hundred times what 2,048 profiles take.
pub const ANSWER_MAX: u64 = 256 * 1024 * 1024;
/// How many events a monitor keeps for those who ask.
pub const EVENTS_KEPT: usize = 1000;

/// Something that can be asked of a running monitor.
///
/// Those that take nothing have braces all the same: only then is a field too many an error, such as a
/// profile that is named beside a pause of everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How it is: an [`Answer::Status`].
    Status {},
    /// Who is watched: an [`Answer::Processes`], with their threads if those are wanted.
    Processes {
        #[serde(default)]
        threads: bool,
    },
    /// All profiles: an [`Answer::Profiles`].
    Profiles {},
    /// One profile whole: an [`Answer::Profile`].
    Profile {
        key: Key,
    },
    /// What happened: an [`Answer::Events`] with those of a higher number, of all that are kept.
    Events {
        #[serde(default)]
        after: u64,
    },
    /// The limits: an [`Answer::Limits`].
    Limits {},
    /// Changes the limits that are named: an [`Answer::Limits`] with all of them.
    Set(Settings),
    /// What is done about anomalies: an [`Answer::Responses`].
    Responses {},
    /// Does what is named about anomalies, and nothing that is not: an [`Answer::Responses`].
    Respond(ResponseSettings),
    /// Saves what changed: an [`Answer::Saved`].
    Save {},
    /// Imports a profile from a file that the monitor can read: an [`Answer::Loaded`].
    Load {
        path: PathBuf,
    },
    /// Watches nobody until it is told to resume.
    Pause {},
    Resume {},
    Normalize {
        key: Key,
    },
    Sensitize {
        key: Key,
    },
    Tolerize {
        key: Key,
    },
    Freeze {
        key: Key,
    },
    Thaw {
        key: Key,
    },
    Reset {
        key: Key,
    },
    Forget {
        key: Key,
    },
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It was done, and there is nothing to tell.
    Done,
    Status(Box<StatusReport>),
    Processes(Vec<ProcessRow>),
    Profiles(Vec<ProfileRow>),
    /// The content of a profile file, for `Profile::from_json`.
    Profile(Value),
    Events(EventBatch),
    Limits(Settings),
    Responses(ResponseSettings),
    Saved {
        /// How many profiles were.
        profiles: usize,
    },
    Loaded {
        /// The profile to which what was loaded was added.
        key: Key,
        /// Whether the program here is the one that it was learnt from.
        unchanged: bool,
    },
}

/// Events that happened one after the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventBatch {
    /// The number of the first of them; each that follows has the next one.
    pub first: u64,
    /// Each in its own form, see `Event::to_json`.
    pub events: Vec<Event>,
    /// How many that were asked for are no longer kept.
    pub gone: u64,
}

impl EventBatch {
    /// Returns the number to ask with for what comes after these.
    pub fn last(&self) -> u64 {
        self.first.saturating_sub(1) + self.events.len() as u64
    }
}

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people; names in it are escaped.
    pub message: String,
}

/// Kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// It is no JSON, or no request that is known.
    BadRequest,
    /// The line is longer than a request may be.
    TooLong,
    /// This user may ask nothing.
    NotAllowed,
    NoSuchProfile,
    /// A path that several profiles have.
    Ambiguous,
    ProfileInUse,
    NotFrozen,
    AlreadyFrozen,
    NotNormal,
    Busy,
    NoProfileDirectory,
    InvalidSetting,
    /// This kernel cannot do it.
    Unsupported,
    /// The monitor lacks capabilities for it.
    NotPrivileged,
    NoSuchProcess,
    /// The answer would be longer than an answer may be.
    TooLarge,
    /// Nobody answers, or not any more.
    Unreachable,
    /// Everything else.
    #[serde(other)]
    Failed,
}

/// The line that answers a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    Ok(Answer),
    Error(Refusal),
}

/// A monitor that can be asked: one in this process, or one behind a socket.
pub trait Monitored {
    /// Asks, and waits for the answer.
    fn ask(&mut self, request: &Request) -> Result<Answer, Refusal>;
}

impl Refusal {
    pub fn new(code: Code, message: impl fmt::Display) -> Self {
        // Paths and names in it may be chosen by who is watched.
        let message = printable(&message.to_string());
        Self { code, message }
    }

    /// An answer to something else than what was asked.
    pub fn unexpected(answer: &Answer) -> Self {
        let name = match serde_json::to_value(answer) {
            Ok(Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
            _ => "done".to_owned(),
        };
        Self::new(
            Code::Failed,
            format!("the monitor answers `{name}`, which was not asked for"),
        )
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::NoSuchProfile(_) => Code::NoSuchProfile,
            Error::ProfileInUse { .. } => Code::ProfileInUse,
            Error::NotFrozen(_) => Code::NotFrozen,
            Error::AlreadyFrozen(_) => Code::AlreadyFrozen,
            Error::NotNormal(_) => Code::NotNormal,
            Error::Busy(_) => Code::Busy,
            Error::NoProfileDirectory => Code::NoProfileDirectory,
            Error::InvalidSetting { .. } => Code::InvalidSetting,
            Error::Unsupported { .. } => Code::Unsupported,
            Error::NotPrivileged { .. } => Code::NotPrivileged,
            Error::NoSuchProcess(_) => Code::NoSuchProcess,
            _ => Code::Failed,
        };
        // Not of who asks: that one needs none.
        if let Error::NotPrivileged { missing } = &error {
            let what = format!("the monitor lacks {} for it", missing.join(", "));
            return Self::new(code, what);
        }
        Self::new(code, error)
    }
}

impl From<Result<Answer, Refusal>> for Reply {
    fn from(result: Result<Answer, Refusal>) -> Self {
        match result {
            Ok(answer) => Self::Ok(answer),
            Err(refusal) => Self::Error(refusal),
        }
    }
}

impl From<Reply> for Result<Answer, Refusal> {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Ok(answer) => Ok(answer),
            Reply::Error(refusal) => Err(refusal),
        }
    }
}
