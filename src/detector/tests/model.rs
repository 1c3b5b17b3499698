//! The planes against the plainest thing that says the same: sets of
//! (current, previous, distance).

use std::collections::HashSet;

use proptest::prelude::*;

use crate::limits::Limits;

use super::super::{Command, Did};
use super::Rig;

type Seen = HashSet<(u32, u32, usize)>;

/// The distances, as bits, at which a call after these was not seen.
fn unseen(seen: &Seen, history: &[u32], current: u32) -> u8 {
    let previous = history.iter().rev().take(8).zip(1..);
    previous
        .filter(|(previous, distance)| !seen.contains(&(current, **previous, *distance)))
        .fold(0, |bits, (_, distance)| bits | 1 << (distance - 1))
}

#[derive(Clone, Debug)]
enum Act {
    Call(u32),
    Command(Command),
    Exec,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        40 => (20_u32..26).prop_map(Act::Call),
        2 => (0_u32..400).prop_map(|number| Act::Call(1000 + number)),
        1 => Just(Act::Exec),
        1 => Just(Act::Command(Command::Normalize)),
        1 => Just(Act::Command(Command::Sensitize)),
    ];
    prop::collection::vec(act, 0..600)
}

proptest! {
    /// Check that what is new and what misses is what the sets say.
    #[test]
    fn planes_are_sets_of_triples(acts in acts()) {
        let limits = Limits::default()
            .anomaly_limit(u64::MAX)
            .tolerize_limit(128)
            .min_train_calls(u64::MAX);
        let mut rig = Rig::new(limits);
        let mut history = Vec::new();
        let mut train = Seen::new();
        let mut test = None;
        for act in acts {
            match act {
                Act::Call(number) => {
                    // Above 510 all are one.
                    let letter = number.min(511);
                    let novel = unseen(&train, &history, letter);
                    let missed = test.as_ref().map_or(0, |test| unseen(test, &history, letter));
                    let verdict = rig.call(number);
                    prop_assert_eq!((verdict.novel, verdict.missed), (novel, missed));
                    prop_assert_eq!(verdict.is_novel(), novel != 0);
                    prop_assert_eq!(verdict.is_anomaly(), missed != 0);
                    prop_assert_eq!(verdict.did.contains(Did::TEST), test.is_some());
                    let previous = history.iter().rev().take(8).zip(1..);
                    train.extend(previous.map(|(previous, distance)| (letter, *previous, distance)));
                    history.push(letter);
                }
                Act::Command(command) => {
                    rig.command(command);
                    if command == Command::Normalize {
                        test = Some(train.clone());
                    } else {
                        train.clear();
                    }
                }
                Act::Exec => {
                    rig.detector.exec(rig.task, rig.profile);
                    history.clear();
                }
            }
        }
    }
}
