//! Profiles of other machines.

use proptest::prelude::*;

use super::super::*;
use super::{any_profile, clock, learnt, parts, same};

fn call(abi: Abi, name: &str) -> Symbol {
    Symbol::from_name(abi, name).unwrap()
}

/// Check that calls are known by name on the other machine, in both directions and both widths.
#[test]
fn by_name() {
    for (from, to, narrow, narrow_to) in [
        (Abi::X86_64, Abi::Aarch64, Abi::I386, Abi::Arm),
        (Abi::Aarch64, Abi::X86_64, Abi::Arm, Abi::I386),
    ] {
        let pairs = [
            (call(from, "read"), call(from, "openat"), 0b1, 0b10),
            (call(narrow, "write"), call(from, "read"), 0b100, 0),
            (
                call(from, "newfstatat"),
                call(Abi::IoUring, "readv"),
                0b1,
                0,
            ),
            (Symbol::raw(7), Symbol::raw(7), 0b1, 0),
            // No name yet, but the same number everywhere.
            (Symbol::new(from, 500), call(from, "read"), 0b1, 0),
        ];
        let profile = learnt(STATE_NORMAL, &pairs);
        let (there, left_out) = profile.for_abi(to);
        assert!(left_out.is_empty(), "{left_out:?}");
        assert_eq!(there.state(), State::Training);
        assert_eq!(there.symbols().count(), profile.symbols().count());
        let pairs: Vec<_> = there.pairs().collect();
        let find = |current, previous| {
            let letters = (Letter::Symbol(current), Letter::Symbol(previous));
            let pair = pairs
                .iter()
                .find(|pair| (pair.current, pair.previous) == letters);
            pair.map(|pair| (pair.train, pair.test))
        };
        assert_eq!(find(call(to, "read"), call(to, "openat")), Some((0b11, 0)));
        assert_eq!(
            find(call(narrow_to, "write"), call(to, "read")),
            Some((0b100, 0))
        );
        let stat = call(to, "fstatat");
        assert_eq!(find(stat, call(Abi::IoUring, "readv")), Some((0b1, 0)));
        assert_eq!(find(Symbol::raw(7), Symbol::raw(7)), Some((0b1, 0)));
        assert_eq!(find(Symbol::new(to, 500), call(to, "read")), Some((0b1, 0)));
        assert_eq!(pairs.len(), 5);
        // It is of that machine from then on.
        assert_eq!(there.abi(), to);
        let (again, left_out) = there.for_abi(to);
        assert!(left_out.is_empty() && again.diff(&there).is_empty());
    }
}

/// Check that a file of one machine is of use on another, and says whose it is from then on.
#[test]
fn by_file() {
    let here = |name| call(Abi::X86_64, name);
    let profile = learnt(
        STATE_NORMAL,
        &[
            (here("newfstatat"), here("openat"), 1, 1),
            (Symbol::new(Abi::I386, 4), here("read"), 1, 1),
        ],
    );
    let file = profile.to_json();
    assert!(file.contains("\"newfstatat\": 262") && file.contains("\"abi\": \"x86_64\""));
    let read = Profile::from_json(file.as_bytes()).unwrap();
    let there = read.for_abi(Abi::Aarch64).0.to_json();
    for part in [
        "\"abi\": \"aarch64\"",
        "\"fstatat\": 79",
        "\"arm:write\": 4",
        "\"fstatat\": {\"openat\": \"1\"}",
        "\"state\": \"training\"",
    ] {
        assert!(there.contains(part), "{part} is not in {there}");
    }
}

