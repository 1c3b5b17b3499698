//! Scoring traces by a profile.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::Path;

use ebph::detector::{Plane, Scorer, Scoring};
use ebph::trace::{Entry, Event, EventKind, Focus, Numbers, Strace, Traces};
use ebph::{Abi, Profile, Symbol};

use crate::cli::{Format, Score};
use crate::input::{self, Input, Trouble};
use crate::output::{Failure, Outcome, count, note, printable};
use crate::rows::Rows;
use crate::{profiles, program};

pub fn run(score: &Score) -> Result<Outcome, Failure> {
    let profile = profiles::read(&score.profile)?;
    let mut scorer = Scorer::new(&profile);
    if let Some(window) = score.window {
        let limited = scorer.window(window);
        scorer = limited.map_err(|error| Failure::Message(error.to_string()))?;
    }
    if scorer.plane() == Plane::Train {
        note(&format_args!(
            "the profile is {}, not normal: scored by what it has learnt so far",
            profile.state()
        ));
    }
    let mut scores = Scores {
        scorer: &scorer,
        abi: score.traces.abi,
        rows: Rows::new(score.csv)?,
        strace: Strace::new(score.traces.abi.unwrap_or(Abi::NATIVE)),
        focus: match &score.traces.exe {
            Some(path) => Focus::on(path),
            None => Focus::first(),
        },
        threads: HashMap::new(),
        images: HashMap::new(),
        known: false,
        abis: BTreeSet::new(),
    };
    let outcome = input::each(&score.traces, |file, format, input| {
        scores.read(file, format, input)
    });
    // Rows of good files are no worse for bad ones.
    scores.rows.flush()?;
    let outcome = outcome?;
    scores.tell(&profile);
    scores.rows.finish()?;
    Ok(outcome)
}

/// A thread's life in the program.
struct Image<'a> {
    scoring: Scoring<'a>,
    /// From its first call on.
    name: Option<OsString>,
}

struct Scores<'a> {
    scorer: &'a Scorer,
    abi: Option<Abi>,
    rows: Rows,
    strace: Strace,
    focus: Focus,
    threads: HashMap<u32, Image<'a>>,
    /// How many images each thread of this file has had.
    images: HashMap<u32, u64>,
    /// The profile knows any call of the traces.
    known: bool,
    abis: BTreeSet<Abi>,
}

