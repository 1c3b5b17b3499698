//! The Open Cybersecurity Schema Framework, against what is published of its classes and objects.

use std::collections::{BTreeSet, HashMap};

use ebph::{Event, EventKind, Host, testing};
use serde_json::Value;

use crate::variants;

const SCHEMA: &str = include_str!("ocsf-1.8.0.tsv");

/// A class, or an object.
#[derive(Default)]
struct Shape {
    /// Of which one at least must be there, if any.
    one_of: Vec<&'static str>,
    attributes: HashMap<&'static str, Attribute>,
}

struct Attribute {
    /// Its type; of an object, its name in braces.
    kind: &'static str,
    array: bool,
    required: bool,
    /// The optional part of the schema that it belongs to, if any.
    profile: Option<&'static str>,
    /// Numbers and the names that go with them.
    values: HashMap<&'static str, &'static str>,
}

type Schema = HashMap<(&'static str, &'static str), Shape>;

fn published() -> Schema {
    let mut schema = Schema::new();
    let mut current = ("", "");
    for row in SCHEMA.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<_> = row.split('\t').collect();
        if let ["", name, kind, array, requirement, profile, values] = cells[..] {
            let values = values.split('|').filter_map(|value| value.split_once('='));
            let attribute = Attribute {
                kind,
                array: array == "array",
                required: requirement == "required",
                profile: Some(profile).filter(|profile| *profile != "-"),
                values: values.collect(),
            };
            schema
                .get_mut(&current)
                .unwrap()
                .attributes
                .insert(name, attribute);
        } else {
            let [kind, name, one_of] = cells.try_into().unwrap();
            current = (kind, name);
            schema.entry(current).or_default().one_of =
                one_of.split(' ').filter(|name| *name != "-").collect();
        }
    }
    schema
}

/// What a walk through an event finds.
#[derive(Default)]
struct Findings {
    faults: Vec<String>,
    profiles: BTreeSet<String>,
}

