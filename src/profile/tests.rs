//! What a profile tells of itself.

mod arbitrary;
mod merging;
mod translation;

use super::*;

pub(super) use arbitrary::{any_profile, clock, learnt, same};

pub(super) fn parts() -> ProfileParts {
    ProfileParts {
        key: Key::new(8, 1, 42, 0),
        exe: Some("/bin/true".into()),
        script: None,
        state_word: (7 << SEQUENCES_SHIFT) | 1,
        train_count: 100,
        last_mod_count: 60,
        anomalies: 0,
        normal_time_ns: 5,
        unlearnt: 0,
        execs: 1,
        processes_ended: 1,
        basis: 40,
        basis_over: false,
        last_exec_ns: 0,
        created_ns: 3,
        rows_held: 2,
        clock: None,
        identity: None,
        origin: Origin::detector(),
        window: LONGEST_WINDOW,
        saved: None,
        ids: vec![
            (Symbol::native(3), ID_OTHER),
            (Symbol::native(1), 2),
            (Symbol::native(0), 1),
            (Symbol::native(2), ID_OTHER),
        ],
        rows: Vec::new(),
    }
}

fn with_state(bits: u64) -> Profile {
    Profile::from_parts(ProfileParts {
        state_word: bits,
        ..parts()
    })
}

/// Check that two independent bits show as one state, and are still both to be had.
#[test]
fn state() {
    let frozen = with_state(1 | STATE_FROZEN);
    assert_eq!((frozen.state(), frozen.is_frozen()), (State::Frozen, true));
    assert_eq!(frozen.normal_time(), Some(Duration::from_nanos(5)));
    let both = with_state(1 | STATE_FROZEN | STATE_NORMAL);
    assert_eq!((both.state(), both.is_frozen()), (State::Normal, true));
    let training = with_state(1 | STATE_INCOMPLETE);
    assert_eq!(
        (training.state(), training.is_frozen()),
        (State::Training, false)
    );
    assert!(training.is_incomplete() && training.normal_time().is_none());
    let profile = Profile::from_parts(parts()).with_pending((5, 5));
    assert_eq!(profile.sequences(), 7);
    assert_eq!((profile.train_count(), profile.last_mod_count()), (105, 65));
}

/// Check that symbols come in the order of first sight.
#[test]
fn symbols() {
    let profile = Profile::from_parts(parts());
    let numbers: Vec<_> = profile.symbols().map(Symbol::number).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
    assert_eq!(profile.id_of(Symbol::native(1)), Some(2));
    assert_eq!(profile.id_of(Symbol::native(9)), None);
}

/// Check that pairs skip the column of "no call" and name what the ids stand for.
#[test]
fn pairs() {
    let mut row = Box::new([0; 256]);
    row[0] = 0xffff;
    row[2] = 0x0105;
    row[255] = 0x0001;
    row[77] = 0x8000;
    let profile = Profile::from_parts(ProfileParts {
        rows: vec![None, Some(row.clone()), None],
        ..parts()
    });
    let pairs: Vec<_> = profile.pairs().collect();
    let current = Letter::Symbol(Symbol::native(0));
    let previous = Letter::Symbol(Symbol::native(1));
    assert_eq!(
        pairs[0],
        Pair {
            current,
            previous,
            train: 5,
            test: 1
        }
    );
    assert_eq!(pairs[1].previous, Letter::Unknown);
    assert_eq!(pairs[2].previous, Letter::Other);
    assert_eq!(pairs[0].train_distances().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(pairs[0].test_distances().collect::<Vec<_>>(), [1]);
    assert_eq!(pairs.len(), 3);
    assert_eq!(profile.raw_row(1), Some(&*row));
    assert!(profile.raw_row(2).is_none() && profile.raw_row(200).is_none());
}
