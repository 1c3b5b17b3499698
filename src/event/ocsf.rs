//! Events in the Open Cybersecurity Schema Framework.

mod process;
mod response;

use std::time::SystemTime;

use serde_json::{Value, json};

use super::export::{Call, Confidence, Host, PRODUCT, Severity, VERSION, without_nulls};
use super::{Context, Event, ProfileView};
use crate::clock;
use process::process;

/// Fields of an event's own JSON that have a place of their own here.
const MAPPED: [&str; 14] = [
    "event",
    "time",
    "pid",
    "tid",
    "ppid",
    "start_boot_ns",
    "uid",
    "euid",
    "gid",
    "egid",
    "cwd",
    "container",
    "login_uid",
    "audit_session",
];

/// A class of events, as far as it is always the same.
struct Class {
    category: (u32, &'static str),
    class: (u32, &'static str),
    activity: (u32, &'static str),
}

const DETECTION_FINDING: Class = Class {
    category: (2, "Findings"),
    class: (2004, "Detection Finding"),
    activity: (1, "Create"),
};

const APPLICATION_ERROR: Class = Class {
    category: (6, "Application Activity"),
    class: (6008, "Application Error"),
    activity: (1, "General Error"),
};

const BASE_EVENT: Class = Class {
    category: (0, "Uncategorized"),
    class: (0, "Base Event"),
    activity: (99, "Other"),
};

impl Event {
    /// The version of the Open Cybersecurity Schema Framework that [`to_ocsf`](Self::to_ocsf)
    /// follows.
    pub const OCSF_VERSION: &str = "1.8.0";

    /// Returns the event in the Open Cybersecurity Schema Framework, as of this machine.
    ///
    /// Alerts are Detection Findings (class 2004). Findings are worked off, so nothing else is
    /// one: what makes learning or reporting less complete is an Application Error (6008), and
    /// what becomes of profiles a Base Event (0). What the schema has no attribute for is in
    /// `unmapped.ebph`, named as in [`to_json`](Self::to_json).
    ///
    /// # Examples
    ///
    /// ```
    /// use ebph::{EventKind, testing};
    ///
    /// let finding = testing::sample(EventKind::Anomaly).to_ocsf();
    /// assert_eq!(finding["class_uid"], 2004);
    /// assert_eq!(finding["evidences"][0]["process"]["pid"], 2212);
    /// assert_eq!(testing::sample(EventKind::Lost).to_ocsf()["class_uid"], 6008);
    /// ```
    pub fn to_ocsf(&self) -> Value {
        self.to_ocsf_of(&Host::here())
    }

    /// Returns the event as [`to_ocsf`](Self::to_ocsf) does, as of another machine: for events
    /// that were read from elsewhere.
    pub fn to_ocsf_of(&self, host: &Host) -> Value {
        let class = self.ocsf_class();
        let (severity_id, severity) = ocsf_severity(self.severity());
        let mut event = json!({
            "category_uid": class.category.0,
            "category_name": class.category.1,
            "class_uid": class.class.0,
            "class_name": class.class.1,
            "activity_id": class.activity.0,
            "activity_name": class.activity.1,
            "type_uid": class.class.0 * 100 + class.activity.0,
            "type_name": format!("{}: {}", class.class.1, class.activity.1),
            "time": ms(self.time()),
            "severity_id": severity_id,
            "severity": severity,
            "message": self.summary(),
            "device": self.device(host),
            "unmapped": { PRODUCT: self.fields_without(self.mapped()) },
        });
        if self.is_alert() {
            self.add_finding(&mut event);
        } else if let Some(context) = self.context() {
            event["actor"] = json!({ "process": process(context) });
        }
        if let Self::Warning(warning) = self {
            event["count"] = json!(signed(warning.count));
        }
        let mut event = without_nulls(event);
        let metadata = self.metadata(&event);
        event["metadata"] = metadata;
        event
    }

    /// The fields that have a place of their own. Where the process cannot be named there is none
    /// to tell of it either.
    fn mapped(&self) -> &'static [&'static str] {
        let pid = self.context().and_then(|context| context.actor.pid);
        if pid.is_some() { &MAPPED } else { &MAPPED[..2] }
    }

    fn ocsf_class(&self) -> Class {
        match self {
            Self::Anomaly(_) | Self::UnbalancedSigreturn(_) | Self::Response(_) => {
                DETECTION_FINDING
            }
            Self::ProfileSetAside(_)
            | Self::CapacityExhausted(_)
            | Self::Lost(_)
            | Self::Warning(_) => APPLICATION_ERROR,
            Self::ProfileCreated(_)
            | Self::ProfileFrozen(_)
            | Self::ProfileThawed(_)
            | Self::StartNormal(_)
            | Self::StopNormal(_)
            | Self::TolerizeLimit(_)
            | Self::Sensitized(_)
            | Self::ProfileReset(_)
            | Self::ProfileForgotten(_)
            | Self::ProfileLoaded(_)
            | Self::ProfileEvicted(_)
            | Self::ExecutableChanged(_)
            | Self::NewSequence(_) => BASE_EVENT,
        }
    }

    /// What made the event; and which optional parts of the schema it uses.
    fn metadata(&self, event: &Value) -> Value {
        let process_has = |names: &[&str]| {
            let process = [
                &event["evidences"][0]["process"],
                &event["actor"]["process"],
            ];
            names
                .iter()
                .any(|name| process.iter().any(|process| process.get(name).is_some()))
        };
        let profiles = [
            (
                "host",
                event.get("device").is_some() || event.get("actor").is_some(),
            ),
            ("container", process_has(&["container", "namespace_pid"])),
            (
                "linux/linux_users",
                process_has(&["auid", "euid", "egid", "group"]),
            ),
            ("security_control", event.get("action_id").is_some()),
        ];
        let used: Vec<_> = profiles
            .iter()
            .filter_map(|(name, used)| used.then_some(name))
            .collect();
        without_nulls(json!({
            "version": Self::OCSF_VERSION,
            "product": { "name": PRODUCT, "vendor_name": PRODUCT, "version": VERSION },
            "profiles": used,
            "uid": self.uid(),
            "event_code": self.kind().as_str(),
            "log_name": PRODUCT,
            "original_time": humantime::format_rfc3339_nanos(clock::printable(self.time()))
                .to_string(),
        }))
    }

    fn device(&self, host: &Host) -> Value {
        let Some(name) = &host.name else {
            return Value::Null;
        };
        json!({
            "hostname": name,
            "type_id": 0,
            "type": "Unknown",
            "boot_time": self.context().map(|context| ms(context.wall(std::time::Duration::ZERO))),
            "os": { "name": "Linux", "type_id": 200, "type": "Linux", "kernel_release": host.kernel },
        })
    }

    fn add_finding(&self, event: &mut Value) {
        let Some(context) = self.context() else {
            return;
        };
        let kind = self.kind().as_str();
        event["is_alert"] = json!(true);
        event["status_id"] = json!(1);
        event["status"] = json!("New");
        if let Some(confidence) = self.confidence() {
            let (id, name) = match confidence {
                Confidence::Low => (1, "Low"),
                Confidence::Medium => (2, "Medium"),
                Confidence::High => (3, "High"),
            };
            event["confidence_id"] = json!(id);
            event["confidence"] = json!(name);
        }
        event["finding_info"] = json!({
            "uid": self.uid(),
            "title": self.title(),
            "desc": self.explanation(),
            "types": [kind],
            "created_time": ms(self.time()),
            "data_sources": ["Linux system calls"],
            "analytic": {
                "uid": format!("{PRODUCT}.{kind}"),
                "name": self.title(),
                "type_id": 2,
                "type": "Behavioral",
                "version": VERSION,
            },
        });
        event["evidences"] = json!([{
            "process": process(context),
            "data": self.call().map(calls),
        }]);
        let unusual = self.call().filter(|call| !call.missed.is_empty());
        if let Some(call) = unusual {
            event["anomaly_analyses"] = json!([analysis(call)]);
        }
        event["observables"] = observables(context);
        if let Some(response) = self.response() {
            response::add(response, event);
        }
    }
}

const fn ocsf_severity(severity: Severity) -> (u32, &'static str) {
    match severity {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
    }
}

/// The calls that led there.
fn calls(call: Call<'_>) -> Value {
    json!({
        "call": call.symbol.name(),
        "window": call.window(),
        "lfc": call.lfc,
        "max_lfc": call.max_lfc,
    })
}

/// What is not normal, and what it is measured by.
fn analysis(judged: Call<'_>) -> Value {
    let abi = judged.symbol.abi();
    let call = judged.symbol.name();
    let observations: Vec<_> = judged
        .missed
        .iter()
        .map(|pair| {
            let previous = pair.previous.name_beside(abi);
            json!({ "value": match pair.distance {
                1 => format!("{call} right after {previous}"),
                distance => format!("{call} {distance} calls after {previous}"),
            }})
        })
        .collect();
    let profile = judged.context.profile.as_ref();
    let target = profile.and_then(|profile| profile.script.as_ref().or(profile.exe.as_ref()));
    json!({
        "analysis_targets": [{
            "name": target.map_or("unknown".into(), |path| path.to_string_lossy()),
            "type": "program",
        }],
        "anomalies": [{
            "observation_parameter": "system calls of a thread",
            "observation_type": "lookahead pairs that were never seen",
            "observed_pattern": judged.window().join(" "),
            "observations": observations,
        }],
        "baselines": profile.map(|profile| vec![baseline(profile)]),
    })
}

/// How long and how well the program is known.
fn baseline(profile: &ProfileView) -> Value {
    let count = |value: &str, count: u64| json!({ "value": value, "count": signed(count) });
    json!({
        "observation_parameter": "system calls of the program",
        "observation_type": if profile.marks.incomplete {
            "profile of lookahead pairs, incomplete for want of room"
        } else {
            "profile of lookahead pairs"
        },
        "observed_pattern": format!("profile {}, {}", profile.key, profile.state),
        "observations": [
            count("calls from which it learnt what is normal", profile.basis),
            count("calls since it became normal, or began to learn", profile.train_count),
            count("calls since something new was learnt", profile.last_mod_count),
            count("calls that taught it something new", profile.sequences),
            count("anomalous calls since it became normal", profile.anomalies),
            count("executions of the program", profile.execs),
            {
                "value": "age of the profile",
                "timespan": {
                    "type_id": 2,
                    "type": "Seconds",
                    "duration_secs": profile.age.as_secs(),
                },
            },
        ],
    })
}

/// What somebody may search for.
fn observables(context: &Context) -> Value {
    let observable = |name: &str, type_id: u32, kind: &str, value: Option<String>| {
        value.map(|value| {
            json!({
                "name": format!("evidences.process.{name}"),
                "type_id": type_id,
                "type": kind,
                "value": value,
            })
        })
    };
    let path = context.exe().map(|exe| exe.to_string_lossy().into_owned());
    let uid = context.actor.uid.to_string();
    let pid = context.actor.pid.map(|pid| pid.to_string());
    let list = [
        observable("file.path", 45, "File Path", path),
        observable("name", 9, "Process Name", Some(context.process_name())),
        observable("pid", 15, "Process ID", pid),
        observable("user.uid", 31, "User Object: uid", Some(uid)),
    ];
    json!(list.into_iter().flatten().collect::<Vec<_>>())
}

/// The schema's integers have a sign.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Milliseconds since 1970.
fn ms(time: SystemTime) -> u64 {
    let since = clock::printable(time).duration_since(SystemTime::UNIX_EPOCH);
    // SANITY: what can be printed is not before 1970, and fits for ages.
    since.map_or(0, |since| since.as_millis() as u64)
}
