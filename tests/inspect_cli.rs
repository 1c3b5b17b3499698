//! `monitor inspect` on profile files: needs the examples (`cargo build --examples`), no privileges.

#[path = "live/harness/built.rs"]
mod built;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use ebph::{Detector, Key, Limits, Profile, Symbol};
use serde_json::Value;
use tempfile::TempDir;

fn example(name: &str) -> Command {
    let mut command = Command::new(built::example(name));
    command.stdin(Stdio::null());
    command
}

/// A profile file in a folder of its own.
struct File {
    folder: TempDir,
}

impl File {
    fn new(profile: &Profile) -> Self {
        let file = Self::empty();
        profile.write_to(file.path()).expect("it can be written");
        file
    }

    fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("profile.json")
    }

    fn inspect(&self, options: &[&str]) -> Output {
        let mut command = example("monitor");
        command.arg("inspect").arg(self.path()).args(options);
        command.output().expect("the example can be run")
    }

    #[track_caller]
    fn text(&self, options: &[&str]) -> String {
        let output = self.inspect(options);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("it prints text")
    }

    #[track_caller]
    fn json(&self, options: &[&str]) -> Value {
        let text = self.text(&[&["--json"], options].concat());
        assert_eq!(text.lines().count(), 1);
        serde_json::from_str(&text).expect("it prints JSON")
    }
}

/// A profile that learnt these calls, one thread each.
fn learnt(traces: &[&[&str]]) -> Profile {
    let mut detector = Detector::new(Limits::default());
    let id = detector.add_profile(Key::new(8, 1, 42, 0));
    for trace in traces {
        let task = detector.spawn(id);
        for name in *trace {
            let call = Symbol::from_name(ebph::Abi::NATIVE, name).expect("a call");
            detector.call(task, call, 0, Duration::ZERO);
        }
    }
    detector.profile(id).expect("it was added")
}

/// The windows of a thesis' figure: two sequences that make one pair.
fn figure() -> File {
    let first: &[&str] = &["openat", "read", "close", "brk"];
    let second: &[&str] = &["statx", "read", "newfstatat", "close"];
    File::new(&learnt(&[first, second]))
}

/// The lines of the text after the one that is given.
#[track_caller]
fn after<'a>(text: &'a str, title: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| *line != title).skip(1);
    let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    assert!(!lines.is_empty(), "no {title} in {text}");
    lines
}

/// Check that a pair is shown as figure 3.3 of the thesis shows it: its bits, and for each the
/// window that set it.
#[test]
fn a_pair_and_its_windows() {
    let text = figure().text(&["--pair", "close,read"]);
    let row = text.lines().find(|line| line.starts_with("  close "));
    let row = row.unwrap_or_else(|| panic!("no row in {text}"));
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        ["close", "read", "......11", "........"]
    );
    assert_eq!(
        after(&text, "close after read"),
        [
            "  bit 1  learnt          read close",
            "  bit 2  learnt          read * close",
            "         the only fit is read newfstatat close",
        ]
    );
}

/// Check that no window is said to have set a bit when it only could have: what set it may have been
/// wiped since, but for its last call's pairs.
#[test]
fn the_only_fit_need_not_be_it() {
    let mut detector = Detector::new(Limits::default());
    let id = detector.add_profile(Key::new(8, 1, 42, 0));
    let traces: [&[&str]; 3] = [
        &["openat", "read", "close", "brk"],
        &["openat", "statx", "getpid"],
        &["statx", "getpid", "brk"],
    ];
    for trace in traces {
        let task = detector.spawn(id);
        for name in trace {
            let call = Symbol::from_name(ebph::Abi::NATIVE, name).expect("a call");
            if (*name, trace.len()) == ("brk", 4) {
                detector.command(id, ebph::detector::Command::Sensitize, Duration::ZERO);
            }
            detector.call(task, call, 0, Duration::ZERO);
        }
    }
    let file = File::new(&detector.profile(id).expect("it was added"));
    let text = file.text(&["--pair", "brk,openat"]);
    assert_eq!(
        after(&text, "brk after openat"),
        [
            "  bit 3  learnt          openat * * brk",
            "         the only fit is openat statx getpid brk",
        ]
    );
}

