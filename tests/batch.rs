//! Needs root. What threads hold back, and the short way that ordinary calls take, change nothing
//! but when calls are counted.

use std::time::Duration;

use ebph::detector::{Command, Op, Step};
use ebph::{KernelReplay, Limits, Profile, Symbol};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const PROFILES: u32 = 2;
const TASKS: u16 = 6;

/// Nothing freezes and nothing ends normality: states change by command only.
fn limits() -> Limits {
    Limits::default()
        .normal_wait(Duration::from_secs(3600))
        .min_train_calls(u64::MAX / 2)
        .anomaly_limit(u64::MAX / 2)
        .tolerize_limit(128)
}

fn call(task: u16, number: u32) -> Op {
    Op::Call {
        task,
        symbol: Symbol::native(number),
        sp: 0x7000,
    }
}

/// Mostly short loops of few calls, so that most calls are ordinary.
fn op() -> impl Strategy<Value = Vec<Op>> {
    prop_oneof![
        8 => (0..TASKS, 1..6u32, 1..40usize).prop_map(|(task, span, times)| {
            (0..times).map(|i| call(task, i as u32 % span)).collect()
        }),
        2 => (0..TASKS, 0..400u32).prop_map(|(task, number)| vec![call(task, number)]),
        1 => (0..TASKS, 0..TASKS, any::<bool>()).prop_map(|(parent, child, new_stack)| {
            vec![Op::Exit { task: child }, Op::Fork { parent, child, new_stack }]
        }),
        1 => (0..TASKS, 0..PROFILES).prop_map(|(task, profile)| vec![Op::Exec { task, profile }]),
        1 => (0..PROFILES, command()).prop_map(|(profile, command)| vec![Op::Command {
            profile,
            command,
        }]),
    ]
}

/// What makes more normal, and what takes something away of it or of what was learnt.
fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => Just(Command::Normalize),
        1 => Just(Command::Sensitize),
        1 => Just(Command::Tolerize),
        1 => Just(Command::Reset),
    ]
}

fn steps(blocks: Vec<Vec<Op>>) -> Vec<Step> {
    let start = (0..TASKS).map(|task| Op::Exec {
        task,
        profile: u32::from(task) % PROFILES,
    });
    let end = (0..TASKS).map(|task| Op::Exit { task });
    start
        .chain(blocks.into_iter().flatten())
        .chain(end)
        .zip(1..)
        .map(|(op, now)| Step::new(now, op))
        .collect()
}

type Contents = (Vec<(String, String, u8, u8)>, u64, u64, u64);

fn contents(profile: &Profile) -> Contents {
    let mut pairs: Vec<_> = profile
        .pairs()
        .map(|pair| {
            (
                format!("{:?}", pair.current),
                format!("{:?}", pair.previous),
                pair.train,
                pair.test,
            )
        })
        .collect();
    pairs.sort();
    (
        pairs,
        profile.sequences(),
        profile.anomalies(),
        profile.processes_ended(),
    )
}

/// Check that held-back calls are learnt and judged like counted ones, and counted in the end.
#[test]
fn batches_change_nothing_but_the_moment_of_counting() {
    let mut runner = TestRunner::new(Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    });
    let blocks = prop::collection::vec(op(), 3..300);
    runner
        .run(&blocks, |blocks| {
            let steps = steps(blocks);
            let new = || {
                KernelReplay::new(&limits(), PROFILES, 4096)
                    .expect("root, and a kernel with BTF, are needed for this test")
            };
            let (mut one, mut many) = (new(), new().batch(64));
            let (a, b) = (one.run(&steps).unwrap(), many.run(&steps).unwrap());
            for (i, (a, b)) in a.iter().zip(&b).enumerate() {
                prop_assert_eq!(
                    (a.novel, a.missed, a.anomalies),
                    (b.novel, b.missed, b.anomalies),
                    "step {}: {:?}",
                    i,
                    steps[i]
                );
            }
            for slot in 0..PROFILES {
                let (a, b) = (one.profile(slot).unwrap(), many.profile(slot).unwrap());
                prop_assert_eq!(contents(&a), contents(&b));
                // A command in between voids what is held back, for those who hold it.
                if steps
                    .iter()
                    .all(|step| !matches!(step.op, Op::Command { .. }))
                {
                    prop_assert_eq!(a.train_count(), b.train_count());
                    prop_assert_eq!(a.last_mod_count(), b.last_mod_count());
                }
            }
            Ok(())
        })
        .unwrap();
}
