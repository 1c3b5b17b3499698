//! The Elastic Common Schema, against the published list of its fields.

use std::collections::HashMap;

use ebph::{Event, EventKind, Host, testing};
use serde_json::Value;

use crate::variants;

const FIELDS: &str = include_str!("ecs-9.4.0.tsv");

/// What is published of one field.
struct Field {
    kind: &'static str,
    array: bool,
    required: bool,
    /// The values allowed; empty if there are no such. For a category, with the types expected.
    values: Vec<(&'static str, Vec<&'static str>)>,
    pattern: &'static str,
}

fn published() -> HashMap<&'static str, Field> {
    let rows = FIELDS.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let [name, kind, array, required, values, pattern] =
            row.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let values = values.split('|').filter(|value| *value != "-");
        let values = values.map(|value| match value.split_once('(') {
            Some((value, types)) => (value, types.trim_end_matches(')').split(' ').collect()),
            None => (value, Vec::new()),
        });
        let field = Field {
            kind,
            array: array == "array",
            required: required == "required",
            values: values.collect(),
            pattern,
        };
        (name, field)
    })
    .collect()
}

/// Everything that is wrong with a document.
fn faults(document: &Value) -> Vec<String> {
    let published = published();
    let mut found = HashMap::new();
    let mut faults = Vec::new();
    for (name, value) in document.as_object().unwrap() {
        // Whatever is not of the schema is below a name of our own.
        if name != "ebph" {
            flatten(name.clone(), value, &mut found);
        }
    }
    for (name, value) in &found {
        match published.get(name.as_str()) {
            None => faults.push(format!("{name} is not a field")),
            Some(field) => faults.extend(wrong(field, value).map(|why| format!("{name}: {why}"))),
        }
    }
    for (name, field) in &published {
        if field.required && !found.contains_key(*name) {
            faults.push(format!("{name} is missing"));
        }
    }
    let kind = |name: &str| published[name].values.clone();
    let list = |name: &str| {
        found
            .get(name)
            .and_then(|list| list.as_array())
            .into_iter()
            .flatten()
    };
    for category in list("event.category") {
        let known = kind("event.category");
        let expected = known.iter().find(|(name, _)| category == name);
        for what in list("event.type") {
            if !expected.is_some_and(|(_, types)| types.iter().any(|known| what == known)) {
                faults.push(format!("{category} does not go with {what}"));
            }
        }
    }
    faults
}

fn flatten<'a>(name: String, value: &'a Value, into: &mut HashMap<String, &'a Value>) {
    match value {
        Value::Object(fields) => {
            for (below, value) in fields {
                flatten(format!("{name}.{below}"), value, into);
            }
        }
        _ => {
            into.insert(name, value);
        }
    }
}

fn wrong(field: &Field, value: &Value) -> Option<String> {
    let items = match (field.array, value) {
        (true, Value::Array(items)) => items.iter().collect(),
        (true, _) => return Some("is not an array".to_owned()),
        (false, value) => vec![value],
    };
    items.into_iter().find_map(|item| wrong_item(field, item))
}

fn wrong_item(field: &Field, item: &Value) -> Option<String> {
    let fits = match field.kind {
        "keyword" | "wildcard" | "match_only_text" | "text" | "constant_keyword" => {
            item.is_string()
        }
        "long" => item.as_i64().is_some(),
        "float" => item.is_number(),
        "boolean" => item.is_boolean(),
        "date" => item
            .as_str()
            .is_some_and(|text| humantime::parse_rfc3339(text).is_ok()),
        other => return Some(format!("of type {other}, which no test knows")),
    };
    if !fits {
        return Some(format!("{item} is not of type {}", field.kind));
    }
    if !field.values.is_empty() && !field.values.iter().any(|(value, _)| item == value) {
        return Some(format!("{item} is not among the values allowed"));
    }
    // The only pattern among the fields in use.
    if field.pattern != "-" {
        assert_eq!(
            field.pattern, r"^(CAP_[A-Z_]+|\d+)$",
            "a pattern no test knows"
        );
        let text = item.as_str().unwrap_or_default();
        let name = text.strip_prefix("CAP_").unwrap_or("");
        let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        let number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !named && !number {
            return Some(format!("{item} does not match {}", field.pattern));
        }
    }
    None
}

/// Check that every event, in all its forms, is made of fields that the schema has, with the types
/// and values it allows, and lacks none that it requires.
#[test]
fn schema() {
    assert!(FIELDS.contains(&format!("Elastic Common Schema {}", Event::ECS_VERSION)));
    for (what, event) in variants::all() {
        for host in [variants::host(), Host::default()] {
            let document = event.to_ecs_of(&host);
            let faults = faults(&document);
            assert!(faults.is_empty(), "{what}: {faults:#?}\n{document:#}");
        }
    }
}

/// Check that the check finds what it is for.
#[test]
fn check_bites() {
    let good = testing::sample(EventKind::Anomaly).to_ecs_of(&variants::host());
    let fault = |pointer: &str, name: &str, value: Value| {
        let mut bad = good.clone();
        bad.pointer_mut(pointer).unwrap()[name] = value;
        faults(&bad).join("; ")
    };
    assert_eq!(fault("", "ebph", "anything".into()), "");
    assert!(fault("/process", "colour", "red".into()).contains("process.colour is not a field"));
    assert!(fault("/process", "pid", "1".into()).contains("not of type long"));
    assert!(fault("/process", "args", "ls".into()).contains("not an array"));
    assert!(fault("/event", "kind", "alarm".into()).contains("not among the values"));
    assert!(fault("/event", "type", vec!["creation"].into()).contains("does not go with"));
    assert!(fault("/ecs", "version", Value::Null).contains("ecs.version"));
    assert!(fault("", "@timestamp", "yesterday".into()).contains("not of type date"));
    let capabilities = fault(
        "/process/thread/capabilities",
        "effective",
        vec!["all"].into(),
    );
    assert!(capabilities.contains("does not match"));
}

