//! Where figures go: on the screen, and into the record.

use std::fmt::Display;

use crate::Failure;
use crate::record::{Record, Row, Spread};

pub struct Sheet(Record);

impl Sheet {
    pub fn start() -> Result<Self, Failure> {
        println!(
            "{:<20} {:<34} {:>14} {:>12}  95 % between",
            "table", "what", "at", "median"
        );
        Ok(Self(Record::start("scale")?))
    }

    pub fn add(
        &mut self,
        table: &str,
        series: &str,
        at: impl Display,
        unit: &str,
        spread: Spread,
    ) -> Result<(), Failure> {
        let at = at.to_string();
        let Spread {
            median, low, high, ..
        } = spread;
        println!("{table:<20} {series:<34} {at:>14} {median:>12.4}  {low:.4} .. {high:.4} {unit}");
        self.0.add(&Row {
            table: table.to_owned(),
            series: series.to_owned(),
            at,
            unit: unit.to_owned(),
            value: median,
            low,
            high,
            samples: spread.samples,
        })
    }

    /// What is not measured more than once, because it is the same each time.
    pub fn exact(
        &mut self,
        table: &str,
        series: &str,
        at: impl Display,
        unit: &str,
        value: f64,
    ) -> Result<(), Failure> {
        self.add(table, series, at, unit, Spread::of([value]))
    }
}
