//! Real traces of the 1990s, of programs in normal use and under real intrusions, against figures
//! that an independent program computed from them.
//!
//! The data is not part of this project. It is looked for in `EBPH_DATA`, or else in
//! `../shared/data` beside the crate; its README says what it is. Where it is absent the tests fail
//! in CI, and elsewhere say on standard error that they were not run.
//!
//! The test named for it needs root: it runs the traces through the detector in the kernel.

#[path = "live/harness/built.rs"]
mod built;
#[path = "real_data/data.rs"]
mod data;
#[path = "replay_cli/tool.rs"]
mod tool;

use std::time::Duration;

use ebph::detector::{Command, Op, Score, Scorer, Step};
use ebph::{Detector, KernelReplay, Key, Limits, Profile, Symbol};

use data::{Program, programs};
use tool::run;

/// Check that `replay train` and `replay score` give the expected figures, byte for byte.
#[test]
fn command_line_gives_the_expected_scores() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    for program in programs("command_line_gives_the_expected_scores") {
        for (window, expected) in program.expected() {
            let profile = directory.path().join("profile.json");
            let profile = profile.to_str().expect("it is UTF-8");
            let window = window.to_string();
            let file = |name| program.file(name).to_str().expect("it is UTF-8").to_owned();
            let (normal, intrusion) = (file("normal.traces"), file("intrusion.traces"));
            let options = ["--format", "traces", "--window", &window];
            run(&[&["train", "--out", profile], &options[..], &[&normal]].concat()).ok();
            let score = ["score", "--profile", profile, "--csv"];
            let scores = run(&[&score, &options[..], &[&intrusion]].concat()).ok();
            let name = program.name;
            assert!(scores == expected, "{name}, window {window}: {scores}");
            // What a file is, it tells by itself.
            let guessed = run(&[&score[..], &[&intrusion]].concat()).ok();
            assert!(guessed == expected, "{name}, window {window}: {guessed}");
        }
    }
}

/// Check that the library gives the expected figures, and tables of the expected size.
#[test]
fn library_gives_the_expected_scores() {
    for program in programs("library_gives_the_expected_scores") {
        let name = program.name;
        for (window, expected) in program.expected() {
            let profile = learn(&program, window);
            if window == 9 {
                let bits = |total, pair: ebph::Pair| total + pair.test.count_ones();
                let sizes = (profile.pairs().count(), profile.pairs().fold(0, bits));
                assert_eq!(sizes, (program.pairs, program.bits), "{name}");
            }
            let scorer = Scorer::new(&profile);
            let traces = program.traces("intrusion.traces");
            let scores = traces.map(|(trace, calls)| {
                let score = scorer.score(calls.into_iter().map(Symbol::raw));
                (trace, score)
            });
            let scores = csv(scores);
            assert!(scores == expected, "{name}, window {window}: {scores}");
        }
    }
}

