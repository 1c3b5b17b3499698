//! Scenarios: what random and hostile programs do, in an order that leads
//! profiles through all of their states.
//!
//! The Rust detector runs along while a scenario is made up. It says what is
//! expected, and where the profiles stand, so that the waits of frozen ones can
//! be met to the nanosecond.

use ebph::detector::{Command, Did, HandlerFrame, Interrupted, Op, ProfileId, Step, Verdict};
use ebph::{Abi, Detector, Limits, Symbol};

use crate::preset::{Preset, Rng, Setup, TASKS, make_program};

/// Where stacks begin; they grow downwards.
const STACK: u64 = 0x7fff_0000;

/// A handler that a task is in, as far as the scenario knows.
#[derive(Clone, Debug)]
struct Handler {
    frame: HandlerFrame,
    /// The stack pointer before it.
    sp: u64,
    /// The call to be issued again after it.
    restart: Option<Symbol>,
    calls_left: u64,
}

/// A task, as far as the scenario knows.
#[derive(Clone, Debug)]
struct Actor {
    profile: usize,
    sp: u64,
    current: usize,
    position: usize,
    repeats_left: u64,
    handlers: Vec<Handler>,
    restart: Option<Symbol>,
    last: Symbol,
}

/// A source of steps without end.
pub struct Scenario {
    preset: Preset,
    setup: Setup,
    rng: Rng,
    detector: Detector,
    now: u64,
    /// Moments at which frozen profiles become normal.
    appointments: Vec<u64>,
    actors: Vec<Option<Actor>>,
    /// By profile: its loops.
    programs: Vec<Vec<Vec<Symbol>>>,
    sigreturns: Vec<Symbol>,
    restart_syscalls: Vec<Symbol>,
    /// Steps that must follow.
    queue: Vec<Op>,
}

impl Scenario {
    pub fn new(preset: &Preset, mut rng: Rng) -> Self {
        let setup = Setup {
            limits: (preset.limits)(Limits::default(), &mut rng),
            profiles: preset.profiles,
            rows: preset.rows,
        };
        let letters: Vec<Symbol> = (0..512)
            .flat_map(|number| [Symbol::native(number), Symbol::compat(number)])
            .collect();
        let programs = (0..preset.profiles)
            .map(|_| make_program(preset, &letters, &mut rng))
            .collect();
        let of_kind = |kind: fn(Symbol) -> bool| letters.iter().copied().filter(move |s| kind(*s));
        Self {
            detector: setup.detector(),
            sigreturns: of_kind(Symbol::is_sigreturn).collect(),
            restart_syscalls: of_kind(Symbol::is_restart_syscall).collect(),
            preset: preset.clone(),
            setup,
            now: 1 + rng.below(1 << 40),
            rng,
            appointments: Vec::new(),
            actors: vec![None; usize::from(TASKS)],
            programs,
            queue: Vec::new(),
        }
    }

    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Makes up the next step.
    pub fn choose(&mut self) -> Step {
        self.pass_time();
        if self.queue.is_empty() {
            self.queue_something();
            self.queue.reverse();
        }
        let op = self.queue.pop().expect("something was queued");
        Step::new(self.now, op)
    }

    /// Lets the detector take the step, and notes what it did.
    pub fn take(&mut self, step: &Step) -> Verdict {
        let verdict = self.detector.apply(step);
        if verdict.did.contains(Did::FREEZE) {
            let wait = self.setup.limits.normal_wait.as_nanos() as u64;
            self.appointments.push(self.now + wait);
        }
        verdict
    }

    fn pass_time(&mut self) {
        let now = self.now;
        self.appointments.retain(|at| *at > now);
        match self.rng.below(1_000) {
            0 => self.now += self.rng.below(100_000),
            // To the moment itself, or the one before it.
            1..=4 if !self.appointments.is_empty() => {
                let at = self.rng.pick(&self.appointments);
                self.now = now.max(at - self.rng.below(2));
            }
            // Two steps at the same time happen as well.
            _ => self.now += self.rng.below(300),
        }
    }

