//! What the monitor reports: anomalies with their evidence, and what becomes of profiles.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::key::Key;
use crate::profile::State;
use crate::syscall::{Letter, Symbol};

mod circumstances;
mod container;
pub(crate) mod decode;
mod display;
mod ecs;
mod export;
mod handler;
mod journal;
mod json;
mod kind;
mod names;
mod ocsf;
mod response;
pub(crate) mod samples;
mod surroundings;
mod syslog;
#[cfg(test)]
mod tests;
mod wire;

pub use circumstances::{Ancestor, Capabilities, Circumstances, Fact, Namespaces, Source};
pub use container::{Container, Runtime};
pub use export::{Confidence, Host, Severity};
pub use handler::EventHandler;
pub use journal::JournalField;
pub use kind::{EventKind, EventMask, ParseEventKindError};
pub use response::{Response, ResponseAction};
pub(crate) use surroundings::arguments;

/// Something that happened to a watched program or its profile.
///
/// Display is one line for people; with `{:#}` an alert is explained on several. As JSON (serde, or [`Event::to_json`]) it is one flat object
/// whose field `schema` is [`Event::SCHEMA`]; fields may be added without changing that number.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A program was executed, or found running, that had no profile.
    ProfileCreated(Box<ProfileEvent>),
    /// A profile learnt nothing new for long enough and becomes normal after the wait.
    ProfileFrozen(Box<ProfileEvent>),
    /// Something new turned up in a frozen profile, which now waits again.
    ProfileThawed(Box<ProfileEvent>),
    /// Calls are judged by the profile from now on.
    StartNormal(Box<StartNormal>),
    /// Calls are no longer judged by the profile.
    StopNormal(Box<StopNormal>),
    /// A thread had too many anomalies in a row: what the profile was learning is wiped, and what
    /// it holds as normal is kept.
    TolerizeLimit(Box<ProfileEvent>),
    /// What the profile was learning was wiped by command.
    Sensitized(Box<ProfileEvent>),
    /// All that the profile learnt was wiped by command.
    ProfileReset(Box<ProfileEvent>),
    /// The profile was removed by command.
    ProfileForgotten(Box<ProfileEvent>),
    /// What a profile file holds is in force again: at the start, when the program was executed
    /// again after it had made room, or by command.
    ProfileLoaded(Box<ProfileLoaded>),
    /// The profile was saved and made room for others; it returns when its program is executed.
    ProfileEvicted(Box<ProfileEvent>),
    /// The executable is not what the profile was learnt from: what was normal is not normal any
    /// more, and it trains on from what was seen.
    ExecutableChanged(Box<ExecutableChanged>),
    /// A profile file could not be used, and was put out of the way.
    ProfileSetAside(Box<ProfileSetAside>),
    /// A call did not fit what is normal for its program.
    Anomaly(Box<Anomaly>),
    /// A call taught its profile something new. Not sent unless asked for.
    NewSequence(Box<NewSequence>),
    /// A thread left a signal handler that it had not entered: sigreturn-oriented programming
    /// looks like this.
    UnbalancedSigreturn(Box<UnbalancedSigreturn>),
    /// Something was done about anomalies, or would have been: see [`Responses`](crate::Responses).
    Response(Box<Response>),
    /// There is no more room for profiles or rows. Sent once for each, and once more after room was given back.
    CapacityExhausted(Box<CapacityExhausted>),
    /// Events were lost before they reached this receiver.
    Lost(Lost),
    /// Something surprising, that makes what is learnt or reported less complete.
    Warning(Warning),
}

/// When something happened, who did it, and the profile it concerns.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// The time of day.
    pub time: SystemTime,
    /// The time since boot, including sleep.
    pub boot: Duration,
    /// The thread that made the call, or gave the command.
    pub actor: Actor,
    /// The profile as it was just after; `None` when there is none.
    pub profile: Option<ProfileView>,
    /// What surrounds the call: for alerts ([`Event::Anomaly`], [`Event::UnbalancedSigreturn`], [`Event::Response`]);
    /// `None` for others, and where it could not be gathered.
    pub circumstances: Option<Box<Circumstances>>,
    /// Events lost before this one: for an anomaly, all that this receiver lost since the anomaly
    /// before it, in the ring or in its own queue; for others, in the ring since the event before.
    pub lost_before: u64,
}

