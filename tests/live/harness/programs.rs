//! The victims: small C programs, compiled once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// What the others are driven with, the example of the thesis and threads of libc's need a C
/// library; every other victim does without, so that it makes exactly the calls of its source.
const HOSTED: &[&str] = &[
    "runner", "anomaly", "headless", "altered", "clock", "parent",
];

const RAW_FLAGS: &[&str] = &[
    "-static",
    "-nostdlib",
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-pie",
    "-no-pie",
    "-fomit-frame-pointer",
    "-fcf-protection=none",
];

/// Path of a compiled victim.
pub fn program(name: &str) -> &'static Path {
    static COMPILED: Mutex<BTreeMap<String, &'static Path>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = compiled.get(name) {
        return path;
    }
    let flags = if HOSTED.contains(&name) {
        &[]
    } else {
        RAW_FLAGS
    };
    let path: &'static Path = Box::leak(compile(name, flags).into_boxed_path());
    compiled.insert(name.to_owned(), path);
    path
}

fn source_of(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    match name {
        "anomaly" => root.join("examples/programs/anomaly.c"),
        _ => root.join("tests/programs").join(name).with_extension("c"),
    }
}

fn compile(name: &str, flags: &[&str]) -> PathBuf {
    let source = source_of(name);
    let header = source.with_file_name("raw.h");
    let compiled = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("victim-{name}"));
    let age = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let newest = age(&source).max(age(&header));
    if age(&compiled).is_some_and(|age| Some(age) > newest) {
        return compiled;
    }
    // Renamed into place, since another test process may be doing the same.
    let unfinished = compiled.with_extension(std::process::id().to_string());
    let flags = flags
        .iter()
        .filter(|flag| cfg!(target_arch = "x86_64") || !flag.starts_with("-fcf"));
    let status = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1"])
        .args(flags)
        .arg("-o")
        .arg(&unfinished)
        .arg(&source)
        .status()
        .unwrap_or_else(|error| {
            panic!("the live tests compile C programs; install gcc, which gives cc: {error}")
        });
    assert!(
        status.success(),
        "cc could not compile {}",
        source.display()
    );
    std::fs::rename(&unfinished, &compiled).expect("the victim can be put in place");
    compiled
}

/// Check that every victim compiles. Who runs the tests where compiling is slow does this before.
#[test]
fn all_compile() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let entries = std::fs::read_dir(folder).expect("it is in the repository");
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_some_and(|extension| extension == "c") {
            let name = path.file_stem().and_then(|name| name.to_str());
            program(name.expect("our files have names of text"));
            count += 1;
        }
    }
    program("anomaly");
    assert!(count > 0);
}
