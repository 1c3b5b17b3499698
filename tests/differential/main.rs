//! The kernel and the Rust detector decide alike, bit for bit.
//!
//! Random and hostile sequences of calls, forks, signals and commands are fed to
//! both: to the very header that the live hook runs, by way of a replay program
//! in the kernel, to `ebph::Detector`, and to the naive model that the detector
//! is fuzzed against. Every verdict is compared, and every now and then all that
//! the profiles hold. It counts what was reached, and fails if anything never was.
//!
//! Needs root. `EBPH_DIFF_CALLS` sets how many calls are made, a million if it
//! is not set; `EBPH_DIFF_SEED` repeats a run.

mod coverage;
mod naive;
mod preset;
mod scenario;
mod shrink;

use std::env;
use std::fmt::{Debug, Write};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use ebph::detector::{Op, Step, TaskId, Verdict};
use ebph::{Detector, KernelReplay, Profile};

use coverage::Coverage;
use naive::Naive;
use preset::{PRESETS, Rng, Setup};
use scenario::{Scenario, abyss, profile_id};

/// Calls, unless the environment says otherwise.
const CALLS: u64 = 1_000_000;
/// The seed that every run begins with.
const SEED: u64 = 0x0ddba11;
/// Most steps that the kernel takes at a time.
const CHUNK: u64 = 65_536;
/// Calls that the kernel looks at together.
const WINDOW: u8 = 9;
/// Calls of one scenario.
const SCENARIO: u64 = 12_000;
/// How long to look for a shorter sequence.
const SHRINKING: Duration = Duration::from_secs(120);

/// Check that the two sides decide alike wherever random programs lead them.
#[test]
fn kernel_and_detector_decide_alike() {
    let calls = from_env("EBPH_DIFF_CALLS").unwrap_or(CALLS);
    let seeds = match from_env("EBPH_DIFF_SEED") {
        Some(seed) => vec![seed],
        None => vec![SEED, RandomState::new().hash_one(SEED)],
    };
    let mut coverage = Coverage::new();
    let mut made = 0;
    let each = calls.div_ceil(seeds.len() as u64);
    for seed in seeds {
        println!("EBPH_DIFF_SEED={seed} repeats this part");
        let mut rng = Rng::new(seed);
        let mut left = each;
        for preset in PRESETS.iter().cycle() {
            if left == 0 {
                break;
            }
            let scenario = Scenario::new(preset, Rng::new(rng.next()));
            let ours = play(scenario, left.min(SCENARIO), &mut rng, &mut coverage)
                .unwrap_or_else(|report| panic!("seed {seed}, {:?}: {report}", preset.name));
            left -= ours;
            made += ours;
        }
    }
    println!("{made} calls, and how often they reached\n{coverage}");
    let missing = coverage.missing();
    assert!(missing.is_empty(), "never reached: {missing:#?}");
}

/// Check that neither side loses its balance over more nested handlers than can
/// be counted.
#[test]
fn more_handlers_than_can_be_counted() {
    let (setup, steps) = abyss();
    let mut detector = setup.detector();
    let mut kernel = open(&setup);
    let mut naive = Naive::new(setup.limits, setup.profiles, setup.rows, WINDOW);
    for chunk in steps.chunks(CHUNK as usize) {
        let expected: Vec<Verdict> = chunk.iter().map(|step| detector.apply(step)).collect();
        let plainly: Vec<Verdict> = chunk.iter().map(|step| naive.apply(step)).collect();
        assert_eq!(first_difference(&plainly, &expected), None);
        let verdicts = kernel.run(chunk).expect("the replay runs");
        let at = first_difference(&expected, &verdicts);
        assert_eq!(at, None, "{:?}", at.map(|at| (expected[at], verdicts[at])));
    }
    let difference = profiles_differ(&setup, &detector, &kernel);
    assert_eq!(difference, None);
}

fn from_env(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {value}")),
    )
}

fn open(setup: &Setup) -> KernelReplay {
    KernelReplay::new(&setup.limits, setup.profiles, setup.rows)
        .unwrap_or_else(|error| panic!("this test needs root and a kernel with BTF: {error}"))
}

/// Makes a number of calls, and whatever comes with them, on both sides.
///
/// Answers how many it made, or a report of where the sides differ.
fn play(
    mut scenario: Scenario,
    calls: u64,
    rng: &mut Rng,
    coverage: &mut Coverage,
) -> Result<u64, String> {
    let setup = scenario.setup().clone();
    let mut kernel = open(&setup);
    let mut naive = Naive::new(setup.limits, setup.profiles, setup.rows, WINDOW);
    let mut history = Vec::new();
    let mut made = 0;
    while made < calls {
        let length = match rng.below(4) {
            0 => 1 + rng.below(50),
            1 => 1 + rng.below(CHUNK),
            _ => 1 + rng.below(3_000),
        };
        let begin = history.len();
        let mut expected = Vec::new();
        while made < calls && (expected.len() as u64) < length {
            let step = scenario.choose();
            let before = acting_task(&step).and_then(|task| scenario.detector().task(task));
            let verdict = scenario.take(&step);
            let plainly = naive.apply(&step);
            if plainly != verdict {
                return Err(format!("{step:?}: {plainly:?} expected, not {verdict:?}"));
            }
            coverage.note(&setup, &step, &verdict, before, scenario.detector());
            made += u64::from(matches!(step.op, Op::Call { .. }));
            history.push(step);
            expected.push(verdict);
        }
        if let Some(difference) = naive.differs(scenario.detector()) {
            return Err(format!("after {} steps, {difference}", history.len()));
        }
        let verdicts = kernel
            .run(&history[begin..])
            .map_err(|error| format!("the replay does not run: {error}"))?;
        let difference = match first_difference(&expected, &verdicts) {
            Some(at) => {
                history.truncate(begin + at + 1);
                true
            }
            None => profiles_differ(&setup, scenario.detector(), &kernel).is_some(),
        };
        if difference {
            return Err(report(&setup, history));
        }
    }
    coverage.end_scenario();
    Ok(made)
}