/// Check that the detector in the kernel gives the same figures. Needs root.
#[test]
fn kernel_gives_the_expected_scores_needs_root() {
    let letters = Letters::new();
    for program in programs("kernel_gives_the_expected_scores_needs_root") {
        let limits = Limits::default()
            .normal_wait(Duration::from_secs(3600))
            .min_train_calls(u64::MAX / 2)
            .anomaly_limit(u64::MAX / 2)
            .tolerize_limit(128);
        let mut kernel = KernelReplay::new(&limits, 1, 256)
            .unwrap_or_else(|error| panic!("this test needs root and a kernel with BTF: {error}"));
        let mut now = 0;
        let mut steps = |ops: Vec<Op>| -> Vec<Step> {
            let steps = ops.into_iter().map(|op| {
                now += 1;
                Step::new(now, op)
            });
            steps.collect()
        };
        for (_, calls) in program.traces("normal.traces") {
            let trace = steps(letters.trace(&calls));
            kernel.run(&trace).expect("the replay runs");
        }
        let normalize = Op::Command {
            profile: 0,
            command: Command::Normalize,
        };
        kernel
            .run(&steps(vec![normalize]))
            .expect("the replay runs");
        let scores = program.traces("intrusion.traces").map(|(trace, calls)| {
            let trace_steps = steps(letters.trace(&calls));
            let verdicts = kernel.run(&trace_steps).expect("the replay runs");
            // The first is the exec's.
            let mut row = Row::default();
            for verdict in &verdicts[1..] {
                let odd = verdict.is_anomaly();
                if odd {
                    row.first.get_or_insert(row.calls);
                }
                row.calls += 1;
                row.anomalous += u64::from(odd);
                row.misses += u64::from(verdict.missed.count_ones());
                row.max_lfc = row.max_lfc.max(verdict.lfc);
            }
            (trace, row)
        });
        let scores = csv(scores);
        let (_, expected) = program.expected().remove(0);
        assert!(scores == expected, "{}: {scores}", program.name);
        let profile = kernel.profile(0).expect("it has one");
        assert_eq!(profile.unlearnt(), 0, "{}", program.name);
    }
}

/// Check that the tests above look at what they should, where they run.
#[test]
fn there_is_an_intrusion_in_each() {
    for program in programs("there_is_an_intrusion_in_each") {
        let (_, expected) = program.expected().remove(0);
        let odd = expected.lines().skip(1).filter(|row| {
            let anomalous = row.split(',').nth(2).expect("a row has six fields");
            anomalous != "0"
        });
        assert!(odd.count() > 0, "{}", program.name);
    }
}

fn learn(program: &Program, window: u8) -> Profile {
    let limits = Limits::default().min_train_calls(u64::MAX);
    let mut detector = Detector::new(limits).with_window(window);
    let profile = detector.add_profile(Key::new(0, 0, 0, 0));
    for (_, calls) in program.traces("normal.traces") {
        let task = detector.spawn(profile);
        for number in calls {
            detector.call(task, Symbol::raw(number), 0, Duration::ZERO);
        }
        detector.exit(task);
    }
    detector.command(profile, Command::Normalize, Duration::ZERO);
    detector.profile(profile).expect("it was added")
}

/// What a trace came to.
#[derive(Default)]
struct Row {
    calls: u64,
    anomalous: u64,
    misses: u64,
    max_lfc: u32,
    first: Option<u64>,
}

impl From<Score> for Row {
    fn from(score: Score) -> Self {
        Self {
            calls: score.calls,
            anomalous: score.anomalous,
            misses: score.misses,
            max_lfc: score.max_lfc,
            first: score.first,
        }
    }
}

fn csv<R: Into<Row>>(scores: impl Iterator<Item = (String, R)>) -> String {
    let mut text = "trace,calls,anomalous,misses,max_lfc,first\n".to_owned();
    for (trace, row) in scores {
        let row = row.into();
        let first = row.first.map(|first| first.to_string()).unwrap_or_default();
        text += &format!(
            "{trace},{},{},{},{},{first}\n",
            row.calls, row.anomalous, row.misses, row.max_lfc
        );
    }
    text
}

/// The kernel's letters that stand for bare numbers, of which it has none: calls of this machine
/// that it treats like any other.
struct Letters(Vec<Symbol>);

impl Letters {
    fn new() -> Self {
        let ordinary = |symbol: &Symbol| !symbol.is_sigreturn() && !symbol.is_restart_syscall();
        Self((0..511).map(Symbol::native).filter(ordinary).collect())
    }

    /// A trace from its exec on.
    fn trace(&self, calls: &[u32]) -> Vec<Op> {
        let exec = Op::Exec {
            task: 0,
            profile: 0,
        };
        let calls = calls.iter().map(|number| Op::Call {
            task: 0,
            symbol: self.0[*number as usize],
            sp: 0,
        });
        std::iter::once(exec).chain(calls).collect()
    }
}
