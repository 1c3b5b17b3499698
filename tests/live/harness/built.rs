//! Examples as they were built. Shared by several test programs.

use std::path::PathBuf;

/// The path of an example of this build, which cargo does not build for a test.
#[track_caller]
pub fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("/proc is mounted");
    let built = own.ancestors().nth(2).expect("target/<profile>/deps/TEST");
    let path = built.join("examples").join(name);
    let hint = "cargo build --examples";
    assert!(path.exists(), "{} is missing: {hint}", path.display());
    path
}