/// Check that a report which cannot be written is a failure, and one that nobody reads on is not.
#[test]
fn output_that_is_lost() {
    let file = figure();
    let inspect = |output: Stdio| {
        let mut command = example("monitor");
        command.arg("inspect").arg(file.path()).stdout(output);
        command.output().expect("the example can be run")
    };
    let full = std::fs::File::create("/dev/full").expect("every Linux has it");
    let lost = inspect(full.into());
    assert_eq!(lost.status.code(), Some(125), "{lost:?}");
    let said = String::from_utf8_lossy(&lost.stderr);
    assert!(said.contains("cannot print"), "{said}");
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    drop(reader);
    let unread = inspect(writer.into());
    assert!(
        unread.status.success() && unread.stderr.is_empty(),
        "{unread:?}"
    );
}

/// Check that what is normal is told from what is being learnt.
#[test]
fn both_planes() {
    let limits = Limits::default().normal_wait(Duration::ZERO);
    let mut detector = Detector::new(limits);
    let id = detector.add_profile(Key::new(8, 1, 42, 0));
    let [read, close] = [0, 3].map(Symbol::native);
    let task = detector.spawn(id);
    for _ in 0..2000 {
        for call in [read, close] {
            detector.call(task, call, 0, Duration::ZERO);
        }
    }
    let profile = detector.profile(id).expect("it was added");
    assert!(profile.is_normal(), "{:?}", profile.state());
    let file = File::new(&profile);
    let json = file.json(&[]);
    assert_eq!(json["profile"]["state"], "normal");
    let pairs = json["pairs"].as_array().expect("a list");
    let close_read = pairs
        .iter()
        .find(|pair| pair["current"] != pair["previous"]);
    assert_eq!(
        close_read.expect("it is there")["test"],
        serde_json::json!([1, 3, 5, 7])
    );
    let name = close.to_string();
    let text = file.text(&["--call", &name]);
    let row = text
        .lines()
        .find(|line| line.trim_end().ends_with("  .1.1.1.1"));
    assert!(row.is_some(), "{text}");
}

/// Check, on what the example `replay` learns from recorded calls, that every distance of every pair
/// is shown, and that the windows which made it are among those that are said to fit.
#[test]
fn windows_that_were_there() {
    let mut random = fastrand::Rng::with_seed(33);
    // Programs repeat themselves: sequences made of some phrases.
    let phrases: Vec<Vec<u32>> = (0..12)
        .map(|_| (0..random.usize(2..7)).map(|_| random.u32(0..40)).collect())
        .collect();
    let trace: Vec<u32> = (0..60)
        .flat_map(|_| phrases[random.usize(..phrases.len())].clone())
        .collect();
    let file = File::empty();
    let recorded = file.folder.path().join("trace");
    let words: Vec<_> = trace.iter().map(u32::to_string).collect();
    std::fs::write(&recorded, words.join(" ")).expect("it can be written");
    let train = example("replay")
        .args(["train", "--format", "numbers", "--out"])
        .args([&file.path(), &recorded])
        .output()
        .expect("the example can be run");
    assert!(train.status.success(), "{train:?}");

    // By distance and the two calls: the windows that were there, oldest call first.
    let mut made: BTreeMap<(usize, String, String), BTreeSet<Vec<String>>> = BTreeMap::new();
    let profile = Profile::read_from(file.path()).expect("replay wrote it");
    let names: BTreeMap<u32, String> = profile
        .symbols()
        .map(|symbol| (symbol.number(), symbol.to_string()))
        .collect();
    let named: Vec<String> = trace.iter().map(|number| names[number].clone()).collect();
    for distance in 1..=8 {
        for window in named.windows(distance + 1) {
            let ends = (distance, window[distance].clone(), window[0].clone());
            made.entry(ends).or_default().insert(window.to_vec());
        }
    }
    let (mut exact, mut distances) = (0, 0);
    let mut seen = BTreeSet::new();
    for name in names.values() {
        let json = file.json(&["--call", name, "--limit", "0"]);
        for pair in json["pairs"].as_array().expect("a list") {
            let [current, previous] =
                ["current", "previous"].map(|side| pair[side].as_str().expect("a name").to_owned());
            if !seen.insert((current.clone(), previous.clone())) {
                continue;
            }
            for windows in pair["windows"].as_array().expect("a list") {
                let distance = windows["distance"].as_u64().expect("a number") as usize;
                let real = made.remove(&(distance, current.clone(), previous.clone()));
                let real = real.unwrap_or_else(|| panic!("{pair}: nothing made {distance}"));
                let count = windows["fitting_count"].as_u64().expect("a number") as usize;
                let complete = windows["fitting_complete"] == true;
                assert!(count >= real.len() || !complete, "{windows}: {real:?}");
                let fitting: BTreeSet<Vec<String>> =
                    serde_json::from_value(windows["fitting"].clone()).expect("lists");
                if complete && fitting.len() == count {
                    assert!(fitting.is_superset(&real), "{windows}: {real:?}");
                    exact += 1;
                }
                distances += 1;
            }
        }
    }
    assert!(made.is_empty(), "not shown: {made:?}");
    assert!(
        exact > distances / 4 && exact > 100,
        "{exact} of {distances}"
    );
}