/// Everything that is wrong with an event.
fn faults(event: &Value) -> Vec<String> {
    let schema = published();
    let class = match event["class_uid"].as_u64() {
        Some(2004) => "detection_finding",
        Some(6008) => "application_error",
        Some(0) => "base_event",
        _ => return vec![format!("no class: {}", event["class_uid"])],
    };
    let mut findings = Findings::default();
    walk(&schema, ("class", class), event, class, &mut findings);
    let Findings {
        mut faults,
        profiles,
    } = findings;
    let listed = event["metadata"]["profiles"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let listed: BTreeSet<_> = listed
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    if listed != profiles {
        faults.push(format!("profiles are {profiles:?}, and listed {listed:?}"));
    }
    let type_uid = event["class_uid"]
        .as_u64()
        .zip(event["activity_id"].as_u64());
    if event["type_uid"].as_u64() != type_uid.map(|(class, activity)| class * 100 + activity) {
        faults.push("type_uid does not follow from class and activity".to_owned());
    }
    faults
}

fn walk(
    schema: &Schema,
    name: (&'static str, &'static str),
    value: &Value,
    path: &str,
    findings: &mut Findings,
) {
    let Some(shape) = schema.get(&name) else {
        findings
            .faults
            .push(format!("{path}: no such object is known here: {}", name.1));
        return;
    };
    let Some(fields) = value.as_object() else {
        findings.faults.push(format!("{path} is not an object"));
        return;
    };
    for (field, value) in fields {
        let path = format!("{path}.{field}");
        let Some(attribute) = shape.attributes.get(field.as_str()) else {
            findings.faults.push(format!("{path} is not an attribute"));
            continue;
        };
        findings
            .profiles
            .extend(attribute.profile.map(str::to_owned));
        look(schema, attribute, value, &path, findings);
        // Where a number has a name, the two must agree.
        let beside = field.strip_suffix("_id").or_else(|| {
            field
                .strip_suffix("_uid")
                .filter(|stem| fields.contains_key(&format!("{stem}_name")))
        });
        let beside = beside.and_then(|stem| {
            fields
                .get(stem)
                .or_else(|| fields.get(&format!("{stem}_name")))
        });
        if let (Some(said), Some(meant)) = (beside, attribute.values.get(&*value.to_string())) {
            // 99 is "Other", and the name beside it says what.
            if said != meant && value != 99 {
                findings
                    .faults
                    .push(format!("{path} is {meant}, and named {said}"));
            }
        }
    }
    for (field, attribute) in &shape.attributes {
        // What belongs to an optional part is required only where that is in use.
        if attribute.required && attribute.profile.is_none() && !fields.contains_key(*field) {
            findings.faults.push(format!("{path}.{field} is missing"));
        }
    }
    if !shape.one_of.is_empty() && !shape.one_of.iter().any(|field| fields.contains_key(*field)) {
        findings
            .faults
            .push(format!("{path} has none of {:?}", shape.one_of));
    }
}

fn look(
    schema: &Schema,
    attribute: &Attribute,
    value: &Value,
    path: &str,
    findings: &mut Findings,
) {
    let items = match (attribute.array, value) {
        (true, Value::Array(items)) => items.iter().collect(),
        (true, _) => {
            findings.faults.push(format!("{path} is not an array"));
            return;
        }
        (false, value) => vec![value],
    };
    for item in items {
        let object = attribute
            .kind
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'));
        let fits = match attribute.kind {
            "json_t" => true,
            "object" | "{object}" => item.is_object(),
            "boolean_t" => item.is_boolean(),
            // No number here may need more than a signed word has.
            "integer_t" | "long_t" | "timestamp_t" => item.as_i64().is_some(),
            "string_t" | "hostname_t" | "file_name_t" | "file_path_t" | "process_name_t"
            | "username_t" => item.is_string(),
            _ => match object {
                Some(name) => {
                    walk(schema, ("object", name), item, path, findings);
                    true
                }
                None => {
                    let kind = attribute.kind;
                    findings
                        .faults
                        .push(format!("{path} is of type {kind}, which no test knows"));
                    true
                }
            },
        };
        if !fits {
            findings
                .faults
                .push(format!("{path} is not of type {}: {item}", attribute.kind));
        }
        if !attribute.values.is_empty() && !attribute.values.contains_key(&*item.to_string()) {
            findings
                .faults
                .push(format!("{path}: {item} is not among the values allowed"));
        }
    }
}

/// Check that every event, in all its forms, is made of attributes that the schema has, with the
/// types and values it allows, lacks none that it requires, and says which parts it uses.
#[test]
fn schema() {
    assert!(SCHEMA.starts_with(&format!("# OCSF {},", Event::OCSF_VERSION)));
    for (what, event) in variants::all() {
        for host in [variants::host(), Host::default()] {
            let made = event.to_ocsf_of(&host);
            let faults = faults(&made);
            assert!(faults.is_empty(), "{what}: {faults:#?}\n{made:#}");
            let is_finding = made["class_uid"] == 2004;
            assert_eq!(is_finding, event.is_alert(), "{what}");
        }
    }
}

/// Check that the check finds what it is for.
#[test]
fn check_bites() {
    let good = testing::sample(EventKind::Anomaly).to_ocsf_of(&variants::host());
    let fault = |pointer: &str, name: &str, value: Option<Value>| {
        let mut bad = good.clone();
        let place = bad.pointer_mut(pointer).unwrap();
        match value {
            Some(value) => place[name] = value,
            None => drop(place.as_object_mut().unwrap().remove(name)),
        }
        faults(&bad).join("; ")
    };
    let process = "/evidences/0/process";
    assert_eq!(fault("/unmapped", "anything", Some("at all".into())), "");
    assert!(fault("", "colour", Some("red".into())).contains("colour is not an attribute"));
    assert!(fault(process, "tid", Some(1.into())).contains("tid is not an attribute"));
    assert!(fault(process, "pid", Some("1".into())).contains("pid is not of type"));
    assert!(fault("", "severity_id", Some(7.into())).contains("not among the values"));
    assert!(fault("", "severity", Some("High".into())).contains("severity_id is Medium"));
    assert!(fault("", "class_name", Some("Finding".into())).contains("class_uid is Detection"));
    assert!(fault("", "activity_id", Some(2.into())).contains("type_uid does not follow"));
    assert!(fault("", "evidences", Some(good["evidences"][0].clone())).contains("not an array"));
    assert!(fault("/finding_info", "uid", None).contains("finding_info.uid is missing"));
    assert!(fault("/metadata", "profiles", None).contains("and listed {}"));
    assert!(fault(&format!("{process}/file"), "type_id", None).contains("type_id is missing"));
    assert!(fault("/metadata/product", "name", None).contains("has none of"));
}

/// Check where the evidence is.
#[test]
fn evidence() {
    let finding = testing::sample(EventKind::Anomaly).to_ocsf_of(&variants::host());
    let at = |pointer: &str| finding.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/time"), 1_795_338_000_123_u64);
    assert_eq!(at("/type_uid"), 200_401);
    assert_eq!(at("/confidence"), "High");
    assert_eq!(at("/finding_info/analytic/uid"), "ebph.anomaly");
    assert_eq!(
        at("/evidences/0/process/created_time"),
        1_795_078_800_123_u64
    );
    assert_eq!(at("/evidences/0/process/namespace_pid"), 29);
    assert_eq!(at("/evidences/0/process/container/runtime"), "docker");
    assert_eq!(at("/evidences/0/process/parent_process/user/uid"), "0");
    assert_eq!(at("/evidences/0/process/ancestry/2/name"), "systemd");
    assert_eq!(at("/evidences/0/data/window/8"), "dup2");
    assert_eq!(
        at("/anomaly_analyses/0/anomalies/0/observations/0/value"),
        "dup2 right after connect"
    );
    assert_eq!(
        at("/anomaly_analyses/0/baselines/0/observations/0/count"),
        741_004
    );
    assert_eq!(at("/device/os/kernel_release"), "6.18.0");
    assert_eq!(at("/unmapped/ebph/capabilities/0"), "CAP_KILL");
    assert_eq!(at("/unmapped/ebph/args/0"), "nginx: worker process");
    assert_eq!(at("/unmapped/ebph/lost_before"), 0);
    let message = at("/message");
    assert!(
        message
            .as_str()
            .unwrap()
            .starts_with("ANOMALY: /usr/sbin/nginx"),
        "{message}"
    );
}

/// Check what was decided and what became of it, for each response, done and not done.
#[test]
fn responses() {
    let mut seen = 0;
    for (what, event) in variants::all() {
        let finding = event.to_ocsf_of(&variants::host());
        let Some((action, disposition)) = (match &*what {
            "response" | "response, delay null done" => Some(("Modified", "Delayed")),
            "response, suspend_exec \"/bin/sh\" done" => Some(("Modified", "Delayed")),
            "response, deny_exec \"/bin/sh\" done" => Some(("Denied", "Blocked")),
            "response, kill null done" => Some(("Denied", "Killed")),
            _ if what.ends_with(" would have") => Some(("Observed", "Logged")),
            _ => None,
        }) else {
            continue;
        };
        seen += 1;
        assert_eq!(finding["action"], action, "{what}");
        assert_eq!(finding["disposition"], disposition, "{what}");
        assert_eq!(finding["finding_info"]["types"][0], "response", "{what}");
        let target = what.contains("/bin/sh").then_some("/bin/sh");
        if !what.ends_with("null would have") {
            let file = &finding["evidences"][0]["file"]["path"];
            let nasty = what.contains("[2J") || what.contains("a long path");
            assert!(nasty || file.as_str() == target, "{what}: {file}");
        }
        let profiles = finding["metadata"]["profiles"].to_string();
        assert!(profiles.contains("security_control"), "{what}: {profiles}");
    }
    assert_eq!(seen, 13);
    let anomaly = testing::sample(EventKind::Anomaly).to_ocsf_of(&variants::host());
    assert_eq!(anomaly.get("action_id"), None);
}

/// Check that what is not sure is not said to be.
#[test]
fn confidence() {
    for (what, event) in variants::all() {
        let made = event.to_ocsf_of(&variants::host());
        let confidence = made["confidence"].as_str();
        assert_eq!(confidence.is_some(), event.is_alert(), "{what}");
        if what == "anomaly, an incomplete profile" || what == "anomaly, no profile" {
            assert_eq!(confidence, Some("Low"), "{what}");
        }
    }
    let sure = |basis: u64, calls: u64, anomalies: u64| {
        let mut event = serde_json::to_value(testing::sample(EventKind::Anomaly)).unwrap();
        event["profile"]["basis"] = basis.into();
        event["profile"]["train_count"] = calls.into();
        event["profile"]["anomalies"] = anomalies.into();
        let event: Event = serde_json::from_value(event).unwrap();
        event.to_ocsf_of(&variants::host())["confidence"].clone()
    };
    assert_eq!(sure(900, 99, 1), "Low");
    assert_eq!(sure(900, 100, 1), "Medium");
    assert_eq!(sure(900, 100, 11), "Low");
    assert_eq!(sure(99_999, 0, 1), "Medium");
    assert_eq!(sure(100_000, 0, 1), "High");
    assert_eq!(sure(0, 100_000, 1_000), "High");
    assert_eq!(sure(0, 100_000, 1_001), "Low");
    assert_eq!(sure(u64::MAX, u64::MAX, u64::MAX), "Low");
}
