//! A profile's lookahead pairs as a map: which call, after which earlier one, at how many
//! distances.

use std::collections::HashMap;

use ebph::{Letter, Pair, Profile};

/// Which of the two planes know a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Planes {
    /// Learnt, and held as normal, if not at the same distances.
    Both,
    /// Learnt, and not yet normal.
    Learnt,
    /// Normal, and not seen since learning began anew.
    Normal,
}

/// What a profile knows of two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub train: u8,
    pub test: u8,
}

/// All pairs of a profile by the places of their calls, and where in it one looks.
#[derive(Default)]
pub struct HeatMap {
    /// In the order in which the profile first saw them.
    letters: Vec<Letter>,
    cells: HashMap<(usize, usize), Cell>,
    /// The pair that is looked at, by place: the later call, and the earlier one.
    row: usize,
    column: usize,
    /// The first row and column on the screen.
    top: usize,
    left: usize,
    page: (usize, usize),
}

impl Cell {
    pub fn of(pair: &Pair) -> Self {
        Self {
            train: pair.train,
            test: pair.test,
        }
    }

    /// At how many distances it is known in either plane, 1 to 8.
    pub fn heat(self) -> u32 {
        (self.train | self.test).count_ones()
    }

    pub fn planes(self) -> Planes {
        match (self.train, self.test) {
            (_, 0) => Planes::Learnt,
            (0, _) => Planes::Normal,
            _ => Planes::Both,
        }
    }
}

impl Planes {
    /// The mark beside a number, which does without colours.
    pub const fn mark(self) -> char {
        match self {
            Self::Both => '=',
            Self::Learnt => '+',
            Self::Normal => '-',
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Learnt => "only learnt",
            Self::Normal => "only normal",
        }
    }
}

/// Distances as digits, or a dash.
pub fn distances(bits: u8) -> String {
    let digits: String = (1..=8)
        .filter(|distance| bits & (1 << (distance - 1)) != 0)
        .map(|distance| char::from(b'0' + distance))
        .collect();
    if digits.is_empty() {
        "-".to_owned()
    } else {
        digits
    }
}

impl HeatMap {
    /// Takes the pairs of a profile. What is looked at stays the same pair of calls, since a
    /// profile never gives a call another place.
    pub fn set(&mut self, profile: &Profile) {
        let mut places = HashMap::new();
        self.letters.clear();
        self.cells.clear();
        let seen = profile.symbols().map(Letter::from);
        let pairs: Vec<_> = profile.pairs().collect();
        let paired = pairs.iter().flat_map(|pair| [pair.current, pair.previous]);
        // Calls that share the last place have no row of their own; "other" is their row.
        let known: std::collections::HashSet<_> = paired.collect();
        for letter in seen.filter(|letter| known.contains(letter)) {
            places.insert(letter, self.letters.len());
            self.letters.push(letter);
        }
        for pair in &pairs {
            let mut place = |letter| {
                *places.entry(letter).or_insert_with(|| {
                    self.letters.push(letter);
                    self.letters.len() - 1
                })
            };
            let at = (place(pair.current), place(pair.previous));
            self.cells.insert(at, Cell::of(pair));
        }
        self.go(0, 0);
    }

    pub fn letters(&self) -> &[Letter] {
        &self.letters
    }

    pub fn cell(&self, row: usize, column: usize) -> Option<Cell> {
        self.cells.get(&(row, column)).copied()
    }

    /// Returns the place that is looked at.
    pub fn cursor(&self) -> (usize, usize) {
        (self.row, self.column)
    }

    /// Looks at another pair, so many rows down and columns to the right.
    pub fn go(&mut self, rows: isize, columns: isize) {
        let last = self.letters.len().saturating_sub(1);
        self.row = self.row.saturating_add_signed(rows).min(last);
        self.column = self.column.saturating_add_signed(columns).min(last);
    }

    /// The same by screens.
    pub fn turn(&mut self, pages: isize) {
        let rows = self.page.0.max(1).cast_signed();
        self.go(pages.saturating_mul(rows), 0);
    }