fn acting_task(step: &Step) -> Option<TaskId> {
    match step.op {
        Op::Call { task, .. }
        | Op::Signal { task, .. }
        | Op::Exec { task, .. }
        | Op::Exit { task } => Some(TaskId::new(task.into())),
        Op::Fork { parent, .. } => Some(TaskId::new(parent.into())),
        _ => None,
    }
}

fn first_difference(expected: &[Verdict], verdicts: &[Verdict]) -> Option<usize> {
    let same = expected.iter().zip(verdicts).take_while(|(a, b)| a == b);
    let same = same.count();
    (same < expected.len().max(verdicts.len())).then_some(same)
}

/// Where the two sides' profiles differ.
fn profiles_differ(setup: &Setup, detector: &Detector, kernel: &KernelReplay) -> Option<String> {
    (0..setup.profiles).find_map(|number| {
        let ours = detector.profile(profile_id(number)).expect("it was added");
        let Some(theirs) = kernel.profile(number) else {
            return Some(format!("profile {number} does not exist in the kernel"));
        };
        profile_differs(&ours, &theirs).map(|what| format!("profile {number}: {what}"))
    })
}

fn profile_differs(ours: &Profile, theirs: &Profile) -> Option<String> {
    fn differs<T: PartialEq + Debug>(what: &str, ours: T, theirs: T) -> Option<String> {
        (ours != theirs).then(|| format!("{what}: {ours:?} expected, not {theirs:?}"))
    }
    macro_rules! compare {
        ($($what:ident),*) => {
            None$(.or_else(|| differs(stringify!($what), ours.$what(), theirs.$what())))*
        };
    }
    let letters = |profile: &Profile| -> Vec<_> {
        let letters = profile.symbols();
        letters
            .map(|symbol| (symbol, profile.id_of(symbol)))
            .collect()
    };
    compare!(
        state,
        is_frozen,
        is_normal,
        is_incomplete,
        train_count,
        last_mod_count,
        sequences,
        anomalies,
        normal_time,
        execs,
        processes_ended,
        basis,
        unlearnt,
        rows
    )
    .or_else(|| differs("ids", letters(ours), letters(theirs)))
    .or_else(|| {
        (1..=255).find_map(|id| {
            let (ours, theirs) = (ours.raw_row(id), theirs.raw_row(id));
            if ours == theirs {
                return None;
            }
            // As lists of what is set: 256 columns are no pleasure to read.
            let columns = |row: &[u16; 256]| -> Vec<_> {
                let columns = row.iter().copied().enumerate();
                columns.filter(|(_, bits)| *bits != 0).collect()
            };
            differs(&format!("row {id}"), ours.map(columns), theirs.map(columns))
        })
    })
}

/// Tells of a difference by the shortest way to it that can be found.
fn report(setup: &Setup, history: Vec<Step>) -> String {
    let found = history.len();
    let steps = shrink::shrink(history, SHRINKING, |steps| {
        let (expected, verdicts, profiles) = replay(setup, steps);
        first_difference(&expected, &verdicts).is_some() || profiles.is_some()
    });
    let (expected, verdicts, profiles) = replay(setup, &steps);
    let mut text = format!(
        "found after {found} steps, shown by {}, with {setup:?}\n",
        steps.len()
    );
    for (index, step) in steps.iter().enumerate() {
        let _ = writeln!(text, "  {step:?}");
        let (ours, theirs) = (expected.get(index), verdicts.get(index));
        if ours == theirs {
            let _ = writeln!(text, "    {ours:?}");
        } else {
            let _ = writeln!(text, "    detector: {ours:?}\n    kernel: {theirs:?}");
        }
    }
    if let Some(profiles) = profiles {
        let _ = writeln!(text, "  {profiles}");
    }
    text
}

/// All that both sides have to say about some steps.
fn replay(setup: &Setup, steps: &[Step]) -> (Vec<Verdict>, Vec<Verdict>, Option<String>) {
    let mut detector = setup.detector();
    let mut kernel = open(setup);
    let mut expected = Vec::new();
    let mut verdicts = Vec::new();
    for chunk in steps.chunks(CHUNK as usize) {
        expected.extend(chunk.iter().map(|step| detector.apply(step)));
        match kernel.run(chunk) {
            Ok(more) => verdicts.extend(more),
            Err(error) => return (expected, verdicts, Some(error.to_string())),
        }
    }
    let profiles = profiles_differ(setup, &detector, &kernel);
    (expected, verdicts, profiles)
}
