//! The rows that a score is printed in, one a trace.

use std::ffi::OsStr;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::os::unix::ffi::OsStrExt as _;

use ebph::detector::Score;

use crate::output::{Failure, count, printable};

const HEADER: [&str; 6] = ["trace", "calls", "anomalous", "misses", "max_lfc", "first"];

/// Where rows go.
pub enum Rows {
    /// As comma-separated values, for programs.
    Csv(Box<csv::Writer<StdoutLock<'static>>>),
    /// As a table, for people; with the sums for its last line.
    Table(BufWriter<StdoutLock<'static>>, Sums),
}

#[derive(Default)]
pub struct Sums {
    traces: u64,
    odd_traces: u64,
    calls: u64,
    anomalous: u64,
}

impl Rows {
    pub fn new(csv: bool) -> Result<Self, Failure> {
        let out = io::stdout().lock();
        if csv {
            let mut writer = csv::Writer::from_writer(out);
            writer.write_record(HEADER)?;
            return Ok(Self::Csv(Box::new(writer)));
        }
        let mut out = BufWriter::new(out);
        // Names come last, so that columns need not know the longest.
        let [trace, calls, anomalous, misses, max_lfc, first] = HEADER;
        writeln!(
            out,
            "{calls:>10} {anomalous:>10} {misses:>10} {max_lfc:>8} {first:>10}  {trace}"
        )?;
        Ok(Self::Table(out, Sums::default()))
    }

    pub fn write(&mut self, trace: &OsStr, score: Score) -> Result<(), Failure> {
        let first = score.first.map(|first| first.to_string());
        let first = first.unwrap_or_default();
        match self {
            Self::Csv(writer) => writer.write_record([
                trace.as_bytes(),
                score.calls.to_string().as_bytes(),
                score.anomalous.to_string().as_bytes(),
                score.misses.to_string().as_bytes(),
                score.max_lfc.to_string().as_bytes(),
                first.as_bytes(),
            ])?,
            Self::Table(out, sums) => {
                sums.traces += 1;
                sums.odd_traces += u64::from(score.anomalous > 0);
                sums.calls += score.calls;
                sums.anomalous += score.anomalous;
                let Score {
                    calls,
                    anomalous,
                    misses,
                    max_lfc,
                    ..
                } = score;
                let first = if first.is_empty() { "-" } else { &first };
                write!(
                    out,
                    "{calls:>10} {anomalous:>10} {misses:>10} {max_lfc:>8} {first:>10}  "
                )?;
                writeln!(out, "{}", printable(trace))?;
            }
        }
        Ok(())
    }

    /// Writes what is left to be written.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.flush()?;
        if let Self::Table(mut out, sums) = self {
            writeln!(
                out,
                "{} of {} anomalous, in {} of {}",
                sums.anomalous,
                count(sums.calls, "call"),
                sums.odd_traces,
                count(sums.traces, "trace"),
            )?;
            out.flush()?;
        }
        Ok(())
    }

    /// Lets the reader have what there is.
    pub fn flush(&mut self) -> Result<(), Failure> {
        match self {
            Self::Csv(writer) => writer.flush()?,
            Self::Table(out, _) => out.flush()?,
        }
        Ok(())
    }
}