/// Check that calls which the other machine does not have are left out and named.
#[test]
fn left_out() {
    let x86 = |name| call(Abi::X86_64, name);
    let unknown = Symbol::new(Abi::X86_64, 511);
    let gap = Symbol::new(Abi::X86_64, 400);
    let profile = learnt(
        STATE_FROZEN,
        &[
            (x86("read"), x86("open"), 1, 0),
            (x86("fork"), x86("read"), 1, 0),
            (x86("read"), x86("close"), 1, 0),
            (unknown, Symbol::new(Abi::X32, 0), 1, 0),
            (gap, gap, 1, 0),
        ],
    );
    let (there, left_out) = profile.for_abi(Abi::Aarch64);
    let expected = [
        x86("open"),
        x86("fork"),
        unknown,
        Symbol::new(Abi::X32, 0),
        gap,
    ];
    assert_eq!(left_out, expected);
    assert_eq!(there.pairs().count(), 1);
    assert_eq!(there.rows(), 2);
    assert_eq!(there.state(), State::Training);
    assert!(there.normal_time().is_none());
}

/// Check that a profile of the same machine stays what it is.
#[test]
fn at_home() {
    let read = call(Abi::X86_64, "read");
    let profile = learnt(STATE_NORMAL, &[(read, Symbol::new(Abi::X32, 0), 1, 1)]);
    let (same, left_out) = profile.for_abi(Abi::X86_64);
    assert!(left_out.is_empty() && same.is_normal());
    assert!(same.diff(&profile).is_empty());
    let (same, _) = profile.for_abi(Abi::I386);
    assert!(same.is_normal());
    let empty = Profile::from_parts(ProfileParts {
        ids: Vec::new(),
        ..parts()
    });
    assert_eq!(empty.for_abi(Abi::Aarch64).1, []);
}

/// Check that what shared the last id is still known of each call.
#[test]
fn shared_ids() {
    let symbols: Vec<_> = (0..450)
        .map(|number| Symbol::new(Abi::X86_64, number))
        .collect();
    let pairs: Vec<_> = symbols
        .windows(2)
        .map(|two| (two[1], two[0], 1, 0))
        .collect();
    let profile = learnt(0, &pairs);
    assert!(
        profile
            .symbols()
            .filter(|s| profile.id_of(*s) == Some(ID_OTHER))
            .count()
            > 100
    );
    let (there, left_out) = profile.for_abi(Abi::Aarch64);
    assert_eq!(there.symbols().count() + left_out.len(), symbols.len());
    for (current, previous, ..) in pairs {
        let ids = [current, previous].map(|symbol| {
            let symbol = Symbol::from_name(Abi::Aarch64, &symbol.name());
            symbol.and_then(|symbol| there.id_of(symbol))
        });
        if let [Some(current), Some(previous)] = ids {
            assert_eq!(there.known(current, previous) & 1, 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Check that any profile can be translated, to calls of one machine only, none made up, and
    /// that the result can be written.
    #[test]
    fn any_at_all(profile in any_profile(), arm: bool) {
        let native = if arm { Abi::Aarch64 } else { Abi::X86_64 };
        let (there, left_out) = profile.for_abi(native);
        for symbol in there.symbols() {
            let own = symbol.abi().unprefixed();
            prop_assert!(own.is_none_or(|abi| abi == native || abi == Abi::Raw), "{symbol:?}");
        }
        prop_assert!(there.symbols().count() + left_out.len() <= profile.symbols().count());
        let foreign = profile.symbols().any(|symbol| there.id_of(symbol).is_none());
        prop_assert!(!foreign || there.state() == State::Training && !there.is_frozen());
        let again = Profile::from_json_at(there.to_json_at(clock().boot).as_bytes(), clock(), clock().boot);
        same(&there, &again.map_err(|error| TestCaseError::fail(error.to_string()))?)?;
    }
}

/// Check the names that the two machines have for the same calls.
#[test]
fn aliases() {
    for (abi, alias, own) in [
        (Abi::Aarch64, "newfstatat", "fstatat"),
        (Abi::X86_64, "fstatat", "newfstatat"),
        (Abi::Arm, "sync_file_range", "arm_sync_file_range"),
        (Abi::I386, "arm_fadvise64_64", "fadvise64_64"),
    ] {
        let symbol = Symbol::from_name(abi, alias).expect(alias);
        assert_eq!(symbol.name(), own);
    }
}
