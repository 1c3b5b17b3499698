//! What the formats of others ask of an event, and it does not say itself: how grave it is, what
//! it is called, and on which machine it happened.

mod call;

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Circumstances, Context, Event, ProfileView, StopCause};
use crate::clock;

pub(super) use call::Call;

/// The name under which other formats know where events come from.
pub(super) const PRODUCT: &str = "ebph";

/// Its version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How grave an event is: for order in a list, not for a decision.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// What is to be expected: profiles come, learn and go.
    Informational,
    /// Something is missing or in doubt.
    Low,
    /// Somebody should look: an anomaly, or programs that are not judged any more.
    Medium,
    /// Somebody should look soon: a thread with several anomalies, one that left a handler it
    /// certainly did not enter, or something was done to a process.
    High,
}

impl Severity {
    /// Returns its name, as in `medium`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How sure it is that an alert means something.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// The profile saw fewer than 1,000 calls, or could not learn them all, or more than one in a hundred
    /// of them did not fit: it may not know the program well.
    Low,
    /// It saw fewer than 100,000 calls.
    Medium,
    /// It saw more.
    High,
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Confidence {
    /// Returns its name, as in `high`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// So many anomalous calls among a thread's last 128 are no slip: pH begins to delay a thread
/// for seconds there.
const SEVERAL: u32 = 4;

/// What is learnt from, and confirmed by, fewer calls than this has hardly been seen.
const FEW_CALLS: u64 = 1_000;

/// As many calls as a service should train with.
const MANY_CALLS: u64 = 100_000;

impl Event {
    /// Returns how grave it is.
    ///
    /// What was done about anomalies is [`Severity::High`], and [`Severity::Medium`] if it is only said
    /// what would have been. An anomaly is [`Severity::Medium`], and [`Severity::High`] in a thread that had four or
    /// more among its last 128 calls. An unbalanced `rt_sigreturn` is [`Severity::High`] if it is
    /// certain, else [`Severity::Medium`]. [`Severity::Medium`] is also what leaves programs
    /// unjudged: a profile that is no longer normal, or learns anew, for its anomalies, and the
    /// want of room.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Anomaly(anomaly) if anomaly.lfc >= SEVERAL => Severity::High,
            Self::UnbalancedSigreturn(event) if event.certain => Severity::High,
            Self::Response(event) if !event.would_have => Severity::High,
            Self::Anomaly(_)
            | Self::Response(_)
            | Self::UnbalancedSigreturn(_)
            | Self::TolerizeLimit(_)
            | Self::CapacityExhausted(_) => Severity::Medium,
            Self::StopNormal(event) => match event.cause {
                StopCause::AnomalyLimit => Severity::Medium,
                StopCause::ExecutableChanged => Severity::Low,
                StopCause::Command => Severity::Informational,
            },
            Self::ExecutableChanged(_)
            | Self::ProfileSetAside(_)
            | Self::Lost(_)
            | Self::Warning(_) => Severity::Low,
            Self::ProfileCreated(_)
            | Self::ProfileFrozen(_)
            | Self::ProfileThawed(_)
            | Self::StartNormal(_)
            | Self::Sensitized(_)
            | Self::ProfileReset(_)
            | Self::ProfileForgotten(_)
            | Self::ProfileLoaded(_)
            | Self::ProfileEvicted(_)
            | Self::NewSequence(_) => Severity::Informational,
        }
    }

    /// Tells whether it says that a program did what it should not.
    pub fn is_alert(&self) -> bool {
        matches!(
            self,
            Self::Anomaly(_) | Self::UnbalancedSigreturn(_) | Self::Response(_)
        )
    }

    /// Returns how sure it is, for an alert; `None` for others.
    ///
    /// An anomaly's, and a response's, goes by how many calls the profile learnt from or has judged since: from 1,000
    /// on it is [`Confidence::Medium`], from 100,000 on [`Confidence::High`]. It is
    /// [`Confidence::Low`] if more than one in a hundred of those judged did not fit, and if not
    /// every call could be learnt. That of an unbalanced `rt_sigreturn` is high if it is certain,
    /// else low.
    pub fn confidence(&self) -> Option<Confidence> {
        match self {
            Self::Anomaly(_) | Self::Response(_) => {
                Some(self.profile().map_or(Confidence::Low, confidence_in))
            }
            Self::UnbalancedSigreturn(event) if event.certain => Some(Confidence::High),
            Self::UnbalancedSigreturn(_) => Some(Confidence::Low),
            _ => None,
        }
    }

