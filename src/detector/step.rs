//! Steps: the input of the detector in a form that can be stored and replayed.

use crate::syscall::Symbol;

/// One thing that happened, and when.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// When, in nanoseconds since boot.
    pub now_boot_ns: u64,
    /// What.
    pub op: Op,
}

impl Step {
    /// Says that `op` happened `now_boot_ns` nanoseconds after boot.
    pub const fn new(now_boot_ns: u64, op: Op) -> Self {
        Self { now_boot_ns, op }
    }
}

/// One thing that can happen to a task or to a profile.
///
/// Tasks and profiles go by number. A task is one thread; its number comes into
/// use with its first [`Exec`](Self::Exec), or as the child of a
/// [`Fork`](Self::Fork).
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// A task enters a system call.
    Call {
        /// The task.
        task: u16,
        /// The call.
        symbol: Symbol,
        /// Its stack pointer at that moment.
        sp: u64,
    },
    /// A task makes another one.
    Fork {
        /// The task that calls.
        parent: u16,
        /// The task that is made.
        child: u16,
        /// Whether the child starts on a stack of its own, as threads do.
        new_stack: bool,
    },
    /// A task runs another program from here on.
    Exec {
        /// The task.
        task: u16,
        /// The profile of the program.
        profile: u32,
    },
    /// A task ends, and its process with it.
    Exit {
        /// The task.
        task: u16,
    },
    /// A task is given a signal.
    Signal {
        /// The task.
        task: u16,
        /// The handler that runs, unless the signal has none.
        handler: Option<HandlerFrame>,
        /// What the signal interrupted.
        interrupted: Interrupted,
    },
    /// Somebody gives a command.
    Command {
        /// The profile it is about.
        profile: u32,
        /// The command.
        command: Command,
    },
}

/// Where a signal handler was entered.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HandlerFrame {
    /// The stack pointer that bounds the handler: its calls are made from
    /// below. That of the interrupted code, or `u64::MAX` when the handler
    /// was moved to an alternate stack.
    pub sp: u64,
    /// The alternate stack that the handler runs on, if any: its lowest
    /// address, and the first address above it.
    pub alt: Option<(u64, u64)>,
}

impl HandlerFrame {
    /// A handler that runs on the stack of the code it interrupted.
    pub const fn new(sp: u64) -> Self {
        Self { sp, alt: None }
    }

    /// A handler that runs on the alternate stack from `low` up to, but not
    /// including, `high`.
    pub const fn on_alternate_stack(sp: u64, low: u64, high: u64) -> Self {
        Self {
            sp,
            alt: Some((low, high)),
        }
    }
}

/// What a signal interrupted.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Interrupted {
    /// No system call: the task was running its own code.
    None,
    /// A system call that is not issued again: it fails, with `EINTR` mostly.
    Aborted,
    /// A system call that the kernel issues again, after the handler if there
    /// is one.
    Restarts(Symbol),
}

/// What a person may ask of a profile.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum Command {
    /// Hold what was learnt so far as normal, now.
    Normalize,
    /// Forget what was learnt; what is held as normal stays.
    Sensitize,
    /// Hold nothing as normal until the profile has settled again. Needs a
    /// profile that is normal.
    Tolerize,
    /// Begin the wait after which the profile becomes normal. Needs a profile
    /// that is not frozen.
    Freeze,
    /// End that wait without becoming normal. Needs a profile that is frozen.
    Thaw,
    /// Forget all that was learnt and all that is held as normal.
    Reset,
}
