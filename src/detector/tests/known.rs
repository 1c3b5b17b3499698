//! Profiles that go on from what is known, windows of other lengths, and scoring.

use std::time::Duration;

use proptest::prelude::*;

use crate::detector::{Plane, Score, Scorer, WindowError};
use crate::limits::Limits;
use crate::profile::{Profile, State};
use crate::syscall::Symbol;

use super::super::{Command, Detector, Did, Interrupted};
use super::{Rig, key, restart_syscall, sigreturn};

const SP: u64 = 0;
const NOW: Duration = Duration::ZERO;

/// Limits under which nothing happens of itself.
fn never() -> Limits {
    Limits::default()
        .min_train_calls(u64::MAX)
        .anomaly_limit(u64::MAX)
        .tolerize_limit(128)
}

/// A normal profile of these traces.
fn learnt(window: u8, traces: &[Vec<u32>]) -> Profile {
    let mut detector = Detector::new(never()).with_window(window);
    let profile = detector.add_profile(key());
    for trace in traces {
        let task = detector.spawn(profile);
        for number in trace {
            detector.call(task, Symbol::raw(*number), SP, NOW);
        }
        detector.exit(task);
    }
    detector.command(profile, Command::Normalize, NOW);
    detector.profile(profile).unwrap()
}

fn raw(calls: &[u32]) -> impl Iterator<Item = Symbol> {
    calls.iter().copied().map(Symbol::raw)
}

/// What the data's description says a score is, in so many words.
fn by_definition(window: usize, normal: &[Vec<u32>], trace: &[u32]) -> Score {
    let seen = |current: u32, previous: u32, distance: usize| {
        normal.iter().any(|trace| {
            (distance..trace.len())
                .any(|at| trace[at] == current && trace[at - distance] == previous)
        })
    };
    let misses: Vec<usize> = (0..trace.len())
        .map(|at| {
            (1..=at.min(window - 1))
                .filter(|distance| !seen(trace[at], trace[at - distance], *distance))
                .count()
        })
        .collect();
    let odd: Vec<u32> = misses.iter().map(|misses| u32::from(*misses > 0)).collect();
    let frames = (1..=odd.len()).map(|end| odd[end.saturating_sub(128)..end].iter().sum());
    Score {
        calls: trace.len() as u64,
        anomalous: odd.iter().map(|odd| u64::from(*odd)).sum(),
        misses: misses.iter().sum::<usize>() as u64,
        max_lfc: frames.max().unwrap_or(0),
        first: odd.iter().position(|odd| *odd > 0).map(|at| at as u64),
    }
}

fn traces() -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(prop::collection::vec(0_u32..9, 0..40), 1..6)
}

/// Check that counts which can go no further, as a file may have them, stay where they are.
#[test]
fn counts_at_their_end() {
    let text = learnt(9, &[vec![4, 2]]).to_json();
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (name, count) in file["counts"].as_object_mut().unwrap() {
        let most = if name == "sequences" {
            u64::MAX >> 8
        } else {
            u64::MAX
        };
        *count = most.into();
    }
    let profile = Profile::from_json(file.to_string().as_bytes()).unwrap();
    let mut detector = Detector::new(never()).with_max_rows(2);
    let id = detector.add_known(&profile);
    let task = detector.spawn(id);
    // Known, an anomaly that is new, and one without a row.
    let did = [4, 2, 2, 66].map(|number| detector.call(task, Symbol::raw(number), SP, NOW).did);
    assert!(did[2].contains(Did::ANOMALY | Did::NOVEL) && did[3].contains(Did::NO_ROW));
    detector.exit(task);
    let after = detector.profile(id).unwrap();
    assert_eq!(after.sequences(), u64::MAX >> 8);
    let counts = [
        after.train_count(),
        after.anomalies(),
        after.unlearnt(),
        after.execs(),
        after.processes_ended(),
        after.basis(),
    ];
    assert_eq!(counts, [u64::MAX; 6]);
}

