//! Events in the Elastic Common Schema.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::display::Why;
use super::export::{
    self, Confidence, Host, PRODUCT, Severity, VERSION, command_line, entity, name_of,
    without_nulls,
};
use super::{Ancestor, Context, Event};
use crate::clock;

/// Fields of an event's own JSON that have a place of their own here.
const MAPPED: [&str; 16] = [
    "event",
    "time",
    "pid",
    "tid",
    "ppid",
    "start_boot_ns",
    "comm",
    "uid",
    "euid",
    "gid",
    "egid",
    "exe",
    "args",
    "cwd",
    "container",
    "capabilities",
];

impl Event {
    /// The version of the Elastic Common Schema that [`to_ecs`](Self::to_ecs) follows.
    pub const ECS_VERSION: &str = "9.4.0";

    /// Returns the event as a document in the Elastic Common Schema, as of this machine.
    ///
    /// Alerts have `event.kind` "alert" and a `rule`, everything else "event". `event.action` is the kind,
    /// and of a response what was done. What the schema has
    /// no field for is below `ebph`, named as in [`to_json`](Self::to_json).
    ///
    /// # Examples
    ///
    /// ```
    /// use ebph::{EventKind, testing};
    ///
    /// let document = testing::sample(EventKind::Anomaly).to_ecs();
    /// assert_eq!(document["event"]["kind"], "alert");
    /// assert_eq!(document["process"]["executable"], "/usr/sbin/nginx");
    /// assert_eq!(document["ebph"]["missed"][0]["previous"], "connect");
    /// ```
    pub fn to_ecs(&self) -> Value {
        self.to_ecs_of(&Host::here())
    }

    /// Returns the event as [`to_ecs`](Self::to_ecs) does, as of another machine: for events that
    /// were read from elsewhere.
    pub fn to_ecs_of(&self, host: &Host) -> Value {
        let (category, what) = self.ecs_category();
        let kind = self.kind().as_str();
        let response = self.response();
        let mut document = json!({
            "@timestamp": rfc3339(self.time()),
            "ecs": { "version": Self::ECS_VERSION },
            "message": self.summary(),
            "event": {
                "id": self.uid(),
                "kind": if self.is_alert() { "alert" } else { "event" },
                "category": category,
                "type": [what],
                "action": response.map_or(kind, |response| response.action.as_str()),
                "outcome": response
                    .filter(|response| !response.would_have)
                    .map(|_| "success"),
                "reason": response.map(|response| Why(response).to_string()),
                "module": PRODUCT,
                "provider": PRODUCT,
                "dataset": format!("{PRODUCT}.events"),
                "severity": ecs_severity(self.severity()),
            },
            "host": {
                "hostname": host.name,
                "name": host.name,
                "architecture": host.machine,
                "os": { "type": "linux", "kernel": host.kernel },
            },
            "ebph": self.fields_without(&MAPPED),
        });
        if self.is_alert() {
            document["ebph"]["confidence"] = json!(self.confidence().map(Confidence::as_str));
            document["rule"] = json!({
                "id": format!("{PRODUCT}.{kind}"),
                "name": self.title(),
                "category": "behaviour",
                "ruleset": PRODUCT,
                "version": VERSION,
            });
        }
        if let Some(context) = self.context() {
            document["process"] = process(context);
            document["user"] = user(context);
            document["related"] = json!({ "user": related_users(context) });
            document["container"] = container(context);
            // Without its beginning it is no path; its end is the name of the process.
            if context.exe().is_none() {
                let around = context.circumstances.as_deref();
                let exe = around.and_then(|around| around.exe.value.as_deref());
                document["ebph"]["exe"] = json!(exe.map(text));
            }
        }
        if let Some(target) = response.and_then(|response| response.target.as_deref()) {
            document["file"] = file(Some(target));
        }
        if let Event::ExecutableChanged(event) = self {
            let profile = event.context.profile.as_ref();
            let exe = profile
                .filter(|profile| !profile.marks.exe_truncated)
                .and_then(|profile| profile.exe.as_deref());
            document["file"] = file(exe);
        }
        without_nulls(document)
    }