    fn alive(&self) -> Vec<u16> {
        (0..TASKS)
            .filter(|task| self.actors[usize::from(*task)].is_some())
            .collect()
    }

    fn queue_something(&mut self) {
        let alive = self.alive();
        if alive.is_empty() {
            let task = self.rng.below(u64::from(TASKS)) as u16;
            return self.exec(task);
        }
        let task = self.rng.pick(&alive);
        let preset = self.preset.clone();
        let dice = self.rng.below(10_000);
        let mut limit = 0;
        let mut up_to = |rate| {
            limit += rate;
            dice < limit
        };
        if up_to(preset.fork) {
            self.fork(task, alive.len());
        } else if up_to(preset.exec) {
            self.exec(task);
        } else if up_to(preset.exit) {
            self.actors[usize::from(task)] = None;
            self.queue.push(Op::Exit { task });
        } else if up_to(preset.command) {
            self.command();
        } else if up_to(preset.signal) {
            self.signals(task);
        } else if up_to(preset.deviate) {
            self.deviate(task);
        } else {
            self.go_on(task);
        }
    }

    fn actor(&mut self, task: u16) -> &mut Actor {
        self.actors[usize::from(task)]
            .as_mut()
            .expect("only tasks that are alive are chosen")
    }

    fn fork(&mut self, parent: u16, alive: usize) {
        let free: Vec<u16> = (0..TASKS)
            .filter(|task| self.actors[usize::from(*task)].is_none())
            .collect();
        if free.is_empty() || alive >= self.preset.tasks {
            return self.go_on(parent);
        }
        let child = self.rng.pick(&free);
        if self.rng.chance(1_000) {
            let symbol = self.actor(parent).last;
            self.actor(parent).restart = Some(symbol);
            self.queue.push(Op::Signal {
                task: parent,
                handler: None,
                interrupted: Interrupted::Restarts(symbol),
            });
        }
        let new_stack = self.rng.chance(4_000);
        let mut actor = self.actor(parent).clone();
        actor.restart = None;
        if new_stack {
            actor.handlers.clear();
            actor.sp = STACK - 0x100_0000 * u64::from(child);
        }
        self.actors[usize::from(child)] = Some(actor);
        self.queue.push(Op::Fork {
            parent,
            child,
            new_stack,
        });
    }

    fn exec(&mut self, task: u16) {
        let profile = self.rng.below(u64::from(self.preset.profiles)) as u32;
        self.actors[usize::from(task)] = Some(Actor {
            profile: profile as usize,
            sp: STACK,
            current: 0,
            position: 0,
            repeats_left: 0,
            handlers: Vec::new(),
            restart: None,
            last: Symbol::native(0),
        });
        self.queue.push(Op::Exec { task, profile });
    }

    fn command(&mut self) {
        let profile = self.rng.below(u64::from(self.preset.profiles)) as u32;
        let command = self.rng.pick(&[
            Command::Normalize,
            Command::Normalize,
            Command::Sensitize,
            Command::Tolerize,
            Command::Freeze,
            Command::Freeze,
            Command::Thaw,
            Command::Reset,
        ]);
        self.queue.push(Op::Command { profile, command });
    }

    /// Makes the next call that the program, or the handler it is in, consists of.
    fn go_on(&mut self, task: u16) {
        let again = self.rng.chance(8_000);
        if let Some(symbol) = self.actor(task).restart.take()
            && again
        {
            return self.call(task, symbol);
        }
        if let Some(handler) = self.actor(task).handlers.last_mut() {
            if handler.calls_left == 0 {
                return self.leave_handler(task);
            }
            handler.calls_left -= 1;
        }
        let actor = self.actors[usize::from(task)]
            .as_mut()
            .expect("only tasks that are alive are chosen");
        let program = &self.programs[actor.profile];
        if actor.position >= program[actor.current].len() {
            actor.position = 0;
            if actor.repeats_left == 0 {
                actor.current = self.rng.index(program.len());
                actor.repeats_left = 1 + self.rng.below(self.preset.repeats * 2);
            }
            actor.repeats_left -= 1;
        }
        let symbol = program[actor.current][actor.position];
        actor.position += 1;
        self.call(task, symbol);
    }