proptest! {
    /// Check that scores are what their definition says, for any window.
    #[test]
    fn scores_by_definition(
        normal in traces(),
        trace in prop::collection::vec(0_u32..11, 0..300),
        window in 2_u8..=9,
    ) {
        let expected = by_definition(window.into(), &normal, &trace);
        let trained = Scorer::new(&learnt(window, &normal));
        prop_assert_eq!(trained.score(raw(&trace)), expected);
        // A smaller window is as good as one that was trained with.
        let limited = Scorer::new(&learnt(9, &normal)).window(window).unwrap();
        prop_assert_eq!(limited.score(raw(&trace)), expected);
    }

    /// Check that the scorer and a detector that knows the profile judge alike, call by call,
    /// however many calls there are to tell apart.
    #[test]
    fn scorer_and_detector_agree(
        normal in prop::collection::vec(0_u32..300, 0..600),
        trace in prop::collection::vec(0_u32..310, 0..300),
    ) {
        let profile = learnt(9, &[(0..240).collect(), normal]);
        let scorer = Scorer::new(&profile);
        let mut detector = Detector::new(never());
        let known = detector.add_known(&profile);
        let task = detector.spawn(known);
        let mut scored = scorer.begin();
        for symbol in raw(&trace) {
            let verdict = detector.call(task, symbol, SP, NOW);
            prop_assert_eq!(scored.call(symbol), Some(verdict.missed));
        }
        let status = detector.task(task).unwrap();
        prop_assert_eq!(scored.score().anomalous, status.anomalies);
        prop_assert_eq!(scored.score().max_lfc, status.max_lfc);
    }

    /// Check that learning in two goes is learning in one.
    #[test]
    fn goes_on(traces in traces(), at in 0_usize..5, window in 2_u8..=9) {
        let at = at.min(traces.len());
        let whole = learnt(window, &traces);
        let mut first = Detector::new(never()).with_window(window);
        let id = first.add_profile(key());
        let mut second = None;
        for (index, trace) in traces.iter().enumerate() {
            if index == at {
                let mut detector = Detector::new(never()).with_window(window);
                let id = detector.add_known(&first.profile(id).unwrap());
                second = Some((detector, id));
            }
            let (detector, id) = match &mut second {
                Some((detector, id)) => (detector, *id),
                None => (&mut first, id),
            };
            let task = detector.spawn(id);
            for symbol in raw(trace) {
                detector.call(task, symbol, SP, NOW);
            }
            detector.exit(task);
        }
        let (mut detector, id) = second.unwrap_or((first, id));
        detector.command(id, Command::Normalize, NOW);
        let both = detector.profile(id).unwrap();
        prop_assert!(whole.diff(&both).is_empty());
        prop_assert_eq!(both.window(), window);
        prop_assert_eq!(both.sequences(), whole.sequences());
        prop_assert_eq!(both.execs(), whole.execs());
        prop_assert_eq!(both.processes_ended(), whole.processes_ended());
        let order = |profile: &Profile| profile.symbols().collect::<Vec<_>>();
        prop_assert_eq!(order(&both), order(&whole));
        prop_assert_eq!(detector.rows_used(), order(&whole).len());
    }
}

/// Check that a profile's state goes with it, and that it freezes and thaws from there.
#[test]
fn state_goes_on() {
    let limits = Limits::default().normal_wait(Duration::from_secs(10));
    let mut rig = Rig::new(limits);
    for _ in 0..30 {
        rig.calls(&[20, 21]);
    }
    let frozen = rig.profile();
    assert_eq!(frozen.state(), State::Frozen);
    let mut detector = Detector::new(limits);
    let known = detector.add_known(&frozen);
    assert_eq!(detector.profile(known).unwrap().state(), State::Frozen);
    assert_eq!(
        detector.profile(known).unwrap().normal_time(),
        frozen.normal_time()
    );
    let task = detector.spawn(known);
    let mut call = |number, seconds| {
        let now = Duration::from_secs(seconds);
        detector.call(task, Symbol::native(number), SP, now);
        detector.profile(known).unwrap().state()
    };
    assert_eq!(call(20, 9), State::Frozen);
    assert_eq!(call(21, 10), State::Normal);
}