/// Check that calls and pairs are chosen by name, that what is left out is counted, and that 0 shows
/// all.
#[test]
fn choice() {
    let file = figure();
    let all = file.json(&["--limit", "0"]);
    let pairs = all["pairs"].as_array().expect("a list");
    assert_eq!(all["pairs_left_out"], 0);
    assert!(pairs[0].get("windows").is_none());
    let names = |pair: &Value| (pair["current"].to_string(), pair["previous"].to_string());
    assert!(pairs.is_sorted_by_key(names), "{pairs:?}");
    let few = file.json(&["--limit", "2"]);
    assert_eq!(few["pairs"].as_array().map(Vec::len), Some(2));
    assert_eq!(few["pairs_left_out"], pairs.len() - 2);
    let text = file.text(&["--limit", "2"]);
    assert!(
        text.contains(&format!("{} more", pairs.len() - 2)),
        "{text}"
    );
    let of_brk = file.json(&["--call", "brk"]);
    let of_brk = of_brk["pairs"].as_array().expect("a list");
    assert_eq!(of_brk.len(), 3);
    assert!(of_brk.iter().all(|pair| pair["current"] == "brk"));
    let none = file.json(&["--pair", "read,close"]);
    assert_eq!(none["pairs"], serde_json::json!([]));
    assert!(file.text(&["--pair", "read,close"]).contains("none"));
}

/// Check that nothing that a profile file says can command a terminal, and that lines are made for
/// 80 columns.
#[test]
fn for_terminals() {
    let evil = "/tmp/\u{1b}[2J\u{202e}gnp.exe\n";
    let profile = learnt(&[&["read"; 20]]);
    let mut calls: Vec<&str> = vec![];
    let names: Vec<String> = (0..200)
        .map(|n| Symbol::native(n).name().into_owned())
        .collect();
    calls.extend(names.iter().map(String::as_str));
    let profile = profile.merge(&learnt(&[&calls])).expect("both are native");
    let profile = profile.with_paths(Some(evil.into()), Some(evil.into()));
    let file = File::new(&profile);
    for options in [
        &["--limit", "0"][..],
        &["--call", "read"],
        &["--pair", "read,read"],
    ] {
        let text = file.text(options);
        let harmless = |c: char| c == '\n' || (!c.is_control() && c != '\u{202e}');
        assert!(text.chars().all(harmless), "{text:?}");
        assert!(text.contains("\\u{1b}[2J"), "{text}");
        let long = text
            .lines()
            .find(|line| line.chars().count() > 80 && !line.contains("/tmp/"));
        assert_eq!(long, None);
    }
}

/// Check that what is no profile, and a call that is not in it, are one line that says so.
#[test]
fn bad_input() {
    let file = figure();
    let fails = |output: Output, code, word: &str| {
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.contains(word), "{errors}");
    };
    fails(file.inspect(&["--call", "fork\u{1b}"]), 1, "fork\\u{1b}");
    fails(file.inspect(&["--pair", "close"]), 125, "close,read");
    fails(
        file.inspect(&["--socket", "/nonexistent"]),
        125,
        "/nonexistent",
    );
    std::fs::write(file.path(), "{}").expect("it can be written");
    fails(file.inspect(&[]), 1, "profile.json");
    std::fs::remove_file(file.path()).expect("it can be removed");
    fails(file.inspect(&[]), 1, "No such file");
}
