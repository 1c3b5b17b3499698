//! Profile files on real file systems: what a kill, a full disk and strangers can do to them.

mod damage;
mod documented;
mod folder;
mod full;
#[path = "../live/harness/helper.rs"]
mod helper;
mod kept;
mod kill;
mod names;
mod together;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ebph::detector::Command;
use ebph::{Detector, Key, Limits, Profile, Symbol};

/// A normal profile of `calls` different calls, each of which follows a few others.
fn profile(key: Key, calls: u32) -> Profile {
    let mut detector = Detector::new(Limits::default());
    let id = detector.add_profile(key);
    let task = detector.spawn(id);
    for step in 0..calls.min(4) {
        for call in 0..calls {
            let number = (call * (step + 1)) % calls;
            detector.call(task, Symbol::native(number), 0, Duration::ZERO);
        }
    }
    detector.command(id, Command::Normalize, Duration::ZERO);
    detector.profile(id).expect("it was added")
}

fn small() -> Profile {
    profile(Key::new(8, 1, 42, 0), 5)
}

/// What a profile file holds, but for the time at which it was written.
fn content(profile: &Profile) -> String {
    let text = profile.to_json();
    let lines = text.lines().filter(|line| !line.contains("\"saved\""));
    lines.collect::<Vec<_>>().join("\n")
}

/// The names of what is in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder can be listed");
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

/// A new folder, and the path of one in it that is not there yet.
fn scratch() -> (tempfile::TempDir, PathBuf) {
    let scratch = tempfile::tempdir().expect("there is a folder for temporary files");
    let path = scratch.path().join("profiles");
    (scratch, path)
}
