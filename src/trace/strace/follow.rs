//! From lines to what happens to threads.

use crate::detector::Interrupted;
use crate::syscall::{Abi, Symbol};

use super::arguments::{self, Action, Clone, nameless};
use super::line::{self, Line, Mode, Outcome, Restart, What};
use super::threads::{Open, Purpose, Whose};
use super::{Event, EventKind, Strace};

/// Set in the numbers of x32 calls.
const X32_BIT: u64 = 0x4000_0000;

/// Why a line is refused: what should stand there.
type Expected = &'static str;

impl Strace {
    /// Understands one line, whose text is at hand as well, and those that waited for it.
    pub(super) fn take(&mut self, line: &Line<'_>, text: &[u8]) -> Result<(), Expected> {
        self.take_one(line, text)?;
        self.take_released()
    }

    fn take_released(&mut self) -> Result<(), Expected> {
        while let Some(text) = self.released.pop_front() {
            // SANITY: it was understood, or understood to be cut off, when it was held.
            if let Ok(line) | Err(line::Trouble::NoOutcome(line)) = line::parse(&text) {
                self.take_one(&line, &text)?;
            }
        }
        Ok(())
    }

    fn take_one(&mut self, line: &Line<'_>, text: &[u8]) -> Result<(), Expected> {
        let resumes = match line.what {
            What::Nothing => return Ok(()),
            What::Attached { pid } => {
                self.threads.attached(pid);
                return Ok(());
            }
            What::Mode { pid, mode } => return self.change_mode(line.pid.unwrap_or(pid), mode),
            What::Resumed { name, .. } => Some(name),
            _ => None,
        };
        let id = match self.threads.whose(line.pid, resumes, &mut self.queue)? {
            Whose::Thread(id) => id,
            Whose::Undecided(id) if self.threads.held.keep(id, text) => return Ok(()),
            Whose::Undecided(id) => {
                // Too much to wait for: as if it had been there from the start.
                self.threads.begin(id)?;
                self.release(id);
                self.released.push_back(text.to_vec());
                return Ok(());
            }
        };
        match line.what {
            What::Call {
                name,
                arguments,
                outcome,
            } => {
                self.enter(id, name, arguments, line.number);
                if let Some(outcome) = outcome {
                    self.leave(id, outcome)?;
                }
            }
            What::CallChangesPid {
                name,
                arguments,
                to,
            } => {
                self.enter(id, name, arguments, line.number);
                self.threads.rename(id, to, &mut self.queue);
            }
            What::Resumed { name, outcome } => {
                let opened = self
                    .threads
                    .get(id)
                    .is_some_and(|thread| thread.open.is_some());
                if !opened && matches!(name, "execve" | "execveat") {
                    // Entered by a thread that had another id then.
                    if let Some(other) = self.threads.in_exec_beside(id) {
                        self.threads.rename(other, id, &mut self.queue);
                    }
                }
                if let Some(outcome) = outcome {
                    self.leave(id, outcome)?;
                }
            }
            What::Signal(name) => self.signal(id, name),
            What::Ended => {
                let process = self.threads.remove(id);
                self.emit(id, EventKind::End { process });
                self.decide()?;
            }
            What::Superseded { by } => self.threads.rename(by, id, &mut self.queue),
            What::Nothing | What::Attached { .. } | What::Mode { .. } => (),
        }
        Ok(())
    }

    fn emit(&mut self, thread: u32, kind: EventKind) {
        self.queue.push_back(Event { thread, kind });
    }

    fn change_mode(&mut self, pid: u32, mode: Mode) -> Result<(), Expected> {
        let (wide, narrow) = widths(self.abi);
        let abi = match mode {
            Mode::Bits64 => wide,
            Mode::Bits32 => narrow,
            Mode::X32 => Abi::X32,
        };
        if let Whose::Thread(id) = self.threads.whose(Some(pid), None, &mut self.queue)?
            && let Some(thread) = self.threads.get(id)
        {
            thread.abi = abi;
            thread.abi_inferred = false;
        }
        Ok(())
    }

