//! What is reported, for people and for programs.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;

use serde::Serialize;

use crate::program::Abuse;

/// Everything that was measured.
#[derive(Serialize)]
pub struct Report {
    pub schema: u32,
    pub machine: Machine,
    pub seed: u64,
    pub programs: Vec<ProgramReport>,
    pub seconds: u64,
}

/// Where it was measured.
#[derive(Serialize)]
pub struct Machine {
    pub kernel: String,
    pub system: String,
    pub cpu: String,
    pub cpus: usize,
}

/// What was measured of one program.
#[derive(Serialize)]
pub struct ProgramReport {
    pub name: &'static str,
    pub version: String,
    pub load: &'static str,
    pub trained: Trained,
    /// Short and calm lives after the restart.
    pub calm: Ordinary,
    /// Lives under load.
    pub busy: Ordinary,
    /// What was done before each abuse, from the start of the program on.
    pub before_abuse: Ordinary,
    pub abuses: Vec<AbuseReport>,
    pub seconds: u64,
}

/// How the profile came about.
#[derive(Serialize)]
pub struct Trained {
    pub rounds: u64,
    /// Rounds at the end that brought nothing new.
    pub quiet_rounds: u64,
    pub calls: u64,
    /// Calls since something new was last learnt.
    pub since_new: u64,
    pub processes: u64,
    pub different_calls: usize,
    /// Lookahead pairs, each distance counted.
    pub pairs: usize,
}

/// Ordinary work that was judged.
#[derive(Default, Serialize)]
pub struct Ordinary {
    pub lives: u64,
    /// Lives with a false alarm.
    pub alarmed_lives: u64,
    pub calls: u64,
    /// Calls reported, each a false alarm.
    pub anomalous: u64,
    /// The largest locality frame count.
    pub most_in_frame: u32,
    /// Which: the call and its nearest missing pair.
    pub kinds: BTreeSet<String>,
}

/// How an abuse fared.
#[derive(Serialize)]
pub struct AbuseReport {
    pub name: &'static str,
    pub what: &'static str,
    /// Whether it is among those that can be seen at all.
    pub visible: bool,
    pub tried: u64,
    pub detected: u64,
    /// Anomalous calls, for each time it was tried.
    pub anomalous: Vec<u64>,
    /// The calls that were reported.
    pub calls: BTreeSet<String>,
    /// The first report that shows what the abuse did.
    pub evidence: Option<String>,
    /// The largest locality frame count.
    pub most_in_frame: u32,
}

impl Ordinary {
    /// False alarms per million calls.
    pub fn rate(&self) -> f64 {
        self.anomalous as f64 * 1e6 / self.calls.max(1) as f64
    }

    /// Both together.
    fn and(&self, other: &Self) -> Self {
        Self {
            lives: self.lives + other.lives,
            alarmed_lives: self.alarmed_lives + other.alarmed_lives,
            calls: self.calls + other.calls,
            anomalous: self.anomalous + other.anomalous,
            most_in_frame: self.most_in_frame.max(other.most_in_frame),
            kinds: self.kinds.union(&other.kinds).cloned().collect(),
        }
    }
}

impl AbuseReport {
    pub fn new(abuse: &Abuse) -> Self {
        Self {
            name: abuse.name,
            what: abuse.what,
            visible: abuse.visible,
            tried: 0,
            detected: 0,
            anomalous: Vec::new(),
            calls: BTreeSet::new(),
            evidence: None,
            most_in_frame: 0,
        }
    }
}

impl ProgramReport {
    /// Abuses that can be seen: how often they were, and how often they were tried.
    pub fn detection(&self) -> (u64, u64) {
        let visible = self.abuses.iter().filter(|abuse| abuse.visible);
        visible.fold((0, 0), |(detected, tried), abuse| {
            (detected + abuse.detected, tried + abuse.tried)
        })
    }
}

impl fmt::Display for Trained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "trained with {} rounds, {} calls, {} processes: {} calls, {} pairs; nothing new in \
             the last {} rounds, {} calls",
            self.rounds,
            self.calls,
            self.processes,
            self.different_calls,
            self.pairs,
            self.quiet_rounds,
            self.since_new
        )
    }
}

impl fmt::Display for Ordinary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} false alarms in {} calls ({} of {} lives)",
            self.anomalous, self.calls, self.alarmed_lives, self.lives
        )
    }
}

impl fmt::Display for AbuseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} of {} detected",
            self.name, self.detected, self.tried
        )?;
        if let Some(evidence) = &self.evidence {
            write!(f, ", by {evidence}")?;
        }
        write!(f, "; anomalous calls {:?}", self.anomalous)
    }
}

impl Machine {
    pub fn this() -> Self {
        let system = rustix::system::uname();
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str, separator: char| {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(separator));
            let value = value.map_or("unknown", |(_, value)| value);
            value.trim().trim_matches('"').to_owned()
        };
        Self {
            kernel: format!(
                "{} {}",
                system.release().to_string_lossy(),
                system.machine().to_string_lossy()
            ),
            system: value(&text("/etc/os-release"), "PRETTY_NAME", '='),
            cpu: value(&text("/proc/cpuinfo"), "model name", ':'),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(
            f,
            "{}, kernel {}, {} x {}; seed {}; {} s\n",
            machine.system, machine.kernel, machine.cpus, machine.cpu, self.seed, self.seconds
        )?;
        writeln!(
            f,
            "| program | trained: calls, processes | pairs | calm: lives with a false alarm | \
             false alarms, calls | busy: lives with a false alarm | false alarms, calls | \
             per million | largest frame | abuse detected |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|")?;
        for program in &self.programs {
            let trained = &program.trained;
            let calm = program.calm.and(&program.before_abuse);
            let busy = &program.busy;
            let (detected, tried) = program.detection();
            writeln!(
                f,
                "| {} | {}, {} | {} | {} of {} | {}, {} | {} of {} | {}, {} | {:.1} | {} | {detected} of {tried} |",
                program.name,
                trained.calls,
                trained.processes,
                trained.pairs,
                calm.alarmed_lives,
                calm.lives,
                calm.anomalous,
                calm.calls,
                busy.alarmed_lives,
                busy.lives,
                busy.anomalous,
                busy.calls,
                busy.rate(),
                calm.most_in_frame.max(busy.most_in_frame),
            )?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "| program | abuse | detected | first telling report | anomalous calls | frame |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for program in &self.programs {
            for abuse in &program.abuses {
                let numbers = (abuse.anomalous.iter().min(), abuse.anomalous.iter().max());
                let anomalous = match numbers {
                    (Some(low), Some(high)) if low == high => low.to_string(),
                    (Some(low), Some(high)) => format!("{low} to {high}"),
                    _ => String::new(),
                };
                writeln!(
                    f,
                    "| {} | {}: {}{} | {} of {} | {} | {anomalous} | {} |",
                    program.name,
                    abuse.name,
                    abuse.what,
                    if abuse.visible { "" } else { " (imitation)" },
                    abuse.detected,
                    abuse.tried,
                    abuse.evidence.as_deref().unwrap_or("none"),
                    abuse.most_in_frame,
                )?;
            }
        }
        Ok(())
    }
}
