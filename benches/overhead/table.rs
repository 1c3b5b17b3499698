//! What was measured, and what follows from it.

use crate::operations::Operation;
use crate::record::{Record, Row, Spread};
use crate::{COLUMNS, Column, FLOOR, Failure, NOTHING};

/// Operations that are one short call each, of which the added cost can be told from the noise.
const SHORT: [&str; 5] = ["getppid", "write", "read", "fstat", "no circles"];

/// Nanoseconds by turn, configuration and operation.
pub struct Table {
    operations: Vec<Operation>,
    turns: Vec<Vec<(Column, Vec<f64>)>>,
}

impl Table {
    pub fn new(operations: Vec<Operation>) -> Self {
        Self {
            operations,
            turns: Vec::new(),
        }
    }

    pub fn add(&mut self, turn: usize, column: Column, ns: Vec<f64>) {
        if self.turns.len() <= turn {
            self.turns.push(Vec::new());
        }
        self.turns[turn].push((column, ns));
    }

    /// What a function makes of the turns that have all these configurations.
    fn spread(
        &self,
        operation: usize,
        columns: &[Column],
        made: impl Fn(&[f64]) -> f64,
    ) -> Option<Spread> {
        let of_turn = |turn: &Vec<(Column, Vec<f64>)>| {
            let ns = columns.iter().map(|column| {
                let found = turn.iter().find(|(other, _)| other == column)?;
                Some(found.1[operation])
            });
            ns.collect::<Option<Vec<f64>>>().map(|ns| made(&ns))
        };
        let samples: Vec<f64> = self.turns.iter().filter_map(of_turn).collect();
        (!samples.is_empty()).then(|| Spread::of(samples))
    }

    /// Nanoseconds an operation takes.
    fn absolute(&self, operation: usize, column: Column) -> Option<Spread> {
        self.spread(operation, &[column], |ns| ns[0])
    }

    /// What it takes more, of what an empty program adds.
    fn ratio(&self, operation: usize, column: Column) -> Option<Spread> {
        let columns = [NOTHING, FLOOR, column];
        self.spread(operation, &columns, |ns| (ns[2] - ns[0]) / (ns[1] - ns[0]))
    }

    /// What it takes more, of what it takes without.
    fn percent(&self, operation: usize, column: Column) -> Option<Spread> {
        self.spread(operation, &[NOTHING, column], |ns| {
            (ns[1] / ns[0] - 1.0) * 100.0
        })
    }

    pub fn print(&self) {
        for (at, operation) in self.operations.iter().enumerate() {
            let short = SHORT.contains(&operation.name);
            println!("\n{}", operation.name);
            println!(
                "{:<20} {:>10} {:>8}  {:<18} {:>6}  of an empty program's",
                "", "ns", "added %", "", ""
            );
            for column in COLUMNS {
                let Some(ns) = self.absolute(at, column) else {
                    continue;
                };
                let percent = self.percent(at, column);
                let ratio = self.ratio(at, column).filter(|_| short);
                println!(
                    "{:<20} {:>10.1} {}  {}",
                    column.name(),
                    ns.median,
                    shown(percent, 8, 1),
                    shown(ratio, 6, 2)
                );
            }
        }
    }

    pub fn record(&self, record: &mut Record) -> Result<(), Failure> {
        for (at, operation) in self.operations.iter().enumerate() {
            for column in COLUMNS {
                let short = SHORT.contains(&operation.name);
                let ratio = self.ratio(at, column).filter(|_| short);
                let figures = [
                    ("overhead", "ns", self.absolute(at, column)),
                    ("percent", "%", self.percent(at, column)),
                    ("ratio", "x", ratio),
                ];
                for (table, unit, spread) in figures {
                    if let Some(spread) = spread {
                        let cell = [column.name(), operation.name, unit];
                        record.add(&Row::of(table, cell, spread))?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn shown(spread: Option<Spread>, width: usize, digits: usize) -> String {
    let Some(spread) = spread else {
        return String::new();
    };
    let between = format!("{:.digits$} .. {:.digits$}", spread.low, spread.high);
    format!("{:>width$.digits$}  {between:<18}", spread.median)
}