    pub fn look_at(&mut self, row: usize, column: usize) {
        (self.row, self.column) = (row, column);
        self.go(0, 0);
    }

    /// Scrolls so that what is looked at is on a screen of this many rows and columns, and returns
    /// the first of both.
    pub fn scroll(&mut self, rows: usize, columns: usize) -> (usize, usize) {
        self.page = (rows, columns);
        self.top = scrolled(self.top, self.row, rows, self.letters.len());
        self.left = scrolled(self.left, self.column, columns, self.letters.len());
        (self.top, self.left)
    }

    /// Says of what is looked at what is known.
    pub fn detail(&self) -> Option<String> {
        let current = self.letters.get(self.row)?;
        let previous = self.letters.get(self.column)?;
        let Some(cell) = self.cell(self.row, self.column) else {
            return Some(format!(
                "{current} was never seen within 8 calls after {previous}"
            ));
        };
        let or_never = |bits: u8| match distances(bits).as_str() {
            "-" => "never".to_owned(),
            digits => digits
                .chars()
                .map(String::from)
                .collect::<Vec<_>>()
                .join(" "),
        };
        Some(format!(
            "{current}, calls after {previous}: learnt {}; normal {}",
            or_never(cell.train),
            or_never(cell.test)
        ))
    }
}

fn scrolled(first: usize, wanted: usize, room: usize, all: usize) -> usize {
    let first = first.min(all.saturating_sub(room)).min(wanted);
    if wanted >= first + room {
        (wanted + 1).saturating_sub(room)
    } else {
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::samples::profile;

    fn map() -> HeatMap {
        let mut map = HeatMap::default();
        map.set(&profile());
        map
    }

    fn names(map: &HeatMap) -> Vec<String> {
        map.letters().iter().map(Letter::to_string).collect()
    }

    /// Check that a pair stands where its calls cross, with what either plane knows.
    #[test]
    fn places() {
        let map = map();
        let names = names(&map);
        let at = |name: &str| names.iter().position(|known| known == name).unwrap();
        let (read, openat, write) = (at("read"), at("openat"), at("write"));
        let cell = map.cell(read, openat).unwrap();
        assert_eq!((cell.heat(), cell.planes()), (2, Planes::Both));
        let cell = map.cell(write, read).unwrap();
        assert_eq!((cell.heat(), cell.planes()), (1, Planes::Learnt));
        assert_eq!(map.cell(read, write).unwrap().planes(), Planes::Normal);
        assert_eq!(map.cell(openat, openat), None);
    }

    /// Check that the words about a pair are right, also where there is none.
    #[test]
    fn details() {
        let mut map = map();
        let names = names(&map);
        let at = |name: &str| names.iter().position(|known| known == name).unwrap();
        map.look_at(at("read"), at("openat"));
        assert_eq!(
            map.detail().unwrap(),
            "read, calls after openat: learnt 1 3; normal 1"
        );
        map.look_at(at("write"), at("read"));
        assert_eq!(
            map.detail().unwrap(),
            "write, calls after read: learnt 8; normal never"
        );
        map.look_at(at("openat"), at("openat"));
        assert!(map.detail().unwrap().contains("never seen"));
        assert!(HeatMap::default().detail().is_none());
    }

    /// Check that what is looked at is always on the screen, and stays within the map.
    #[test]
    fn scrolling() {
        let mut map = map();
        let last = map.letters().len() - 1;
        map.go(isize::MAX, isize::MAX);
        assert_eq!(map.cursor(), (last, last));
        assert_eq!(map.scroll(1, 2), (last, last - 1));
        map.go(-1, -2);
        assert_eq!(map.scroll(1, 2), (last - 1, last - 2));
        map.turn(-9);
        assert_eq!(map.scroll(1, 2).0, 0);
        map.scroll(0, 0);
        let mut empty = HeatMap::default();
        empty.go(1, 1);
        assert_eq!((empty.cursor(), empty.scroll(3, 3)), ((0, 0), (0, 0)));
    }

    /// Check that every set of distances is written as it is meant.
    #[test]
    fn digits() {
        assert_eq!(distances(0), "-");
        assert_eq!(distances(0b1000_0101), "138");
    }
}
