//! Every way in which a text can be damaged.

use serde_json::Value;

use super::super::*;
use super::{read, small, with, write};

/// Check that a file cut off anywhere says so.
#[test]
fn truncated() {
    let text = write(&small());
    let whole = text.trim_end().len();
    for length in 0..whole {
        let error = read(&text.as_bytes()[..length]).unwrap_err();
        assert!(
            matches!(error, FormatError::Truncated { .. }),
            "{length}: {error}"
        );
    }
    assert!(read(&text.as_bytes()[..whole]).is_ok());
    let error = read(&text.as_bytes()[..whole - 2]).unwrap_err().to_string();
    let lines = text.lines().count();
    let last = format!("incomplete: it ends in line {}", lines - 1);
    assert!(error.starts_with(&last), "{error}");
}

/// All places in a value, as JSON pointers, outermost first.
fn places(value: &Value, prefix: &str) -> Vec<String> {
    let Value::Object(fields) = value else {
        return Vec::new();
    };
    let within = fields.iter().flat_map(|(name, value)| {
        let place = format!("{prefix}/{name}");
        let inner = places(value, &place);
        std::iter::once(place).chain(inner)
    });
    within.collect()
}

/// Fields without which a file is still one.
const OPTIONAL: &[&str] = &[
    "/exe",
    "/script",
    "/identity",
    "/identity/script",
    "/identity/cgroup",
    "/identity/exe/sha256",
    "/identity/script/sha256",
    "/last_exec",
    "/counts/basis",
    "/counts/basis_over",
];

fn is_data(place: &str) -> bool {
    ["/train/", "/test/"]
        .iter()
        .any(|plane| place.starts_with(plane))
}

/// Check that each field is needed, or known not to be, and that errors name what is missing.
#[test]
fn missing() {
    let whole: Value = serde_json::from_str(&write(&small())).unwrap();
    let places = places(&whole, "");
    assert!(places.len() > 50, "{places:?}");
    for place in &places {
        let mut text = whole.clone();
        let (object, field) = place.rsplit_once('/').unwrap();
        let object = text.pointer_mut(object).unwrap().as_object_mut().unwrap();
        object.remove(field).unwrap();
        let result = read(text.to_string().as_bytes());
        if OPTIONAL.contains(&&**place) || is_data(place) {
            assert!(result.is_ok(), "{place}: {:?}", result.err());
            continue;
        }
        let error = result.expect_err(place).to_string();
        match &**place {
            // The profile is then one that never had a time of day.
            "/created" => assert!(
                error.starts_with("field normal_at: has no meaning"),
                "{error}"
            ),
            "/schema" => assert!(error.ends_with("found none"), "{error}"),
            _ => assert!(error.contains(field), "{place}: {error}"),
        }
    }
}

/// Check that each field refuses what it cannot be, and that errors name it.
#[test]
fn wrong_types() {
    let whole: Value = serde_json::from_str(&write(&small())).unwrap();
    let wrong = [
        "null",
        "true",
        "-1",
        "1.5",
        "\"\"",
        "\"\\u0000\"",
        "[]",
        "[1]",
        "{\"a\": []}",
        "1e99",
    ];
    for place in places(&whole, "") {
        for value in wrong {
            let fine = match (&*place, value) {
                (place, "null") => OPTIONAL.contains(&place) && !place.ends_with('s'),
                ("/incomplete" | "/frozen", "true") => true,
                // What made it, and what formats there are, may be anything.
                // A path that leads nowhere, but is one.
                (place, "\"\"")
                    if ["exe", "script", "path", "cgroup"]
                        .iter()
                        .any(|name| place.rsplit('/').next() == Some(name))
                        && !matches!(place, "/identity/exe" | "/identity/script") =>
                {
                    true
                }
                (place, "\"\"" | "\"\\u0000\"") => {
                    matches!(place, "/made/crate" | "/made/format" | "/made/how")
                }
                _ => false,
            };
            let mut text = whole.clone();
            *text.pointer_mut(&place).unwrap() = serde_json::from_str(value).unwrap();
            let result = read(text.to_string().as_bytes());
            assert_eq!(
                result.is_ok(),
                fine,
                "{place} = {value}: {:?}",
                result.err()
            );
            let Err(error) = result else { continue };
            let error = error.to_string();
            let field = place.trim_start_matches('/').replace('/', ".");
            let named = match &*place {
                "/schema" => error.starts_with("not a profile"),
                // The profile is then one that never had a time of day.
                "/created" if value == "null" => error.starts_with("field normal_at"),
                _ => error.contains(&field),
            };
            assert!(named, "{place} = {value}: {error}");
        }
    }
}

#[track_caller]
fn refused(from: &str, to: &str, why: &str) {
    let error = with(from, to).expect_err(to).to_string();
    assert!(error.contains(why), "{to}: {error}");
}

