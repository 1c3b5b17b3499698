//! Events as JSON: one flat object each, with fields in a fixed order.
//!
//! New fields may be added behind the others. Changing the meaning of one, or taking one away,
//! needs a new [`Event::SCHEMA`].

mod circumstances;
mod profile;
mod read;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Context, Event, MissedPair};
use crate::clock;
use crate::syscall::{Letter, Symbol};
use circumstances::{AncestorForm, CircumstancesForm, ContainerForm, NamespacesForm};
use profile::ProfileForm;

impl Event {
    /// Returns the event as one line of JSON, without a line end.
    ///
    /// It can be shown on a terminal: whatever has an effect there is written as an escape.
    pub fn to_json(&self) -> String {
        // SANITY: the form has text keys only, and nothing in it can fail to be written.
        harmless(serde_json::to_string(self).unwrap_or_default())
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
        // What was done.
        response: Cow<'a, str>,
        would_have: bool,
        wait_ns: Option<u64>,
        target: Option<Cow<'a, str>>,
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
        // What surrounds a call; the namespaces are there whenever the rest is.
        exe: Option<Cow<'a, str>>,
        args: Option<Vec<Cow<'a, str>>>,
        cwd: Option<Cow<'a, str>>,
        ancestors: Option<Vec<AncestorForm<'a>>>,
        cgroup: Option<Cow<'a, str>>,
        container: Option<ContainerForm<'a>>,
        namespaces: NamespacesForm,
        pid_inside: Option<u32>,
        login_uid: Option<u32>,
        audit_session: Option<u32>,
        capabilities: Option<Vec<String>>,
        // Derived from the rest, and not read again.
        confidence: Cow<'a, str>,
    }
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

impl FormError {
    fn unknown(field: &'static str, value: &str) -> Self {
        Self::Value(field, format!("`{value}` is not known"))
    }
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
        form.confidence = event.confidence().map(|one| one.as_str().into());
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
            Event::Response(event) => {
                form.response = Some(event.action.as_str().into());
                form.would_have = Some(event.would_have);
                form.wait_ns = Some(event.action.wait().map(ns));
                form.set_target(event.target.as_deref());
                form.set_call(event.symbol, &event.window);
                form.missed = Some(pairs(event.symbol, &event.missed));
                form.lfc = Some(event.lfc);
                form.max_lfc = Some(event.max_lfc);
                form.suppressed = Some(event.suppressed);
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
        let mut marks = Vec::new();
        if actor.comm_lossy {
            marks.push(COMM_LOSSY.into());
        }
        if let Some(circumstances) = &context.circumstances {
            self.set_circumstances(CircumstancesForm::of(circumstances, &mut marks));
        }
        self.marks = Some(marks).filter(|marks| !marks.is_empty());
    }

    fn set_circumstances(&mut self, form: CircumstancesForm<'a>) {
        self.exe = Some(form.exe);
        self.args = Some(form.args);
        self.cwd = Some(form.cwd);
        self.ancestors = Some(form.ancestors);
        self.cgroup = Some(form.cgroup);
        self.container = Some(form.container);
        self.namespaces = Some(form.namespaces);
        self.pid_inside = Some(form.pid_inside);
        self.login_uid = Some(form.login_uid);
        self.audit_session = Some(form.audit_session);
        self.capabilities = Some(form.capabilities);
    }

    fn set_target(&mut self, target: Option<&'a Path>) {
        let text = target.map(Path::to_string_lossy);
        if text.as_deref().is_some_and(circumstances::is_lossy) {
            let marks = self.marks.get_or_insert_default();
            marks.push("target_lossy".into());
        }
        self.target = Some(text);
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
}

/// Escapes what JSON itself lets pass but a terminal obeys or shows misleadingly: the control
/// characters above ASCII's first ones, and what turns the direction of text around. Outside of
/// strings there is none of it.
fn harmless(json: String) -> String {
    let is_plain = |c: char| {
        (' '..='~').contains(&c) || c.is_alphanumeric() || c == char::REPLACEMENT_CHARACTER
    };
    if json.chars().all(is_plain) {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // As Display does, which knows what can be printed.
        if is_plain(c) || c.escape_debug().len() == 1 {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // SANITY: writing into a string does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
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
