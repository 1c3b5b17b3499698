//! Events as JSON: one flat object each, with fields in a fixed order.
//!
//! New fields may be added behind the others. Changing the meaning of one, or taking one away,
//! needs a new [`Event::SCHEMA`].

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    Actor, Anomaly, Capacity, CapacityExhausted, Context, Event, EventKind, ExecutableChanged,
    LossPlace, Lost, Marks, MissedPair, NewSequence, ProfileEvent, ProfileLoaded, ProfileSetAside,
    ProfileView, StartNormal, StopCause, StopNormal, UnbalancedSigreturn, Warning, WarningKind,
};
use crate::clock;
use crate::key::Key;
use crate::profile::State;
use crate::syscall::{Abi, Letter, Symbol};

impl Event {
    /// Returns the event as one line of JSON, without a line end.
    pub fn to_json(&self) -> String {
        // SANITY: the form has text keys only, and nothing in it can fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Form::of(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Form::deserialize(deserializer)?
            .into_event()
            .map_err(de::Error::custom)
    }
}

/// Declares a struct of optional fields that are left out of JSON while they are `None`.
macro_rules! form {
    ($(#[$meta:meta])* struct $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Default, Serialize, Deserialize)]
        #[serde(default)]
        struct $name<'a> {
            $(#[serde(skip_serializing_if = "Option::is_none")] $field: Option<$type>,)*
        }
    };
}

form! {
    /// Every field that any kind of event has, in the order they are written.
    struct Form {
        schema: u32,
        event: Cow<'a, str>,
        time: Cow<'a, str>,
        boot_ns: u64,
        // Who.
        pid: Option<u32>,
        tid: Option<u32>,
        ppid: Option<u32>,
        start_boot_ns: u64,
        comm: Cow<'a, str>,
        uid: u32,
        euid: u32,
        gid: u32,
        egid: u32,
        cgroup_id: u64,
        profile: Option<ProfileForm<'a>>,
        // A call.
        symbol: Symbol,
        window: Vec<Cow<'a, str>>,
        missed: Vec<PairForm<'a>>,
        novel: Vec<PairForm<'a>>,
        misses: usize,
        lfc: u32,
        max_lfc: u32,
        suppressed: u64,
        // What other kinds have.
        refresh: bool,
        returned: bool,
        replaced: bool,
        path: Cow<'a, str>,
        reason: Cow<'a, str>,
        cause: Cow<'a, str>,
        certain: bool,
        what: Cow<'a, str>,
        place: Cow<'a, str>,
        count: u64,
        by_command: bool,
        lost_before: u64,
        marks: Vec<Cow<'a, str>>,
    }
}

#[derive(Serialize, Deserialize)]
struct ProfileForm<'a> {
    key: Key,
    exe: Option<Cow<'a, str>>,
    script: Option<Cow<'a, str>>,
    state: State,
    train_count: u64,
    last_mod_count: u64,
    anomalies: u64,
    #[serde(default)]
    sequences: u64,
    #[serde(default)]
    frozen: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    normal_boot_ns: Option<u64>,
    #[serde(default)]
    age_ns: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    marks: Vec<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
struct PairForm<'a> {
    distance: u8,
    previous: Cow<'a, str>,
}

