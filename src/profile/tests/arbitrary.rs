//! Profiles of any kind, and what makes two the same.

use std::time::{Duration, UNIX_EPOCH};

use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;

use super::super::planes::Planes;
use super::super::*;
use super::parts;
use crate::key::tests::any_key;

const ABIS: [Abi; 7] = [
    Abi::X86_64,
    Abi::I386,
    Abi::X32,
    Abi::Aarch64,
    Abi::Arm,
    Abi::IoUring,
    Abi::Raw,
];

/// A machine that booted at a fixed time.
pub(in crate::profile) fn clock() -> Clock {
    Clock {
        boot: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
    }
}

fn any_symbol() -> impl Strategy<Value = Symbol> {
    (0..ABIS.len(), 0..600u32).prop_map(|(abi, number)| Symbol::new(ABIS[abi], number))
}

/// Paths that are text, and others.
fn any_path() -> impl Strategy<Value = PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;

    let byte = (1..=u8::MAX).prop_filter("a plain path", |byte| *byte != b'/');
    prop_oneof![
        "/[a-z\"\\\\\u{e9} ]{1,20}".prop_map(PathBuf::from),
        prop::collection::vec(byte, 0..20)
            .prop_map(|bytes| PathBuf::from(std::ffi::OsString::from_vec(bytes))),
    ]
}

fn any_file() -> impl Strategy<Value = FileIdentity> {
    let time = (0..4_000_000_000u64, 0..1_000_000_000u32);
    (
        any_path(),
        any::<(u64, u64)>(),
        time,
        any::<Option<[u8; 32]>>(),
    )
        .prop_map(
            |(path, (inode, size), (secs, nanos), sha256)| FileIdentity {
                path,
                inode,
                size,
                modified: UNIX_EPOCH + Duration::new(secs, nanos),
                changed: UNIX_EPOCH + Duration::new(secs / 2, nanos),
                sha256,
            },
        )
}

fn any_identity() -> impl Strategy<Value = Identity> {
    let others = (prop::option::of(any_file()), prop::option::of(any_path()));
    (any_file(), others).prop_map(|(exe, (script, cgroup))| Identity {
        exe,
        script,
        cgroup,
    })
}

fn any_origin() -> impl Strategy<Value = Origin> {
    let how = prop_oneof![
        "[ -~]{0,12}".prop_map(|kernel| How::Live { kernel }),
        Just(How::Detector),
        ("[a-z]{0,8}", any::<u64>()).prop_map(|(format, traces)| How::Traces { format, traces }),
        any::<u64>().prop_map(|profiles| How::Merged { profiles }),
        Just(How::Other("dreamt".to_owned())),
    ];
    (how, "[0-9.]{1,8}").prop_map(|(how, crate_version)| Origin { how, crate_version })
}

/// Some calls that follow each other somehow.
fn any_planes(window: u8) -> impl Strategy<Value = Planes> {
    let most = prop_oneof![Just(6), Just(60), Just(330)];
    let symbols = most.prop_flat_map(|most| btree_set(any_symbol(), 0..=most));
    let pairs = btree_map((any::<u8>(), any::<u8>()), any::<u16>(), 0..80);
    (symbols.prop_shuffle_set(), pairs).prop_map(move |(symbols, pairs)| {
        let mut planes = Planes::default();
        for symbol in symbols {
            planes.identify(symbol);
        }
        let within = u16::from(u8::MAX >> (9 - window)) * 0x0101;
        for ((current, previous), bits) in pairs {
            let has_row = |id: u8| matches!(planes.rows.get(usize::from(id)), Some(Some(_)));
            if previous > 0 && has_row(current) && has_row(previous) {
                planes.set(current, previous, bits & within);
            }
        }
        planes
    })
}

/// The order of first sight is none in particular.
trait ShuffleSet {
    fn prop_shuffle_set(self) -> BoxedStrategy<Vec<Symbol>>;
}

impl<S: Strategy<Value = std::collections::BTreeSet<Symbol>> + 'static> ShuffleSet for S {
    fn prop_shuffle_set(self) -> BoxedStrategy<Vec<Symbol>> {
        self.prop_map(|set| set.into_iter().collect::<Vec<_>>())
            .prop_shuffle()
            .boxed()
    }
}

