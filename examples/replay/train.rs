//! Learning from traces.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ebph::detector::{Command, ProfileId};
use ebph::trace::{Entry, Focus, Lesson, Numbers, Strace, Traces};
use ebph::{Abi, Detector, Key, Limits, Origin, Profile, Symbol};

use crate::cli::{Format, Train};
use crate::input::{self, Input, Trouble};
use crate::output::{Failure, Outcome, count, note};
use crate::{profiles, program};

/// Time does not matter: nothing waits.
const NOW: Duration = Duration::ZERO;

/// What has been learnt so far. It is copied for each file, so that of one that turns out to be
/// bad nothing is kept.
#[derive(Clone)]
struct Training {
    abi: Option<Abi>,
    detector: Detector,
    profile: ProfileId,
    strace: Strace,
    focus: Focus,
    lesson: Lesson,
    formats: BTreeSet<Format>,
}

pub fn run(train: &Train) -> Result<Outcome, Failure> {
    // Nothing becomes normal before all has been read.
    let limits = Limits::default().min_train_calls(u64::MAX);
    let mut detector = Detector::new(limits).with_window(train.window);
    let profile = detector.add_profile(Key::new(0, 0, 0, 0));
    let mut training = Training {
        abi: train.traces.abi,
        detector,
        profile,
        strace: Strace::new(train.traces.abi.unwrap_or(Abi::NATIVE)),
        focus: match &train.traces.exe {
            Some(path) => Focus::on(path),
            None => Focus::first(),
        },
        lesson: Lesson::new(profile),
        formats: BTreeSet::new(),
    };
    let outcome = input::each(&train.traces, |file, format, input| {
        let mut attempt = training.clone();
        attempt.read(file, format, input)?;
        training = attempt;
        Ok(())
    })?;
    training.tell();
    let exe = train.traces.exe.as_deref();
    let profile = training.finish(exe)?;
    profiles::write(&profile, &train.out)?;
    Ok(outcome)
}

impl Training {
    fn read(&mut self, file: &Path, format: Format, input: Input) -> Result<(), Trouble> {
        self.formats.insert(format);
        let abi = self.abi.unwrap_or(Abi::Raw);
        match format {
            Format::Numbers => {
                let task = self.detector.spawn(self.profile);
                for number in Numbers::new(file, input) {
                    let symbol = Symbol::new(abi, number?);
                    self.detector.call(task, symbol, 0, NOW);
                }
                self.detector.exit(task);
            }
            Format::Traces => {
                let mut task = None;
                for entry in Traces::new(file, input) {
                    match (entry?, task) {
                        (Entry::Trace(_), None) => task = Some(self.detector.spawn(self.profile)),
                        (Entry::Trace(_), Some(task)) => self.detector.exec(task, self.profile),
                        (Entry::Call(number), Some(task)) => {
                            let symbol = Symbol::new(abi, number);
                            self.detector.call(task, symbol, 0, NOW);
                        }
                        _ => (),
                    }
                }
                if let Some(task) = task {
                    self.detector.exit(task);
                }
            }
            Format::Strace => {
                for event in self.strace.read(file, input) {
                    if let Some(event) = self.focus.pass(event?) {
                        self.lesson.take(&mut self.detector, &event, NOW);
                    }
                }
            }
        }
        Ok(())
    }

    /// Says what one should know about the traces.
    fn tell(&self) {
        program::tell_left_out(&self.focus);
        for (name, times) in self.strace.unknown() {
            note(&format_args!(
                "{name}, called {}, is not known here: taken for an unknown call",
                count(times, "time")
            ));
        }
    }

    /// Holds as normal what was learnt.
    fn finish(mut self, exe: Option<&Path>) -> Result<Profile, Failure> {
        let learnt = self.detector.profile(self.profile).ok_or(Failure::Said)?;
        if learnt.train_count() == 0 {
            return Err(Failure::Message(match exe {
                Some(exe) if self.formats.contains(&Format::Strace) => {
                    format!("there is no call of {} in the traces", exe.display())
                }
                _ => "there is no call in the traces".to_owned(),
            }));
        }
        self.detector.command(self.profile, Command::Normalize, NOW);
        let profile = self.detector.profile(self.profile).ok_or(Failure::Said)?;
        let formats: Vec<_> = self.formats.iter().map(|format| format.as_str()).collect();
        let profile = profile.with_origin(Origin::traces(formats.join(", "), learnt.execs()));
        let (pairs, bits) = profiles::sizes(&profile);
        note(&format_args!(
            "learnt {} in {}: {} that differ, {} at {}",
            count(learnt.train_count(), "call"),
            count(learnt.execs(), "trace"),
            profile.symbols().count(),
            count(pairs, "pair"),
            count(bits, "distance"),
        ));
        Ok(match exe.or(self.focus.path()) {
            Some(path) => program::describe(profile, path),
            None => profile,
        })
    }
}
