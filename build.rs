//! Compiles the BPF object and generates its skeleton.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use libbpf_cargo::SkeletonBuilder;

const SOURCE: &str = "src/bpf/ebph.bpf.c";

fn rerun_if_changed(dir: &Path) {
    for entry in fs::read_dir(dir).expect("source folder is readable") {
        let path = entry.expect("source folder is readable").path();
        if path.is_dir() {
            rerun_if_changed(&path);
        } else {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo")).join("ebph.skel.rs");
    let mut args: Vec<OsString> = ["-mcpu=v3", "-Wall", "-Werror"]
        .map(OsString::from)
        .to_vec();
    for include in ["include", "src/bpf"] {
        let mut arg = OsString::from("-I");
        arg.push(root.join(include));
        args.push(arg);
        rerun_if_changed(&root.join(include));
    }
    // An error here most often means that clang is missing.
    if let Err(error) = SkeletonBuilder::new()
        .source(root.join(SOURCE))
        .clang_args(args)
        .reference_obj(true)
        .build_and_generate(&out)
    {
        panic!("cannot compile {SOURCE} (is clang 14 or newer installed?): {error:?}");
    }
}
