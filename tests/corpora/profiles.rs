//! Any text as a profile file, and what is done with a profile that was read.

use std::borrow::Cow;
use std::time::Duration;

use ebph::detector::Scorer;
use ebph::{Abi, Detector, Limits, Profile};
use serde_json::{Map, Value, json};

/// Reads a text; tells whether it is a profile.
///
/// What begins with a zero byte is no text but a choice of what stands in one: a text that is changed
/// here and there seldom still is a profile.
pub fn profiles(input: &[u8]) -> bool {
    let text = match input.split_first() {
        Some((0, choices)) => Cow::from(made_up(choices).to_string().into_bytes()),
        _ => Cow::from(input),
    };
    let profile = match Profile::from_json(&text) {
        Ok(profile) => profile,
        Err(error) => {
            let line = error.to_string();
            assert!(!line.contains(char::is_control), "{line:?}");
            assert!(line.len() < 2_000, "{line:?}");
            return false;
        }
    };
    let written = profile.to_json();
    let again = Profile::from_json(written.as_bytes()).expect("what was written is read");
    assert_eq!(timeless(&again.to_json()), timeless(&written));
    assert!(profile.diff(&again).is_empty());
    let both = profile
        .merge(&again)
        .expect("it can be compared with itself");
    assert!(profile.diff(&both).is_empty());
    work_with(&profile);
    true
}

/// The lines of a profile file, but for those that say when: these depend on when it is read.
fn timeless(text: &str) -> Vec<&str> {
    let times = ["saved", "normal_at", "created", "last_exec"];
    let timed = |line: &str| {
        let name = line
            .strip_prefix("  \"")
            .and_then(|rest| rest.split('"').next());
        name.is_some_and(|name| times.contains(&name))
    };
    text.lines().filter(|line| !timed(line)).collect()
}

/// A profile file that is one in form, and perhaps in content.
fn made_up(choices: &[u8]) -> Value {
    let mut choices = choices.iter().copied();
    let mut next = || choices.next().unwrap_or(0);
    let abi = ["x86_64", "x86_64", "aarch64", "raw"][usize::from(next() % 4)];
    let window = 9 - next() % 8;
    let (marks, more) = (next(), next());
    let mark = |bit: u8| marks & 1 << bit != 0;
    let counts: [u64; 8] = std::array::from_fn(|_| match next() {
        255 => u64::MAX,
        254 => u64::MAX >> 8,
        few => few.into(),
    });
    let time = |hour: u8| format!("2026-11-23T{:02}:00:00Z", hour % 24);
    let state = if mark(0) { "normal" } else { "training" };
    let mut file = json!({
        "schema": "ebph-profile", "version": 1, "saved": time(more),
        "made": {"how": "kernel", "crate": "0.1.0"},
        "key": "8:1:42:0", "abi": abi, "window": window,
        "state": state, "frozen": mark(1), "incomplete": mark(2),
        "counts": {
            "train": counts[0], "since_novelty": counts[1], "sequences": counts[2],
            "anomalies": counts[3], "unlearnt": counts[4], "execs": counts[5],
            "processes_ended": counts[6], "basis": counts[7], "basis_over": mark(3),
        },
    });
    if mark(4) {
        file["created"] = time(more / 2).into();
        file["last_exec"] = time(more / 3).into();
    }
    match (mark(1), mark(4)) {
        (true, true) => file["normal_at"] = time(more / 5).into(),
        (true, false) => file["normal_ns"] = more.into(),
        _ => (),
    }
    for (bit, field) in [(5, "exe"), (6, "script")] {
        if mark(bit) {
            file[field] = json!({"hex": "2f62ff"});
        }
    }
    let mut names = Vec::new();
    for (field, most) in [("calls", 32), ("others", 6)] {
        let mut table = Map::new();
        for _ in 0..next() % most {
            let name = name(next());
            table.insert(name.clone(), next().into());
            names.push(if field == "calls" {
                name
            } else {
                "other".into()
            });
        }
        file[field] = table.into();
    }
    let mut planes = [Map::new(), Map::new()];
    while let (Some(current), previous) = (choices.next(), choices.next().unwrap_or(0)) {
        let bits = choices.next().unwrap_or(0) | 1;
        let listed = |place: u8| names.get(usize::from(place & 0x7f) % names.len().max(1));
        if let (Some(current), Some(previous)) = (listed(current), listed(previous)) {
            let digits = (1..window).filter(|distance| bits >> (distance - 1) & 1 != 0);
            let digits: String = digits.map(|distance| char::from(b'0' + distance)).collect();
            let plane = &mut planes[usize::from(bits >> 7)];
            let row = plane.entry(current.clone()).or_insert(json!({}));
            row[previous] = digits.into();
        }
    }
    let [train, test] = planes;
    (file["train"], file["test"]) = (train.into(), test.into());
    file
}

/// The name of a call; those of other interfaces have a prefix.
fn name(choice: u8) -> String {
    let bare = [
        "read",
        "write",
        "openat",
        "execve",
        "newfstatat",
        "call_600",
        "open",
        "mmap2",
    ];
    let prefix = [
        "",
        "",
        "i386:",
        "arm:",
        "aarch64:",
        "x86_64:",
        "raw:",
        "io_uring:",
    ];
    format!(
        "{}{}",
        prefix[usize::from(choice >> 3 & 7)],
        bare[usize::from(choice & 7)]
    )
}

/// What an embedder does with a profile from somewhere.
fn work_with(profile: &Profile) {
    let (profile, _) = profile.for_abi(Abi::NATIVE);
    let calls: Vec<_> = profile.symbols().take(16).collect();
    let score = Scorer::new(&profile).score(calls.iter().copied());
    assert!(score.anomalous <= score.calls);
    let mut detector = Detector::new(Limits::default());
    let id = detector.add_known(&profile);
    let task = detector.spawn(id);
    for call in calls {
        detector.call(task, call, 0, Duration::ZERO);
    }
    let known = detector.profile(id).expect("it was added");
    assert!(!profile.diff(&known).to_string().is_empty());
}
