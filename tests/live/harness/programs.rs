//! The victims: small C programs, compiled once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Without a C library, so that each of them makes exactly the calls of its source.
const RAW: &[&str] = &["calls", "threads", "procs", "signals"];
/// With one: what drives the others, and the example of the thesis.
const HOSTED: &[&str] = &["runner", "anomaly"];

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
    static COMPILED: OnceLock<HashMap<&'static str, PathBuf>> = OnceLock::new();
    COMPILED
        .get_or_init(|| {
            let raw = RAW.iter().map(|name| (*name, compile(name, RAW_FLAGS)));
            let hosted = HOSTED.iter().map(|name| (*name, compile(name, &[])));
            raw.chain(hosted).collect()
        })
        .get(name)
        .unwrap_or_else(|| panic!("no victim is called {name}"))
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
