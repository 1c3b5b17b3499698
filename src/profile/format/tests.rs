//! Profiles to text and back.

mod damage;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;
use crate::profile::tests::{any_profile, clock, learnt, parts, same};
use crate::profile::{
    FileIdentity, How, Identity, Origin, Profile, ProfileParts, STATE_FROZEN, STATE_NORMAL,
};
use crate::syscall::Symbol;

fn read(text: &[u8]) -> Result<Profile, FormatError> {
    Profile::from_json_at(text, clock(), clock().boot)
}

fn write(profile: &Profile) -> String {
    profile.to_json_at(clock().boot)
}

fn call(name: &str) -> Symbol {
    Symbol::from_name(Abi::X86_64, name).unwrap()
}

/// A normal profile with a bit of everything.
fn small() -> Profile {
    let (open, read) = (call("openat"), call("read"));
    let compat = Symbol::new(Abi::I386, 4);
    let profile = learnt(
        STATE_NORMAL | STATE_FROZEN,
        &[
            (read, open, 0b101, 0b1),
            (read, read, 0b10, 0),
            (compat, read, 0b1000_0000, 0b1000_0000),
        ],
    );
    let file = FileIdentity {
        path: "/usr/bin/cat".into(),
        inode: 77,
        size: 35_288,
        modified: UNIX_EPOCH + Duration::new(1_600_000_000, 5),
        changed: UNIX_EPOCH + Duration::new(1_600_000_001, 6),
        sha256: Some([0xab; 32]),
    };
    Profile::from_parts(ProfileParts {
        clock: Some(clock()),
        script: Some("/bin/script".into()),
        origin: Origin::traces("strace", 3),
        last_exec_ns: 44,
        ..profile.parts().clone()
    })
    .with_identity(
        Identity::new(file.clone())
            .with_script(file)
            .with_cgroup("a.slice"),
    )
}