/// Any profile, as of the time at which the machine of [`clock`] booted.
pub(in crate::profile) fn any_profile() -> impl Strategy<Value = Profile> {
    (2..=9u8).prop_flat_map(any_profile_of)
}

pub(in crate::profile) fn any_profile_of(window: u8) -> impl Strategy<Value = Profile> {
    let paths = (prop::option::of(any_path()), prop::option::of(any_path()));
    let about = (
        prop::option::of(any_identity()),
        any_origin(),
        any::<bool>(),
    );
    let flags = (any::<[bool; 3]>(), any::<u64>());
    let times = (
        0..1u64 << 60,
        -(1i64 << 60)..1 << 60,
        -(1i64 << 60)..1 << 60,
    );
    let counts = any::<[u64; 6]>();
    (
        any_key(),
        paths,
        about,
        flags,
        times,
        counts,
        any_planes(window),
    )
        .prop_map(
            move |(
                key,
                (exe, script),
                (identity, origin, timed),
                (flags, sequences),
                times,
                counts,
                planes,
            )| {
                let [normal, frozen, incomplete] = flags;
                let flags = [
                    (normal, STATE_NORMAL),
                    (frozen, STATE_FROZEN),
                    (incomplete, STATE_INCOMPLETE),
                ];
                let flags = flags.into_iter().filter(|(set, _)| *set);
                let word = flags.fold(STATE_LIVE, |word, (_, flag)| word | flag);
                let [
                    train_count,
                    since,
                    anomalies,
                    unlearnt,
                    execs,
                    processes_ended,
                ] = counts;
                Profile::from_parts(ProfileParts {
                    key,
                    exe,
                    script,
                    state_word: sequences << SEQUENCES_SHIFT | word,
                    train_count,
                    last_mod_count: since.min(train_count),
                    anomalies,
                    normal_time_ns: times.0,
                    unlearnt,
                    execs,
                    processes_ended,
                    basis: unlearnt.wrapping_mul(3),
                    basis_over: unlearnt % 2 == 1,
                    created_ns: if timed { times.1 } else { 0 },
                    last_exec_ns: if timed { times.2 } else { 0 },
                    rows_held: planes.rows_held(),
                    clock: timed.then(clock),
                    identity,
                    origin,
                    window,
                    saved: None,
                    ids: planes.ids,
                    rows: planes.rows,
                })
            },
        )
}

/// A profile of native calls in which `current` follows `previous` at the distances of a bit set:
/// `(current, previous, train, test)`.
pub(in crate::profile) fn learnt(bits: u64, pairs: &[(Symbol, Symbol, u8, u8)]) -> Profile {
    let mut planes = Planes::default();
    for (current, previous, train, test) in pairs {
        let (current, _) = planes.identify(*current);
        let (previous, _) = planes.identify(*previous);
        planes.set(current, previous, u16::from_le_bytes([*train, *test]));
    }
    Profile::from_parts(ProfileParts {
        state_word: 3 << SEQUENCES_SHIFT | STATE_LIVE | bits,
        rows_held: planes.rows_held(),
        ids: planes.ids,
        rows: planes.rows,
        ..parts()
    })
}

/// Finds what two profiles differ in, but for when they were saved.
pub(in crate::profile) fn same(one: &Profile, other: &Profile) -> Result<(), TestCaseError> {
    let rows = |profile: &Profile| -> Vec<_> {
        let row = |id: usize| profile.parts.rows.get(id).cloned().flatten();
        (0..256).map(row).collect()
    };
    prop_assert_eq!(rows(one), rows(other));
    let rest = |profile: &Profile| {
        let mut parts = profile.parts.clone();
        parts.rows = Vec::new();
        parts.saved = None;
        if !profile.is_frozen() {
            parts.normal_time_ns = 0;
        }
        if parts.clock.is_none() {
            parts.created_ns = 0;
        }
        format!("{parts:#?}")
    };
    for (line, its) in rest(one).lines().zip(rest(other).lines()) {
        prop_assert_eq!(line, its);
    }
    Ok(())
}
