//! The table of the README: what one asks first, out of what all benchmarks and tests recorded.

use serde::Deserialize;

use crate::Failure;
use crate::table::{Table, whole};

/// The calls of which the thesis's table 4.4 tells.
const CALLS: [&str; 4] = ["getppid", "write", "read", "fstat"];

/// What the detection test records, as far as it is looked at.
#[derive(Deserialize)]
struct Detection {
    programs: Vec<Program>,
}

#[derive(Deserialize)]
struct Program {
    calm: Use,
    busy: Use,
    before_abuse: Use,
    abuses: Vec<Abuse>,
}

#[derive(Deserialize)]
struct Use {
    calls: u64,
    anomalous: u64,
}

#[derive(Deserialize)]
struct Abuse {
    visible: bool,
    tried: u64,
    detected: u64,
}

/// A line for each run of the whole live tests on a kernel.
#[derive(Clone, Debug, Deserialize)]
pub struct OnKernel {
    kernel: String,
    passed: u32,
    failed: u32,
    commit: String,
}

/// What there is besides the benchmarks' records.
pub struct Others {
    /// `detection.json`, and the kernels' lines.
    pub detection: String,
    pub kernels: String,
}

/// The records, and what is asked of them.
struct Figures<'a>(&'a [Table]);

impl Figures<'_> {
    fn table(&self, name: &str) -> Result<&Table, Failure> {
        let found = self.0.iter().find(|table| table.name == name);
        found.ok_or_else(|| format!("no record of {name}").into())
    }

    fn value(&self, table: &str, series: &str, at: &str) -> Result<f64, Failure> {
        let found = self.table(table)?.find(series, at).map(|row| row.value);
        found.ok_or_else(|| format!("no record of {series}, {at}, among {table}").into())
    }

    fn commit(&self, table: &str) -> Result<&str, Failure> {
        Ok(&self.table(table)?.place.commit)
    }

    /// From the least to the most of the usual calls.
    fn ratios(&self, series: &str) -> Result<String, Failure> {
        let mut all = Vec::new();
        for call in CALLS {
            all.push(self.value("ratio", series, call)?);
        }
        all.sort_by(f64::total_cmp);
        Ok(format!("{:.2} to {:.2}", all[0], all[CALLS.len() - 1]))
    }

    fn ratio(&self, series: &str, at: &str) -> Result<String, Failure> {
        Ok(format!("{:.2}", self.value("ratio", series, at)?))
    }

    fn percent(&self, series: &str, at: &str) -> Result<String, Failure> {
        Ok(format!("{:.1} %", self.value("percent", series, at)?))
    }

    /// How much longer each whole program takes.
    fn programs(&self) -> Result<String, Failure> {
        let table = self.table("workloads")?;
        let mut all = Vec::new();
        for at in table.ats() {
            let more = (self.value("workloads", "normal", at)? - 1.0) * 100.0;
            let alone = (self.value("workloads", "empty program", at)? - 1.0) * 100.0;
            all.push(format!("{at} {more:.0} ({alone:.0})"));
        }
        Ok(all.join(", "))
    }

    fn megabytes(&self, at: &str) -> Result<String, Failure> {
        let kilobytes = self.value("pools", "by default", at)?;
        Ok(format!("{:.0} MB", kilobytes / 1000.0))
    }
}

/// The visible abuses that were detected, and false alarms.
fn detection(text: &str) -> Result<(String, String), Failure> {
    let found: Detection = serde_json::from_str(text)?;
    let (mut tried, mut detected, mut calls, mut alarms) = (0, 0, 0, 0);
    for program in &found.programs {
        for abuse in program.abuses.iter().filter(|abuse| abuse.visible) {
            tried += abuse.tried;
            detected += abuse.detected;
        }
        for ordinary in [&program.calm, &program.busy, &program.before_abuse] {
            calls += ordinary.calls;
            alarms += ordinary.anomalous;
        }
    }
    let rate = alarms as f64 * 1e6 / calls.max(1) as f64;
    Ok((
        format!(
            "{detected} of {tried}, in {} programs",
            found.programs.len()
        ),
        format!(
            "{rate:.0} of a million calls ({alarms} of {})",
            whole(calls as f64)
        ),
    ))
}