/// A thread and its process.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The process; `None` if it is not visible in the monitor's pid namespace.
    pub pid: Option<u32>,
    /// The thread, likewise.
    pub tid: Option<u32>,
    /// The parent of the process, likewise.
    pub ppid: Option<u32>,
    /// When the process started, since boot: together with the pid unique, however often a pid
    /// is reused.
    pub start: Duration,
    /// The name of the thread, which it chooses itself; what is not UTF-8 is replaced.
    pub comm: String,
    /// Whether something in [`Actor::comm`] was replaced.
    pub comm_lossy: bool,
    /// Real user id, in the initial user namespace as the next three.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Id of the cgroup (v2), which is its directory's inode.
    pub cgroup_id: u64,
}

/// A profile as an event shows it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileView {
    /// Its name.
    pub key: Key,
    /// Path of the executable when the profile was made; for a script, of the interpreter.
    pub exe: Option<PathBuf>,
    /// Path of the script, if the profile belongs to one.
    pub script: Option<PathBuf>,
    /// What it is being used for.
    pub state: State,
    /// Whether it is frozen, which a normal profile may be as well.
    pub frozen: bool,
    /// Calls learnt since training began.
    pub train_count: u64,
    /// Calls since something new was last learnt.
    pub last_mod_count: u64,
    /// Anomalous calls since it became normal.
    pub anomalies: u64,
    /// How many calls taught it something new.
    pub sequences: u64,
    /// From how many calls it learnt what it holds as normal; 0 if nobody counted.
    pub basis: u64,
    /// How often its program was executed while it was watched.
    pub execs: u64,
    /// While frozen: the time since boot at which it becomes normal.
    pub normal_time: Option<Duration>,
    /// How long ago it was made; what a profile file says counts, not when it was loaded.
    pub age: Duration,
    /// What is cut short, missing or in doubt.
    pub marks: Marks,
}

/// What is cut short, missing or in doubt about a profile.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The executable's path lacks its beginning.
    pub exe_truncated: bool,
    /// The executable's path is not UTF-8, so that JSON and Display show it changed.
    pub exe_lossy: bool,
    /// The script's path lacks its beginning.
    pub script_truncated: bool,
    /// The script's path is not UTF-8, so that JSON and Display show it changed.
    pub script_lossy: bool,
    /// The profile belongs to a script whose path is no longer known.
    pub script_unnamed: bool,
    /// The executable cannot be found again: it was deleted, or never had a path.
    pub no_path: bool,
    /// Calls could not be learnt for want of room.
    pub incomplete: bool,
}

/// Something that happened to a profile.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileEvent {
    /// When, who, and which profile.
    pub context: Context,
    /// Whether a command did it, not the algorithm.
    pub by_command: bool,
}

/// A profile was loaded.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileLoaded {
    /// When, and which profile; the actor is the monitor.
    pub context: Context,
    /// Whether its program was running already: the calls it made since its exec were learnt, and
    /// not judged.
    pub returned: bool,
}

/// An executable is another than its profile was learnt from.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutableChanged {
    /// When, who, and which profile. Who executed it where the file was found to be rewritten;
    /// else the monitor.
    pub context: Context,
    /// Whether another file took its place, as package managers do it; the profile has a new key
    /// then. Otherwise the file itself was rewritten.
    pub replaced: bool,
}

/// A profile file that was put out of the way.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileSetAside {
    /// When it was found, by the clock of day.
    pub time: SystemTime,
    /// When it was found, since boot.
    pub boot: Duration,
    /// Where it is now.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// A profile became normal.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct StartNormal {
    /// When, who, and which profile.
    pub context: Context,
    /// Whether a command did it, not the algorithm.
    pub by_command: bool,
    /// Whether it was normal already, and what it holds as normal was replaced.
    pub refresh: bool,
}

/// A profile is no longer normal.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct StopNormal {
    /// When, who, and which profile.
    pub context: Context,
    /// Why.
    pub cause: StopCause,
}

/// Why a profile is no longer normal.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopCause {
    /// It had more anomalies than the limit.
    AnomalyLimit,
    /// It was told to.
    Command,
    /// The file was rewritten: what was normal for the old one says nothing about the new one.
    ExecutableChanged,
}

/// A lookahead pair that was not there.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MissedPair {
    /// How many calls before the reported one, 1 to 8.
    pub distance: u8,
    /// The call at that distance.
    pub previous: Letter,
}