    /// A heading, the same for all events of the kind.
    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::ProfileCreated(_) => "New profile",
            Self::ProfileFrozen(_) => "Profile frozen",
            Self::ProfileThawed(_) => "Profile thawed",
            Self::StartNormal(_) => "Profile is normal",
            Self::StopNormal(_) => "Profile is no longer normal",
            Self::TolerizeLimit(_) => "Too many anomalies of one thread",
            Self::Sensitized(_) => "Profile sensitized",
            Self::ProfileReset(_) => "Profile reset",
            Self::ProfileForgotten(_) => "Profile forgotten",
            Self::ProfileLoaded(_) => "Profile loaded",
            Self::ProfileEvicted(_) => "Profile evicted",
            Self::ExecutableChanged(_) => "Executable changed",
            Self::ProfileSetAside(_) => "Profile file set aside",
            Self::Anomaly(_) => "System call that is not normal for its program",
            Self::NewSequence(_) => "New sequence of system calls learnt",
            Self::Response(_) => "Response to anomalies",
            Self::UnbalancedSigreturn(_) => "Return from a signal handler that was not entered",
            Self::CapacityExhausted(_) => "No more room to learn",
            Self::Lost(_) => "Events lost",
            Self::Warning(_) => "Learning or reporting is less complete",
        }
    }

    /// The line for people, without the time.
    pub(super) fn summary(&self) -> String {
        without_time(self.to_string())
    }

    /// The explanation on several lines, without the time.
    pub(super) fn explanation(&self) -> String {
        without_time(format!("{self:#}"))
    }

    /// What stands for this event wherever it is sent, however often, and whoever received it: a
    /// hash of what happened, when, and in which thread.
    pub(super) fn uid(&self) -> String {
        let time = humantime::format_rfc3339_nanos(clock::printable(self.time()));
        let subject = match self.context() {
            Some(context) => {
                let actor = &context.actor;
                let boot = context.boot.as_nanos();
                let start = actor.start.as_nanos();
                let key = context
                    .profile
                    .as_ref()
                    .map(|profile| profile.key.to_string());
                format!("{boot} {start} {:?} {:?} {key:?}", actor.pid, actor.tid)
            }
            None => self.summary(),
        };
        // Two things may be done at one call.
        let done = match self {
            Self::Response(response) => response.action.as_str(),
            _ => "",
        };
        let text = format!("{} {time} {subject}{done}", self.kind());
        hex::encode(&Sha256::digest(text.as_bytes())[..16])
    }

    /// The fields of its own JSON.
    fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            // SANITY: an event is an object, and nothing in it can fail to be written.
            _ => Map::new(),
        }
    }

    /// The fields of its own JSON that have no place among another format's.
    pub(super) fn fields_without(&self, mapped: &[&str]) -> Map<String, Value> {
        let mut fields = self.fields();
        fields.retain(|name, value| !value.is_null() && !mapped.contains(&name.as_str()));
        fields
    }
}

/// How far what a profile says can be relied on.
pub(super) fn confidence_in(profile: &ProfileView) -> Confidence {
    let calls = profile.basis.saturating_add(profile.train_count);
    // A program that often does what it should not is one that is not known well.
    let often = profile.anomalies > profile.train_count.max(FEW_CALLS) / 100;
    if profile.marks.incomplete || often || calls < FEW_CALLS {
        Confidence::Low
    } else if calls < MANY_CALLS {
        Confidence::Medium
    } else {
        Confidence::High
    }
}

impl Context {
    /// The time of day at a time since boot, by the clocks of this event.
    pub(super) fn wall(&self, boot: Duration) -> SystemTime {
        let wall = match self.boot.checked_sub(boot) {
            Some(before) => self.time.checked_sub(before),
            None => self.time.checked_add(boot - self.boot),
        };
        clock::printable(wall.unwrap_or(SystemTime::UNIX_EPOCH))
    }

    /// The path of the executable, if it is whole.
    pub(super) fn exe(&self) -> Option<&Path> {
        whole(&self.circumstances.as_deref()?.exe)
    }

    /// What the process is called: its file, or what it calls itself.
    pub(super) fn process_name(&self) -> String {
        let exe = self
            .circumstances
            .as_deref()
            .and_then(|around| around.exe.value.as_deref());
        name_of(exe, &self.actor.comm)
    }
}

fn without_time(text: String) -> String {
    match text.split_once(' ') {
        Some((_time, rest)) => rest.to_owned(),
        None => text,
    }
}

/// A path that lacks nothing.
pub(super) fn whole(fact: &super::Fact<std::path::PathBuf>) -> Option<&Path> {
    fact.value.as_deref().filter(|_| !fact.truncated)
}

/// The name of a file, or what its process calls itself.
pub(super) fn name_of(exe: Option<&Path>, comm: &str) -> String {
    match exe.and_then(Path::file_name) {
        Some(name) => name.to_string_lossy().into_owned(),
        None => comm.to_owned(),
    }
}

/// What tells a process from all others of a machine since it booted.
pub(super) fn entity(pid: Option<u32>, start: Duration) -> Option<String> {
    Some(format!("{}-{}", pid?, start.as_nanos()))
}

/// The arguments as they would be typed into a shell.
pub(super) fn command_line(circumstances: &Circumstances) -> Option<String> {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,@%+".contains(c);
    let words = circumstances.args.value.as_ref()?.iter().map(|arg| {
        let arg = arg.to_string_lossy();
        if !arg.is_empty() && arg.chars().all(plain) {
            arg.into_owned()
        } else {
            format!("'{}'", arg.replace('\'', r"'\''"))
        }
    });
    Some(words.collect::<Vec<_>>().join(" "))
}

/// A machine, as far as other formats name it.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Its name; `None` if it is not known.
    pub name: Option<String>,
    /// The release of its kernel, as in `6.18.0`.
    pub kernel: Option<String>,
    /// Its architecture, as in `x86_64`.
    pub machine: Option<String>,
}

impl Host {
    /// Returns the machine this runs on, as `uname(2)` names it.
    pub fn here() -> Self {
        let uname = rustix::system::uname();
        let text = |name: &std::ffi::CStr| {
            Some(name.to_string_lossy().into_owned()).filter(|name| !name.is_empty())
        };
        Self {
            name: text(uname.nodename()),
            kernel: text(uname.release()),
            machine: text(uname.machine()),
        }
    }

    /// Returns a machine of this name.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::default()
        }
    }
}

/// Leaves out what is null or has nothing in it.
pub(super) fn without_nulls(value: Value) -> Value {
    let says_something = |value: &Value| match value {
        Value::Null => false,
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| (name, without_nulls(value)))
                .filter(|(_, value)| says_something(value))
                .collect(),
        ),
        Value::Array(items) => items
            .into_iter()
            .map(without_nulls)
            .filter(says_something)
            .collect(),
        value => value,
    }
}