/// Check that what contradicts itself is refused.
#[test]
fn contradictions() {
    let state = "\"state\": \"normal\"";
    refused(
        state,
        "\"state\": \"training\"",
        "field frozen: contradicts the state, which is training",
    );
    refused(state, "\"state\": \"content\"", "unknown variant `content`");
    refused(
        "\"frozen\": true",
        "\"frozen\": false",
        "normal_at: has no meaning in a profile that is not frozen",
    );
    refused(
        "\"window\": 9",
        "\"window\": 1",
        "field window: expected 2 to 9, found 1",
    );
    refused("\"window\": 9", "\"window\": 10", "expected 2 to 9");
    refused(
        "\"window\": 9",
        "\"window\": 8",
        "field train.i386:write.read: expected distances up to 7",
    );
    refused(
        "\"since_novelty\": 60",
        "\"since_novelty\": 101",
        "cannot be more than counts.train, 100",
    );
    refused(
        "\"sequences\": 3",
        "\"sequences\": 72057594037927936",
        "expected at most 72057594037927935",
    );
    refused(
        "\"abi\": \"x86_64\"",
        "\"abi\": \"i386\"",
        "expected x86_64, aarch64 or raw, found i386",
    );
    refused(
        "\"abi\": \"x86_64\"",
        "\"abi\": \"vax\"",
        "unknown variant `vax`",
    );
    refused(
        "\"others\": {}",
        "\"others\": {\"read\": 0}",
        "field others.read: stands for a call that is listed already",
    );
    refused(
        "\"openat\": 257",
        "\"openat\": 257, \"openat\": 257",
        "field calls.openat: stands for a call that is listed already",
    );
    // The name decides, so these are the same.
    refused(
        "\"openat\": 257",
        "\"openat\": 257, \"call_257\": 9",
        "field calls.call_257: stands for a call",
    );
    refused(
        "\"openat\": 257",
        "\"other\": 257",
        "field calls.other: is no call",
    );
    refused(
        "\"openat\": 257",
        "\"vax:openat\": 257",
        "`vax` names no known",
    );
    refused(
        "\"openat\": \"1",
        "\"close\": \"1",
        "field train.read.close: is not among the calls",
    );
    refused(
        "\"read\": {",
        "\"other\": {",
        "field train.other: is not among the calls",
    );
    refused(
        "\"openat\": \"13\"",
        "\"openat\": \"13\", \"openat\": \"2\"",
        "field train.read.openat: is there twice",
    );
    refused(
        "\"train\": {",
        "\"train\": {\"read\": {},",
        "field train.read: is there twice",
    );
    refused(
        "\"window\": 9",
        "\"window\": 9, \"window\": 9",
        "duplicate field `window`",
    );
    refused("\"key\": \"8:", "\"key\": \"x", "is not a profile key");
    refused(
        "\"saved\": \"20",
        "\"saved\": \"no",
        "a time as in 2026-01-31T12:00:00",
    );
    refused("abab", "xyxy", "64 hexadecimal digits");
    for digits in ["", "0", "9", "31", "11", "1,3"] {
        refused(
            "\"openat\": \"13\"",
            &format!("\"openat\": \"{digits}\""),
            "digits from 1 to 8",
        );
    }
}

/// Check that errors have the line and the way to the field.
#[test]
fn places_of_errors() {
    let text = write(&small());
    let line = 1 + text.lines().position(|l| l.contains("\"inode\"")).unwrap();
    let error = with("\"inode\": 77", "\"inode\": \"77\"").unwrap_err();
    let expected =
        format!("field identity.exe.inode, line {line}: invalid type: string \"77\", expected u64");
    assert_eq!(error.to_string(), expected);
    let error = with("{\n", "{,\n").unwrap_err().to_string();
    assert!(
        error.starts_with("not JSON: ") && error.contains("line 1"),
        "{error}"
    );
}

/// Check that what a hostile file says cannot take over a terminal or fill a log.
#[test]
fn presentable_errors() {
    let long = "\u{1b}[2J".repeat(1000).replace('\u{1b}', "\\u001b");
    for (from, to) in [
        ("\"openat\": \"1", format!("\"{long}\": \"1")),
        ("\"openat\": \"13\"", format!("\"openat\": \"{long}\"")),
        ("\"openat\": \"13\"", format!("\"{long}\": 7")),
        (
            "\"schema\": \"ebph-profile",
            format!("\"schema\": \"{long}"),
        ),
        ("\"key\": \"", format!("\"key\": \"{long}")),
        ("\"saved\": \"", format!("\"saved\": \"{long}")),
        ("\"abi\": \"", format!("\"abi\": \"{long}")),
        ("\"state\": \"", format!("\"state\": \"{long}")),
    ] {
        let error = with(from, &to).unwrap_err().to_string();
        assert!(error.len() < 2000, "{from}: {} bytes", error.len());
        assert!(!error.contains(char::is_control), "{from}: {error:?}");
    }
}

/// Check that other schemas and later versions are told from damage, whatever else is in them.
#[test]
fn schemas() {
    let schema = "\"schema\": \"ebph-profile\"";
    let version = "\"version\": 1";
    refused(
        schema,
        "\"schema\": \"elf\"",
        "not a profile: expected \"schema\": \"ebph-profile\", found \"elf\"",
    );
    refused(schema, "\"schema\": 7", "found 7");
    refused(
        version,
        "\"version\": 2",
        "version 2 of the format is not known here, only up to 1: update ebph",
    );
    refused(version, "\"version\": 0", "field version: expected 1");
    let text = br#"{"schema": "ebph-profile", "version": 3, "calls": "elsewhere"}"#;
    assert!(matches!(
        read(text),
        Err(FormatError::Version {
            found: 3,
            newest: 1
        })
    ));
    for text in ["{}", "{\"a\": 1}", "[]", "7", "[\"ebph-profile\", 1]"] {
        assert!(read(text.as_bytes()).is_err(), "{text}");
    }
    assert!(read(b"{}").unwrap_err().to_string().ends_with("found none"));
}
