//! What fuzzing knows, taken once more: the inputs of `fuzz/corpus`, through the functions that are
//! fuzzed. Records of the ring are read where their decoder is, in `src/fuzzing.rs`.
//!
//! Needs no privileges.

use std::fs;
use std::path::Path;

use ebph::detector::Did;

#[path = "corpora/profiles.rs"]
mod profiles;
#[path = "corpora/steps.rs"]
mod steps;
#[path = "corpora/strace.rs"]
mod strace;

/// What is known of one target.
fn corpus(target: &str) -> impl Iterator<Item = Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("fuzz/corpus").join(target);
    let inputs = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    inputs.map(|input| fs::read(input.unwrap().path()).unwrap())
}

/// Check that profile files are read or refused, and that those that are read can be worked with.
#[test]
fn known_profiles() {
    let (read, refused): (Vec<_>, Vec<_>) =
        corpus("profiles").partition(|text| profiles::profiles(text));
    assert!(read.len() >= 10, "only {} profiles", read.len());
    assert!(refused.len() >= 10, "only {} refused", refused.len());
}

/// Check that output of strace is read or refused.
#[test]
fn known_traces() {
    let calls = corpus("strace").map(|text| strace::strace(&text));
    let with_calls = calls.filter(|calls| *calls > 0).count();
    assert!(with_calls >= 10, "only {with_calls} traces with calls");
}

/// Check that the detector decides as the naive model does, in all that there is to decide.
#[test]
fn known_steps() {
    let did = corpus("steps").fold(Did::default(), |did, bytes| did | steps::steps(&bytes));
    for (name, bit) in Did::NAMES {
        assert!(did.contains(*bit), "no input leads to {name}");
    }
}