impl<'a> Scores<'a> {
    fn read(&mut self, file: &Path, format: Format, input: Input) -> Result<(), Trouble> {
        let abi = self.abi.unwrap_or(Abi::Raw);
        match format {
            Format::Numbers => {
                let mut trace = self.scorer.begin();
                for number in Numbers::new(file, input) {
                    self.call(&mut trace, Symbol::new(abi, number?));
                }
                self.rows.write(file.as_os_str(), trace.score())?;
            }
            Format::Traces => {
                let mut current: Option<(OsString, Scoring<'_>)> = None;
                for entry in Traces::new(file, input) {
                    match (entry?, &mut current) {
                        (Entry::Trace(name), current) => {
                            let next = (name, self.scorer.begin());
                            if let Some((name, trace)) = current.replace(next) {
                                self.rows.write(&name, trace.score())?;
                            }
                        }
                        (Entry::Call(number), Some((_, trace))) => {
                            self.call(trace, Symbol::new(abi, number));
                        }
                        _ => (),
                    }
                }
                if let Some((name, trace)) = current {
                    self.rows.write(&name, trace.score())?;
                }
            }
            Format::Strace => {
                self.images.clear();
                let mut strace = std::mem::replace(&mut self.strace, Strace::new(Abi::NATIVE));
                let result = self.read_strace(&mut strace, file, input);
                if result.is_ok() {
                    self.strace = strace;
                } else {
                    // The threads of a bad file are gone with it.
                    self.threads.clear();
                    self.focus.forget_threads();
                    self.strace = Strace::new(self.abi.unwrap_or(Abi::NATIVE));
                }
                result?;
            }
        }
        Ok(())
    }

    fn read_strace(
        &mut self,
        strace: &mut Strace,
        file: &Path,
        input: Input,
    ) -> Result<(), Trouble> {
        for event in strace.read(file, input) {
            if let Some(event) = self.focus.pass(event?) {
                self.take(file, event)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, file: &Path, event: Event) -> Result<(), Failure> {
        let id = event.thread;
        match event.kind {
            EventKind::Call(symbol) => {
                let mut image = self.image(id);
                if image.name.is_none() {
                    image.name = Some(self.name(file, id));
                }
                self.call(&mut image.scoring, symbol);
                self.threads.insert(id, image);
            }
            EventKind::Fork { child, new_stack } => {
                let image = self.image(id);
                let scoring = image.scoring.fork(new_stack);
                self.threads.insert(id, image);
                let name = None;
                self.threads.insert(child, Image { scoring, name });
            }
            EventKind::Exec { .. } => {
                self.end(id)?;
                let image = self.image(id);
                self.threads.insert(id, image);
            }
            EventKind::Signal {
                handled,
                interrupted,
            } => {
                let mut image = self.image(id);
                image.scoring.signal(handled, interrupted);
                self.threads.insert(id, image);
            }
            EventKind::Rename { to } => {
                if let Some(image) = self.threads.remove(&id) {
                    self.threads.insert(to, image);
                }
            }
            EventKind::End { .. } => self.end(id)?,
            _ => (),
        }
        Ok(())
    }

    /// Takes a thread's image out, one that begins now if there is none.
    fn image(&mut self, id: u32) -> Image<'a> {
        self.threads.remove(&id).unwrap_or_else(|| Image {
            scoring: self.scorer.begin(),
            name: None,
        })
    }

    fn name(&mut self, file: &Path, id: u32) -> OsString {
        let images = self.images.entry(id).or_insert(0);
        *images += 1;
        let mut name = file.as_os_str().to_owned();
        name.push(OsStr::new(&format!(":{id}")));
        if *images > 1 {
            name.push(OsStr::new(&format!("#{images}")));
        }
        name
    }

    /// A thread left the program: its row. One without a call has none.
    fn end(&mut self, id: u32) -> Result<(), Failure> {
        match self.threads.remove(&id) {
            Some(Image {
                scoring,
                name: Some(name),
            }) => self.rows.write(&name, scoring.score()),
            _ => Ok(()),
        }
    }

    fn call(&mut self, trace: &mut Scoring<'_>, symbol: Symbol) {
        trace.call(symbol);
        if !self.known {
            self.known = self.scorer.knows(symbol);
            self.abis.insert(symbol.abi());
        }
    }

    /// Says what one should know about the traces.
    fn tell(&self, profile: &Profile) {
        program::tell_left_out(&self.focus);
        if let (Some(path), Some(exe)) = (self.focus.path(), profile.exe()) {
            let same = |other: &Path| path.file_name() == other.file_name();
            let linked = path.canonicalize().is_ok_and(|path| path == exe);
            if !linked && !same(exe) && !profile.script().is_some_and(same) {
                note(&format_args!(
                    "the profile is of {}, the calls are those of {}",
                    printable(exe.as_os_str()),
                    printable(path.as_os_str())
                ));
            }
        }
        for (name, times) in self.strace.unknown() {
            note(&format_args!(
                "{name}, called {}, is not known here: taken for an unknown call",
                count(times, "time")
            ));
        }
        if !self.known && !self.abis.is_empty() {
            let list = |abis: BTreeSet<Abi>| {
                let names: Vec<_> = abis.iter().map(ToString::to_string).collect();
                names.join(", ")
            };
            let has = profile.symbols().map(Symbol::abi).collect();
            note(&format_args!(
                "the profile knows none of the calls: it has calls of {}, the traces of {}",
                list(has),
                list(self.abis.clone())
            ));
        }
    }
}
