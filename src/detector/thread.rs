//! What is known of one thread: its last calls, the handlers it is in, and how
//! odd it was of late.

use crate::syscall::Symbol;

use super::step::{HandlerFrame, Interrupted};
use super::verdict::Did;

/// How far back a call is compared.
pub(super) const DISTANCES: usize = 8;
/// How many nested signal handlers have their frames kept.
pub(super) const SIGNAL_FRAMES: usize = 8;
/// How many nested handlers are counted.
const MAX_DEPTH: usize = u16::MAX as usize;

/// The ids of a thread's last calls, newest first; 0 where there was none.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Window([u8; DISTANCES]);

impl Window {
    pub(super) fn push(&mut self, id: u8) {
        self.0.copy_within(..DISTANCES - 1, 1);
        self.0[0] = id;
    }

    /// The ids, that at distance 1 first.
    pub(super) fn ids(&self) -> [u8; DISTANCES] {
        self.0
    }
}

/// What a handler interrupted, set aside until it returns.
#[derive(Clone, Debug)]
struct SignalFrame {
    window: Window,
    restart: Option<Symbol>,
    entered: HandlerFrame,
}

impl SignalFrame {
    /// Whether a call made at this stack pointer can be the handler's.
    fn holds(&self, sp: u64) -> bool {
        let on_stack = match self.entered.alt {
            // A stack that ends where memory begins is the kernel's way to say none.
            None | Some((_, 0)) => true,
            Some((low, high)) => (low..high).contains(&sp),
        };
        sp < self.entered.sp && on_stack
    }
}

/// Which of a thread's last 128 tested calls were anomalous.
#[derive(Clone, Debug, Default)]
pub(super) struct Locality {
    /// Newest call in bit 0.
    calls: u128,
    max: u32,
    /// That of the profile when this was last looked at.
    epoch: u64,
}

impl Locality {
    /// Empties the frame unless it belongs to this epoch of the profile.
    pub(super) fn follow(&mut self, epoch: u64) {
        if self.epoch != epoch {
            *self = Self {
                epoch,
                ..Self::default()
            };
        }
    }

    /// Notes one tested call and counts the anomalous ones.
    pub(super) fn push(&mut self, anomalous: bool) -> u32 {
        self.calls = self.calls << 1 | u128::from(anomalous);
        self.max = self.max.max(self.count());
        self.count()
    }

    pub(super) fn count(&self) -> u32 {
        self.calls.count_ones()
    }

    pub(super) fn max(&self) -> u32 {
        self.max
    }
}

/// One thread.
#[derive(Clone, Debug)]
pub(super) struct Thread {
    pub(super) profile: usize,
    pub(super) window: Window,
    pub(super) locality: Locality,
    pub(super) calls: u64,
    pub(super) anomalies: u64,
    /// No frame was ever guessed away.
    pub(super) certain: bool,
    /// The outermost handler first.
    frames: Vec<SignalFrame>,
    /// Handlers entered after the last frame that could be kept.
    deeper: usize,
    /// The call that the kernel will issue again.
    restart: Option<Symbol>,
}

impl Thread {
    /// A thread that runs a program from its beginning.
    pub(super) fn new(profile: usize, epoch: u64) -> Self {
        Self {
            profile,
            window: Window::default(),
            locality: Locality {
                epoch,
                ..Locality::default()
            },
            calls: 0,
            anomalies: 0,
            certain: true,
            frames: Vec::new(),
            deeper: 0,
            restart: None,
        }
    }

    /// The thread that this one makes.
    ///
    /// It inherits the past, lest a fork launder it; but a thread on a stack of
    /// its own never returns from its parent's handlers, and answers for its
    /// own oddities alone.
    pub(super) fn fork(&self, new_stack: bool) -> Self {
        let mut child = Self {
            calls: 0,
            anomalies: 0,
            restart: None,
            ..self.clone()
        };
        if new_stack {
            child.frames.clear();
            child.deeper = 0;
            child.locality = Locality {
                epoch: self.locality.epoch,
                ..Locality::default()
            };
        }
        child
    }

    /// How many handlers were entered and not left.
    pub(super) fn depth(&self) -> usize {
        self.frames.len() + self.deeper
    }

    /// Drops the frames of handlers that this stack pointer shows to have been
    /// left without a return.
    ///
    /// Of handlers whose frames were not kept, the last frame kept knows most.
    pub(super) fn drop_frames(&mut self, sp: u64) -> Did {
        let mut did = Did::default();
        while let Some(frame) = self.frames.pop_if(|frame| !frame.holds(sp)) {
            self.deeper = 0;
            self.window = frame.window;
            // Whatever was interrupted, a jump out of the handler gave it up.
            self.restart = None;
            self.certain = false;
            did = Did::DROP_FRAME;
        }
        did
    }

    /// Takes the mark of a call that is to be issued again: the next call
    /// either is that one, or it will never come.
    pub(super) fn take_restart(&mut self) -> Option<Symbol> {
        self.restart.take()
    }

    /// Enters a handler, or just notes what a signal without one interrupted.
    pub(super) fn signal(
        &mut self,
        handler: Option<HandlerFrame>,
        interrupted: Interrupted,
    ) -> Did {
        let restart = match interrupted {
            // A second signal before the first one's call was issued again.
            Interrupted::None => self.restart,
            Interrupted::Aborted => None,
            Interrupted::Restarts(symbol) => Some(symbol),
        };
        let Some(entered) = handler else {
            self.restart = restart;
            return Did::default();
        };
        let did = if self.frames.len() < SIGNAL_FRAMES {
            self.frames.push(SignalFrame {
                window: self.window,
                restart,
                entered,
            });
            Did::PUSH
        } else {
            if self.depth() < MAX_DEPTH {
                self.deeper += 1;
            }
            Did::PUSH_DEEP
        };
        self.window = Window::default();
        self.restart = None;
        did
    }

    /// Returns from the innermost handler.
    pub(super) fn sigreturn(&mut self) -> Did {
        if self.deeper > 0 {
            self.deeper -= 1;
            self.window = Window::default();
            self.restart = None;
            Did::POP | Did::POP_DEEP
        } else if let Some(frame) = self.frames.pop() {
            self.window = frame.window;
            self.restart = frame.restart;
            Did::POP
        } else {
            Did::UNBALANCED
        }
    }
}