    fn call(&mut self, task: u16, symbol: Symbol) {
        let wobble = self.rng.below(4) * 8;
        let actor = self.actor(task);
        actor.last = symbol;
        let sp = match actor.handlers.last() {
            // Any wobble might leave the alternate stack.
            Some(_) => actor.sp,
            None => actor.sp - wobble,
        };
        self.queue.push(Op::Call { task, symbol, sp });
    }

    /// Makes a call that the program does not consist of, or not now.
    fn deviate(&mut self, task: u16) {
        let profile = self.actor(task).profile;
        match self.rng.below(16) {
            0 => {
                let symbol = self.rng.pick(&self.restart_syscalls.clone());
                self.call(task, symbol);
            }
            // Mostly there is nothing to return from.
            1 => self.leave_by_sigreturn(task),
            2 => {
                let symbol = self.any_letter();
                self.call(task, symbol);
            }
            // From anywhere on the stack, off it, and at the ends of memory.
            3 | 4 => {
                let symbol = self.actor(task).last;
                let near = self.actor(task).sp - 8 + self.rng.below(17);
                let mut places = vec![0, 1, u64::MAX - 1, u64::MAX, near, self.rng.next()];
                if let Some(handler) = self.actor(task).handlers.last() {
                    let (low, high) = handler.frame.alt.unwrap_or((1, u64::MAX));
                    let bound = handler.frame.sp;
                    places = vec![low, low - 1, high, high - 1, bound, bound - 1];
                }
                let sp = self.rng.pick(&places);
                self.queue.push(Op::Call { task, symbol, sp });
            }
            5 => {
                for _ in 0..self.rng.below(20) {
                    let symbol = self.actor(task).last;
                    self.call(task, symbol);
                }
                self.go_on(task);
            }
            _ => {
                let which = self.rng.index(self.programs[profile].len());
                let symbol = self.rng.pick(&self.programs[profile][which].clone());
                self.call(task, symbol);
            }
        }
    }

    fn any_letter(&mut self) -> Symbol {
        let number = self.rng.below(600) as u32;
        match self.rng.below(8) {
            0 => Symbol::new(Abi::IoUring, number % 130),
            1 if cfg!(target_arch = "x86_64") => Symbol::new(Abi::X32, number),
            2..=4 => Symbol::compat(number),
            _ => Symbol::native(number),
        }
    }

    fn signals(&mut self, task: u16) {
        let count = match self.rng.below(30) {
            // More handlers than there are frames.
            0 => 4 + self.rng.below(10),
            1..=5 => 2,
            _ => 1,
        };
        for _ in 0..count {
            self.signal(task);
        }
    }

    fn signal(&mut self, task: u16) {
        let symbol = if self.rng.chance(9_000) {
            self.actor(task).last
        } else {
            self.any_letter()
        };
        let interrupted = match self.rng.below(8) {
            0 => Interrupted::Aborted,
            1..=3 => Interrupted::Restarts(symbol),
            _ => Interrupted::None,
        };
        let dice = self.rng.below(8);
        let offset = 1 + self.rng.below(64);
        let calls_left = self.rng.below(6);
        let actor = self.actor(task);
        let restart = match interrupted {
            Interrupted::Restarts(symbol) => Some(symbol),
            Interrupted::Aborted => None,
            _ => actor.restart,
        };
        let sp = actor.sp;
        let (frame, inside) = match (dice, actor.handlers.last()) {
            (0 | 1, _) => {
                actor.restart = restart;
                self.queue.push(Op::Signal {
                    task,
                    handler: None,
                    interrupted,
                });
                // Signals seldom come alone.
                if self.rng.chance(5_000) {
                    self.signal(task);
                }
                return;
            }
            // On the alternate stack already: the next one goes below.
            (2..=4, Some(handler)) if handler.frame.alt.is_some() => {
                let (low, high) = handler.frame.alt.expect("just looked");
                let inside = sp.saturating_sub(offset).max(low);
                (HandlerFrame::on_alternate_stack(sp, low, high), inside)
            }
            // An alternate stack, above or below the other.
            (2..=4, _) => {
                let low = if dice == 2 { STACK * 2 } else { STACK / 2 };
                let high = low + 0x1000;
                let frame = HandlerFrame::on_alternate_stack(u64::MAX, low, high);
                (frame, high - offset)
            }
            _ => (HandlerFrame::new(sp), sp.saturating_sub(offset)),
        };
        actor.handlers.push(Handler {
            frame,
            sp,
            restart,
            calls_left,
        });
        actor.sp = inside;
        actor.restart = None;
        self.queue.push(Op::Signal {
            task,
            handler: Some(frame),
            interrupted,
        });
    }