/// Replaces one piece of a small file, which must be there, and reads the result.
#[track_caller]
fn with(from: &str, to: &str) -> Result<Profile, FormatError> {
    let text = write(&small());
    assert!(text.contains(from), "{from} is not in {text}");
    read(text.replacen(from, to, 1).as_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Check that any profile survives the way to a file and back.
    #[test]
    fn round_trip(profile in any_profile()) {
        let text = write(&profile);
        prop_assert!(text.len() as u64 <= MAX_BYTES);
        let again = read(text.as_bytes()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        same(&profile, &again)?;
        prop_assert_eq!(write(&again), text);
    }

    /// Check that no damage to a file makes the reader panic, and that what it takes it can write.
    #[test]
    fn mutations(
        profile in any_profile(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..6),
    ) {
        let mut text = write(&profile).into_bytes();
        for (place, byte, how) in changes {
            let place = place.index(text.len());
            match how {
                0 => text[place] = byte,
                1 => text.insert(place, byte),
                2 => { text.remove(place); }
                // A piece from elsewhere, as when blocks of a disk are mixed up.
                _ => {
                    let end = (place + 64).min(text.len());
                    let piece = text[place..end].to_vec();
                    let at = usize::from(byte).min(text.len() - piece.len());
                    text[at..at + piece.len()].copy_from_slice(&piece);
                }
            }
        }
        match read(&text) {
            Ok(read_back) => {
                let again = read(write(&read_back).as_bytes());
                prop_assert!(again.is_ok(), "{:?}", again.err());
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// Check that bytes which are no profile are refused.
    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(read(&bytes).is_err());
    }

    /// Check that JSON which is no profile is refused as such.
    #[test]
    fn foreign_json(text in "[{}\\[\\]\",:0-9a-z ]{0,80}") {
        prop_assert!(read(text.as_bytes()).is_err());
    }
}

/// Check that what a later minor version may add is passed over.
#[test]
fn unknown_fields() {
    for (from, to) in [
        ("\"window\": 9", "\"mood\": {\"a\": [1, {}]}, \"window\": 9"),
        ("\"inode\": 77", "\"inode\": 77, \"mood\": null"),
        ("\"execs\": ", "\"mood\": 1, \"execs\": "),
        ("\"how\": \"traces\"", "\"how\": \"dreamt\""),
    ] {
        let profile = with(from, to).unwrap();
        assert_eq!(profile.pairs().count(), 3);
    }
    let dreamt = with("\"how\": \"traces\"", "\"how\": \"dreamt\"").unwrap();
    assert_eq!(dreamt.origin().how, How::Other("dreamt".to_owned()));
}

/// Check that a name decides over a number, and a number stands in for a name that is not known.
#[test]
fn names_and_numbers() {
    let profile = with("\"openat\": 257", "\"openat\": 4711").unwrap();
    assert!(profile.id_of(call("openat")).is_some());
    let text = write(&small()).replace("\"openat\"", "\"open_sesame\"");
    let text = text.replace("\"open_sesame\": 257", "\"open_sesame\": 500");
    let profile = read(text.as_bytes()).unwrap();
    assert!(profile.id_of(Symbol::new(Abi::X86_64, 500)).is_some());
    let text = text.replace("\"open_sesame\": 500", "\"open_sesame\": 4000000000");
    let profile = read(text.as_bytes()).unwrap();
    assert!(profile.id_of(Symbol::new(Abi::X86_64, 511)).is_some());
}

/// Check that bare numbers are written as such.
#[test]
fn raw_numbers() {
    let profile = learnt(0, &[(Symbol::raw(15), Symbol::raw(3), 1, 0)]);
    let text = write(&profile);
    assert!(text.contains("\"abi\": \"raw\""), "{text}");
    assert!(text.contains("\"15\": {\"3\": \"1\"}"), "{text}");
    same(&profile, &read(text.as_bytes()).unwrap()).unwrap();
}

/// Check that the largest profile can be read, and that nothing much larger is.
#[test]
fn largest() {
    let longest = |symbol: &Symbol| {
        let name = format!("{symbol:?}");
        std::cmp::Reverse(name.len())
    };
    let mut symbols: Vec<_> = (0..512)
        .flat_map(|n| [Abi::Aarch64, Abi::Arm, Abi::I386].map(|abi| Symbol::new(abi, n)))
        .collect();
    symbols.sort_by_key(longest);
    let mut planes = crate::profile::planes::Planes::default();
    for symbol in symbols
        .iter()
        .take(254)
        .chain(symbols.iter().rev().take(512))
    {
        planes.identify(*symbol);
    }
    for current in 1..=255 {
        for previous in 1..=255 {
            planes.set(current, previous, u16::MAX);
        }
    }
    let profile = Profile::from_parts(ProfileParts {
        rows_held: planes.rows_held(),
        ids: planes.ids,
        rows: planes.rows,
        ..parts()
    });
    let mut text = write(&profile).into_bytes();
    let bytes = text.len() as u64;
    assert!(bytes > MAX_BYTES / 2 && bytes < MAX_BYTES, "{bytes}");
    same(&profile, &read(&text).unwrap()).unwrap();
    text.resize(MAX_BYTES as usize + 1, b' ');
    assert!(
        matches!(read(&text), Err(FormatError::TooLarge { bytes, .. }) if bytes == MAX_BYTES + 1)
    );
}

/// Check that what is left of a wait survives a restart, and that no clock can prolong it.
#[test]
fn waiting() {
    const HOUR: Duration = Duration::from_secs(3600);
    let saved = clock().boot + HOUR;
    let profile = Profile::from_parts(ProfileParts {
        clock: Some(clock()),
        normal_time_ns: (5 * HOUR).as_nanos() as u64,
        ..learnt(STATE_FROZEN, &[]).parts().clone()
    });
    let text = profile.to_json_at(saved);
    // The machine boots again; what its clock says then, and how much of the wait is left.
    let rest = |now: SystemTime| {
        let clock = Clock { boot: now - HOUR };
        let profile = Profile::from_json_at(text.as_bytes(), clock, now).unwrap();
        profile.normal_time().unwrap() - HOUR
    };
    assert_eq!(rest(saved), 4 * HOUR);
    assert_eq!(rest(saved + HOUR), 3 * HOUR);
    assert_eq!(rest(saved + 4 * HOUR), Duration::ZERO);
    assert_eq!(rest(saved + 1000 * HOUR), Duration::ZERO);
    assert_eq!(rest(saved - 1000 * HOUR), 4 * HOUR);
    assert_eq!(rest(UNIX_EPOCH + HOUR), 4 * HOUR);
    let now = saved + HOUR;
    let again = Profile::from_json_at(text.as_bytes(), Clock { boot: now }, now).unwrap();
    assert_eq!(again.normal_at(), profile.normal_at());
    assert_eq!(again.created_at(), profile.created_at());
    assert_eq!(again.created(), Duration::ZERO);
    assert_eq!(again.saved_at(), Some(saved));
}

/// Check that a copy of a profile at work is written so that it can be read.
#[test]
fn torn_copies() {
    let mut row = Box::new([0; 256]);
    row[0] = u16::MAX;
    row[1] = 1;
    // Calls that were given their ids while the copy was made.
    row[9] = 1;
    row[255] = 1;
    let profile = Profile::from_parts(ProfileParts {
        train_count: 5,
        last_mod_count: 9,
        ids: vec![(call("read"), 1), (call("write"), 4)],
        rows: vec![None, Some(row.clone()), None, Some(row)],
        ..parts()
    });
    let again = read(write(&profile).as_bytes()).unwrap();
    assert_eq!((again.train_count(), again.last_mod_count()), (5, 5));
    assert_eq!((again.pairs().count(), again.rows()), (1, 2));
    assert_eq!(again.id_of(call("write")), Some(2));
}

/// Check how a file looks.
#[test]
fn looks() {
    let text = write(&small());
    for line in [
        "  \"schema\": \"ebph-profile\",",
        "    \"openat\": 257,",
        "    \"read\": {\"read\": \"2\", \"openat\": \"13\"},",
        "    \"i386:write\": {\"read\": \"8\"}",
        "  \"others\": {},",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line:?} is not in\n{text}"
        );
    }
    assert!(text.ends_with("  }\n}\n"));
}
