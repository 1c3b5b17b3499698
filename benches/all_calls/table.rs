//! The thesis's three tables: frequent short calls (4.9), selected ones (4.10), frequent ones (4.11).

use ebph::Symbol;

use crate::record::{Record, Row, Spread};
use crate::timer::{Sum, Sums};
use crate::{Failure, Turn};

/// Rows of a table of frequent calls.
const TOP: usize = 20;
/// Calls that are short, in nanoseconds.
const SHORT: f64 = 3000.0;
/// The selected ones, and what the C library makes of them today.
const SELECTED: [&str; 9] = [
    "close",
    "fstat",
    "getppid",
    "stat",
    "newfstatat",
    "open",
    "openat",
    "write",
    "read",
];
/// Calls in each period of a turn, below which its means are not compared.
const ENOUGH: u64 = 10;

/// One call: all periods of a kind together, and by how many percent it is slower, turn by turn.
struct Call {
    name: String,
    nothing: Sum,
    learning: Sum,
    normal: Sum,
    noise: Option<Spread>,
    slower_learning: Option<Spread>,
    slower_normal: Option<Spread>,
}

pub struct Table {
    /// The most frequent first.
    calls: Vec<Call>,
    turns: usize,
}

fn total<'a>(sums: impl Iterator<Item = &'a Sum>) -> Sum {
    sums.fold(Sum::default(), |mut total, sum| {
        total.add(sum);
        total
    })
}

/// By how many percent one mean is above another, in each of the turns that have both.
fn slower(pairs: impl Iterator<Item = (Sum, Sum)>) -> Option<Spread> {
    let percents: Vec<f64> = pairs
        .filter(|(one, other)| one.count.min(other.count) >= ENOUGH)
        .map(|(one, other)| (one.mean() / other.mean() - 1.0) * 100.0)
        .collect();
    (!percents.is_empty()).then(|| Spread::of(percents))
}

impl Call {
    fn of(number: usize, turns: &[Turn]) -> Self {
        let nothing = |turn: &Turn| total(turn.nothing.iter().map(|sums| &sums[number]));
        let with = |kind: fn(&Turn) -> &Sums| {
            let pairs = turns.iter().map(|turn| (kind(turn)[number], nothing(turn)));
            slower(pairs)
        };
        // In turn, so that a machine that only grows faster or slower does not look like a
        // difference.
        let noise = turns.iter().enumerate().map(|(index, turn)| {
            let [before, after] = turn.nothing.each_ref().map(|sums| sums[number]);
            if index % 2 == 0 {
                (before, after)
            } else {
                (after, before)
            }
        });
        Self {
            name: Symbol::native(number as u32).name().into_owned(),
            nothing: total(
                turns
                    .iter()
                    .flat_map(|turn| turn.nothing.iter().map(|sums| &sums[number])),
            ),
            learning: total(turns.iter().map(|turn| &turn.learning[number])),
            normal: total(turns.iter().map(|turn| &turn.normal[number])),
            noise: slower(noise),
            slower_learning: with(|turn| &turn.learning),
            slower_normal: with(|turn| &turn.normal),
        }
    }

    /// Whether it was made with and without a monitor.
    fn complete(&self) -> bool {
        [self.nothing, self.learning, self.normal]
            .iter()
            .all(|sum| sum.count > 0)
    }

    fn print(&self) {
        let [nothing, learning, normal] =
            [self.nothing, self.learning, self.normal].map(|sum| sum.mean() / 1000.0);
        let percent = |spread: Option<Spread>| match spread {
            Some(Spread {
                median, low, high, ..
            }) => {
                format!("{median:+.1} ({low:+.1}..{high:+.1})")
            }
            None => "too few".to_owned(),
        };
        println!(
            "{:<18} {:>9} {nothing:>9.3} {learning:>9.3} {normal:>9.3} {:>+8.3}  {:<24} {:<24} {:<24}",
            self.name,
            self.nothing.count,
            normal - nothing,
            percent(self.slower_normal),
            percent(self.slower_learning),
            percent(self.noise),
        );
    }

    fn rows(&self, table: &str) -> Vec<Row> {
        let row =
            |series: &str, unit: &str, spread| Row::of(table, [series, &self.name, unit], spread);
        let exactly = |value: f64, samples: u64| Spread {
            median: value,
            low: value,
            high: value,
            samples: samples as usize,
        };
        let means = [
            ("nothing", self.nothing),
            ("learning", self.learning),
            ("normal", self.normal),
        ];
        let mut rows: Vec<Row> = means
            .into_iter()
            .map(|(series, sum)| row(series, "us", exactly(sum.mean() / 1000.0, sum.count)))
            .collect();
        let count = exactly(self.nothing.count as f64, 1);
        rows.insert(0, row("calls", "", count));
        let slower = [
            ("learning, slower", self.slower_learning),
            ("normal, slower", self.slower_normal),
            ("A/A", self.noise),
        ];
        rows.extend(
            slower
                .into_iter()
                .filter_map(|(series, spread)| Some(row(series, "%", spread?))),
        );
        rows
    }
}

impl Table {
    /// Of at least one turn.
    pub fn of(turns: &[Turn]) -> Self {
        let numbers = 0..turns[0].normal.len();
        let calls = numbers.map(|number| Call::of(number, turns));
        let mut calls: Vec<Call> = calls.filter(Call::complete).collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.nothing.count));
        Self {
            calls,
            turns: turns.len(),
        }
    }

    fn tables(&self) -> [(&'static str, Vec<&Call>); 3] {
        let short = self.calls.iter().filter(|call| call.nothing.mean() < SHORT);
        let selected = SELECTED
            .iter()
            .filter_map(|name| self.calls.iter().find(|call| call.name == *name));
        [
            ("frequent short calls", short.take(TOP).collect()),
            ("selected calls", selected.collect()),
            ("frequent calls", self.calls.iter().take(TOP).collect()),
        ]
    }

    pub fn print(&self) {
        for (title, calls) in self.tables() {
            println!("\n{title}, {} turns", self.turns);
            println!(
                "{:<18} {:>9} {:>9} {:>9} {:>9} {:>8}  {:<24} {:<24} {:<24}",
                "",
                "count",
                "nothing",
                "learning",
                "normal",
                "added",
                "normal, % slower",
                "learning, % slower",
                "nothing again, %"
            );
            for call in calls {
                call.print();
            }
        }
        let all = total(self.calls.iter().map(|call| &call.nothing));
        println!(
            "\ncount, nothing, learning, normal, added: over all turns; %: median of the turns, and its 95 % interval\n\
             left out as longer than three standard deviations above the mean: {:.2} % of the calls with nothing attached",
            all.beyond as f64 * 100.0 / (all.count + all.beyond) as f64
        );
    }

    pub fn keep(&self, record: &mut Record) -> Result<(), Failure> {
        for (title, calls) in self.tables() {
            for row in calls.iter().flat_map(|call| call.rows(title)) {
                record.add(&row)?;
            }
        }
        Ok(())
    }
}
