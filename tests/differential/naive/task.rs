//! One task: its calls, and the handlers it is in.

use ebph::Symbol;
use ebph::detector::{Did, HandlerFrame, Interrupted};

/// How many handlers within each other have what they interrupted kept.
const KEPT: usize = 8;
/// How many are counted.
const COUNTED: usize = 65_535;
/// Tested calls that a locality frame looks back on.
const LOCALITY: usize = 128;

#[derive(Clone)]
struct Handler {
    frame: HandlerFrame,
    /// The calls before it, and the call to be issued again after it.
    interrupted: Option<(Vec<u8>, Option<Symbol>)>,
}

#[derive(Clone, Default)]
pub struct Task {
    pub program: usize,
    /// Ids, the last call last.
    pub past: Vec<u8>,
    /// Whether each tested call was an anomaly.
    pub tested: Vec<bool>,
    pub max_lfc: usize,
    pub calls: u64,
    pub anomalies: u64,
    /// A handler was taken to have been left by a jump.
    pub guessed: bool,
    pub restart: Option<Symbol>,
    handlers: Vec<Handler>,
}

impl Task {
    pub fn new(program: usize) -> Self {
        Self {
            program,
            ..Self::default()
        }
    }

    pub fn lfc(&self) -> usize {
        let frame = self.tested.iter().rev().take(LOCALITY);
        frame.filter(|anomalous| **anomalous).count()
    }

    pub fn depth(&self) -> usize {
        self.handlers.len()
    }

    pub fn empty_frame(&mut self) {
        self.tested.clear();
        self.max_lfc = 0;
    }

    /// The task that this one makes.
    pub fn fork(&self, new_stack: bool) -> Self {
        let mut child = self.clone();
        (child.calls, child.anomalies, child.restart) = (0, 0, None);
        if new_stack {
            child.handlers.clear();
            child.empty_frame();
        }
        child
    }

    pub fn signal(&mut self, handler: Option<HandlerFrame>, interrupted: Interrupted) -> Did {
        match interrupted {
            Interrupted::Aborted => self.restart = None,
            Interrupted::Restarts(symbol) => self.restart = Some(symbol),
            _ => (),
        }
        let Some(frame) = handler else {
            return Did::default();
        };
        let before = (std::mem::take(&mut self.past), self.restart.take());
        let kept = self.handlers.len() < KEPT;
        if self.handlers.len() < COUNTED {
            self.handlers.push(Handler {
                frame,
                interrupted: kept.then_some(before),
            });
        }
        if kept { Did::PUSH } else { Did::PUSH_DEEP }
    }

    /// Leaves the handlers that a call with this stack pointer cannot be made in.
    pub fn leave_handlers(&mut self, sp: u64) -> bool {
        let mut left = false;
        loop {
            // Beyond those that are kept, the last of them stands for all.
            let last = self.handlers.len().min(KEPT);
            let Some(handler) = last.checked_sub(1).map(|last| &self.handlers[last]) else {
                return left;
            };
            let on_its_stack = match handler.frame.alt {
                Some((low, high)) if high != 0 => low <= sp && sp < high,
                _ => true,
            };
            if on_its_stack && sp < handler.frame.sp {
                return left;
            }
            let (past, _) = handler.interrupted.clone().expect("it is among those kept");
            self.handlers.truncate(last - 1);
            self.past = past;
            self.restart = None;
            self.guessed = true;
            left = true;
        }
    }

    pub fn return_from_handler(&mut self) -> Did {
        match self.handlers.pop().map(|handler| handler.interrupted) {
            None => Did::UNBALANCED,
            Some(Some((past, restart))) => {
                (self.past, self.restart) = (past, restart);
                Did::POP
            }
            Some(None) => {
                (self.past, self.restart) = (Vec::new(), None);
                Did::POP | Did::POP_DEEP
            }
        }
    }
}
