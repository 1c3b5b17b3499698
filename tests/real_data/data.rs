//! Where the data is, and what is in it.

use std::fs::{self, File};
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};

use ebph::trace::{Entry, Traces};

/// Each program, and the size of the table trained on all its normal traces with a window of nine
/// calls, as the data's README has it: pairs, and distances of pairs.
const PROGRAMS: [(&str, usize, u32); 5] = [
    ("lpr-live-unm", 497, 1437),
    ("sendmail-cert", 631, 1637),
    ("xlock-synth", 506, 1795),
    ("login-live", 619, 1728),
    ("ps-live", 239, 717),
];

/// A program with traces of normal use and of intrusions.
pub struct Program {
    pub name: &'static str,
    pub pairs: usize,
    pub bits: u32,
    directory: PathBuf,
}

/// The programs; none, and a word about it, where the data is absent and that is no fault.
pub fn programs(test: &str) -> Vec<Program> {
    let root = match std::env::var_os("EBPH_DATA") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
    };
    let root = root.join("unm");
    if !root.is_dir() {
        let why = format!(
            "real_data: not run: {test}: there is no {} (EBPH_DATA names the folder)",
            root.display()
        );
        assert!(std::env::var_os("CI").is_none(), "{why}");
        // Written past the test harness, which would keep it to itself.
        writeln!(std::io::stderr(), "{why}").expect("standard error is open");
        return Vec::new();
    }
    let program = |(name, pairs, bits)| Program {
        name,
        pairs,
        bits,
        directory: root.join(name),
    };
    PROGRAMS.map(program).into()
}

impl Program {
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Window sizes and the scores that go with them; nine is first.
    pub fn expected(&self) -> Vec<(u8, String)> {
        let read = |name| fs::read_to_string(self.file(name)).expect("the data is complete");
        let mut all = vec![(9, read("expected.csv"))];
        if self.name == "sendmail-cert" {
            all.push((6, read("expected-window-6.csv")));
        }
        all
    }

    /// Names and calls.
    pub fn traces(&self, name: &str) -> impl Iterator<Item = (String, Vec<u32>)> {
        let path = self.file(name);
        let file = File::open(&path).expect("the data is complete");
        let mut all: Vec<(String, Vec<u32>)> = Vec::new();
        for entry in Traces::new(path, BufReader::new(file)) {
            match entry.expect("the data is what it says") {
                Entry::Trace(name) => {
                    let name = name.into_string().expect("the data's names are ASCII");
                    all.push((name, Vec::new()));
                }
                Entry::Call(number) => {
                    let (_, calls) = all.last_mut().expect("a name comes first");
                    calls.push(number);
                }
                other => panic!("{other:?} is new"),
            }
        }
        assert!(!all.is_empty(), "{name} of {} is empty", self.name);
        all.into_iter()
    }
}
