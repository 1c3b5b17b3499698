//! Each claim of `docs/threats.md` points at tests, and all of these exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The points of the document: what follows a hyphen, up to the next or to an empty line.
fn points(document: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut within = false;
    for line in document.lines() {
        if let Some(first) = line.strip_prefix("- ") {
            found.push(first.to_owned());
            within = true;
        } else if line.starts_with("  ") && within {
            let point = found.last_mut().unwrap();
            point.push(' ');
            point.push_str(line.trim());
        } else {
            within = false;
        }
    }
    found
}

/// The tests that a point names.
fn named(point: &str) -> impl Iterator<Item = &str> {
    let quoted = point.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.contains("::"))
}

/// Where the modules of a test may be: `live::a::b` in `tests/live/a.rs`, or `tests/live.rs` if it has
/// none.
fn sources(modules: &[&str]) -> [PathBuf; 2] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let path = modules.iter().fold(root, |path, module| path.join(module));
    [path.with_extension("rs"), path.join("main.rs")]
}

/// Tells whether there is such a test.
fn exists(test: &str) -> bool {
    let mut modules: Vec<&str> = test.split("::").collect();
    let function = format!("fn {}() {{", modules.pop().unwrap());
    sources(&modules).iter().any(|path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let Some(at) = lines.iter().position(|line| *line == function) else {
            return false;
        };
        let attributes = lines[..at].iter().rev();
        let mut attributes = attributes.take_while(|line| line.starts_with("#["));
        attributes.any(|line| *line == "#[test]")
    })
}

/// Check that every point names a test, and that every test that is named exists.
#[test]
fn documented() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/threats.md");
    let document = fs::read_to_string(document).unwrap();
    let points = points(&document);
    assert!(points.len() > 30, "{} points", points.len());
    for point in &points {
        assert!(named(point).count() > 0, "no test shows: {point}");
    }
    let all: BTreeSet<&str> = named(&document).collect();
    let missing: Vec<_> = all.into_iter().filter(|test| !exists(test)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

/// Check that a test that does not exist, or is none, is found out.
#[test]
fn check_bites() {
    assert!(exists("formats::threats::check_bites"));
    assert!(!exists("formats::threats::check_barks"));
    assert!(!exists("formats::threats::points"));
    assert!(!exists("formats::nothing::check_bites"));
    assert_eq!(points("- one\n  `a::b`\n\n  two\n- three").len(), 2);
    assert_eq!(named("`a` and `b::c`").collect::<Vec<_>>(), ["b::c"]);
}