    fn leave_handler(&mut self, task: u16) {
        if self.rng.chance(7_500) {
            self.leave_by_sigreturn(task);
        } else {
            self.leave_by_jump(task);
        }
    }

    fn leave_by_sigreturn(&mut self, task: u16) {
        let symbol = self.rng.pick(&self.sigreturns.clone());
        self.call(task, symbol);
        let actor = self.actor(task);
        if let Some(handler) = actor.handlers.pop() {
            actor.sp = handler.sp;
            actor.restart = handler.restart;
        }
    }

    /// Leaves one handler or more without returning from it.
    fn leave_by_jump(&mut self, task: u16) {
        let nested = self.actor(task).handlers.len();
        let left = self.rng.index(nested);
        let above = self.rng.below(3) * 16;
        let actor = self.actor(task);
        actor.sp = actor.handlers[left].sp + above;
        actor.handlers.truncate(left);
        actor.restart = None;
        if self.rng.chance(1_000) {
            let symbol = self.rng.pick(&self.restart_syscalls.clone());
            self.call(task, symbol);
        }
        self.go_on(task);
    }
}

/// More handlers within each other than can be counted, and the way back.
pub fn abyss() -> (Setup, Vec<Step>) {
    let setup = Setup {
        limits: Limits::default(),
        profiles: 1,
        rows: 16,
    };
    let sigreturn = (0..512)
        .map(Symbol::native)
        .find(|symbol| symbol.is_sigreturn())
        .expect("every ABI has one");
    let enter = Op::Signal {
        task: 0,
        handler: Some(HandlerFrame::new(STACK)),
        interrupted: Interrupted::None,
    };
    let leave = Op::Call {
        task: 0,
        symbol: sigreturn,
        sp: STACK - 8,
    };
    let nested = usize::from(u16::MAX) + 10;
    let ops = std::iter::once(Op::Exec {
        task: 0,
        profile: 0,
    })
    .chain(std::iter::repeat_n(enter, nested))
    .chain(std::iter::repeat_n(leave, nested));
    (setup, ops.map(|op| Step::new(1, op)).collect())
}

/// Leaves out the steps of tasks that do not run, which no kernel has.
pub fn without_ghosts(steps: &[Step]) -> Vec<Step> {
    let mut runs = [false; TASKS as usize];
    let mut kept = Vec::with_capacity(steps.len());
    for step in steps {
        let keep = match step.op {
            Op::Exec { task, .. } => {
                runs[usize::from(task)] = true;
                true
            }
            Op::Fork { parent, child, .. } => {
                let keep = runs[usize::from(parent)] && !runs[usize::from(child)];
                runs[usize::from(child)] |= keep;
                keep
            }
            Op::Exit { task } => std::mem::replace(&mut runs[usize::from(task)], false),
            Op::Call { task, .. } | Op::Signal { task, .. } => runs[usize::from(task)],
            _ => true,
        };
        if keep {
            kept.push(*step);
        }
    }
    kept
}

/// The number of a profile, as the detector knows it.
pub fn profile_id(number: u32) -> ProfileId {
    ProfileId::new(number as usize)
}
