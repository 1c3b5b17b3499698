//! The algorithm once more, in the plainest words there are: sets of pairs with their distances,
//! lists of all calls, and frames that are emptied when they are to be empty.
//!
//! It has nothing in common with `ebph::Detector` but the vocabulary.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ebph::detector::{Command, Did, HandlerFrame, Interrupted, Op, Step, Verdict};
use ebph::{Limits, Symbol};

mod compare;
mod task;

use task::Task;

/// Letters that have an id of their own.
const OWN_IDS: usize = 254;

/// A call, an earlier one, and how far before it that was.
type Pairs = BTreeSet<(u8, u8, u8)>;

/// A program's profile.
#[derive(Clone, Default)]
pub struct Program {
    letters: Vec<Symbol>,
    rows: BTreeSet<u8>,
    train: Pairs,
    test: Pairs,
    normal: bool,
    frozen: bool,
    incomplete: bool,
    sequences: u64,
    train_count: u64,
    since_novelty: u64,
    anomalies: u64,
    normal_time: u64,
    unlearnt: u64,
    execs: u64,
    ended: u64,
    basis: u64,
    basis_over: bool,
}

/// All programs and tasks.
pub struct Naive {
    limits: Limits,
    room: usize,
    distances: usize,
    /// By number; one that is known from elsewhere can be added.
    pub programs: Vec<Program>,
    tasks: BTreeMap<u16, Task>,
}

impl Naive {
    /// Knows nothing of so many programs, and looks at windows of so many calls.
    pub fn new(limits: Limits, programs: u32, rows: u32, window: u8) -> Self {
        Self {
            limits,
            room: rows as usize,
            distances: usize::from(window) - 1,
            programs: vec![Program::default(); programs as usize],
            tasks: BTreeMap::new(),
        }
    }

    pub fn apply(&mut self, step: &Step) -> Verdict {
        let now = step.now_boot_ns;
        match step.op {
            Op::Call { task, symbol, sp } => return self.call(task, symbol, sp, now),
            Op::Signal {
                task,
                handler,
                interrupted,
            } => return self.signal(task, handler, interrupted),
            Op::Command { profile, command } => return self.command(profile, command, now),
            Op::Fork {
                parent,
                child,
                new_stack,
            } => self.fork(parent, child, new_stack),
            Op::Exec { task, profile } => self.exec(task, profile as usize),
            Op::Exit { task } => {
                if let Some(task) = self.tasks.remove(&task) {
                    self.programs[task.program].ended += 1;
                }
            }
            _ => unreachable!("no other steps are known"),
        }
        Verdict::default()
    }

    fn exec(&mut self, number: u16, program: usize) {
        if program >= self.programs.len() {
            return;
        }
        if let Some(old) = self.tasks.remove(&number) {
            self.programs[old.program].ended += 1;
        }
        self.programs[program].execs += 1;
        self.tasks.insert(number, Task::new(program));
    }

    fn fork(&mut self, parent: u16, child: u16, new_stack: bool) {
        let Some(parent) = self.tasks.get(&parent) else {
            return;
        };
        let task = parent.fork(new_stack);
        self.tasks.insert(child, task);
    }

    fn signal(
        &mut self,
        task: u16,
        handler: Option<HandlerFrame>,
        interrupted: Interrupted,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        if let Some(task) = self.tasks.get_mut(&task) {
            verdict.did = task.signal(handler, interrupted);
        }
        verdict
    }

    fn call(&mut self, number: u16, symbol: Symbol, sp: u64, now: u64) -> Verdict {
        let mut verdict = Verdict::default();
        let Some(mut task) = self.tasks.remove(&number) else {
            return verdict;
        };
        if task.leave_handlers(sp) {
            verdict.did |= Did::DROP_FRAME;
        }
        if task.restart.take() == Some(symbol) {
            verdict.did |= Did::RESTART;
        } else if symbol.is_restart_syscall() {
            verdict.did |= Did::IGNORE;
        } else {
            self.record(&mut task, symbol, now, &mut verdict);
            if symbol.is_sigreturn() {
                verdict.did |= task.return_from_handler();
            }
        }
        self.tasks.insert(number, task);
        verdict
    }

    fn record(&mut self, task: &mut Task, symbol: Symbol, now: u64, verdict: &mut Verdict) {
        let used = self.rows_used();
        let program = &mut self.programs[task.program];
        let place = program.letters.iter().position(|known| *known == symbol);
        let place = place.unwrap_or_else(|| {
            program.letters.push(symbol);
            let own = program.letters.len() <= OWN_IDS;
            verdict.did |= if own { Did::NEW_ID } else { Did::OTHER_ID };
            program.letters.len() - 1
        });
        let id = id_at(place);
        verdict.id = id;
        if !program.rows.contains(&id) && used < self.room {
            program.rows.insert(id);
        }

        let past = task.past.iter().rev().zip(1..).take(self.distances);
        let pairs: Vec<_> = past
            .map(|(earlier, distance)| (id, *earlier, distance))
            .collect();
        verdict.novel = missing(&pairs, &program.train);
        let mut missed = missing(&pairs, &program.test);
        if !program.rows.contains(&id) {
            verdict.did |= Did::NO_ROW;
            program.unlearnt += 1;
            program.incomplete = true;
        } else {
            program.train_count += 1;
            if verdict.novel != 0 {
                program.train.extend(pairs);
                program.sequences += 1;
                program.since_novelty = 0;
                verdict.did |= Did::NOVEL;
                if program.frozen {
                    program.frozen = false;
                    verdict.did |= Did::THAW;
                }
            } else {
                program.since_novelty += 1;
                if !program.frozen && settled(program, &self.limits) {
                    verdict.did |= freeze(program, now, &self.limits);
                }
            }
        }
        if program.frozen && !program.incomplete && now >= program.normal_time {
            missed = 0;
            verdict.did |= self.start_normal(task.program);
            task.empty_frame();
        }
        if self.programs[task.program].normal {
            self.test(task, missed, verdict);
        }
        task.past.push(id);
        task.calls += 1;
        verdict.did |= Did::RECORD;
    }

