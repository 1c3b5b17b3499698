//! Compiles the BPF programs and generates their skeleton.
//!
//! Most who build this crate never asked for a C compiler: what is missing is told in one line.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// What the programs are made of; also where clang looks for headers.
const SOURCES: [&str; 2] = ["include", "src/bpf"];

fn main() {
    if let Err(problem) = build() {
        // Each is printed by cargo as it is, and fails the build.
        for line in problem.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn build() -> Result<(), String> {
    let (os, arch) = (target("OS"), target("ARCH"));
    if os != "linux" || !["x86_64", "aarch64"].contains(&&*arch) {
        return Err(format!(
            "ebph is for Linux on x86-64 and arm64, not for {os} on {arch}"
        ));
    }
    for variable in ["CLANG", "DOCS_RS"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    // Of a folder cargo looks at all that is in it.
    for folder in SOURCES {
        println!("cargo::rerun-if-changed={folder}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let skeleton = out.join("ebph.skel.rs");
    compile(&skeleton).or_else(|problem| match env::var_os("DOCS_RS") {
        Some(_) => names(&skeleton, &problem).map_err(|error| error.to_string()),
        None => Err(problem),
    })
}

fn target(what: &str) -> String {
    env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default()
}

/// In place of a skeleton, where only documentation is made, which looks at names and at no body of
/// a function: types that have the names of the generated ones, and nothing in them. Whoever compiles
/// ebph, to document what uses it, is told the problem.
fn names(skeleton: &Path, problem: &str) -> std::io::Result<()> {
    let mut types = vec!["bss".to_owned(), "rodata".to_owned()];
    for header in fs::read_dir("include/ebph")? {
        let text = fs::read_to_string(header?.path())?;
        let words: Vec<_> = text.split_whitespace().collect();
        let defined = |three: &[&str]| ["struct", "enum"].contains(&three[0]) && three[2] == "{";
        types.extend(
            words
                .windows(3)
                .filter(|three| defined(three))
                .map(|three| three[1].to_owned()),
        );
    }
    let mut text = format!("#[cfg(not(doc))] compile_error!({problem:?});\n");
    text.push_str(
        "pub struct EbphSkelBuilder; pub struct OpenEbphSkel<'a>(&'a ()); pub struct EbphSkel<'a>(&'a ());
        #[allow(non_camel_case_types)] pub mod types {",
    );
    for name in types {
        text += &format!("#[derive(Clone, Copy, Default)] pub struct {name};\n");
    }
    fs::write(skeleton, text + "}")
}

#[cfg(not(target_os = "linux"))]
fn compile(_: &Path) -> Result<(), String> {
    Err("ebph can be compiled on Linux only".into())
}

#[cfg(target_os = "linux")]
fn compile(skeleton: &Path) -> Result<(), String> {
    const SOURCE: &str = "src/bpf/ebph.bpf.c";

    let clang = env::var_os("CLANG").unwrap_or("clang".into());
    clang::check(&clang)?;
    let includes = SOURCES.map(|folder| format!("-I{folder}"));
    libbpf_cargo::SkeletonBuilder::new()
        .source(SOURCE)
        .clang(clang)
        // No warnings, of which each new clang has more: `make lint` asks for them.
        .clang_args(
            ["-mcpu=v3"]
                .into_iter()
                .chain(includes.iter().map(|it| &**it)),
        )
        // Nobody reads it, and rustup's rustfmt fails where that component is not installed.
        .rustfmt("cat")
        .reference_obj(true)
        .build_and_generate(skeleton)
        .map_err(|error| format!("{SOURCE} does not compile: {error:#}"))
}

#[cfg(target_os = "linux")]
mod clang {
    use std::ffi::OsStr;
    use std::process::Command;

    const OLDEST: u32 = 14;

    /// Whether there is a clang that can do it. Where it does not tell, it may try.
    pub(crate) fn check(clang: &OsStr) -> Result<(), String> {
        let called = clang.display();
        let advice = format!("install clang {OLDEST} or newer, or name one in the variable CLANG");
        let says = |argument| -> std::io::Result<String> {
            let output = Command::new(clang).arg(argument).output()?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let version = says("--version").map_err(|error| {
            format!("no clang to compile the BPF programs with (`{called}`: {error}): {advice}")
        })?;
        let number = version.split("clang version ").nth(1).unwrap_or_default();
        let number = number.split_whitespace().next().unwrap_or_default();
        let major = number.split('.').next().unwrap_or_default();
        if major.parse::<u32>().is_ok_and(|major| major < OLDEST) {
            return Err(format!(
                "clang {number} (`{called}`) is too old for the BPF programs: {advice}"
            ));
        }
        let targets = says("--print-targets").unwrap_or_default();
        if targets.contains("Registered Targets") && !targets.contains(" bpf ") {
            return Err(format!(
                "clang {number} (`{called}`) was built without the BPF target: {advice}"
            ));
        }
        Ok(())
    }
}