    fn enter(&mut self, id: u32, name: &str, arguments: &[u8], number: Option<u32>) {
        let Some(thread) = self.threads.get(id) else {
            return;
        };
        let (abi, interrupted) = (thread.abi, thread.interrupted.take());
        if let Some((restart, symbol)) = interrupted
            && restart != Restart::Block
        {
            // Interrupted, and issued again without a signal that would explain it.
            let interrupted = Interrupted::Restarts(symbol);
            self.emit(
                id,
                EventKind::Signal {
                    handled: false,
                    interrupted,
                },
            );
        }
        let symbol = self.symbol(abi, name, number);
        if let Some(symbol) = symbol.filter(|symbol| symbol.abi() != abi && number.is_none()) {
            self.infer(id, symbol.abi());
        }
        if let Some(symbol) = symbol {
            self.emit(id, EventKind::Call(symbol));
        }
        let purpose = match name {
            "execve" | "execveat" => Purpose::Exec(arguments::exec_path(arguments)),
            "clone" | "clone3" | "fork" | "vfork" => {
                self.threads.begins_making(id);
                Purpose::Clone {
                    how: Clone::read(arguments),
                    child: None,
                }
            }
            "rt_sigaction" | "sigaction" | "signal" => match Action::read(name, arguments) {
                Some((signal, action)) => Purpose::Action(signal, action),
                None => Purpose::Other,
            },
            _ => Purpose::Other,
        };
        if let Some(thread) = self.threads.get(id) {
            thread.leaves = matches!(name, "exit" | "exit_group");
            thread.open = Some(Open { symbol, purpose });
        }
    }

    /// A program that makes one call through an interface makes the next ones through it as well;
    /// the next program may not.
    fn infer(&mut self, id: u32, abi: Abi) {
        if abi != Abi::X32
            && let Some(thread) = self.threads.get(id)
        {
            thread.abi = abi;
            thread.abi_inferred = true;
        }
    }

    fn leave(&mut self, id: u32, outcome: Outcome) -> Result<(), Expected> {
        let Some(thread) = self.threads.get(id) else {
            return Ok(());
        };
        let Some(Open { symbol, purpose }) = thread.open.take() else {
            return Ok(());
        };
        if let (Outcome::Restart(restart), Some(symbol)) = (outcome, symbol) {
            thread.interrupted = Some((restart, symbol));
        }
        match (purpose, outcome) {
            (Purpose::Exec(path), Outcome::Number(0)) => {
                if let Some(handlers) = self.threads.handlers(id) {
                    handlers.clear();
                }
                let abi = self.abi;
                if let Some(thread) = self.threads.get(id).filter(|thread| thread.abi_inferred) {
                    thread.abi = abi;
                    thread.abi_inferred = false;
                }
                self.emit(id, EventKind::Exec { path });
            }
            (Purpose::Clone { how, child }, outcome) => {
                self.threads.ends_making(id);
                let made = match outcome {
                    Outcome::Number(number) => u32::try_from(number).ok(),
                    Outcome::Pid(pid) => Some(pid),
                    _ => None,
                };
                if let Some(made) = made.filter(|made| *made != 0)
                    && child.is_none()
                {
                    let seen = self.threads.held.has(made);
                    self.threads.fork(id, made, how, seen, &mut self.queue)?;
                    self.release(made);
                }
                self.decide()?;
            }
            (Purpose::Action(signal, action), Outcome::Number(0)) => {
                if let Some(handlers) = self.threads.handlers(id) {
                    if action.handled {
                        handlers.insert(signal, action);
                    } else {
                        handlers.remove(&signal);
                    }
                }
            }
            // The old action is what `signal` gives back.
            (Purpose::Action(signal, action), Outcome::Unknown) if action.handled => {
                if let Some(handlers) = self.threads.handlers(id) {
                    handlers.insert(signal, action);
                }
            }
            _ => (),
        }
        Ok(())
    }