    fn test(&mut self, task: &mut Task, missed: u8, verdict: &mut Verdict) {
        verdict.did |= Did::TEST;
        verdict.missed = missed;
        task.tested.push(missed != 0);
        let lfc = task.lfc();
        task.max_lfc = task.max_lfc.max(lfc);
        verdict.lfc = lfc as u32;
        let program = &mut self.programs[task.program];
        if missed != 0 {
            program.anomalies += 1;
            task.anomalies += 1;
            verdict.anomalies = program.anomalies;
            verdict.did |= Did::ANOMALY;
        }
        if missed != 0 && program.anomalies > self.limits.anomaly_limit {
            verdict.did |= self.stop_normal(task.program);
            task.empty_frame();
        } else if lfc as u64 > self.limits.tolerize_limit {
            verdict.did |= self.wipe_training(task.program);
            task.empty_frame();
        }
    }

    fn start_normal(&mut self, number: usize) -> Did {
        let program = &mut self.programs[number];
        let mut did = Did::START;
        if program.normal {
            did |= Did::REFRESH;
        }
        let before = if program.basis_over { 0 } else { program.basis };
        *program = Program {
            test: program.train.clone(),
            normal: true,
            frozen: false,
            anomalies: 0,
            basis: before + program.train_count,
            basis_over: false,
            train_count: 0,
            since_novelty: 0,
            ..std::mem::take(program)
        };
        self.empty_all(number);
        did
    }

    fn stop_normal(&mut self, number: usize) -> Did {
        let program = &mut self.programs[number];
        (program.normal, program.frozen) = (false, false);
        self.empty_all(number);
        Did::STOP
    }

    fn wipe_training(&mut self, number: usize) -> Did {
        let program = &mut self.programs[number];
        program.train.clear();
        program.basis_over = true;
        program.frozen = false;
        (
            program.sequences,
            program.train_count,
            program.since_novelty,
        ) = (0, 0, 0);
        self.empty_all(number);
        Did::RESET_TRAIN
    }

    fn command(&mut self, number: u32, command: Command, now: u64) -> Verdict {
        let mut verdict = Verdict::default();
        let number = number as usize;
        let Some(program) = self.programs.get_mut(number) else {
            verdict.result = -22;
            return verdict;
        };
        let allowed = match command {
            Command::Tolerize => program.normal,
            Command::Freeze => !program.frozen,
            Command::Thaw => program.frozen,
            _ => true,
        };
        if !allowed {
            verdict.result = -22;
            return verdict;
        }
        match command {
            Command::Normalize => verdict.did = self.start_normal(number),
            Command::Sensitize => verdict.did = self.wipe_training(number),
            Command::Tolerize => verdict.did = self.stop_normal(number),
            Command::Freeze => verdict.did = freeze(program, now, &self.limits),
            Command::Thaw => {
                program.frozen = false;
                verdict.did = Did::THAW;
            }
            Command::Reset => {
                // Ids and rows, once given, stay.
                *program = Program {
                    letters: std::mem::take(&mut program.letters),
                    rows: std::mem::take(&mut program.rows),
                    ..Program::default()
                };
                self.empty_all(number);
            }
            _ => unreachable!("no other commands are known"),
        }
        verdict
    }

    /// Empties the frames of all tasks that run a program.
    fn empty_all(&mut self, number: usize) {
        let tasks = self.tasks.values_mut();
        tasks
            .filter(|task| task.program == number)
            .for_each(Task::empty_frame);
    }

    fn rows_used(&self) -> usize {
        self.programs.iter().map(|program| program.rows.len()).sum()
    }
}

/// The rest of the letters share one.
fn id_at(place: usize) -> u8 {
    place.min(OWN_IDS) as u8 + 1
}

fn missing(pairs: &[(u8, u8, u8)], known: &Pairs) -> u8 {
    let unknown = pairs.iter().filter(|pair| !known.contains(pair));
    unknown.fold(0, |bits, (_, _, distance)| bits | 1 << (distance - 1))
}

fn settled(program: &Program, limits: &Limits) -> bool {
    let (factor, per) = limits.freeze_factor;
    let at_last_novelty = program.train_count - program.since_novelty.min(program.train_count);
    let product = |count: u64, factor: u64| u128::from(count) * u128::from(factor);
    program.sequences > 0
        && program.train_count >= limits.min_train_calls
        && program.ended >= limits.min_train_processes
        && product(program.train_count, per) > product(at_last_novelty, factor)
}

fn freeze(program: &mut Program, now: u64, limits: &Limits) -> Did {
    let at = Duration::from_nanos(now).saturating_add(limits.normal_wait);
    program.frozen = true;
    program.normal_time = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
    Did::FREEZE
}