/// Check where the evidence is, and that nothing of the event is lost on the way.
#[test]
fn evidence() {
    let sample = testing::sample(EventKind::Anomaly);
    let document = sample.to_ecs_of(&variants::host());
    let at = |pointer: &str| document.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/@timestamp"), "2026-11-22T09:00:00.123456789Z");
    assert_eq!(at("/event/kind"), "alert");
    assert_eq!(at("/process/start"), "2026-11-19T09:00:00.123456789Z");
    assert_eq!(at("/process/entity_id"), "2212-522125900000123");
    assert_eq!(at("/process/command_line"), "'nginx: worker process'");
    assert_eq!(at("/process/parent/pid"), 2190);
    assert_eq!(at("/process/parent/executable"), "/usr/sbin/nginx");
    assert_eq!(at("/process/thread/capabilities/effective/0"), "CAP_KILL");
    assert_eq!(at("/container/runtime"), "docker");
    assert_eq!(at("/host/os/kernel"), "6.18.0");
    assert_eq!(at("/rule/id"), "ebph.anomaly");
    assert_eq!(at("/ebph/window/8"), "dup2");
    assert_eq!(at("/ebph/profile/sequences"), 212);
    assert_eq!(at("/ebph/ancestors/2/comm"), "systemd");
    assert_eq!(at("/ebph/lost_before"), 0);
    let own = serde_json::to_value(&sample).unwrap();
    for (name, value) in own.as_object().unwrap() {
        let beside = &document["ebph"][name];
        let text = document.to_string();
        let scalar = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        assert!(
            value.is_null()
                || beside == value
                || beside.is_object()
                || beside.is_array()
                || text.contains(&scalar)
                || name == "start_boot_ns"
                || name == "container",
            "{name} is lost: {value}"
        );
    }
}

/// Check where it is said what was done, and that what would have been done is told from it.
#[test]
fn responses() {
    let mut seen = 0;
    for (what, event) in variants::all() {
        let document = event.to_ecs_of(&variants::host());
        let at = |pointer: &str| document.pointer(pointer).cloned().unwrap_or_default();
        let Some(wanted) = (match &*what {
            "response, delay null done" => Some(("delay", "info", "success", "")),
            "response, delay null would have" => Some(("delay", "info", "", "")),
            "response, suspend_exec \"/bin/sh\" done" => {
                Some(("suspend_exec", "info", "success", "/bin/sh"))
            }
            "response, deny_exec \"/bin/sh\" done" => {
                Some(("deny_exec", "denied", "success", "/bin/sh"))
            }
            "response, deny_exec \"/bin/sh\" would have" => {
                Some(("deny_exec", "info", "", "/bin/sh"))
            }
            "response, kill null done" => Some(("kill", "denied", "success", "")),
            "response, kill null would have" => Some(("kill", "info", "", "")),
            _ => None,
        }) else {
            continue;
        };
        seen += 1;
        let (action, kind, outcome, target) = wanted;
        assert_eq!(at("/event/action"), action, "{what}");
        assert_eq!(at("/event/type/0"), kind, "{what}");
        assert_eq!(
            at("/event/outcome").as_str().unwrap_or(""),
            outcome,
            "{what}"
        );
        assert_eq!(at("/file/path").as_str().unwrap_or(""), target, "{what}");
        assert_eq!(at("/rule/id"), "ebph.response", "{what}");
        let reason = at("/event/reason");
        assert!(reason.as_str().unwrap().contains("anomalous"), "{what}");
        assert_eq!(at("/ebph/response"), action, "{what}");
    }
    assert_eq!(seen, 7);
}

/// Check that what is cut short is not passed off as whole.
#[test]
fn truncated() {
    for (what, event) in variants::all() {
        let document = event.to_ecs_of(&variants::host());
        if what.ends_with("exe truncated") {
            assert_eq!(document["process"].get("executable"), None, "{what}");
            assert_eq!(document["ebph"]["exe"], "/usr/sbin/nginx", "{what}");
        } else if what.ends_with("cwd truncated") {
            assert_eq!(document["process"].get("working_directory"), None, "{what}");
        } else if what.ends_with("args truncated") {
            assert_eq!(document["process"].get("args_count"), None, "{what}");
        } else if what.ends_with("redacted") {
            assert!(
                document["ebph"]["marks"].to_string().contains("redacted"),
                "{what}"
            );
        }
    }
}

/// Check that an event has one name wherever it is received, and another one has another.
#[test]
fn ids() {
    let id = |event: &Event| event.to_ecs_of(&variants::host())["event"]["id"].clone();
    let mut ids: Vec<_> = EventKind::ALL
        .iter()
        .map(|kind| id(&testing::sample(*kind)).to_string())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), EventKind::ALL.len());
    for (what, event) in variants::all() {
        if what.ends_with("after losses") {
            assert_eq!(id(&event), id(&testing::sample(event.kind())), "{what}");
        }
    }
}