    fn signal(&mut self, id: u32, name: &[u8]) {
        let action = self.threads.handlers(id).and_then(|handlers| {
            let action = *handlers.get(name)?;
            if action.resets {
                handlers.remove(name);
            }
            Some(action)
        });
        let pending = self
            .threads
            .get(id)
            .and_then(|thread| thread.interrupted.take());
        let interrupted = match (pending, action) {
            (None, _) => Interrupted::None,
            (Some((restart, symbol)), action) => {
                let again = match (restart, action) {
                    (Restart::NoIntr, _) => true,
                    (Restart::Sys, Some(action)) => action.restarts,
                    (Restart::Sys | Restart::NoHand, None) => true,
                    (Restart::NoHand, Some(_)) | (Restart::Block, _) => false,
                };
                if again {
                    Interrupted::Restarts(symbol)
                } else {
                    Interrupted::Aborted
                }
            }
        };
        self.emit(
            id,
            EventKind::Signal {
                handled: action.is_some(),
                interrupted,
            },
        );
    }

    /// The letter of a call; `None` for a number that a debugger or a filter took a call for.
    fn symbol(&mut self, abi: Abi, name: &str, number: Option<u32>) -> Option<Symbol> {
        if let Some(number) = nameless(name) {
            let low = u32::try_from(number).ok()?;
            if low.cast_signed() < 0 {
                return None;
            }
            return Some(if abi == Abi::X86_64 && number & X32_BIT != 0 {
                Symbol::new(Abi::X32, low)
            } else {
                Symbol::new(abi, low)
            });
        }
        if abi == Abi::X32 {
            return Some(Symbol::new(abi, 0));
        }
        let named = Symbol::from_name(abi, name);
        let fits = |symbol: Symbol| {
            number.is_none_or(|number| Symbol::new(symbol.abi(), number) == symbol)
        };
        if let Some(symbol) = named.filter(|symbol| fits(*symbol)) {
            return Some(symbol);
        }
        // The number, or a name that is in one of them only, shows a call of the other width, which
        // strace wrote nothing about.
        let (wide, narrow) = widths(abi);
        let other = if abi == wide { narrow } else { wide };
        if (number.is_some() || named.is_none())
            && let Some(symbol) = Symbol::from_name(other, name).filter(|symbol| fits(*symbol))
        {
            return Some(symbol);
        }
        match (number, named) {
            (Some(number), _) => Some(Symbol::new(abi, number)),
            (None, Some(symbol)) => Some(symbol),
            (None, None) => {
                self.note_unknown(name);
                Some(Symbol::new(abi, u32::MAX))
            }
        }
    }

    /// Lets the lines of a thread go on that had to wait.
    fn release(&mut self, id: u32) {
        let lines = self.threads.held.release(id);
        self.released.extend(lines);
    }

    /// Lets the lines of threads go on of which it has become clear who made them.
    fn decide(&mut self) -> Result<(), Expected> {
        while let Some((id, parent)) = self.threads.decided() {
            match parent {
                Some(parent) => self.threads.adopt(parent, id, &mut self.queue)?,
                None => self.threads.begin(id)?,
            }
            self.release(id);
        }
        Ok(())
    }

    /// Takes all lines that still wait: nothing more will be known.
    pub(super) fn release_all(&mut self) -> Result<(), Expected> {
        while let Some(id) = self.threads.held.first() {
            self.threads.begin(id)?;
            self.release(id);
            self.take_released()?;
        }
        Ok(())
    }
}

/// The 64-bit and the 32-bit interface of the machine that has this one.
fn widths(abi: Abi) -> (Abi, Abi) {
    match abi {
        Abi::Aarch64 | Abi::Arm => (Abi::Aarch64, Abi::Arm),
        _ => (Abi::X86_64, Abi::I386),
    }
}
