//! Lookahead pairs of a profile in a form that a test can spell.

use std::collections::BTreeSet;

use ebph::{Pair, Profile};

/// The pairs being learnt, as `current<-previous@distance`.
pub fn learnt(profile: &Profile) -> BTreeSet<String> {
    spelt(profile, |pair| pair.train)
}

/// The pairs held as normal, likewise.
pub fn held(profile: &Profile) -> BTreeSet<String> {
    spelt(profile, |pair| pair.test)
}

fn spelt(profile: &Profile, plane: impl Fn(&Pair) -> u8) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for pair in profile.pairs() {
        for distance in (1..=8).filter(|distance| plane(&pair) & (1 << (distance - 1)) != 0) {
            all.insert(format!("{}<-{}@{distance}", pair.current, pair.previous));
        }
    }
    all
}

/// Fails unless all of these pairs are in the set.
#[track_caller]
pub fn assert_has(set: &BTreeSet<String>, pairs: &[&str]) {
    for pair in pairs {
        assert!(set.contains(*pair), "no {pair} in {set:#?}");
    }
}

/// Fails if the set has a pair that begins so.
#[track_caller]
pub fn assert_lacks(set: &BTreeSet<String>, starts: &[&str]) {
    for start in starts {
        let found: Vec<_> = set.iter().filter(|pair| pair.starts_with(start)).collect();
        assert!(found.is_empty(), "{found:?} should not be there");
    }
}