/// Check that windows are as long as was asked, and no longer than is known.
#[test]
fn windows() {
    let profile = learnt(4, &[vec![1, 2, 3, 4, 5, 6]]);
    assert_eq!(profile.window(), 4);
    let bits = profile.pairs().fold(0, |bits, pair| bits | pair.test);
    assert_eq!(bits, 0b111);
    let scorer = Scorer::new(&profile);
    for window in [2, 3, 4] {
        assert!(scorer.clone().window(window).is_ok());
    }
    assert_eq!(
        scorer.clone().window(5).unwrap_err(),
        WindowError::Larger { asked: 5, known: 4 }
    );
    for asked in [0, 1, 10] {
        let error = scorer.clone().window(asked).unwrap_err();
        assert_eq!(error, WindowError::OutOfRange { asked });
    }
    // A detector looks no further than the profile does.
    let mut detector = Detector::new(never());
    let known = detector.add_known(&profile);
    let task = detector.spawn(known);
    for number in [1, 2, 3, 4, 5] {
        let verdict = detector.call(task, Symbol::raw(number), SP, NOW);
        assert_eq!((verdict.missed, verdict.novel), (0, 0));
    }
    assert_eq!(detector.profile(known).unwrap().window(), 4);
}

/// Check that a profile that is not normal is asked what it has learnt.
#[test]
fn planes() {
    let mut rig = Rig::new(never());
    rig.calls(&[20, 21, 22]);
    let training = Scorer::new(&rig.profile());
    assert_eq!(training.plane(), Plane::Train);
    assert_eq!(
        training.score([20, 21, 22].map(Symbol::native)).anomalous,
        0
    );
    rig.command(Command::Normalize);
    rig.command(Command::Sensitize);
    let normal = Scorer::new(&rig.profile());
    assert_eq!(normal.plane(), Plane::Test);
    assert_eq!(normal.score([20, 21, 22].map(Symbol::native)).anomalous, 0);
    assert!(normal.knows(Symbol::native(20)) && !normal.knows(Symbol::native(23)));
}

/// Check that traces with signals and restarts are scored as they are learnt.
#[test]
fn signals() {
    let mut rig = Rig::new(never());
    rig.calls(&[20, 21, 22]);
    rig.detector.exec(rig.task, rig.profile);
    rig.calls(&[30]);
    rig.call_at(SP, sigreturn());
    rig.command(Command::Normalize);
    let scorer = Scorer::new(&rig.profile());
    let mut trace = scorer.begin();
    let native = Symbol::native;
    assert_eq!(trace.call(native(20)), Some(0));
    assert_eq!(trace.call(native(21)), Some(0));
    trace.signal(true, Interrupted::Restarts(native(21)));
    assert_eq!(trace.call(native(30)), Some(0));
    assert_eq!(trace.call(sigreturn()), Some(0));
    assert_eq!(trace.call(native(21)), None);
    trace.signal(false, Interrupted::Aborted);
    assert_eq!(trace.call(restart_syscall()), None);
    let mut child = trace.fork(false);
    assert_eq!(child.call(native(22)), Some(0));
    assert_eq!(child.call(native(22)), Some(0b111));
    assert_eq!(trace.call(native(22)), Some(0));
    let score = trace.score();
    assert_eq!((score.calls, score.anomalous, score.first), (5, 0, None));
    let score = child.score();
    assert_eq!((score.calls, score.misses, score.first), (2, 3, Some(1)));
}

/// Check that what is odd in a parent counts for the parent alone.
#[test]
fn children_count_for_themselves() {
    let scorer = Scorer::new(&learnt(9, &[vec![1, 2, 3]]));
    let mut parent = scorer.begin();
    for symbol in raw(&[1, 1, 1, 1]) {
        parent.call(symbol);
    }
    for new_stack in [false, true] {
        let mut child = parent.fork(new_stack);
        assert_eq!(child.score(), Score::default());
        // The parent's calls are before it all the same.
        assert_eq!(child.call(Symbol::raw(2)), Some(0b1110));
        let score = child.score();
        assert_eq!((score.calls, score.anomalous, score.max_lfc), (1, 1, 1));
    }
    assert_eq!(parent.score().max_lfc, 3);
}

/// Check that a thread that ends leaves its process running.
#[test]
fn threads_end() {
    let mut rig = Rig::new(never());
    let thread = rig.detector.fork_on_new_stack(rig.task);
    rig.detector.exit_thread(thread);
    assert_eq!(rig.profile().processes_ended(), 0);
    assert!(rig.detector.task(thread).is_none());
    rig.detector.exit_thread(thread);
    rig.detector.exit(rig.task);
    assert_eq!(rig.profile().processes_ended(), 1);
}
