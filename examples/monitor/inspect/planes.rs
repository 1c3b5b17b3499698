//! Both planes of a profile as tables that can be asked for any two calls.

use std::collections::BTreeSet;

use ebph::{Letter, Profile};

/// Which plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// What is being learnt.
    Train,
    /// What is held as normal.
    Test,
}

/// The calls of a profile's pairs, and the bits of any two of them.
pub struct Planes {
    letters: Vec<Letter>,
    /// By the numbers of the current and the previous call: train, test.
    bits: Vec<[u8; 2]>,
}

impl Planes {
    pub fn of(profile: &Profile) -> Self {
        let both = |pair: ebph::Pair| [pair.current, pair.previous];
        let letters: BTreeSet<Letter> = profile.pairs().flat_map(both).collect();
        let mut planes = Self {
            bits: vec![[0; 2]; letters.len() * letters.len()],
            letters: letters.into_iter().collect(),
        };
        for pair in profile.pairs() {
            let numbers = (planes.number(pair.current), planes.number(pair.previous));
            if let (Some(current), Some(previous)) = numbers {
                let place = planes.place(current, previous);
                let [train, test] = &mut planes.bits[place];
                *train |= pair.train;
                *test |= pair.test;
            }
        }
        planes
    }

    fn place(&self, current: usize, previous: usize) -> usize {
        current * self.letters.len() + previous
    }

    /// How many calls there are; each has a number below that.
    pub fn len(&self) -> usize {
        self.letters.len()
    }

    /// The call of this number.
    pub fn at(&self, number: usize) -> Letter {
        self.letters[number]
    }

    /// The number of a call.
    pub fn number(&self, letter: Letter) -> Option<usize> {
        self.letters.binary_search(&letter).ok()
    }

    /// The call of this name, as it is shown or without its interface.
    pub fn letter(&self, name: &str) -> Option<Letter> {
        let exact = |letter: &&Letter| letter.to_string() == name;
        let bare = |letter: &&Letter| letter.symbol().is_some_and(|symbol| symbol.name() == name);
        let found = self.letters.iter().find(exact);
        found.or_else(|| self.letters.iter().find(bare)).copied()
    }

    /// Whether `previous` is known so far before `current`.
    pub fn has(&self, plane: Plane, current: usize, previous: usize, distance: usize) -> bool {
        let [train, test] = self.bits[self.place(current, previous)];
        let bits = match plane {
            Plane::Train => train,
            Plane::Test => test,
        };
        bits & (1 << (distance - 1)) != 0
    }
}