/// A call that did not fit what is normal for its program, with the evidence.
///
/// One act that is new to a program often takes dozens of calls that are: dozens of anomalies, of one
/// process, within milliseconds. Who wants to be told once per incident groups them by the process, which is
/// its pid and its start together, and looks at how large [`lfc`](Self::lfc) gets:
///
/// ```
/// use std::collections::HashMap;
/// use std::time::Duration;
/// use ebph::Anomaly;
///
/// #[derive(Default)]
/// struct Incidents(HashMap<(Option<u32>, Duration), u32>);
///
/// impl Incidents {
///     /// Tells whether it is worth a word: the first of a process, and when they become many.
///     fn is_news(&mut self, anomaly: &Anomaly) -> bool {
///         let who = &anomaly.context.actor;
///         let seen = self.0.entry((who.pid, who.start)).or_default();
///         *seen += 1;
///         *seen == 1 || anomaly.lfc == 8
///     }
/// }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// When, who, and which profile.
    pub context: Context,
    /// The call.
    pub symbol: Symbol,
    /// The call and up to eight before it, oldest first; the call itself is the last.
    pub window: Vec<Letter>,
    /// The pairs that are not normal, nearest first.
    pub missed: Vec<MissedPair>,
    /// Locality frame count: anomalous calls among the thread's last 128 that were judged.
    pub lfc: u32,
    /// The largest count that this thread has had.
    pub max_lfc: u32,
    /// Repeats of anomalies already reported that this profile's reports have left out since the
    /// previous one.
    pub suppressed: u64,
}

impl Anomaly {
    /// Returns how many pairs were missed.
    pub fn misses(&self) -> usize {
        self.missed.len()
    }
}

/// A call that taught its profile something new.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct NewSequence {
    /// When, who, and which profile.
    pub context: Context,
    /// The call.
    pub symbol: Symbol,
    /// The call and up to eight before it, oldest first; the call itself is the last.
    pub window: Vec<Letter>,
    /// The pairs that were new, nearest first.
    pub novel: Vec<MissedPair>,
}

/// A return from a signal handler that was not entered.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct UnbalancedSigreturn {
    /// When, who, and which profile.
    pub context: Context,
    /// `false` when the thread was running before it was watched, or jumped out of a handler: the
    /// handler may have been entered after all.
    pub certain: bool,
}

/// There is no more room.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct CapacityExhausted {
    /// When, who, and which profile.
    pub context: Context,
    /// What there is no more room for.
    pub what: Capacity,
}

/// What there can be no more room for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capacity {
    /// Profiles: programs executed from now on are neither learnt nor judged.
    Profiles,
    /// Rows, one for each different call of each profile: calls new to a profile are not learnt.
    Rows,
}

/// Events that were lost. Learning and judging went on; only the reports are missing.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// When it was noticed, by the clock of day.
    pub time: SystemTime,
    /// When it was noticed, since boot.
    pub boot: Duration,
    /// How many.
    pub count: u64,
    /// Where.
    pub place: LossPlace,
}

/// Where events were lost.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossPlace {
    /// The buffer between kernel and monitor was full: every receiver lost them.
    Ring,
    /// This receiver's own queue was full.
    Channel,
}

/// A surprise, with how often it was met since the previous warning of its kind.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Warning {
    /// When it was noticed, by the clock of day.
    pub time: SystemTime,
    /// When it was noticed, since boot.
    pub boot: Duration,
    /// What.
    pub what: WarningKind,
    /// How often.
    pub count: u64,
}

/// A surprise in the kernel or in the monitor.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WarningKind {
    /// System calls were not seen, because the kernel skipped the program that looks at them.
    MissedCalls,
    /// Forks, execs, exits or signals were not seen, for the same reason.
    MissedHooks,
    /// The state of a thread could not be made or reached.
    ThreadState,
    /// The index of profiles could not be read or changed.
    ProfileIndex,
    /// Memory of the kernel could not be read.
    KernelRead,
    /// An update gave up because others got in between too often.
    Contention,
    /// A record from the kernel could not be understood.
    Undecodable,
    /// A handler panicked, and goes on with the next event.
    HandlerPanic,
    /// A profile could not be saved, or a file of one not be read; the next try comes with the
    /// next interval.
    Store,
    /// The process that continues stopped ones had ended, and was replaced.
    Guardian,
}

impl From<Anomaly> for Event {
    fn from(anomaly: Anomaly) -> Self {
        Self::Anomaly(Box::new(anomaly))
    }
}

impl Lost {
    /// Says so as of now.
    pub(crate) fn now(count: u64, place: LossPlace) -> Self {
        let (time, boot) = Clock::both();
        Self {
            time,
            boot,
            count,
            place,
        }
    }
}

