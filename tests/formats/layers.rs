//! That the modules of the library use each other as ARCHITECTURE.md draws them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of the library, with the module of the first level that each belongs to.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// How high each module stands, by the drawing: the first line is the highest.
fn drawn(text: &str) -> BTreeMap<&str, usize> {
    let (_, rest) = text.split_once("## Layers").expect("it has layers");
    let drawing = rest.split("```").nth(1).expect("they are drawn");
    let lines = drawing.trim().lines().rev().enumerate();
    lines
        .flat_map(|(height, line)| line.split_whitespace().map(move |name| (name, height)))
        .collect()
}

/// The modules of the first level that a source names, but for what only tests do.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let names = text.split("crate::").skip(1);
    names.map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

/// Check that no module uses one beside or above it, so that there are no circles.
#[test]
fn as_drawn() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let heights = drawn(&text);
    let library = root.join("src");
    let mut files = Vec::new();
    sources(&library, &mut files);
    let mut uses = 0;
    for file in files {
        let below = file.strip_prefix(&library).unwrap();
        let module = below.iter().next().unwrap().to_str().unwrap();
        let module = module.strip_suffix(".rs").unwrap_or(module);
        let is_test = below
            .iter()
            .any(|part| part == "tests" || part == "tests.rs");
        if module == "lib" || is_test {
            continue;
        }
        let height = heights.get(module);
        let height = height.unwrap_or_else(|| panic!("{module} is not drawn"));
        for other in named(&fs::read_to_string(&file).unwrap()) {
            // Types are named by the crate in documentation, and belong to no layer.
            let Some(lower) = heights.get(other).filter(|_| other != module) else {
                continue;
            };
            assert!(lower < height, "{} uses {other}", below.display());
            uses += 1;
        }
    }
    assert!(uses > 300, "{uses}");
}
