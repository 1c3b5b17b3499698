//! What one profile knows that another does not.

use std::fmt;

use crate::syscall::{Letter, Symbol};

use super::{ID_OTHER, Profile, distances};

/// What an older and a newer profile of one program know, each, that the other does not.
///
/// What a profile knows is what it learnt or holds as normal.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileDiff {
    /// Calls that only the newer one has seen.
    pub new_calls: Vec<Symbol>,
    /// Calls that only the older one has seen.
    pub gone_calls: Vec<Symbol>,
    /// Pairs, or distances of a pair, that only the newer one knows.
    pub new_pairs: Vec<PairDiff>,
    /// Pairs, or distances of a pair, that only the older one knows.
    pub gone_pairs: Vec<PairDiff>,
}

/// A pair of calls, and the distances at which only one of two profiles knows it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PairDiff {
    /// The later call.
    pub current: Letter,
    /// The earlier call.
    pub previous: Letter,
    /// Bit `d - 1` stands for distance `d`, 1 being next to each other.
    pub bits: u8,
}

impl PairDiff {
    /// Returns the distances, nearest first.
    pub fn distances(&self) -> impl Iterator<Item = u8> + use<> {
        distances(self.bits)
    }
}

impl ProfileDiff {
    /// Tells whether both profiles know the same.
    pub fn is_empty(&self) -> bool {
        self.new_calls.is_empty()
            && self.gone_calls.is_empty()
            && self.new_pairs.is_empty()
            && self.gone_pairs.is_empty()
    }
}

impl Profile {
    /// Compares what this profile knows with what a newer one of the same program knows, as after
    /// an update.
    ///
    /// Calls are compared by interface and name, so profiles of different machines have nothing in
    /// common unless one is translated first, by [`for_abi`](Self::for_abi).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use ebph::{Detector, Key, Limits, Symbol};
    ///
    /// let mut detector = Detector::new(Limits::default());
    /// let id = detector.add_profile(Key::new(8, 1, 42, 0));
    /// let task = detector.spawn(id);
    /// detector.call(task, Symbol::native(1), 0, Duration::ZERO);
    /// let older = detector.profile(id).expect("it was added");
    /// detector.call(task, Symbol::native(2), 0, Duration::ZERO);
    /// let newer = detector.profile(id).expect("it was added");
    ///
    /// let diff = older.diff(&newer);
    /// assert_eq!(diff.new_calls, [Symbol::native(2)]);
    /// assert_eq!(diff.new_pairs[0].distances().collect::<Vec<_>>(), [1]);
    /// assert!(diff.gone_pairs.is_empty());
    /// ```
    pub fn diff(&self, newer: &Self) -> ProfileDiff {
        ProfileDiff {
            new_calls: newer.calls_beside(self),
            gone_calls: self.calls_beside(newer),
            new_pairs: newer.pairs_beside(self),
            gone_pairs: self.pairs_beside(newer),
        }
    }

    /// The calls that `other` has not seen, in the order of first sight.
    fn calls_beside(&self, other: &Self) -> Vec<Symbol> {
        let counterparts = self.counterparts(other);
        let ids = self.parts.ids.iter();
        ids.filter(|(symbol, id)| {
            if *id == ID_OTHER {
                other.id_of(*symbol).is_none()
            } else {
                counterparts[usize::from(*id)].is_empty()
            }
        })
        .map(|(symbol, _)| *symbol)
        .collect()
    }

    /// The pairs that `other` does not know.
    fn pairs_beside(&self, other: &Self) -> Vec<PairDiff> {
        let counterparts = self.counterparts(other);
        let mut pairs = Vec::new();
        for current in 1..=ID_OTHER {
            for previous in 1..=ID_OTHER {
                let bits = self.known(current, previous);
                if bits == 0 {
                    continue;
                }
                let known = counterparts[usize::from(current)].iter().fold(0, |all, c| {
                    let previous = counterparts[usize::from(previous)].iter();
                    previous.fold(all, |all, p| all | other.known(*c, *p))
                });
                if bits & !known != 0 {
                    pairs.push(PairDiff {
                        current: self.letter_of(current),
                        previous: self.letter_of(previous),
                        bits: bits & !known,
                    });
                }
            }
        }
        pairs
    }
}

/// Lines that begin with `+` for what is new and `-` for what is gone: calls first, then for each
/// call the earlier ones, with their distances.
impl fmt::Display for ProfileDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("both know the same");
        }
        let counts = [
            (self.new_calls.len(), self.new_pairs.len(), "new"),
            (self.gone_calls.len(), self.gone_pairs.len(), "gone"),
        ];
        let [new, gone] = counts.map(|(calls, pairs, what)| {
            let s = |n| if n == 1 { "" } else { "s" };
            format!(
                "{calls} call{} and {pairs} pair{} {what}",
                s(calls),
                s(pairs)
            )
        });
        write!(f, "{new}, {gone}")?;
        for (sign, calls, pairs) in [
            ('+', &self.new_calls, &self.new_pairs),
            ('-', &self.gone_calls, &self.gone_pairs),
        ] {
            for call in calls {
                write!(f, "\n{sign} {call}")?;
            }
            for of_one in pairs.chunk_by(|one, next| one.current == next.current) {
                write!(f, "\n{sign} {} after", of_one[0].current)?;
                for (index, pair) in of_one.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma} {} (", pair.previous)?;
                    for (index, distance) in pair.distances().enumerate() {
                        let space = if index == 0 { "" } else { " " };
                        write!(f, "{space}{distance}")?;
                    }
                    f.write_str(")")?;
                }
            }
        }
        Ok(())
    }
}
