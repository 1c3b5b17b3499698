//! C sources that everybody has who builds this crate: libbpf's, in the crate that vendors it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::Failure;

/// The folder of libbpf's repository, of the version that `Cargo.lock` names.
pub fn libbpf() -> Result<PathBuf, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(cargo)
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array();
    let manifest = packages.into_iter().flatten().find_map(|package| {
        (package["name"] == "libbpf-sys").then_some(())?;
        package["manifest_path"].as_str()
    });
    let manifest = manifest.ok_or("cargo metadata does not name libbpf-sys")?;
    Ok(PathBuf::from(manifest).with_file_name("libbpf"))
}