/// Why an object is no event.
#[derive(Debug, thiserror::Error)]
enum FormError {
    #[error("missing field `{0}`")]
    Missing(&'static str),
    #[error("schema {0} is not understood, only {known}", known = Event::SCHEMA)]
    Schema(u32),
    #[error("field `{0}` is not what it should be: {1}")]
    Value(&'static str, String),
}

const COMM_LOSSY: &str = "comm_lossy";

impl<'a> Form<'a> {
    fn of(event: &'a Event) -> Self {
        let mut form = Self {
            schema: Some(Event::SCHEMA),
            event: Some(event.kind().as_str().into()),
            time: Some(
                humantime::format_rfc3339_nanos(clock::printable(event.time()))
                    .to_string()
                    .into(),
            ),
            ..Self::default()
        };
        if let Some(context) = event.context() {
            form.set_context(context);
        }
        match event {
            Event::ProfileCreated(event)
            | Event::ProfileFrozen(event)
            | Event::ProfileThawed(event)
            | Event::TolerizeLimit(event)
            | Event::Sensitized(event)
            | Event::ProfileReset(event)
            | Event::ProfileForgotten(event)
            | Event::ProfileEvicted(event) => form.by_command = Some(event.by_command),
            Event::ProfileLoaded(event) => form.returned = Some(event.returned),
            Event::ExecutableChanged(event) => form.replaced = Some(event.replaced),
            Event::ProfileSetAside(event) => {
                form.boot_ns = Some(ns(event.boot));
                form.path = Some(event.path.to_string_lossy());
                form.reason = Some(event.reason.as_str().into());
            }
            Event::StartNormal(event) => {
                form.by_command = Some(event.by_command);
                form.refresh = Some(event.refresh);
            }
            Event::StopNormal(event) => form.cause = Some(event.cause.as_str().into()),
            Event::Anomaly(anomaly) => {
                form.set_call(anomaly.symbol, &anomaly.window);
                form.missed = Some(pairs(anomaly.symbol, &anomaly.missed));
                form.misses = Some(anomaly.misses());
                form.lfc = Some(anomaly.lfc);
                form.max_lfc = Some(anomaly.max_lfc);
                form.suppressed = Some(anomaly.suppressed);
            }
            Event::NewSequence(event) => {
                form.set_call(event.symbol, &event.window);
                form.novel = Some(pairs(event.symbol, &event.novel));
            }
            Event::UnbalancedSigreturn(event) => form.certain = Some(event.certain),
            Event::CapacityExhausted(event) => form.what = Some(event.what.as_str().into()),
            Event::Lost(event) => {
                form.boot_ns = Some(ns(event.boot));
                form.place = Some(event.place.as_str().into());
                form.count = Some(event.count);
            }
            Event::Warning(event) => {
                form.boot_ns = Some(ns(event.boot));
                form.what = Some(event.what.as_str().into());
                form.count = Some(event.count);
            }
        }
        form
    }

    fn set_context(&mut self, context: &'a Context) {
        let actor = &context.actor;
        self.boot_ns = Some(ns(context.boot));
        self.pid = Some(actor.pid);
        self.tid = Some(actor.tid);
        self.ppid = Some(actor.ppid);
        self.start_boot_ns = Some(ns(actor.start));
        self.comm = Some(actor.comm.as_str().into());
        self.uid = Some(actor.uid);
        self.euid = Some(actor.euid);
        self.gid = Some(actor.gid);
        self.egid = Some(actor.egid);
        self.cgroup_id = Some(actor.cgroup_id);
        self.profile = Some(context.profile.as_ref().map(ProfileForm::of));
        self.lost_before = Some(context.lost_before);
        self.marks = actor.comm_lossy.then(|| vec![COMM_LOSSY.into()]);
    }

    fn set_call(&mut self, symbol: Symbol, window: &[Letter]) {
        self.symbol = Some(symbol);
        self.window = Some(
            window
                .iter()
                .map(|letter| letter.name_beside(symbol.abi()))
                .collect(),
        );
    }

    fn into_event(mut self) -> Result<Event, FormError> {
        match need(&mut self.schema, "schema")? {
            Event::SCHEMA => (),
            other => return Err(FormError::Schema(other)),
        }
        let kind: EventKind = parsed(&mut self.event, "event")?;
        Ok(match kind {
            EventKind::ProfileCreated => Event::ProfileCreated(self.profile_event()?),
            EventKind::ProfileFrozen => Event::ProfileFrozen(self.profile_event()?),
            EventKind::ProfileThawed => Event::ProfileThawed(self.profile_event()?),
            EventKind::TolerizeLimit => Event::TolerizeLimit(self.profile_event()?),
            EventKind::Sensitized => Event::Sensitized(self.profile_event()?),
            EventKind::ProfileReset => Event::ProfileReset(self.profile_event()?),
            EventKind::ProfileForgotten => Event::ProfileForgotten(self.profile_event()?),
            EventKind::ProfileEvicted => Event::ProfileEvicted(self.profile_event()?),
            EventKind::ProfileLoaded => Event::ProfileLoaded(Box::new(ProfileLoaded {
                returned: need(&mut self.returned, "returned")?,
                context: self.context()?,
            })),
            EventKind::ExecutableChanged => Event::ExecutableChanged(Box::new(ExecutableChanged {
                replaced: need(&mut self.replaced, "replaced")?,
                context: self.context()?,
            })),
            EventKind::ProfileSetAside => Event::ProfileSetAside(Box::new(ProfileSetAside {
                time: self.time()?,
                boot: self.boot()?,
                path: PathBuf::from(need(&mut self.path, "path")?.into_owned()),
                reason: need(&mut self.reason, "reason")?.into_owned(),
            })),
            EventKind::StartNormal => Event::StartNormal(Box::new(StartNormal {
                by_command: need(&mut self.by_command, "by_command")?,
                refresh: need(&mut self.refresh, "refresh")?,
                context: self.context()?,
            })),
            EventKind::StopNormal => Event::StopNormal(Box::new(StopNormal {
                cause: named(&mut self.cause, "cause", &StopCause::ALL, StopCause::as_str)?,
                context: self.context()?,
            })),
            EventKind::Anomaly => {
                let symbol = need(&mut self.symbol, "symbol")?;
                Event::Anomaly(Box::new(Anomaly {
                    symbol,
                    window: self.window(symbol.abi())?,
                    missed: read_pairs(&mut self.missed, "missed", symbol.abi())?,
                    lfc: need(&mut self.lfc, "lfc")?,
                    max_lfc: need(&mut self.max_lfc, "max_lfc")?,
                    suppressed: need(&mut self.suppressed, "suppressed")?,
                    context: self.context()?,
                }))
            }
            EventKind::NewSequence => {
                let symbol = need(&mut self.symbol, "symbol")?;
                Event::NewSequence(Box::new(NewSequence {
                    symbol,
                    window: self.window(symbol.abi())?,
                    novel: read_pairs(&mut self.novel, "novel", symbol.abi())?,
                    context: self.context()?,
                }))
            }
            EventKind::UnbalancedSigreturn => {
                Event::UnbalancedSigreturn(Box::new(UnbalancedSigreturn {
                    certain: need(&mut self.certain, "certain")?,
                    context: self.context()?,
                }))
            }
            EventKind::CapacityExhausted => Event::CapacityExhausted(Box::new(CapacityExhausted {
                what: named(&mut self.what, "what", &Capacity::ALL, Capacity::as_str)?,
                context: self.context()?,
            })),
            EventKind::Lost => Event::Lost(Lost {
                time: self.time()?,
                boot: self.boot()?,
                count: need(&mut self.count, "count")?,
                place: named(&mut self.place, "place", &LossPlace::ALL, LossPlace::as_str)?,
            }),
            EventKind::Warning => Event::Warning(Warning {
                time: self.time()?,
                boot: self.boot()?,
                count: need(&mut self.count, "count")?,
                what: named(
                    &mut self.what,
                    "what",
                    &WarningKind::ALL,
                    WarningKind::as_str,
                )?,
            }),
        })
    }

    fn profile_event(&mut self) -> Result<Box<ProfileEvent>, FormError> {
        let by_command = need(&mut self.by_command, "by_command")?;
        Ok(Box::new(ProfileEvent {
            context: self.context()?,
            by_command,
        }))
    }

    fn context(&mut self) -> Result<Context, FormError> {
        let marks = self.marks.take().unwrap_or_default();
        Ok(Context {
            time: self.time()?,
            boot: self.boot()?,
            actor: Actor {
                pid: self.pid.flatten(),
                tid: self.tid.flatten(),
                ppid: self.ppid.flatten(),
                start: Duration::from_nanos(need(&mut self.start_boot_ns, "start_boot_ns")?),
                comm: need(&mut self.comm, "comm")?.into_owned(),
                comm_lossy: marks.iter().any(|mark| mark == COMM_LOSSY),
                uid: need(&mut self.uid, "uid")?,
                euid: need(&mut self.euid, "euid")?,
                gid: need(&mut self.gid, "gid")?,
                egid: need(&mut self.egid, "egid")?,
                cgroup_id: need(&mut self.cgroup_id, "cgroup_id")?,
            },
            profile: self.profile.take().flatten().map(ProfileForm::into_view),
            lost_before: need(&mut self.lost_before, "lost_before")?,
        })
    }

    fn window(&mut self, beside: Abi) -> Result<Vec<Letter>, FormError> {
        let names = need(&mut self.window, "window")?;
        names
            .iter()
            .map(|name| letter("window", beside, name))
            .collect()
    }

    fn time(&mut self) -> Result<SystemTime, FormError> {
        humantime::parse_rfc3339(&need(&mut self.time, "time")?)
            .map_err(|error| FormError::Value("time", error.to_string()))
    }

    fn boot(&mut self) -> Result<Duration, FormError> {
        need(&mut self.boot_ns, "boot_ns").map(Duration::from_nanos)
    }
}

impl<'a> ProfileForm<'a> {
    fn of(view: &'a ProfileView) -> Self {
        let text = |path: &'a Option<PathBuf>| path.as_deref().map(Path::to_string_lossy);
        Self {
            key: view.key,
            exe: text(&view.exe),
            script: text(&view.script),
            state: view.state,
            train_count: view.train_count,
            last_mod_count: view.last_mod_count,
            anomalies: view.anomalies,
            sequences: view.sequences,
            frozen: view.frozen,
            normal_boot_ns: view.normal_time.map(ns),
            age_ns: ns(view.age),
            marks: view.marks.names().map(Cow::Borrowed).collect(),
        }
    }

    fn into_view(self) -> ProfileView {
        let path = |text: Option<Cow<'a, str>>| text.map(|text| text.into_owned().into());
        ProfileView {
            key: self.key,
            exe: path(self.exe),
            script: path(self.script),
            state: self.state,
            frozen: self.frozen,
            train_count: self.train_count,
            last_mod_count: self.last_mod_count,
            anomalies: self.anomalies,
            sequences: self.sequences,
            normal_time: self.normal_boot_ns.map(Duration::from_nanos),
            age: Duration::from_nanos(self.age_ns),
            marks: Marks::from_names(&self.marks),
        }
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn pairs(symbol: Symbol, pairs: &[MissedPair]) -> Vec<PairForm<'static>> {
    let form = |pair: &MissedPair| PairForm {
        distance: pair.distance,
        previous: pair.previous.name_beside(symbol.abi()),
    };
    pairs.iter().map(form).collect()
}

fn read_pairs(
    forms: &mut Option<Vec<PairForm<'_>>>,
    field: &'static str,
    beside: Abi,
) -> Result<Vec<MissedPair>, FormError> {
    let read = |form: &PairForm<'_>| {
        let previous = letter(field, beside, &form.previous)?;
        Ok(MissedPair {
            distance: form.distance,
            previous,
        })
    };
    need(forms, field)?.iter().map(read).collect()
}

fn letter(field: &'static str, beside: Abi, name: &str) -> Result<Letter, FormError> {
    Letter::from_name_beside(beside, name)
        .map_err(|error| FormError::Value(field, error.to_string()))
}

fn need<T>(value: &mut Option<T>, field: &'static str) -> Result<T, FormError> {
    value.take().ok_or(FormError::Missing(field))
}

fn parsed<T>(value: &mut Option<Cow<'_, str>>, field: &'static str) -> Result<T, FormError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    need(value, field)?
        .parse()
        .map_err(|error: T::Err| FormError::Value(field, error.to_string()))
}

fn named<T: Copy>(
    value: &mut Option<Cow<'_, str>>,
    field: &'static str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, FormError> {
    let value = need(value, field)?;
    all.iter()
        .copied()
        .find(|known| name(*known) == value)
        .ok_or_else(|| FormError::Value(field, format!("`{value}` is not known")))
}
