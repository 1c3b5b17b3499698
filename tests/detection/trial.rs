//! One program's trial: training, the restart, ordinary work, abuse.

use std::collections::BTreeSet;
use std::time::Instant;

use ebph::Anomaly;
use fastrand::Rng;

use crate::program::{Life, Program};
use crate::report::{AbuseReport, Ordinary, ProgramReport, Trained};
use crate::stage::{Stage, output};
use crate::watch::{Taken, Watch};

/// How thoroughly to measure.
#[derive(Clone, Copy)]
pub struct Options {
    /// What all chance comes from.
    pub seed: u64,
    /// Short lives after the restart that are to be without an anomaly.
    pub calm: u64,
    /// Lives under load after those.
    pub busy: u64,
    /// How often each abuse is tried.
    pub repetitions: u64,
    /// Every number of training rounds is multiplied by this.
    pub training: u64,
}

/// Trains a program, restarts the monitor, and tries the program.
pub fn run(program: &Program, options: &Options) -> ProgramReport {
    let began = Instant::now();
    let stage = Stage::new(&program.name.replace(' ', "-"));
    let profiles = tempfile::tempdir().expect("a temporary directory can be made");
    let executable = (program.executable)();
    let mut rng = Rng::with_seed(options.seed);

    let watch = Watch::start(&stage, &executable, &profiles);
    let trained = train(program, options, &stage, &watch, &mut rng);
    let seconds = began.elapsed().as_secs();
    say(program, &format!("{trained}; {seconds} s"));
    let mut watch = watch.restart(&stage, &profiles);

    let mut calm = Ordinary::default();
    for _ in 0..options.calm {
        short_life(program, &stage, &mut rng);
        calm.add(program, watch.take());
    }
    let mut busy = Ordinary::default();
    for _ in 0..options.busy {
        busy_life(program, &stage, &mut rng);
        busy.add(program, watch.take());
    }
    say(program, &format!("calm lives: {calm}; busy ones: {busy}"));

    let mut before = Ordinary::default();
    let mut abuses = Vec::new();
    for abuse in program.abuses {
        let mut report = AbuseReport::new(abuse);
        for _ in 0..options.repetitions {
            let mut session = (program.begin)(&stage, Life::Short, &mut rng);
            stage.settle();
            session.little_work(&mut rng);
            stage.settle();
            before.add(program, watch.take());
            session.abuse(abuse, &mut rng);
            stage.settle();
            report.add(abuse, &watch.take().anomalies);
            // How an abused service ends says nothing about either.
            session.end();
            watch.take();
        }
        say(program, &report.to_string());
        abuses.push(report);
    }
    watch.stop();

    let version = output(stage.unwatched(&executable).args(program.version));
    let version = [version.stdout, version.stderr].concat();
    let version = String::from_utf8_lossy(&version);
    ProgramReport {
        name: program.name,
        version: version.lines().next().unwrap_or_default().to_owned(),
        load: program.load,
        trained,
        calm,
        before_abuse: before,
        busy,
        abuses,
        seconds: began.elapsed().as_secs(),
    }
}

fn busy_life(program: &Program, stage: &Stage, rng: &mut Rng) {
    let mut session = (program.begin)(stage, Life::Busy, rng);
    session.work(rng);
    session.end();
}

fn short_life(program: &Program, stage: &Stage, rng: &mut Rng) {
    let mut session = (program.begin)(stage, Life::Short, rng);
    stage.settle();
    session.little_work(rng);
    stage.settle();
    session.end();
}

fn train(
    program: &Program,
    options: &Options,
    stage: &Stage,
    watch: &Watch,
    rng: &mut Rng,
) -> Trained {
    let training = program.training;
    let [least, most, quiet] =
        [training.least, training.most, training.quiet].map(|count| count * options.training);
    let (mut rounds, mut since, mut sequences) = (0, 0, 0);
    while rounds < least || (since < quiet && rounds < most) {
        busy_life(program, stage, rng);
        for _ in 0..training.short {
            short_life(program, stage, rng);
        }
        rounds += 1;
        let now = watch.profile().sequences();
        since = if now == sequences { since + 1 } else { 0 };
        sequences = now;
    }
    let profile = watch.profile();
    Trained {
        rounds,
        quiet_rounds: since,
        calls: profile.train_count(),
        since_new: profile.last_mod_count(),
        processes: profile.processes_ended(),
        different_calls: profile.symbols().count(),
        pairs: profile
            .pairs()
            .map(|pair| pair.train_distances().count())
            .sum(),
    }
}

impl Ordinary {
    fn add(&mut self, program: &Program, taken: Taken) {
        self.lives += 1;
        self.calls += taken.calls;
        self.anomalous += taken.anomalies.len() as u64;
        self.alarmed_lives += u64::from(!taken.anomalies.is_empty());
        for anomaly in &taken.anomalies {
            self.most_in_frame = self.most_in_frame.max(anomaly.max_lfc);
            let kind = kind(anomaly);
            if self.kinds.insert(kind) {
                say(program, &format!("false alarm: {anomaly}"));
            }
        }
    }
}

/// What two reports of the same surprise have in common.
fn kind(anomaly: &Anomaly) -> String {
    let nearest = anomaly.missed.first().map(|pair| {
        let previous = pair.previous;
        match pair.distance {
            1 => format!(" right after {previous}"),
            distance => format!(" {distance} calls after {previous}"),
        }
    });
    format!("{}{}", anomaly.symbol, nearest.unwrap_or_default())
}

impl AbuseReport {
    fn add(&mut self, abuse: &crate::program::Abuse, anomalies: &[Anomaly]) {
        self.tried += 1;
        let expected = |anomaly: &&Anomaly| {
            let mut window = anomaly.window.iter().map(ToString::to_string);
            abuse.calls.is_empty() || window.any(|name| abuse.calls.contains(&name.as_str()))
        };
        let telling = anomalies.iter().find(expected);
        self.detected += u64::from(telling.is_some());
        self.anomalous.push(anomalies.len() as u64);
        self.most_in_frame = anomalies
            .iter()
            .map(|anomaly| anomaly.max_lfc)
            .fold(self.most_in_frame, u32::max);
        let calls: BTreeSet<_> = anomalies
            .iter()
            .map(|anomaly| anomaly.symbol.to_string())
            .collect();
        self.calls.extend(calls);
        if self.evidence.is_none() {
            self.evidence = telling.map(kind);
        }
    }
}

/// Says how it goes, since it takes a while.
fn say(program: &Program, what: &str) {
    eprintln!("{}: {what}", program.name);
}