/// A kernel's series and architecture, without which build of it.
fn series(kernel: &str) -> (String, Option<&str>) {
    let (release, arch) = kernel.split_once(", ").unzip();
    let numbers = release.unwrap_or(kernel).split('.').take(2);
    (numbers.collect::<Vec<_>>().join("."), arch)
}

/// The last whole run on each series of kernels.
fn kernels(text: &str) -> Result<String, Failure> {
    let mut last: Vec<OnKernel> = Vec::new();
    for line in text.lines() {
        let run: OnKernel = serde_json::from_str(line)?;
        last.retain(|other| series(&other.kernel) != series(&run.kernel));
        last.push(run);
    }
    let all = last.iter().map(|run| {
        let all = run.passed + run.failed;
        format!("{}: {} of {all} at {}", run.kernel, run.passed, run.commit)
    });
    Ok(all.collect::<Vec<_>>().join("; "))
}

/// The whole table; an error says which record it lacks.
pub fn markdown(tables: &[Table], others: &Others) -> Result<String, Failure> {
    let figures = Figures(tables);
    let (detected, alarms) = detection(&others.detection)?;
    let added = |series| -> Result<f64, Failure> {
        let without = figures.value("overhead", "nothing", "getppid")?;
        Ok(figures.value("overhead", series, "getppid")? - without)
    };
    let rows = [
        (
            "added to a call, of what an empty program in the same place adds".to_owned(),
            format!(
                "learning {}, normal {}, outside the scope {} times",
                figures.ratios("learning")?,
                figures.ratios("normal")?,
                figures.ratios("out of scope")?
            ),
        ),
        (
            "the same, calls in no order at all".to_owned(),
            format!(
                "learning {}, normal {} times",
                figures.ratio("learning", "no circles")?,
                figures.ratio("normal", "no circles")?
            ),
        ),
        (
            "the same, the design of the thesis written anew".to_owned(),
            format!("{} times", figures.ratios("thesis")?),
        ),
        (
            "added to `getppid`".to_owned(),
            format!(
                "{:.0} ns; by an empty program {:.0} ns",
                added("normal")?,
                added("empty program")?
            ),
        ),
        (
            "added to fork and exec; to a word through a pipe and back".to_owned(),
            format!(
                "{} (empty program {}); {} ({})",
                figures.percent("normal", "fork+execve")?,
                figures.percent("empty program", "fork+execve")?,
                figures.percent("normal", "pipe")?,
                figures.percent("empty program", "pipe")?
            ),
        ),
        (
            "added to whole programs, in % (by an empty program)".to_owned(),
            figures.programs()?,
        ),
        (
            "memory of a profile of 45 different calls".to_owned(),
            format!(
                "{:.0} KB; in the thesis {:.0} KB",
                figures.value("memory", "ebph", "45")?,
                figures.value("memory", "the thesis's ebpH", "45")?
            ),
        ),
        (
            "memory of all pools, by default".to_owned(),
            figures.megabytes("in all")?,
        ),
        (
            "start; with 1,000 profiles to load".to_owned(),
            format!(
                "{:.2} s; {:.2} s",
                figures.value("start", "start", "10")?,
                figures.value("start", "start with all saved", "1000")?
            ),
        ),
        ("abuses that can be seen, detected".to_owned(), detected),
        ("false alarms in ordinary use".to_owned(), alarms),
        (
            "live tests passed, by kernel".to_owned(),
            kernels(&others.kernels)?,
        ),
    ];
    let mut text = String::from("| | measured |\n|---|---|\n");
    for (what, figure) in rows {
        text.push_str(&format!("| {what} | {figure} |\n"));
    }
    text.push_str(&format!(
        "\nBy `make figures`: {} Whole programs at {}, memory and start at {}, detection as it was tried last.\n",
        figures.table("ratio")?.measured(),
        figures.commit("workloads")?,
        figures.commit("start")?
    ));
    Ok(text)
}
