//! One table of a record, and how it reads.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use crate::Failure;
use crate::record::{Place, Row};

/// The figures of one table, in the order in which they were measured.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    pub place: Place,
    pub rows: Vec<Row>,
}

/// What is different in `names`, in the order in which it comes first.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// Reads a record: a line that says where, and a line for each figure.
pub fn parse(record: &str) -> Result<Vec<Table>, Failure> {
    let mut lines = record.lines();
    let place: Place = serde_json::from_str(lines.next().ok_or("an empty record")?)?;
    let rows: Vec<Row> = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
    let names = distinct(rows.iter().map(|row| row.table.as_str()));
    let table = |name: &str| Table {
        name: name.to_owned(),
        place: place.clone(),
        rows: rows
            .iter()
            .filter(|row| row.table == name)
            .cloned()
            .collect(),
    };
    Ok(names.into_iter().map(table).collect())
}

impl Table {
    pub fn series(&self) -> Vec<&str> {
        distinct(self.rows.iter().map(|row| row.series.as_str()))
    }

    pub fn ats(&self) -> Vec<&str> {
        distinct(self.rows.iter().map(|row| row.at.as_str()))
    }

    /// The last one, if something was measured twice.
    pub fn find(&self, series: &str, at: &str) -> Option<&Row> {
        let mut rows = self.rows.iter().rev();
        rows.find(|row| row.series == series && row.at == at)
    }

    /// The unit, if it is one.
    pub fn unit(&self) -> Option<&str> {
        let unit = self.rows.first()?.unit.as_str();
        self.rows.iter().all(|row| row.unit == unit).then_some(unit)
    }

    /// A line for each `at`, a column for each series, and where it was measured.
    pub fn markdown(&self) -> String {
        let series = self.series();
        let mut text = String::from("| |");
        for name in &series {
            let unit = self.rows.iter().find(|row| row.series == *name);
            match unit.map_or("", |row| &row.unit) {
                "" => add(&mut text, format_args!(" {} |", escaped(name))),
                unit => add(&mut text, format_args!(" {} ({unit}) |", escaped(name))),
            }
        }
        text.push_str("\n|---|");
        text.push_str(&"---:|".repeat(series.len()));
        text.push('\n');
        for at in self.ats() {
            let label = number(at).map_or_else(|| escaped(at), whole);
            add(&mut text, format_args!("| {label} |"));
            for name in &series {
                let cell = self.find(name, at).map_or_else(String::new, cell);
                add(&mut text, format_args!(" {cell} |"));
            }
            text.push('\n');
        }
        add(&mut text, format_args!("\n{}\n", self.measured()));
        text
    }

    /// Where and when.
    pub fn measured(&self) -> String {
        let Place {
            commit,
            kernel,
            processor,
            processors,
            began,
            ..
        } = &self.place;
        let time = UNIX_EPOCH + Duration::from_secs(*began);
        let date: String = humantime::format_rfc3339_seconds(time)
            .to_string()
            .chars()
            .take("2000-01-01".len())
            .collect();
        format!(
            "{date}, commit {commit}, Linux {kernel}, {processor}, {processors} processor{}.",
            if *processors == 1 { "" } else { "s" }
        )
    }
}

/// What stands on an axis, if it does. What has a point may be a kernel's release.
pub fn number(at: &str) -> Option<f64> {
    at.parse::<u32>().ok().map(f64::from)
}

fn add(text: &mut String, what: std::fmt::Arguments<'_>) {
    // SANITY: a string takes whatever it is given.
    let _written = text.write_fmt(what);
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The value, and what it is between if that is known, all in as many digits as the value.
fn cell(row: &Row) -> String {
    let exact = row.low == row.high && row.value.fract() == 0.0;
    let digits = if exact {
        0
    } else {
        digits(row.value, &row.unit)
    };
    let [value, low, high] = [row.value, row.low, row.high].map(|value| rounded(value, digits));
    if low == high {
        return value;
    }
    format!("{value} ({low} to {high})")
}

/// All digits of a whole number, in threes; others as they are.
pub fn whole(value: f64) -> String {
    let text = format!("{}", value.abs());
    let (digits, fraction) = text
        .split_once('.')
        .map_or((text.as_str(), None), |(digits, fraction)| {
            (digits, Some(fraction))
        });
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 { "-" } else { "" };
    match fraction {
        Some(fraction) => format!("{sign}{grouped}.{fraction}"),
        None => format!("{sign}{grouped}"),
    }
}

/// How many digits there are to be after the point: three that say something in all, and of ratios
/// near 1 a fourth, since it is the difference that says something. Below zero: so many are zeros
/// before the point.
fn digits(value: f64, unit: &str) -> i32 {
    if unit == "x" && (0.5..2.0).contains(&value) {
        return 3;
    }
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    (2 - value.abs().log10().floor() as i32).clamp(-12, 6)
}

fn rounded(value: f64, digits: i32) -> String {
    match usize::try_from(digits) {
        Ok(digits) if digits > 0 => format!("{value:.digits$}"),
        _ => {
            let step = 10_f64.powi(-digits);
            whole((value / step).round() * step)
        }
    }
}
