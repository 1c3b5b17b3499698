//! Entries for systemd's journal, read and written out again by systemd.

use std::collections::HashMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use ebph::Event;
use serde_json::Value;

use crate::variants;

const IMPORTER: &str = "/lib/systemd/systemd-journal-remote";

/// Lets systemd make a journal of events, and shows what is in it.
fn through_systemd(events: &[Event]) -> Vec<HashMap<String, Value>> {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("events.journal");
    let mut importer = Command::new(IMPORTER)
        .args(["--split-mode=none", "--output"])
        .arg(&journal)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{IMPORTER} (package systemd-journal-remote): {error}"));
    let mut stdin = importer.stdin.take().unwrap();
    for (number, event) in events.iter().enumerate() {
        // Between two machines a time goes with each entry; otherwise the format is the same.
        writeln!(
            stdin,
            "__REALTIME_TIMESTAMP={}",
            1_795_338_000_000_000 + number
        )
        .unwrap();
        stdin.write_all(&event.to_journal()).unwrap();
        stdin.write_all(b"\n").unwrap();
    }
    drop(stdin);
    assert!(importer.wait().unwrap().success());
    let shown = Command::new("journalctl")
        .arg("--file")
        .arg(&journal)
        .args(["--output=json", "--all", "--no-pager"])
        .output()
        .unwrap_or_else(|error| panic!("journalctl (package systemd): {error}"));
    assert!(shown.status.success(), "{shown:?}");
    let lines = String::from_utf8(shown.stdout).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The bytes of a value, which systemd shows as a list where they are not text.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Array(list) => list
            .iter()
            .map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap())
            .collect(),
        other => panic!("{other}"),
    }
}

/// Check that every event, in all its forms, arrives in a journal with every field as it was.
#[test]
fn journal_takes_every_event() {
    let (names, events): (Vec<_>, Vec<_>) = variants::all().into_iter().unzip();
    let entries = through_systemd(&events);
    assert_eq!(entries.len(), events.len());
    for ((what, event), entry) in names.iter().zip(&events).zip(&entries) {
        let fields = event.to_journal_fields();
        for (name, value) in &fields {
            let arrived = entry
                .get(*name)
                .unwrap_or_else(|| panic!("{what}: no {name}"));
            assert_eq!(&bytes(arrived), value, "{what}: {name}");
        }
        let ours = entry
            .keys()
            .filter(|name| name.starts_with("EBPH_"))
            .count();
        let sent = fields
            .iter()
            .filter(|(name, _)| name.starts_with("EBPH_"))
            .count();
        assert_eq!(ours, sent, "{what}");
        let again: Event = serde_json::from_slice(&bytes(&entry["EBPH_JSON"])).unwrap();
        assert_eq!(&again, event, "{what}");
    }
}

/// Check that names are ones that the journal takes: it drops others without a word.
#[test]
fn names() {
    for (what, event) in variants::all() {
        for (name, _) in event.to_journal_fields() {
            let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
            assert!(name.len() <= 64 && name.bytes().all(fits), "{what}: {name}");
            assert!(
                name.starts_with(|c: char| c.is_ascii_uppercase()),
                "{what}: {name}"
            );
        }
        // A socket takes so much in one datagram unless the machine is set up otherwise.
        assert!(event.to_journal().len() < 200_000, "{what}");
    }
}
