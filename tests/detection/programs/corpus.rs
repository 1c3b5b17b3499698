//! Files to work on: never the same twice.

use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;

use crate::stage::Stage;

/// A folder that is made anew.
pub fn empty(stage: &Stage, name: &str) -> PathBuf {
    let _ = fs::remove_dir_all(stage.path(name));
    stage.folder(name)
}

/// A folder of folders and files of all sizes, with a link here and there.
pub fn tree(stage: &Stage, name: &str, rng: &mut Rng) -> PathBuf {
    let root = empty(stage, name);
    let mut folders = vec![root.clone()];
    for number in 0..rng.u32(2..8) {
        let folder = folders[rng.usize(..folders.len())].join(format!("folder-{number}"));
        fs::create_dir(&folder).expect("a folder can be made here");
        folders.push(folder);
    }
    for number in 0..rng.u32(5..60) {
        let folder = &folders[rng.usize(..folders.len())];
        let ending = ["txt", "log", "bin", "c"][rng.usize(..4)];
        let file = folder.join(format!("file-{number}.{ending}"));
        fs::write(&file, bytes(rng)).expect("a file can be written here");
        if rng.u32(..10) == 0 {
            let link = folder.join(format!("link-{number}"));
            std::os::unix::fs::symlink(&file, link).expect("a link can be made here");
        }
        if rng.u32(..10) == 0 {
            let link = folder.join(format!("same-{number}"));
            fs::hard_link(&file, link).expect("a link can be made here");
        }
    }
    root
}

/// Some bytes: mostly a few, now and then some hundred thousand, sometimes none.
fn bytes(rng: &mut Rng) -> Vec<u8> {
    let length = match rng.u32(..10) {
        0 => 0,
        1 => rng.usize(100_000..400_000),
        2 | 3 => rng.usize(10_000..60_000),
        _ => rng.usize(1..5_000),
    };
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

/// A text of so many lines, each a word, a number and some more words.
pub fn text(lines: usize, rng: &mut Rng) -> String {
    let words = [
        "alpha", "beta", "gamma", "delta", "error", "warning", "root", "note",
    ];
    let mut text = String::new();
    for _ in 0..lines {
        text.push_str(words[rng.usize(..words.len())]);
        text.push_str(&format!(" {}", rng.u32(..10_000)));
        for _ in 0..rng.u32(..12) {
            text.push(' ');
            text.push_str(words[rng.usize(..words.len())]);
        }
        text.push('\n');
    }
    text
}

/// Writes a text of any length, mostly short.
pub fn text_file(stage: &Stage, name: &str, rng: &mut Rng) -> PathBuf {
    let lines = match rng.u32(..8) {
        0 => 0,
        1 => rng.usize(2_000..8_000),
        _ => rng.usize(1..400),
    };
    stage.file(name, text(lines, rng))
}

/// Fails unless the abuse left its mark, and removes it.
#[track_caller]
pub fn must_have_left(mark: &Path) {
    fs::remove_file(mark).unwrap_or_else(|error| {
        panic!("the abuse had no effect: {}: {error}", mark.display());
    });
}
