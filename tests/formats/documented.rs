//! The examples in docs/events.md are what the samples give.
//!
//! With `EBPH_UPDATE_DOCS` set, the document is rewritten instead:
//! `EBPH_UPDATE_DOCS=1 cargo test --test formats documented`.

use std::collections::BTreeSet;
use std::fs;

use ebph::{Event, EventKind, testing};
use serde_json::Value;

use crate::variants;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/events.md");
/// Stands before an example, with its kind and format after it.
const MARK: &str = "<!-- example: ";

/// JSON that fits a page: each field of the outermost objects on a line of its own.
fn broken(json: &str, depths: usize) -> String {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let mut out = String::new();
    for c in json.chars() {
        let opens = !quoted && matches!(c, '{' | '[');
        let closes = !quoted && matches!(c, '}' | ']');
        if closes && depth <= depths {
            out.push('\n');
            out.push_str(&"  ".repeat(depth - 1));
        }
        depth -= usize::from(closes);
        out.push(c);
        depth += usize::from(opens);
        if (opens || (!quoted && c == ',')) && depth <= depths {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        }
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
    }
    out
}

fn example(kind: EventKind, format: &str) -> String {
    let event = testing::sample(kind);
    let host = variants::host();
    match format {
        "json" => broken(&event.to_json(), 1),
        "ecs" => broken(&event.to_ecs_of(&host).to_string(), 2),
        "ocsf" => broken(&event.to_ocsf_of(&host).to_string(), 2),
        "syslog" => event.to_syslog_of(&host),
        "display" => event.to_string(),
        "explained" => format!("{event:#}"),
        "journal" => {
            let line = |(name, value): &(&str, Vec<u8>)| {
                format!("{name}={}", String::from_utf8_lossy(value))
            };
            let fields = event.to_journal_fields();
            fields.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        other => panic!("no such format: {other}"),
    }
}

/// Each example of the document: what it is of, and the text in its fence.
fn examples(document: &str) -> Vec<(EventKind, String, String)> {
    let mut found = Vec::new();
    for part in document.split(MARK).skip(1) {
        let (what, rest) = part.split_once(" -->\n```").unwrap();
        let (kind, format) = what.split_once(' ').unwrap();
        let (_language, rest) = rest.split_once('\n').unwrap();
        let (text, _) = rest.split_once("\n```\n").unwrap();
        found.push((kind.parse().unwrap(), format.to_owned(), text.to_owned()));
    }
    found
}

/// Check that every example is exactly what its sample gives, that there is one of each kind, and
/// one of each format.
#[test]
fn documented_examples() {
    let document = fs::read_to_string(DOCUMENT).unwrap();
    if std::env::var_os("EBPH_UPDATE_DOCS").is_some() {
        let mut new = document.clone();
        for (kind, format, text) in examples(&document) {
            let head = format!("{MARK}{kind} {format} -->\n```");
            let start = new.find(&head).unwrap() + head.len();
            let place = start + new[start..].find('\n').unwrap() + 1;
            new.replace_range(place..place + text.len(), &example(kind, &format));
        }
        fs::write(DOCUMENT, &new).unwrap();
    }
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let mut kinds = BTreeSet::new();
    let mut formats = BTreeSet::new();
    for (kind, format, text) in examples(&document) {
        let should = example(kind, &format);
        match format.as_str() {
            // Another crate may have the order of their fields changed.
            "ecs" | "ocsf" => {
                let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
                assert_eq!(value(&text), value(&should), "{kind} as {format}");
            }
            _ => assert_eq!(text, should, "{kind} as {format}"),
        }
        if format == "json" {
            kinds.insert(kind);
            let read: Event = serde_json::from_str(&text).unwrap();
            assert_eq!(read, testing::sample(kind), "{kind}");
        }
        formats.insert(format);
    }
    assert_eq!(kinds, BTreeSet::from_iter(EventKind::ALL.iter().copied()));
    let all = [
        "display",
        "ecs",
        "explained",
        "journal",
        "json",
        "ocsf",
        "syslog",
    ];
    assert_eq!(formats, BTreeSet::from(all.map(str::to_owned)));
}

/// Check that every field that any event can have is in a table, and that no table has a field
/// that no event has.
#[test]
fn documented_fields() {
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let (own, _) = document.split_once("\n## Examples").unwrap();
    let (_, own) = own.split_once("\n## Fields").unwrap();
    let documented: BTreeSet<&str> = own
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let mut fields = BTreeSet::new();
    let mut marks = BTreeSet::new();
    for (_, event) in variants::all() {
        let event = serde_json::to_value(&event).unwrap();
        gather("", &event, &mut fields, &mut marks);
    }
    let fields: BTreeSet<&str> = fields.iter().map(String::as_str).collect();
    assert_eq!(documented, fields);
    for mark in marks {
        let general = ["late", "unknown", "redacted", "truncated", "lossy"];
        let general = general.iter().any(|end| mark.ends_with(&format!("_{end}")));
        assert!(
            general || own.contains(&format!("`{mark}`")),
            "{mark} is not documented"
        );
    }
}

/// The names of all fields, those within others as in `profile.key`.
fn gather(
    within: &str,
    value: &Value,
    fields: &mut BTreeSet<String>,
    marks: &mut BTreeSet<String>,
) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let name = format!("{within}{name}");
                if name.ends_with("marks") {
                    let list = value.as_array().unwrap();
                    marks.extend(list.iter().map(|mark| mark.as_str().unwrap().to_owned()));
                }
                gather(&format!("{name}."), value, fields, marks);
                fields.insert(name);
            }
        }
        Value::Array(items) => {
            for item in items {
                gather(within, item, fields, marks);
            }
        }
        _ => {}
    }
}