impl Warning {
    /// Says so as of now.
    pub(crate) fn now(what: WarningKind, count: u64) -> Self {
        let (time, boot) = Clock::both();
        Self {
            time,
            boot,
            what,
            count,
        }
    }
}

impl Event {
    /// The number in the field `schema` of an event's JSON.
    pub const SCHEMA: u32 = 1;

    /// Returns what kind of event this is.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::ProfileCreated(_) => EventKind::ProfileCreated,
            Self::ProfileFrozen(_) => EventKind::ProfileFrozen,
            Self::ProfileThawed(_) => EventKind::ProfileThawed,
            Self::StartNormal(_) => EventKind::StartNormal,
            Self::StopNormal(_) => EventKind::StopNormal,
            Self::TolerizeLimit(_) => EventKind::TolerizeLimit,
            Self::Sensitized(_) => EventKind::Sensitized,
            Self::ProfileReset(_) => EventKind::ProfileReset,
            Self::ProfileForgotten(_) => EventKind::ProfileForgotten,
            Self::ProfileLoaded(_) => EventKind::ProfileLoaded,
            Self::ProfileEvicted(_) => EventKind::ProfileEvicted,
            Self::ExecutableChanged(_) => EventKind::ExecutableChanged,
            Self::ProfileSetAside(_) => EventKind::ProfileSetAside,
            Self::Anomaly(_) => EventKind::Anomaly,
            Self::NewSequence(_) => EventKind::NewSequence,
            Self::UnbalancedSigreturn(_) => EventKind::UnbalancedSigreturn,
            Self::Response(_) => EventKind::Response,
            Self::CapacityExhausted(_) => EventKind::CapacityExhausted,
            Self::Lost(_) => EventKind::Lost,
            Self::Warning(_) => EventKind::Warning,
        }
    }

    /// Returns when, who and which profile; `None` for [`Event::Lost`], [`Event::Warning`] and
    /// [`Event::ProfileSetAside`], which no single thread caused.
    pub fn context(&self) -> Option<&Context> {
        match self {
            Self::ProfileCreated(event)
            | Self::ProfileFrozen(event)
            | Self::ProfileThawed(event)
            | Self::TolerizeLimit(event)
            | Self::Sensitized(event)
            | Self::ProfileReset(event)
            | Self::ProfileForgotten(event)
            | Self::ProfileEvicted(event) => Some(&event.context),
            Self::ProfileLoaded(event) => Some(&event.context),
            Self::ExecutableChanged(event) => Some(&event.context),
            Self::StartNormal(event) => Some(&event.context),
            Self::StopNormal(event) => Some(&event.context),
            Self::Anomaly(event) => Some(&event.context),
            Self::Response(event) => Some(&event.context),
            Self::NewSequence(event) => Some(&event.context),
            Self::UnbalancedSigreturn(event) => Some(&event.context),
            Self::CapacityExhausted(event) => Some(&event.context),
            Self::Lost(_) | Self::Warning(_) | Self::ProfileSetAside(_) => None,
        }
    }

    /// Returns the context of an alert, whose circumstances belong to it.
    pub(crate) fn alert_mut(&mut self) -> Option<&mut Context> {
        match self {
            Self::Anomaly(event) => Some(&mut event.context),
            Self::UnbalancedSigreturn(event) => Some(&mut event.context),
            Self::Response(event) => Some(&mut event.context),
            _ => None,
        }
    }

    /// Returns the profile it concerns, if there is one.
    pub fn profile(&self) -> Option<&ProfileView> {
        self.context()?.profile.as_ref()
    }

    /// Returns the time of day at which it happened, or was noticed.
    pub fn time(&self) -> SystemTime {
        match self {
            Self::Lost(event) => event.time,
            Self::Warning(event) => event.time,
            Self::ProfileSetAside(event) => event.time,
            _ => self
                .context()
                .map_or(SystemTime::UNIX_EPOCH, |context| context.time),
        }
    }

    /// Returns the anomaly, if it is one.
    pub fn anomaly(&self) -> Option<&Anomaly> {
        match self {
            Self::Anomaly(anomaly) => Some(anomaly),
            _ => None,
        }
    }

    /// Returns what was done about anomalies, if it is that.
    pub fn response(&self) -> Option<&Response> {
        match self {
            Self::Response(response) => Some(response),
            _ => None,
        }
    }
}