    /// `event.category` and `event.type`. What is about the monitor itself has no category.
    fn ecs_category(&self) -> (&'static [&'static str], &'static str) {
        match self {
            // What is denied is no event of the process: that went on, or has ended.
            Self::Response(response)
                if !response.would_have && response.action.wait().is_none() =>
            {
                (&["intrusion_detection"], "denied")
            }
            Self::Anomaly(_) | Self::UnbalancedSigreturn(_) | Self::Response(_) => {
                (&["intrusion_detection", "process"], "info")
            }
            Self::ProfileCreated(_) => (&["configuration"], "creation"),
            Self::ProfileForgotten(_) => (&["configuration"], "deletion"),
            Self::NewSequence(_) => (&["configuration"], "info"),
            Self::ProfileFrozen(_)
            | Self::ProfileThawed(_)
            | Self::StartNormal(_)
            | Self::StopNormal(_)
            | Self::TolerizeLimit(_)
            | Self::Sensitized(_)
            | Self::ProfileReset(_)
            | Self::ProfileLoaded(_)
            | Self::ProfileEvicted(_) => (&["configuration"], "change"),
            Self::ExecutableChanged(_) => (&["file"], "change"),
            Self::ProfileSetAside(_)
            | Self::CapacityExhausted(_)
            | Self::Lost(_)
            | Self::Warning(_) => (&[], "error"),
        }
    }
}

/// The scores that Elastic's own rules have for low, medium and high.
const fn ecs_severity(severity: Severity) -> u32 {
    match severity {
        Severity::Informational => 0,
        Severity::Low => 21,
        Severity::Medium => 47,
        Severity::High => 73,
    }
}

fn file(path: Option<&Path>) -> Value {
    json!({
        "path": path.map(text),
        "name": path.map(|path| name_of(Some(path), "")),
    })
}

fn process(context: &Context) -> Value {
    let actor = &context.actor;
    let around = context.circumstances.as_deref();
    let args = around.and_then(|around| around.args.value.as_ref());
    let capabilities = around.and_then(|around| around.capabilities.value);
    let whole_args = around.is_some_and(|around| !around.args.truncated);
    json!({
        "pid": actor.pid,
        "entity_id": entity(actor.pid, actor.start),
        "name": context.process_name(),
        "executable": context.exe().map(text),
        "args": args.map(|args| args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>()),
        "args_count": args.filter(|_| whole_args).map(Vec::len),
        "command_line": around.and_then(command_line),
        "working_directory": around.and_then(|around| export::whole(&around.cwd)).map(text),
        "start": rfc3339(context.wall(actor.start)),
        "thread": {
            "id": actor.tid,
            "name": actor.comm,
            "capabilities": {
                "effective": capabilities.map(|set| set.names().map(ecs_capability).collect::<Vec<_>>()),
            },
        },
        "user": { "id": actor.euid.to_string() },
        "real_user": { "id": actor.uid.to_string() },
        "group": { "id": actor.egid.to_string() },
        "real_group": { "id": actor.gid.to_string() },
        "parent": parent(context),
    })
}

/// One without a name goes by its number.
fn ecs_capability(name: String) -> String {
    match name.strip_prefix("CAP_") {
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => number.to_owned(),
        _ => name,
    }
}

fn parent(context: &Context) -> Value {
    let known = |parent: &Ancestor| {
        json!({
            "pid": parent.pid,
            "entity_id": entity(parent.pid, parent.start),
            "name": name_of(parent.exe.value.as_deref(), &parent.comm),
            "executable": export::whole(&parent.exe).map(text),
            "start": rfc3339(context.wall(parent.start)),
            "thread": { "name": parent.comm },
            "real_user": { "id": parent.uid.to_string() },
        })
    };
    let around = context.circumstances.as_deref();
    let ancestors = around.and_then(|around| around.ancestors.value.as_deref());
    match ancestors.and_then(<[Ancestor]>::first) {
        Some(parent) => known(parent),
        None => json!({ "pid": context.actor.ppid }),
    }
}

fn user(context: &Context) -> Value {
    let actor = &context.actor;
    let effective = (actor.euid != actor.uid).then(|| actor.euid.to_string());
    json!({ "id": actor.uid.to_string(), "effective": { "id": effective } })
}

fn related_users(context: &Context) -> Vec<String> {
    let around = context.circumstances.as_deref();
    let login = around.and_then(|around| around.login_uid.value);
    let mut users = vec![context.actor.uid, context.actor.euid];
    users.extend(login);
    users.sort_unstable();
    users.dedup();
    users.iter().map(u32::to_string).collect()
}

fn container(context: &Context) -> Value {
    let around = context.circumstances.as_deref();
    let container = around.and_then(|around| around.container.value.as_ref());
    json!({
        "id": container.map(|container| &container.id),
        "runtime": container.and_then(|container| container.runtime).map(super::Runtime::as_str),
    })
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_nanos(clock::printable(time)).to_string()
}
