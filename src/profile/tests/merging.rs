//! Two profiles made into one, and compared.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use super::arbitrary::any_profile_of;
use super::{clock, learnt, parts};

const NORMAL: u64 = STATE_NORMAL;
const FROZEN: u64 = STATE_FROZEN;

fn call(number: u32) -> Symbol {
    Symbol::native(number)
}

/// What a plane says of two calls and a distance; calls that were never seen have id 0 here, whose
/// row and column are empty.
fn knows(profile: &Profile, current: Symbol, previous: Symbol) -> [u8; 2] {
    let ids = [current, previous].map(|symbol| profile.id_of(symbol));
    let [Some(current), Some(previous)] = ids else {
        return [0, 0];
    };
    let row = profile.raw_row(current);
    row.map_or([0, 0], |row| row[usize::from(previous)].to_le_bytes())
}

/// All calls of two profiles.
fn calls(one: &Profile, other: &Profile) -> BTreeSet<Symbol> {
    one.symbols().chain(other.symbols()).collect()
}

/// Two profiles that can be merged.
fn mergeable() -> impl Strategy<Value = (Profile, Profile)> {
    (2..=9u8)
        .prop_flat_map(|window| (any_profile_of(window), any_profile_of(window)))
        .prop_map(|(one, other)| (one.for_abi(Abi::X86_64).0, other.for_abi(Abi::X86_64).0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Check that a merge knows all that either profile knows, and in which planes.
    #[test]
    fn union((one, other) in mergeable()) {
        let merged = one.merge(&other).unwrap();
        let normal = one.is_normal() && other.is_normal();
        prop_assert_eq!(merged.is_normal(), normal);
        let all = calls(&one, &other);
        prop_assert_eq!(&merged.symbols().collect::<BTreeSet<_>>(), &all);
        prop_assert_eq!(merged.rows(), all.len().min(255) as u64);
        // Where calls share an id the merge may know more, never less.
        let exact = all.len() <= 254;
        for current in &all {
            for previous in &all {
                let [train, test] = knows(&merged, *current, *previous);
                let [a, b] = [&one, &other].map(|p| knows(p, *current, *previous));
                let either = [a[0] | b[0], a[1] | b[1]];
                let wanted = if normal { either } else { [either[0] | either[1], 0] };
                prop_assert_eq!([wanted[0] & !train, wanted[1] & !test], [0, 0]);
                if exact {
                    prop_assert_eq!([train, test], wanted);
                }
            }
        }
    }

    /// Check that the order of two profiles matters for names only.
    #[test]
    fn either_way((one, other) in mergeable()) {
        let there = one.merge(&other).unwrap();
        let back = other.merge(&one).unwrap();
        prop_assert_eq!(there.state(), back.state());
        prop_assert_eq!(there.is_frozen(), back.is_frozen());
        prop_assert_eq!(there.normal_at(), back.normal_at());
        prop_assert_eq!(there.train_count(), back.train_count());
        prop_assert_eq!(there.sequences(), back.sequences());
        prop_assert_eq!(there.created_at(), back.created_at());
        prop_assert_eq!(there.last_exec_at(), back.last_exec_at());
        if calls(&one, &other).len() <= 254 {
            prop_assert!(there.diff(&back).is_empty());
        }
        // Whatever a merge makes can be written.
        prop_assert!(Profile::from_json(there.to_json().as_bytes()).is_ok());
    }

    /// Check that a profile has nothing new or gone beside itself, nor a merge with itself.
    #[test]
    fn nothing_new(profile in any_profile_of(9)) {
        prop_assert!(profile.diff(&profile).is_empty());
        let profile = profile.for_abi(Abi::X86_64).0;
        let doubled = profile.merge(&profile).unwrap();
        prop_assert!(profile.diff(&doubled).is_empty());
    }

    /// Check that a difference names all that the other does not know, and nothing else.
    #[test]
    fn differences((older, newer) in mergeable()) {
        let diff = older.diff(&newer);
        let new_calls: Vec<_> = newer.symbols().filter(|s| older.id_of(*s).is_none()).collect();
        prop_assert_eq!(&diff.new_calls, &new_calls);
        for pair in &diff.new_pairs {
            let (Letter::Symbol(current), Letter::Symbol(previous)) = (pair.current, pair.previous)
            else { continue };
            let [a, b] = [&older, &newer].map(|p| {
                let [train, test] = knows(p, current, previous);
                train | test
            });
            prop_assert_eq!(pair.bits, b & !a);
        }
        let merged = older.merge(&newer).unwrap();
        prop_assert!(merged.diff(&older).new_pairs.is_empty());
        prop_assert!(merged.diff(&newer).new_pairs.is_empty());
    }
}

/// Check which state two states make, and what then is normal.
#[test]
fn states() {
    let profile = |bits, number| {
        let pair = (call(number), call(1), 0b1, 0b10);
        learnt(bits, &[pair])
    };
    for (one, other, state, frozen) in [
        (0, 0, State::Training, false),
        (0, NORMAL, State::Training, false),
        (FROZEN, 0, State::Training, false),
        (FROZEN, FROZEN, State::Frozen, true),
        (FROZEN, NORMAL, State::Frozen, true),
        (NORMAL | FROZEN, FROZEN, State::Frozen, true),
        (NORMAL, NORMAL, State::Normal, false),
        (NORMAL | FROZEN, NORMAL, State::Normal, false),
        (NORMAL | FROZEN, NORMAL | FROZEN, State::Normal, true),
    ] {
        let (a, b) = (profile(one, 2), profile(other, 3));
        let merged = a.merge(&b).unwrap();
        assert_eq!((merged.state(), merged.is_frozen()), (state, frozen));
        let wanted = if state == State::Normal {
            [0b1, 0b10]
        } else {
            [0b11, 0]
        };
        assert_eq!(knows(&merged, call(2), call(1)), wanted);
        assert_eq!(knows(&merged, call(3), call(1)), wanted);
        assert!(!merged.is_incomplete());
        let incomplete = profile(one | STATE_INCOMPLETE, 2).merge(&b).unwrap();
        assert!(incomplete.is_incomplete());
    }
}

/// Check that the later of two waits counts, whichever machine booted first.
#[test]
fn waits() {
    const HOUR: Duration = Duration::from_secs(3600);
    let profile = |state, boots: Duration, waits: Duration| {
        Profile::from_parts(ProfileParts {
            clock: Some(Clock {
                boot: clock().boot + boots,
            }),
            normal_time_ns: waits.as_nanos() as u64,
            created_ns: 7,
            ..learnt(state, &[]).parts.clone()
        })
    };
    let one = profile(FROZEN, Duration::ZERO, 5 * HOUR);
    let other = profile(FROZEN, 3 * HOUR, 4 * HOUR);
    let later = Some(clock().boot + 7 * HOUR);
    for merged in [one.merge(&other).unwrap(), other.merge(&one).unwrap()] {
        assert_eq!(merged.normal_at(), later);
        assert_eq!(merged.created_at(), one.created_at());
    }
    let normal = profile(NORMAL, Duration::ZERO, 9 * HOUR);
    assert_eq!(other.merge(&normal).unwrap().normal_at(), later);
    assert_eq!(normal.merge(&other).unwrap().normal_at(), later);
    // Times that cannot be compared.
    let offline = learnt(FROZEN, &[]);
    assert_eq!(offline.merge(&one).unwrap().state(), State::Training);
    assert_eq!(one.merge(&offline).unwrap().state(), State::Training);
    assert_eq!(one.merge(&offline).unwrap().created_at(), one.created_at());
    assert_eq!(offline.merge(&one).unwrap().created_at(), one.created_at());
}

/// Check the counts of a merge, and that none can overflow.
#[test]
fn counts() {
    let profile = |count, since, anomalies| {
        Profile::from_parts(ProfileParts {
            train_count: count,
            last_mod_count: since,
            anomalies,
            state_word: u64::MAX << SEQUENCES_SHIFT | 1,
            ..parts()
        })
    };
    let merged = profile(100, 40, 3)
        .merge(&profile(u64::MAX, 50, 2))
        .unwrap();
    assert_eq!(merged.train_count(), u64::MAX);
    assert_eq!((merged.last_mod_count(), merged.anomalies()), (40, 3));
    assert_eq!(merged.sequences(), u64::MAX >> SEQUENCES_SHIFT);
    assert_eq!((merged.execs(), merged.processes_ended()), (2, 2));
}

/// Check that more calls than have ids share the last one, and that what was known of those that
/// shared one before is known of each of them.
#[test]
fn too_many_calls() {
    // 300 calls, each after the one before, from either end: ids differ, and so do those that
    // share the last one.
    let chain = |numbers: Vec<u32>| {
        let pairs: Vec<_> = numbers
            .windows(2)
            .map(|two| (call(two[1]), call(two[0]), 1, 1))
            .collect();
        learnt(NORMAL, &pairs)
    };
    let up = chain((0..300).collect());
    let down = chain((0..300).rev().collect());
    assert_eq!(up.id_of(call(299)), Some(ID_OTHER));
    assert_eq!(down.id_of(call(0)), Some(ID_OTHER));
    for merged in [up.merge(&down).unwrap(), down.merge(&up).unwrap()] {
        assert_eq!(merged.symbols().count(), 300);
        assert_eq!(merged.rows(), 255);
        for number in 0..299 {
            for (a, b) in [(number, number + 1), (number + 1, number)] {
                assert_eq!(knows(&merged, call(a), call(b)), [1, 1], "{a} after {b}");
            }
        }
        assert!(up.diff(&merged).gone_pairs.is_empty());
        assert!(down.diff(&merged).gone_pairs.is_empty());
    }
}

/// Check that calls which come to share an id are not held to do what others did that shared one
/// before, and have ids of their own now.
#[test]
fn no_more_than_known() {
    let after = |current, previous| (call(current), call(previous), 1, 1);
    let mut pairs: Vec<_> = (1..300).map(|number| after(number, number - 1)).collect();
    pairs.extend((254..300).map(|number| after(number, 5)));
    let crowded = learnt(NORMAL, &pairs);
    let shared: Vec<_> = (254..300).map(|number| after(number, number)).collect();
    let merged = learnt(NORMAL, &shared).merge(&crowded).unwrap();
    assert_eq!(crowded.id_of(call(260)), Some(ID_OTHER));
    assert_ne!(merged.id_of(call(260)), Some(ID_OTHER));
    assert_eq!(merged.id_of(call(220)), Some(ID_OTHER));
    assert_eq!(knows(&merged, call(260), call(5)), [1, 1]);
    assert_eq!(knows(&merged, call(220), call(5)), [0, 0]);
}

/// Check that what cannot be compared is refused, and says what to do.
#[test]
fn refused() {
    let profile = |window| Profile::from_parts(ProfileParts { window, ..parts() });
    let error = profile(9).merge(&profile(6)).unwrap_err();
    assert_eq!(error, MergeError::Windows(9, 6));
    let of = |abi| {
        let symbol = Symbol::from_name(abi, "read").unwrap();
        learnt(0, &[(symbol, symbol, 1, 0)])
    };
    let error = of(Abi::X86_64).merge(&of(Abi::Arm)).unwrap_err();
    assert_eq!(error, MergeError::Machines(Abi::X86_64, Abi::Aarch64));
    assert!(error.to_string().contains("Profile::for_abi"));
    let raw = learnt(0, &[(Symbol::raw(1), Symbol::raw(2), 1, 0)]);
    assert!(raw.merge(&of(Abi::Arm)).is_ok());
    assert!(learnt(0, &[]).merge(&of(Abi::Aarch64)).is_ok());
}

/// Check that what two profiles say of their program is kept where they agree.
#[test]
fn agreement() {
    let file = |path: &str, hash: u8, inode| FileIdentity {
        path: path.into(),
        inode,
        size: 5,
        modified: clock().boot,
        changed: clock().boot,
        sha256: Some([hash; 32]),
    };
    let plain = learnt(0, &[]);
    let with = |identity| plain.clone().with_identity(identity);
    let one = with(Identity::new(file("/bin/a", 1, 7)));
    let merged = |other: &Profile| one.merge(other).unwrap().identity().cloned();
    // The same program on another machine.
    assert_eq!(
        merged(&with(Identity::new(file("/bin/a", 1, 8)))).as_ref(),
        one.identity()
    );
    assert_eq!(merged(&plain), None);
    assert_eq!(merged(&with(Identity::new(file("/bin/b", 1, 7)))), None);
    assert_eq!(merged(&with(Identity::new(file("/bin/a", 2, 7)))), None);
    let scripted = Identity::new(file("/bin/a", 1, 7)).with_script(file("/s", 1, 7));
    assert_eq!(merged(&with(scripted)), None);
    assert_eq!(
        merged(&with(Identity::new(file("/bin/a", 1, 7)).with_cgroup("x"))),
        None
    );
    let merged = one.merge(&plain).unwrap();
    assert_eq!(merged.exe(), plain.exe());
    assert_eq!(merged.origin().how, How::Merged { profiles: 2 });
    assert_eq!(
        merged.merge(&merged).unwrap().origin().how,
        How::Merged { profiles: 4 }
    );
    let elsewhere = Profile::from_parts(ProfileParts {
        exe: None,
        ..parts()
    });
    assert_eq!(plain.merge(&elsewhere).unwrap().exe(), None);
}

/// Check how a difference reads.
#[test]
fn shown() {
    let [read, write, close] =
        ["read", "write", "close"].map(|name| Symbol::from_name(Abi::NATIVE, name).unwrap());
    let older = learnt(0, &[(read, read, 0b101, 0), (read, close, 0b1, 0)]);
    let newer = learnt(
        NORMAL,
        &[
            (read, read, 0b001, 0b11),
            (write, read, 0b1, 0),
            (write, write, 0x80, 0),
        ],
    );
    let diff = older.diff(&newer);
    assert_eq!(
        diff.to_string(),
        "1 call and 3 pairs new, 1 call and 2 pairs gone\n\
         + write\n\
         + read after read (2)\n\
         + write after read (1), write (8)\n\
         - close\n\
         - read after read (3), close (1)"
    );
    assert_eq!(older.diff(&older).to_string(), "both know the same");
}
