//! Which windows can have set a bit.
//!
//! A profile keeps pairs and not windows. But each window that it learnt left all its pairs behind,
//! so those that made a bit are among those all of whose pairs are known: unless what was learnt has
//! been wiped since the window began, or one of its calls had no row. Nothing tells that, so what fits
//! is what may have been, even if it is the only one.

use ebph::{Letter, Pair};

use super::planes::{Plane, Planes};

/// How many windows are shown.
const SHOWN: usize = 3;
/// How many are counted at most.
const COUNTED: usize = 1000;
/// How many calls are tried in all the places of one window.
const TRIED: usize = 100_000;

/// What set one bit of a pair.
pub struct Windows {
    /// How many calls the two are apart: the number of the bit.
    pub distance: u8,
    /// Whether it is being learnt.
    pub train: bool,
    /// Whether it is held as normal.
    pub test: bool,
    /// Some windows that fit, oldest call first.
    pub fitting: Vec<Vec<Letter>>,
    /// How many fit.
    pub count: usize,
    /// Whether that is all.
    pub complete: bool,
}

impl Windows {
    /// The windows of each distance of a pair, nearest first.
    pub fn of(planes: &Planes, pair: &Pair) -> Vec<Self> {
        (1..=8)
            .filter_map(|distance| {
                let bit = 1_u8 << (distance - 1);
                let (train, test) = (pair.train & bit != 0, pair.test & bit != 0);
                // What is normal is what calls are judged by.
                let plane = if test { Plane::Test } else { Plane::Train };
                (train || test).then(|| {
                    let mut windows = Self {
                        distance,
                        train,
                        test,
                        fitting: Vec::new(),
                        count: 0,
                        complete: true,
                    };
                    windows.search(planes, plane, pair);
                    windows
                })
            })
            .collect()
    }

    /// Finds windows of the two calls and those between, all of whose pairs are known.
    fn search(&mut self, planes: &Planes, plane: Plane, pair: &Pair) {
        let (Some(current), Some(previous)) =
            (planes.number(pair.current), planes.number(pair.previous))
        else {
            return;
        };
        let distance = usize::from(self.distance);
        // By how far before the current call; those between are filled in one after the other.
        let mut window = vec![current];
        let mut next = vec![0];
        let mut tried = 0;
        while let Some(candidate) = next.last_mut() {
            let place = window.len();
            if place == distance {
                self.add(planes, &window, previous);
                if self.count == COUNTED {
                    self.complete = false;
                    return;
                }
                window.pop();
                next.pop();
                continue;
            }
            let number = *candidate;
            *candidate += 1;
            tried += 1;
            if tried > TRIED {
                self.complete = false;
                return;
            }
            if number >= planes.len() {
                window.pop();
                next.pop();
                continue;
            }
            let known = |later: usize| planes.has(plane, window[later], number, place - later);
            if (0..place).all(known) && planes.has(plane, number, previous, distance - place) {
                window.push(number);
                next.push(0);
            }
        }
    }

    fn add(&mut self, planes: &Planes, window: &[usize], previous: usize) {
        self.count += 1;
        if self.fitting.len() < SHOWN {
            let oldest_first = [previous].into_iter().chain(window.iter().rev().copied());
            let letters = oldest_first.map(|number| planes.at(number));
            self.fitting.push(letters.collect());
        }
    }

    /// The window that sets the bit, with `None` where any call may be.
    pub fn shape(&self, pair: &Pair) -> Vec<Option<Letter>> {
        let between = std::iter::repeat_n(None, usize::from(self.distance) - 1);
        let first = std::iter::once(Some(pair.previous));
        first.chain(between).chain([Some(pair.current)]).collect()
    }
}
